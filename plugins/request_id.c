/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest plugin, and the example to copy: puts the request's id on the request to the upstream
 * and on the response to the client. */
#include "plugins/builtin.h"

static enum gw_verdict on_request(struct gw_call *call)
{
    int err = gw_header_set(call->req, SLICE("x-request-id"), gw_request_id(call->req));

    return err < 0 ? GW_FAIL : GW_NEXT;
}

static enum gw_verdict on_response(struct gw_call *call)
{
    int err = gw_response_header_set(call->req, SLICE("x-request-id"), gw_request_id(call->req));

    return err < 0 ? GW_FAIL : GW_NEXT;
}

const struct gw_plugin request_id_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "request_id",
    .on_request = on_request,
    .on_response = on_response,
};
