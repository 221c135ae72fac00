/* SPDX-License-Identifier: Apache-2.0 */
/* host + method + path -> route.  Built once per snapshot, then read-only.  Most specific wins:
 * exact path over prefix, longer prefix over shorter (by segments: "/a" matches "/a" and "/a/b",
 * not "/ab"), exact host over wildcard (longer suffix first) over none, given method over any.
 * Path specificity is compared first, then host, then method.  The cost does not grow with the number
 * of routes: one hash look-up per path segment. */
#pragma once

#include "gateway/config.h"

enum router_result { ROUTER_FOUND, ROUTER_NO_ROUTE, ROUTER_METHOD_NOT_ALLOWED };

/* Adds errors for ties to `diag` (quoting both routes). NULL: no memory or a tie. */
struct router *router_new(const struct config *config, struct diag *diag);
void router_free(struct router *router);
/* `host` without port, lower case. On METHOD_NOT_ALLOWED *ret_methods is the mask for `Allow`. */
enum router_result router_find(const struct router *router, struct slice host, struct slice path,
                               enum http_method method, const struct config_route **ret_route,
                               uint32_t *ret_methods);
