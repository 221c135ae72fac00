/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/oauth_error.h"

static const struct {
    unsigned status;
    struct slice body;
} answers[] = {
#define BODY(error, description)                                                                   \
    "{\"error\":\"" error "\",\"error_description\":\"" description "\"}\n"
#define X(name, status, error, description)                                                        \
    [OAUTH_##name] = { status, { BODY(error, description), sizeof(BODY(error, description)) - 1 } },
    OAUTH_ERROR_TABLE(X)
#undef X
#undef BODY
};

enum gw_verdict oauth_refuse(struct gw_call *call, enum oauth_error error, const char *reason,
                             unsigned retry_after_s)
{
    return gw_reply(call, &(struct gw_reply){
                              .status = answers[error].status,
                              .reason = reason,
                              .www_authenticate = error == OAUTH_INVALID_CLIENT
                                                      ? SLICE("Basic realm=\"jwtgate\", "
                                                              "charset=\"UTF-8\"")
                                                      : SLICE_ABSENT,
                              .retry_after_s = retry_after_s,
                              .content_type = SLICE("application/json"),
                              .body = answers[error].body,
                          });
}
