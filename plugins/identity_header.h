/* SPDX-License-Identifier: Apache-2.0 */
/* Names of headers that tell an upstream who the caller is.  Pure. */
#pragma once

#include "core/arena.h"
#include "core/json.h"

/* The keys of a route whose values are such names. */
extern const struct slice identity_header_keys[2];

/* What is wrong with the header of a member {"sub": "X-User-Id"}; NULL: nothing. Static text. */
const char *identity_header_fault(const struct json *member);
/* Equal when '_' is read as '-': upstreams (CGI, WSGI) cannot tell them apart. */
bool identity_header_is_same(struct slice a, struct slice b);
/* A copy in lower case; absent: no memory. */
struct slice identity_header_lower(struct arena *arena, struct slice name);
