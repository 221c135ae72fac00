/* SPDX-License-Identifier: Apache-2.0 */
/* Which fields pass from one side to the other (RFC 9110 section 7.6): hop-by-hop fields and what
 * Connection names go, X-Forwarded-*, Via and traceparent are ours, what plugins have set is added
 * last, where no client can remove it. */
#pragma once

#include "gateway/request.h"

/* Append the request's head for the upstream to `out`.  ERR_BAD_INPUT: a field would not parse back. */
int forward_write(struct request *req, struct buf *out) MUST_CHECK;
/* Make the upstream's response (req->response) fit to be sent on. */
int forward_response(struct request *req) MUST_CHECK;
/* The Strict-Transport-Security of the listener, if it has one. */
int forward_add_hsts(struct request *req) MUST_CHECK;
