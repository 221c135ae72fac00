/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/revoke_endpoint.h"

#include "core/clock.h"
#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/oauth_request.h"
#include "plugins/issuer/own_tokens.h"
#include "plugins/revocation/names.h"
#include "plugins/revocation/revocations.h"

#define RETRY_AFTER_S 1u

struct state {
    struct oauth_request request; /* first */
    struct token *token;          /* a reference */
    struct revocation_ticket ticket;
};

/* Clients look at the status only (RFC 7009 section 2.2). */
static enum gw_verdict answer_done(struct gw_call *call)
{
    return gw_reply(call, &(struct gw_reply){ .status = 200,
                                              .content_type = SLICE("application/json"),
                                              .body = SLICE("{}\n") });
}

static enum gw_verdict answer_unavailable(struct gw_call *call)
{
    return oauth_refuse(call, OAUTH_UNAVAILABLE, "revocation_unavailable", RETRY_AFTER_S);
}

static enum gw_verdict on_revoked(struct gw_call *call)
{
    const struct state *state = call->state;

    return state->ticket.err == 0 ? answer_done(call) : answer_unavailable(call);
}

static enum gw_verdict revoke(struct gw_call *call)
{
    struct state *state = call->state;
    struct revocation_entry entry;
    struct slice jti;
    int err = revocation_name(gw_arena(call->req), state->token->provider->revocation_namespace,
                              state->token->jti, &jti);

    if (err == 0) {
        err = revocation_entry_jti(&entry, jti, state->token->times.exp, clock_unix());
    }

    if (err == REVOCATION_IS_OVER) {
        return answer_done(call);
    }
    enum gw_verdict verdict =
        err < 0 ? GW_FAIL : revocations_add(call, &state->ticket, &entry, 1, 0, on_revoked);

    return verdict == GW_FAIL ? answer_unavailable(call) : verdict;
}

static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    struct state *state = call->state;
    struct slice text = form_get(&state->request.form, SLICE("token"));

    if (slice_is_absent(text)) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, "token_missing", 0);
    }
    int err = own_tokens_verify(call->worker, text, &state->token);

    if (err < 0) {
        return err == ERR_NO_MEMORY ? answer_unavailable(call) : answer_done(call);
    }
    gw_attr_set(call->req, GW_ATTR_JTI, state->token->jti);
    if (!own_tokens_is_of(state->token, client)) {
        return oauth_refuse(call, OAUTH_UNAUTHORIZED_CLIENT, "token_of_another_client", 0);
    }
    return revoke(call);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct own_tokens *own = call->top;

    return oauth_request_start(call, own->issuer, on_client);
}

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    oauth_request_end(&state->request, call);
    revocation_ticket_end(&state->ticket);
    token_unref(state->token);
}

static const struct gw_endpoint *endpoints(const void *top, size_t *ret_count)
{
    const struct own_tokens *own = top;

    *ret_count = own->issuer != NULL && own->has_revocations ? 1 : 0;
    return &own->endpoint;
}

static int top_init(void *top, const struct option_context *ctx)
{
    struct own_tokens *own = top;
    int err = own_tokens_top_init(own, ctx);

    if (own->issuer != NULL) {
        own->endpoint.path = own->issuer->paths.revoke;
    }
    return err;
}

const struct gw_plugin revoke_endpoint_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "revoke_endpoint",
    .top_size = sizeof(struct own_tokens),
    .top_init = top_init,
    .config_init = own_tokens_config_init,
    .endpoints = endpoints,
    .worker_init = own_tokens_worker_init,
    .worker_done = own_tokens_worker_done,
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
};
