/* SPDX-License-Identifier: Apache-2.0 */
/* The answer that the OAuth endpoints give when they refuse: {"error": ..., "error_description": ...}
 * (RFC 6749 section 5.2, RFC 7009 section 2.2.1).  A refused client gets a challenge for Basic. */
#pragma once

#include "plugins/plugin.h"

#define OAUTH_ERROR_TABLE(X) /* status, error, description */                                      \
    X(INVALID_REQUEST, 400, "invalid_request", "The request is malformed")                         \
    X(INVALID_CLIENT, 401, "invalid_client", "The client could not be authenticated")              \
    X(TOO_MANY_FAILURES, 429, "invalid_client", "Too many failures; try again later")              \
    X(UNAUTHORIZED_CLIENT, 400, "unauthorized_client", "The client may not do this")               \
    X(UNSUPPORTED_GRANT_TYPE, 400, "unsupported_grant_type",                                       \
      "Only client_credentials is possible")                                                       \
    X(INVALID_SCOPE, 400, "invalid_scope", "The client may not ask for this scope")                \
    X(INVALID_TARGET, 400, "invalid_target", "The client may not ask for this audience")           \
    X(UNAVAILABLE, 503, "temporarily_unavailable", "This cannot be done now; try again later")

enum oauth_error {
#define X(name, status, error, description) OAUTH_##name,
    OAUTH_ERROR_TABLE(X)
#undef X
};

/* `reason`: static word for the access log.  `retry_after_s`: 0: none. */
enum gw_verdict oauth_refuse(struct gw_call *call, enum oauth_error error, const char *reason,
                             unsigned retry_after_s);
