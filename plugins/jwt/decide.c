/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/decide.h"

#include "core/clock.h"
#include "core/map.h"
#include "plugins/jwt/token_source.h"
#include "plugins/jwt/worker.h"

#define SCRATCH_BYTES     8192u
#define MAX_SCRATCH_BYTES (256u * 1024u)
#define RETRY_AFTER_S     5u

enum gw_verdict jwt_refuse(struct gw_call *call, enum jwt_reason reason, struct slice challenge)
{
    gw_auth_decision(call->req, jwt_reason_name(reason));
    if (reason == JWT_NO_MEMORY) {
        return GW_FAIL;
    }
    return gw_reply(call,
                    &(struct gw_reply){
                        .status = jwt_reason_status(reason),
                        .reason = jwt_reason_name(reason),
                        .detail = jwt_reason_detail(reason),
                        .www_authenticate =
                            slice_is_absent(challenge) ? jwt_reason_challenge(reason) : challenge,
                        .retry_after_s = jwt_reason_status(reason) == 503 ? RETRY_AFTER_S : 0,
                    });
}

static void set_attributes(struct gw_request *req, const struct token *token)
{
    gw_attr_set(req, GW_ATTR_PROVIDER, token->provider->element.name);
    gw_attr_set(req, GW_ATTR_KID, token->kid);
    gw_attr_set(req, GW_ATTR_SUBJECT, token->subject);
    gw_attr_set(req, GW_ATTR_CLIENT_ID, token->client_id);
    gw_attr_set(req, GW_ATTR_JTI, token->jti);
}

/* A token that is bound to a certificate is of use to whoever has shown that one in the handshake.  When
 * none was shown the proof cannot be checked: only a provider that says so takes it all the same. */
static bool is_of_this_client(const struct gw_request *req, const struct token *token)
{
    struct slice shown = gw_attr_get(req, GW_ATTR_CERT_THUMBPRINT);

    if (slice_is_absent(token->certificate)) {
        return true;
    }
    return slice_is_absent(shown) ? token->provider->policy.accept_bound_tokens
                                  : slice_eq(shown, token->certificate);
}

static enum gw_verdict pass(struct gw_call *call, const struct token_source *source)
{
    struct jwt_state *state = call->state;
    const struct token *token = state->identity.token;

    if (token != NULL && !is_of_this_client(call->req, token)) {
        return jwt_refuse(call, JWT_CERTIFICATE_MISMATCH, SLICE_ABSENT);
    }
    state->identity.route = call->config;
    if (gw_slot_set(call->req, &jwt_identity_slot, &state->identity) < 0 ||
        token_hide(call->req, call->config, source) < 0) {
        return GW_FAIL;
    }
    gw_auth_decision(call->req, jwt_reason_name(JWT_OK));
    return GW_NEXT;
}

/* The alternative whose provider has this issuer; NULL: none. */
static const struct jwt_alternative *alternative_of(const struct jwt_route *route,
                                                    struct slice issuer)
{
    for (size_t i = 0; i < route->alternative_count; i++) {
        if (slice_eq(route->alternatives[i].provider->issuer, issuer)) {
            return &route->alternatives[i];
        }
    }
    return NULL;
}

static size_t max_token_bytes(const struct jwt_route *route)
{
    size_t max = 0;

    for (size_t i = 0; i < route->alternative_count; i++) {
        size_t one = route->alternatives[i].provider->max_token_bytes;
        max = one > max ? one : max;
    }
    return max;
}

/* The first alternative with the token's provider, whichever else has it, too. */
static enum jwt_reason choose_provider(const struct jwt_route *route, struct slice text,
                                       struct arena *arena, const struct jwt_alternative **ret)
{
    struct slice issuer;

    *ret = route->single;
    if (*ret != NULL) {
        return JWT_OK;
    }
    if (text.len > max_token_bytes(route)) {
        return JWT_TOKEN_TOO_LARGE;
    }
    enum jwt_reason reason = verify_peek_issuer(text, arena, &issuer);
    if (reason != JWT_OK) {
        return reason;
    }
    *ret = alternative_of(route, issuer);
    return *ret == NULL ? JWT_ISSUER_MISMATCH : JWT_OK;
}

/* NULL also when the keys have changed since: whether they would vouch for it again must be seen. */
static struct token *find_of_issuer(struct jwt_worker *worker, uint64_t hash, struct slice text,
                                    const struct jwt_issuer *issuer)
{
    struct token_cache *cache = &worker->cache->tokens;
    struct token *token = token_cache_find(cache, hash, text, issuer->provider);

    if (token != NULL && token->generation != issuer->keys.generation) {
        token_cache_remove(cache, token);
        return NULL;
    }
    return token;
}

static struct token *find_cached(struct jwt_worker *worker, const struct jwt_route *route,
                                 uint64_t hash, struct slice text)
{
    if (route->single != NULL) {
        return find_of_issuer(worker, hash, text, worker->issuers[route->single->index]);
    }
    for (size_t i = 0; i < route->alternative_count; i++) {
        struct token *token =
            find_of_issuer(worker, hash, text, worker->issuers[route->alternatives[i].index]);
        if (token != NULL) {
            return token;
        }
    }
    return NULL;
}

static void note_kid(struct gw_request *req, struct slice kid)
{
    if (slice_is_absent(kid)) {
        return;
    }
    kid.len = kid.len < JWS_MAX_KID_BYTES ? kid.len : JWS_MAX_KID_BYTES;
    gw_attr_set(req, GW_ATTR_KID, arena_copy(gw_arena(req), kid));
}

