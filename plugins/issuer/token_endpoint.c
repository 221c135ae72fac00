/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/token_endpoint.h"

#include "core/headers.h"
#include "plugins/issuer/issue.h"
#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/oauth_request.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>

#define MAX_ANSWER_BYTES 32768u
#define RETRY_AFTER_S    1u

struct top {
    const struct issuer *issuer;
    struct gw_endpoint endpoint;
};

struct worker {
    struct gw_worker *gw;
};

struct state {
    struct oauth_request request; /* first */
    struct slice scope;           /* absent: none */
    struct issued_token *token;   /* a reference */
};

/* ---- what the client may have ---- */

static bool has_string(const struct option_strings *list, struct slice text)
{
    for (size_t i = 0; i < list->count; i++) {
        if (slice_eq(list->items[i], text)) {
            return true;
        }
    }
    return false;
}

/* The first word; blanks are single ones (RFC 6749 section 3.3). */
static struct slice take_word(struct slice *text)
{
    const char *blank = memchr(text->ptr, ' ', text->len);
    size_t len = blank == NULL ? text->len : (size_t)(blank - text->ptr);
    struct slice word = slice_of(text->ptr, len);

    *text = slice_skip(*text, blank == NULL ? len : len + 1);
    return word;
}

/* Is `word` one of the words of `text`? */
static bool has_word(struct slice text, struct slice word)
{
    while (text.len > 0) {
        if (slice_eq(take_word(&text), word)) {
            return true;
        }
    }
    return false;
}

static bool may_have(const struct client *client, struct slice scope)
{
    if (scope.len > 0 && scope.ptr[scope.len - 1] == ' ') {
        return false;
    }
    while (scope.len > 0) {
        if (!has_string(&client->scopes, take_word(&scope))) {
            return false;
        }
    }
    return true;
}

/* The client's scopes that are in `wanted` (absent: all), in the client's order.  ERR_NO_MEMORY. */
static int join_scopes(struct arena *arena, const struct client *client, struct slice wanted,
                       struct slice *ret)
{
    size_t size = 0, len = 0;

    for (size_t i = 0; i < client->scopes.count; i++) {
        size += client->scopes.items[i].len + 1;
    }
    char *text = arena_alloc(arena, size + 1);

    if (text == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < client->scopes.count; i++) {
        struct slice one = client->scopes.items[i];

        if (slice_is_absent(wanted) || has_word(wanted, one)) {
            len += (size_t)snprintf(text + len, size + 1 - len, "%s%.*s", len == 0 ? "" : " ",
                                    SLICE_FMT(one));
        }
    }
    *ret = len == 0 ? SLICE_ABSENT : slice_of(text, len);
    return 0;
}

/* ---- the answer ---- */

static void count(struct gw_call *call)
{
    const struct worker *worker = call->worker;
    struct slice client = gw_attr_get(call->req, GW_ATTR_CLIENT_ID);
    char labels[160];

    snprintf(labels, sizeof(labels), "client=\"%.*s\",grant=\"client_credentials\"",
             SLICE_FMT(client));
    uint64_t *issued =
        worker == NULL ? NULL : gw_counter(worker->gw, "jwtgate_tokens_issued_total", labels);
    if (issued != NULL) {
        (*issued)++;
    }
}

static void write_answer(const struct state *state, struct json_writer *w)
{
    json_write_begin(w, NULL, '{');
    json_write_string(w, "access_token", slice_str(state->token->text));
    json_write_string(w, "token_type", SLICE("Bearer"));
    json_write_int(w, "expires_in", state->token->lifetime_s);
    if (!slice_is_absent(state->scope)) {
        json_write_string(w, "scope", state->scope);
    }
    json_write_end(w, '}');
}

static enum gw_verdict on_signed(struct gw_call *call)
{
    struct state *state = call->state;
    struct json_writer w;

    if (state->token->text == NULL) {
        return oauth_refuse(call, OAUTH_UNAVAILABLE, "signing_failed", RETRY_AFTER_S);
    }
    json_writer_init(&w, MAX_ANSWER_BYTES);
    write_answer(state, &w);
    enum gw_verdict verdict = w.failed
                                  ? GW_FAIL
                                  : gw_reply(call, &(struct gw_reply){
                                                       .status = 200,
                                                       .content_type = SLICE("application/json"),
                                                       .body = slice_of(w.buf, w.len),
                                                       .pragma_no_cache = true,
                                                   });

