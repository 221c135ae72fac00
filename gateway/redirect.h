/* SPDX-License-Identifier: Apache-2.0 */
/* Plain listeners that only send clients on to https ("redirect": "https"): 308, which keeps the method
 * and the body, to the same host, path and query (RFC 9110 section 15.4.9). */
#pragma once

#include "gateway/request.h"

/* Is that what the request's listener is for?  Paths of the gateway itself are served. */
bool redirect_is_due(const struct request *req);
/* The value of Location, in the request's arena; absent: no memory. */
struct slice redirect_location(struct request *req);
