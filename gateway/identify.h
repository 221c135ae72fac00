/* SPDX-License-Identifier: Apache-2.0 */
/* Who and which: the client's address behind trusted proxies, the request's id, its trace (W3C Trace
 * Context).  All results live in the request's arena. */
#pragma once

#include "gateway/request.h"

/* Fill peer_ip, and client_ip with the same. */
void identify_peer(struct request *req);
/* The head is known: client_ip.  X-Forwarded-For counts only from a trusted proxy, read from the
 * right up to the first address that is not one. */
void identify_client(struct request *req);
/* X-Request-Id of a trusted proxy when it is 1 to 128 visible ASCII bytes, else a new ULID. */
struct slice identify_request_id(struct request *req);
/* Trace id of the request and the value of a traceparent with a fresh parent id for the upstream;
 * absent: no memory.  tracestate is removed where traceparent was not valid. */
struct slice identify_traceparent(struct request *req);
/* Did this request come from a trusted proxy? */
bool identify_is_trusted(const struct request *req);