    if (verdict == GW_REPLY) {
        gw_attr_set(call->req, GW_ATTR_JTI, slice_str(state->token->jti));
        gw_attr_set(call->req, GW_ATTR_KID, slice_str(state->token->key->kid));
        count(call);
    }
    OPENSSL_cleanse(w.buf, w.len);
    json_writer_done(&w);
    return verdict;
}

/* ---- the request ---- */

static enum gw_verdict sign(struct gw_call *call, const struct client *client,
                            struct slice audience)
{
    const struct top *top = call->top;
    struct state *state = call->state;
    bool all = slice_is_absent(audience);
    const struct token_claims claims = {
        .subject = client->element.name,
        .client_id = client->element.name,
        .scope = state->scope,
        .audiences = all ? client->audiences.items : &audience,
        .audience_count = all ? client->audiences.count : 1,
        .extra = client->claims,
    };

    if (top->issuer->keys->active == NULL) {
        return oauth_refuse(call, OAUTH_UNAVAILABLE, "no_signing_key", RETRY_AFTER_S);
    }
    enum gw_verdict verdict = issuer_sign(call, top->issuer, &claims, on_signed, &state->token);

    return verdict == GW_FAIL
               ? oauth_refuse(call, OAUTH_UNAVAILABLE, "signing_queue_full", RETRY_AFTER_S)
               : verdict;
}

/* The client is who it says. */
static enum gw_verdict on_client(struct gw_call *call, const struct client *client)
{
    struct state *state = call->state;
    struct slice grant = form_get(&state->request.form, SLICE("grant_type"));
    struct slice scope = form_get(&state->request.form, SLICE("scope"));
    struct slice audience = form_get(&state->request.form, SLICE("audience"));
    struct slice resource = form_get(&state->request.form, SLICE("resource"));

    if (slice_is_absent(grant) || (!slice_is_absent(audience) && !slice_is_absent(resource))) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, "token_request_malformed", 0);
    }
    if (!slice_eq(grant, SLICE("client_credentials"))) {
        return oauth_refuse(call, OAUTH_UNSUPPORTED_GRANT_TYPE, "grant_type_unsupported", 0);
    }
    if (!may_have(client, scope)) {
        return oauth_refuse(call, OAUTH_INVALID_SCOPE, "scope_not_allowed", 0);
    }
    audience = slice_is_absent(audience) ? resource : audience;
    if (client->audiences.count == 0 ||
        (!slice_is_absent(audience) && !has_string(&client->audiences, audience))) {
        return oauth_refuse(call, OAUTH_INVALID_TARGET, "audience_not_allowed", 0);
    }
    if (join_scopes(gw_arena(call->req), client, scope, &state->scope) < 0) {
        return GW_FAIL;
    }
    return sign(call, client, audience);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct top *top = call->top;

    return oauth_request_start(call, top->issuer, on_client);
}

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    oauth_request_end(&state->request, call);
    issued_token_unref(state->token);
}

/* ---- life ---- */

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct top *top = top_arg;

    top->issuer = issuer_of(ctx);
    if (top->issuer != NULL) {
        top->endpoint = (struct gw_endpoint){
            .path = top->issuer->paths.token,
            .methods = 1u << HTTP_POST,
            .listener = top->issuer->listener,
            .where = top->issuer->where,
        };
    }
    return 0;
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    return GW_NOT_ON_ROUTE;
}

static const struct gw_endpoint *endpoints(const void *top_arg, size_t *ret_count)
{
    const struct top *top = top_arg;

    *ret_count = top->issuer != NULL && top->issuer->clients != NULL ? 1 : 0;
    return &top->endpoint;
}

static int worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->gw = gw;
    *ret_worker = worker;
    return 0;
}

static void worker_done(void *worker)
{
    free(worker);
}

const struct gw_plugin token_endpoint_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "token_endpoint",
    .top_size = sizeof(struct top),
    .top_init = top_init,
    .config_init = config_init,
    .endpoints = endpoints,
    .worker_init = worker_init,
    .worker_done = worker_done,
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
};
