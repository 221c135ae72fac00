/* SPDX-License-Identifier: Apache-2.0 */
/* POST /revocations and GET /revocations/{jti} on the admin listener. */
#include "core/json.h"
#include "plugins/builtin.h"
#include "plugins/jwt/worker.h"
#include "plugins/revocation/body.h"
#include "plugins/revocation/revocations.h"

#define RETRY_AFTER_S 1u

#define PATH_ALL      "/revocations"
#define PATH_ONE      "/revocations/" /* and the jti */

struct state {
    struct revocation_ticket ticket;
    struct revocation_lookup lookup;
    unsigned revoked, expired; /* of the body */
};

static enum gw_verdict problem(struct gw_call *call, unsigned status, const char *detail)
{
    return gw_reply(call, &(struct gw_reply){ .status = status,
                                              .detail = detail,
                                              .retry_after_s = status == 503 ? RETRY_AFTER_S : 0 });
}

static enum gw_verdict reply_json(struct gw_call *call, struct json_writer *writer)
{
    enum gw_verdict verdict = GW_FAIL;

    if (!writer->failed) {
        verdict = gw_reply(call, &(struct gw_reply){ .status = 200,
                                                     .content_type = SLICE("application/json"),
                                                     .body = slice_of(writer->buf, writer->len) });
    }
    json_writer_done(writer);
    return verdict;
}

/* ---- revoking ---- */

static enum gw_verdict reply_counts(struct gw_call *call)
{
    const struct state *state = call->state;
    struct json_writer writer;

    json_writer_init(&writer, 256);
    json_write_begin(&writer, NULL, '{');
    json_write_int(&writer, "revoked", state->revoked);
    json_write_int(&writer, "expired", state->expired);
    json_write_end(&writer, '}');
    return reply_json(call, &writer);
}

static enum gw_verdict on_revoked(struct gw_call *call)
{
    const struct state *state = call->state;

    switch (state->ticket.err) {
    case 0: return reply_counts(call);
    case ERR_BUSY: return problem(call, 503, "Too many revocations at once");
    case ERR_NOT_FOUND: return problem(call, 503, "The store has it, but too few of its replicas");
    case ERR_TOO_BIG: return problem(call, 503, "The store is full");
    case ERR_UNSUPPORTED: return problem(call, 400, "The store of this gateway has no replicas");
    default: return problem(call, 503, "The store does not answer");
    }
}

static enum gw_verdict on_body(struct gw_call *call)
{
    struct state *state = call->state;
    uint64_t *expired = call->worker;
    struct revocation_body body = { 0 };
    const char *why = NULL;
    const struct revocation_spaces spaces = { jwt_worker_namespace,
                                              gw_worker_state(call->req, &jwt_plugin) };
    int err = revocation_body_read(gw_body(call->req), gw_unix_time(), &spaces, &body, &why);

    if (err < 0) {
        return why == NULL ? GW_FAIL : problem(call, err == ERR_TOO_BIG ? 413 : 400, why);
    }
    state->revoked = body.count;
    state->expired = body.expired;
    *expired += body.expired;
    enum gw_verdict verdict = body.count == 0
                                  ? reply_counts(call)
                                  : revocations_add(call, &state->ticket, body.entries, body.count,
                                                    body.replicas, on_revoked);
    revocation_body_done(&body);
    return verdict;
}

/* ---- asking ---- */

static struct slice asked_jti(const struct gw_call *call)
{
    return slice_skip(gw_path(call->req), sizeof(PATH_ONE) - 1);
}

static enum gw_verdict on_asked(struct gw_call *call)
{
    struct state *state = call->state;
    struct json_writer writer;
    enum revocation_answer answer = revocation_lookup_answer(&state->lookup);

    if (answer != REVOCATION_YES && answer != REVOCATION_NO) {
        return problem(call, 503, "The store does not answer");
    }
    json_writer_init(&writer, 4096);
    json_write_begin(&writer, NULL, '{');
    json_write_string(&writer, "jti", asked_jti(call));
    json_write_bool(&writer, "revoked", answer == REVOCATION_YES);
    json_write_end(&writer, '}');
    return reply_json(call, &writer);
}

static enum gw_verdict ask(struct gw_call *call)
{
    struct state *state = call->state;
    struct revocation_names names = { .jti = asked_jti(call) };

    if (names.jti.len == 0 || names.jti.len > REVOCATION_MAX_JTI) {
        return problem(call, 400, "A jti has 1 to 256 bytes");
    }
    return revocations_ask(call, &state->lookup, &names, on_asked);
}

/* ---- the plugin ---- */

static enum gw_verdict on_request(struct gw_call *call)
{
    if (!revocations_are_kept(call)) {
        return problem(call, 404, "The configuration has no \"revocation\"");
    }
    return gw_method(call->req) == HTTP_POST ? gw_read_body(call, GW_BODY_MAX, on_body) : ask(call);
}

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    revocation_ticket_end(&state->ticket);
    revocation_lookup_end(&state->lookup);
}

static const struct gw_endpoint *endpoints(const void *top, size_t *ret_count)
{
    static const struct gw_endpoint all[] = {
        { .path = { PATH_ALL, sizeof(PATH_ALL) - 1 },
          .methods = 1u << HTTP_POST,
          .on_admin = true },
        { .path = { PATH_ONE, sizeof(PATH_ONE) - 1 },
          .is_prefix = true,
          .methods = 1u << HTTP_GET,
          .on_admin = true },
    };

    *ret_count = sizeof(all) / sizeof(all[0]);
    return all;
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    return GW_NOT_ON_ROUTE;
}

/* The worker's state is the number of tokens that needed no revoking. */
static int worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    *ret_worker = gw_counter(gw, "jwtgate_revocations_total", "result=\"expired\"");
    return *ret_worker == NULL ? ERR_NO_MEMORY : 0;
}

const struct gw_plugin revocation_api_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "revocation_api",
    .config_init = config_init,
    .worker_init = worker_init,
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
    .endpoints = endpoints,
};
