/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/introspect_endpoint.h"

#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/oauth_request.h"
#include "plugins/issuer/own_tokens.h"
#include "plugins/revocation/names.h"
#include "plugins/revocation/revocations.h"

#define RETRY_AFTER_S    1u
#define MAX_ANSWER_BYTES 65536u

struct state {
    struct oauth_request request; /* first */
    struct token *token;          /* a reference */
    struct revocation_lookup lookup;
};

/* ---- answers ---- */

/* `reason`: why, for the access log only. */
static enum gw_verdict answer_inactive(struct gw_call *call, const char *reason)
{
    return gw_reply(call, &(struct gw_reply){ .status = 200,
                                              .reason = reason,
                                              .content_type = SLICE("application/json"),
                                              .body = SLICE("{\"active\":false}") });
}

static enum gw_verdict answer_unavailable(struct gw_call *call, const char *reason)
{
    return oauth_refuse(call, OAUTH_UNAVAILABLE, reason, RETRY_AFTER_S);
}

/* All that the token says (section 2.2), and first what we say. */
static void write_active(struct json_writer *w, const struct token *token)
{
    json_write_begin(w, NULL, '{');
    json_write_bool(w, "active", true);
    json_write_string(w, "token_type", SLICE("Bearer"));
    for (const struct json *claim = token->claims->child; claim != NULL; claim = claim->next) {
        if (!slice_eq(claim->key, SLICE("active")) && !slice_eq(claim->key, SLICE("token_type"))) {
            json_write_tree(w, claim->key, claim);
        }
    }
    json_write_end(w, '}');
}

static enum gw_verdict answer_active(struct gw_call *call)
{
    const struct state *state = call->state;
    struct json_writer w;

    json_writer_init(&w, MAX_ANSWER_BYTES);
    write_active(&w, state->token);
    enum gw_verdict verdict =
        w.failed ? GW_FAIL
                 : gw_reply(call, &(struct gw_reply){ .status = 200,
                                                      .content_type = SLICE("application/json"),
                                                      .body = slice_of(w.buf, w.len) });

    json_writer_done(&w);
    return verdict;
}

/* ---- revocation ---- */

static enum gw_verdict on_looked_up(struct gw_call *call)
{
    struct state *state = call->state;

    switch (revocation_lookup_answer(&state->lookup)) {
    case REVOCATION_NO: return answer_active(call);
    case REVOCATION_YES: return answer_inactive(call, "token_revoked");
    case REVOCATION_UNKNOWN:
    case REVOCATION_LATER: break;
    }
    return answer_unavailable(call, "revocation_unavailable");
}

static enum gw_verdict look_up(struct gw_call *call)
{
    struct state *state = call->state;
    struct revocation_names names;

    if (revocation_names_of(gw_arena(call->req), state->token, &names) < 0) {
        return GW_FAIL;
    }
    enum gw_verdict verdict = revocations_ask(call, &state->lookup, &names, on_looked_up);

    return verdict == GW_FAIL ? answer_unavailable(call, "revocation_unavailable") : verdict;
}

/* ---- the request ---- */

static bool has_audience(const struct client *client, const struct json *audience)
{
    for (size_t i = 0; i < client->audiences.count; i++) {
        if (json_is(audience, JSON_STRING) &&
            slice_eq(audience->text, client->audiences.items[i])) {
            return true;
        }
    }
    return false;
}

static bool may_ask(const struct client *client, const struct token *token)
{
    const struct json *aud = json_get(token->claims, SLICE("aud"));

    if (own_tokens_is_of(token, client) || has_audience(client, aud)) {
        return true;
    }
    const struct json *one = json_is(aud, JSON_ARRAY) ? aud->child : NULL;

    while (one != NULL && !has_audience(client, one)) {
        one = one->next;
    }
    return one != NULL;
}

static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    const struct own_tokens *own = call->top;
    struct state *state = call->state;
    struct slice text = form_get(&state->request.form, SLICE("token"));

    if (slice_is_absent(text)) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, "token_missing", 0);
    }
    int err = own_tokens_verify(call->worker, text, &state->token);

    if (err < 0) {
        return err == ERR_NO_MEMORY ? answer_unavailable(call, "request_memory")
                                    : answer_inactive(call, "token_not_ours");
    }
    gw_attr_set(call->req, GW_ATTR_JTI, state->token->jti);
    if (!may_ask(client, state->token)) {
        return answer_inactive(call, "token_of_another_client");
    }
    if (!own_tokens_is_current(state->token)) {
        return answer_inactive(call, "token_expired");
    }
    return own->has_revocations ? look_up(call) : answer_active(call);
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
    revocation_lookup_end(&state->lookup);
    token_unref(state->token);
}

static const struct gw_endpoint *endpoints(const void *top, size_t *ret_count)
{
    const struct own_tokens *own = top;

    *ret_count = own->issuer != NULL ? 1 : 0;
    return &own->endpoint;
}

static int top_init(void *top, const struct option_context *ctx)
{
    struct own_tokens *own = top;
    int err = own_tokens_top_init(own, ctx);

    if (own->issuer != NULL) {
        own->endpoint.path = own->issuer->paths.introspect;
    }
    return err;
}

const struct gw_plugin introspect_endpoint_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "introspect_endpoint",
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