/* A token that the cache does not have; *ret_by: whose provider it is checked against; NULL: none. */
static enum jwt_reason verify_new(struct gw_call *call, struct slice text, struct arena *arena,
                                  const struct jwt_alternative **ret_by, struct verify_result *ret)
{
    struct jwt_worker *worker = call->worker;
    uint64_t start = clock_precise_ns();
    enum jwt_reason reason = choose_provider(call->config, text, arena, ret_by);

    *ret = (struct verify_result){ 0 };
    if (reason != JWT_OK) {
        return reason;
    }
    struct jwt_issuer *issuer = worker->issuers[(*ret_by)->index];

    gw_attr_set(call->req, GW_ATTR_PROVIDER, issuer->provider->element.name);
    reason = verify_token(&issuer->keys, text, gw_unix_time(), arena, ret);
    if (issuer->durations != NULL) {
        gw_histogram_add_us(issuer->durations, (clock_precise_ns() - start) / 1000);
    }
    if (reason != JWT_OK) {
        note_kid(call->req, ret->kid);
    }
    return reason;
}

static enum gw_verdict on_waited(struct gw_call *call)
{
    struct jwt_state *state = call->state;

    state->was_answered = remote_wait_end(&state->wait);
    return jwt_on_request(call);
}

/* A refusal that newer keys might turn: GW_WAIT for them, or GW_REPLY with the final *reason. */
static enum gw_verdict consider_newer_keys(struct gw_call *call, unsigned index,
                                           const struct verify_result *result,
                                           enum jwt_reason *reason)
{
    const struct jwt_worker *worker = call->worker;
    struct jwt_issuer *issuer = worker->issuers[index];
    struct jwt_state *state = call->state;

    if (*reason == JWT_SIGNATURE_INVALID && slice_is_absent(result->kid) &&
        issuer->keys.remote == NULL) {
        *reason = JWT_JWKS_UNAVAILABLE;
    }
    bool is_given = worker->process == NULL && issuer->keys.remote != NULL;

    if (*reason != JWT_KID_UNKNOWN ||
        is_given) { /* by a command: nobody can be asked for newer ones */
        return GW_REPLY;
    }
    if (state->has_waited) {
        *reason = remote_missed(&issuer->remote, result->kid, state->was_answered);
        return GW_REPLY;
    }
    state->has_waited = true;
    return remote_wait_begin(call, &issuer->remote,
                             &(struct remote_question){ .process = worker->process,
                                                        .provider_index = index,
                                                        .kid = result->kid,
                                                        .may_be_newer = result->may_be_newer },
                             &state->wait, on_waited, reason);
}

static enum gw_verdict on_miss(struct gw_call *call, const struct token_found *found, uint64_t hash)
{
    char memory[SCRATCH_BYTES] __attribute__((aligned(16)));
    struct jwt_worker *worker = call->worker;
    struct jwt_state *state = call->state;
    const struct jwt_alternative *by = NULL;
    enum gw_verdict verdict = GW_REPLY;
    struct verify_result result;
    struct arena arena;

    (*worker->misses)++;
    arena_init(&arena, memory, sizeof(memory), MAX_SCRATCH_BYTES);
    enum jwt_reason reason = verify_new(call, found->token, &arena, &by, &result);
    if (reason != JWT_OK && by != NULL && by->provider->has_jwks) {
        verdict = consider_newer_keys(call, by->index, &result, &reason);
    }
    arena_done(&arena);
    if (verdict == GW_WAIT) {
        return GW_WAIT;
    }
    if (reason != JWT_OK) {
        return jwt_refuse(call, reason, SLICE_ABSENT);
    }
    state->identity.token = result.token;
    token_cache_add(&worker->cache->tokens, hash, state->identity.token);
    set_attributes(call->req, state->identity.token);
    return pass(call, found->source);
}

static enum gw_verdict on_hit(struct gw_call *call, const struct token_found *found,
                              struct token *token)
{
    struct jwt_worker *worker = call->worker;
    struct jwt_state *state = call->state;

    (*worker->hits)++;
    enum jwt_reason reason =
        claims_check_times(&token->times, &token->provider->policy, gw_unix_time());
    state->identity.token = token_ref(token);
    set_attributes(call->req, token);
    if (reason == JWT_OK) {
        return pass(call, found->source);
    }
    if (reason == JWT_TOKEN_EXPIRED) {
        token_cache_remove(&worker->cache->tokens, token);
    }
    return jwt_refuse(call, reason, SLICE_ABSENT);
}

enum gw_verdict jwt_on_request(struct gw_call *call)
{
    const struct jwt_route *route = call->config;
    struct jwt_worker *worker = call->worker;
    struct token_found found;

    if (route->single != NULL) {
        gw_attr_set(call->req, GW_ATTR_PROVIDER, route->single->provider->element.name);
    }
    enum jwt_reason reason = token_find(call->req, route, &found);
    if (route->is_optional &&
        (reason == JWT_TOKEN_MISSING || reason == JWT_AUTH_SCHEME_UNSUPPORTED)) {
        return pass(call, NULL);
    }
    if (reason != JWT_OK) {
        return jwt_refuse(call, reason, SLICE_ABSENT);
    }
    uint64_t hash = map_hash(found.token);
    struct token *token = find_cached(worker, route, hash, found.token);
    if (token != NULL) {
        return on_hit(call, &found, token);
    }
    return on_miss(call, &found, hash);
}

void jwt_on_end(struct gw_call *call)
{
    struct jwt_state *state = call->state;

    (void)remote_wait_end(&state->wait);
    token_unref(state->identity.token);
    state->identity.token = NULL;
}
