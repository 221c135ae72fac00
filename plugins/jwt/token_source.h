/* SPDX-License-Identifier: Apache-2.0 */
/* The token in a request: one place, one token (RFC 6750 section 2), and gone from what the upstream
 * sees. */
#pragma once

#include "plugins/jwt/jwt_auth.h"

struct token_found {
    struct slice token; /* the request's bytes */
    const struct token_source *source;
    bool has_other_scheme;
};

/* JWT_OK, JWT_TOKEN_MISSING, JWT_MULTIPLE_TOKENS or JWT_AUTH_SCHEME_UNSUPPORTED. */
enum jwt_reason token_find(struct gw_request *req, const struct jwt_route *route,
                           struct token_found *ret);
/* Unless the route forwards it: take the token away, and Authorization in any case.  `source` NULL: there
 * was none.  ERR_NO_MEMORY. */
int token_hide(struct gw_request *req, const struct jwt_route *route,
               const struct token_source *source) MUST_CHECK;
