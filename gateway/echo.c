/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/echo.h"

#include "core/json.h"

#define ECHO_MAX_BYTES (256u * 1024u)

static void echo_write_headers(struct json_writer *w, const struct headers *headers)
{
    json_write_begin(w, "headers", '[');
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (header->removed) {
            continue;
        }
        json_write_begin(w, NULL, '{');
        json_write_string(w, "name", header->name);
        json_write_string(w, "value", header->value);
        json_write_end(w, '}');
    }
    json_write_end(w, ']');
}

static void echo_write(struct json_writer *w, struct gw_request *req)
{
    struct slice query = gw_query(req);

    json_write_begin(w, NULL, '{');
    json_write_string(w, "method", gw_method_name(req));
    json_write_string(w, "host", gw_host(req));
    json_write_string(w, "path", gw_path(req));
    if (!slice_is_absent(query)) {
        json_write_string(w, "query", query);
    }
    echo_write_headers(w, gw_headers(req));
    json_write_end(w, '}');
}

static enum gw_verdict echo_on_request(struct gw_call *call)
{
    struct gw_reply reply = { .status = 200, .content_type = SLICE("application/json") };
    enum gw_verdict verdict = GW_FAIL;
    struct json_writer w;

    json_writer_init(&w, ECHO_MAX_BYTES);
    echo_write(&w, call->req);
    if (!w.failed) {
        reply.body = slice_of(w.buf, w.len);
        verdict = gw_reply(call, &reply);
    }
    json_writer_done(&w);
    return verdict;
}

const struct gw_plugin echo_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "echo",
    .on_request = echo_on_request,
};
