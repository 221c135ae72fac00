/* SPDX-License-Identifier: Apache-2.0 */
/* The request target (RFC 9112 section 3.2, RFC 3986): split, checked and normalised once; route,
 * authentication and upstream see the result.
 *
 * Path: percent-encoded unreserved bytes are decoded, other escapes are upper-cased, runs of "/"
 * merged, "." and ".." segments resolved (not above the root: refused).  Refused: bad escapes,
 * %00, %2F, %5C, escaped controls, dot segments in any encoding that carry parameters (";"), "\",
 * bytes outside RFC 3986's path characters, "#".  Query: checked bytes, not changed. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

struct uri {
    struct slice scheme;    /* absent in origin form */
    struct slice authority; /* absent in origin form */
    struct slice path;      /* normalised */
    struct slice query;     /* absent without "?" */
};

/* Split and normalise `target`.  Only absolute ("http://", "https://") and origin form, and "*".
 * The bytes of `target` are rewritten in place (a normalised path is never longer). ERR_BAD_INPUT;
 * *ret_reason (static text) says what was wrong. */
int uri_parse(char *target, size_t len, struct uri *ret, const char **ret_reason) MUST_CHECK;

/* host [":" port] with no user info (RFC 9110 section 7.2): registered name, IPv4 or [IPv6]. */
bool uri_authority_is_valid(struct slice authority);
/* The one form in which a valid authority is compared and handed on: lower case, without the root's
 * dot ("example.com." is "example.com").  In place, never longer. */
struct slice uri_authority_normalise(char *authority, size_t len);
/* The host without port; an IPv6 address keeps its brackets. */
struct slice uri_authority_host(struct slice authority);
