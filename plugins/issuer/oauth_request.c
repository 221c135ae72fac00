/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/oauth_request.h"

#include "plugins/issuer/issuer.h"
#include "plugins/issuer/oauth_error.h"

#define MALFORMED "oauth_request_malformed"

static enum gw_verdict on_body(struct gw_call *call)
{
    struct oauth_request *request = call->state;
    int err = form_read(gw_arena(call->req), gw_body(call->req), &request->form);

    if (err == ERR_NO_MEMORY) {
        return GW_FAIL;
    }
    if (err < 0) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, MALFORMED, 0);
    }
    return client_authenticate(&request->auth, call, request->issuer->guard,
                               request->issuer->clients, &request->form, request->fn);
}

enum gw_verdict oauth_request_start(struct gw_call *call, const struct issuer *issuer,
                                    client_auth_fn *fn)
{
    struct oauth_request *request = call->state;

    if (!slice_is_absent(gw_query(call->req)) || !form_is_announced(gw_headers(call->req))) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, MALFORMED, 0);
    }
    request->issuer = issuer;
    request->fn = fn;
    return gw_read_body(call, OAUTH_MAX_BODY_BYTES, on_body);
}

void oauth_request_end(struct oauth_request *request, const struct gw_call *call)
{
    client_auth_end(&request->auth, call);
}
