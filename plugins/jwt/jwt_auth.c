/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwt_auth.h"

#include "core/clock.h"
#include "core/map.h"
#include "plugins/jwks/probe.h"
#include "plugins/jwt/remote.h"

#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_BYTES     8192u
#define MAX_SCRATCH_BYTES (256u * 1024u)
#define MAX_LABELS        200u
#define RETRY_AFTER_S     5u

const char jwt_identity_slot = 0;

struct top {
    struct option_list providers; /* struct provider */
};

struct worker {
    const struct top *top;
    struct token_cache cache;
    struct verify_keys *keys;        /* by provider */
    struct remote *remotes;          /* by provider */
    struct gw_histogram **durations; /* by provider */
    uint64_t *hits, *misses;
};

struct state {
    struct jwt_identity identity;
    struct remote_wait wait;
    bool has_waited, was_answered; /* for newer keys */
};

/* Where the token of a request is. */
struct found {
    struct slice token;
    const struct token_source *source;
    bool has_other_scheme;
};

/* ---- configuration ---- */

static const struct option top_options[] = {
    { .name = "providers",
      .type = OPT_MAP,
      .offset = offsetof(struct top, providers),
      .sub = provider_options,
      .sub_size = sizeof(struct provider),
      .has_element = true,
      .help = "Who may issue tokens." },
    { .name = NULL },
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

#define ALTERNATIVE_SCHEMA                                                                         \
    "{\"type\":\"object\",\"additionalProperties\":false,"                                         \
    "\"required\":[\"provider\"],"                                                                 \
    "\"properties\":{\"provider\":{\"type\":\"string\"},"                                          \
    "\"scopes\":{\"anyOf\":[{\"type\":\"array\",\"minItems\":1,"                                   \
    "\"items\":{\"type\":\"string\",\"minLength\":1}},{\"type\":\"object\","                       \
    "\"additionalProperties\":false,\"required\":[\"any\"],"                                       \
    "\"properties\":{\"any\":{\"type\":\"array\",\"minItems\":1,"                                  \
    "\"items\":{\"type\":\"string\",\"minLength\":1}}}}]},"                                        \
    "\"claims\":{\"type\":\"object\",\"minProperties\":1,"                                         \
    "\"additionalProperties\":{\"anyOf\":[{\"type\":[\"string\",\"number\","                       \
    "\"boolean\"]},{\"type\":\"array\",\"minItems\":1,"                                            \
    "\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}},"                                   \
    "{\"type\":\"object\",\"additionalProperties\":false,"                                         \
    "\"required\":[\"contains\"],"                                                                 \
    "\"properties\":{\"contains\":{\"type\":[\"string\",\"number\","                               \
    "\"boolean\"]}}}]}},\"revocation\":{\"enum\":[\"filtered\",\"strict\","                        \
    "\"off\"]}}}"
#define AUTH_SCHEMA                                                                                \
    ALTERNATIVE_SCHEMA                                                                             \
    ",{\"type\":\"object\",\"additionalProperties\":false,"                                        \
    "\"required\":[\"any_of\"],\"properties\":{\"any_of\":{\"type\":\"array\","                    \
    "\"minItems\":1,\"maxItems\":16,\"items\":" ALTERNATIVE_SCHEMA "}}}"

static const struct option route_options[] = {
    { .name = "auth",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct jwt_route, auth_json),
      .parse = keep_json,
      .help = "Who may pass: \"none\" (everybody), {provider, scopes, claims}, {any_of} or "
              "{optional}.",
      .schema = "{\"anyOf\":[{\"const\":\"none\"}," AUTH_SCHEMA
                ",{\"type\":\"object\",\"additionalProperties\":false,"
                "\"required\":[\"optional\"],\"properties\":{\"optional\":{\"anyOf\":[" AUTH_SCHEMA
                "]}}}]}" },
    { .name = "forward_token",
      .type = OPT_BOOL,
      .offset = offsetof(struct jwt_route, forward_token),
      .def = "false",
      .help = "Hand the token on to the upstream." },
    { .name = NULL },
};

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct top *top = top_arg;
    struct provider *providers = top->providers.items;
    int err = 0;

    for (size_t i = 0; i < top->providers.count; i++) {
        providers[i].index = (unsigned)i;
        int one = provider_init(&providers[i], ctx);
        err = one < 0 ? one : err;
    }
    return err;
}

static void top_done(void *top_arg)
{
    struct top *top = top_arg;
    struct provider *providers = top->providers.items;

    for (size_t i = 0; i < top->providers.count; i++) {
        provider_done(&providers[i]);
    }
}

const struct option_list *jwt_providers(const void *top_arg)
{
    const struct top *top = top_arg;

    return &top->providers;
}

/* Providers are read in the order of the text, which is the same. */
static bool top_is_same(const void *old_arg, const void *top_arg)
{
    const struct top *old = old_arg;
    const struct top *top = top_arg;
    const struct provider *before = old->providers.items;
    const struct provider *now = top->providers.items;

    if (old->providers.count != top->providers.count) {
        return false;
    }
    for (size_t i = 0; i < top->providers.count; i++) {
        if (!slice_eq(before[i].element.name, now[i].element.name) ||
            !provider_has_same_keys(&before[i], &now[i])) {
            return false;
        }
    }
    return true;
}

bool jwt_route_has_auth(const struct json *route)
{
    return route != NULL && json_is(json_get(route, SLICE("auth")), JSON_OBJECT);
}

static int config_init(void *config, void *top_arg, const struct option_context *ctx,
                       const struct json *route_json, const char *path)
{
    struct jwt_route *route = config;
    struct top *top = top_arg;

    if (route_json == NULL) {
        return GW_NOT_ON_ROUTE;
    }
    if (route->auth_json == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, route_json, path,
                "write \"auth\": \"none\" to make the route public", "\"auth\" is missing");
        return ERR_CONFIG;
    }
    const struct json *auth = route->auth_json;
    route->auth_json = NULL;
    if (auth->type == JSON_STRING && slice_eq(auth->text, SLICE("none"))) {
        return GW_NOT_ON_ROUTE;
    }
    const char *auth_path = arena_printf(ctx->arena, "%s.auth", path);
    return jwt_auth_read(route, &top->providers, ctx, auth, auth_path == NULL ? path : auth_path);
}

static void lint(const void *top_arg, const struct option_context *ctx,
                 const struct gw_lint_route *routes, size_t count)
{
    const struct top *top = top_arg;

    jwt_lint(&top->providers, ctx, routes, count);
}

/* ---- workers ---- */

static void worker_done(void *arg)
{
    struct worker *worker = arg;

    if (worker == NULL) {
        return;
    }
    if (worker->cache.buckets != NULL) {
        token_cache_done(&worker->cache);
    }
    for (size_t i = 0; worker->keys != NULL && i < worker->top->providers.count; i++) {
        verify_keys_done(&worker->keys[i]);
        if (worker->remotes != NULL) {
            remote_done(&worker->remotes[i]);
        }
    }
    free(worker->keys);
    free(worker->remotes);
    free(worker->durations);
    free(worker);
}

static int init_provider(struct worker *worker, struct gw_worker *gw, size_t index)
{
    const struct provider *provider = (const struct provider *)worker->top->providers.items + index;
    char labels[MAX_LABELS];

    /* Only misses are measured: on a hit, two readings of the clock would cost more than the rest. */
    snprintf(labels, sizeof(labels), "provider=\"%.*s\",cache=\"miss\"",
             (int)(provider->element.name.len < 128 ? provider->element.name.len : 128),
             provider->element.name.ptr);
    worker->durations[index] = gw_histogram(gw, "jwtgate_auth_duration_seconds", labels);
    remote_init(&worker->remotes[index], gw_process_of(gw, worker->top), &worker->keys[index],
                provider);
    return verify_keys_init(&worker->keys[index], provider);
}

static int fill_worker(struct worker *worker, struct gw_worker *gw)
{
    size_t count = worker->top->providers.count;

    worker->hits = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"hit\"");
    worker->misses = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"miss\"");
    worker->keys = calloc(count + 1, sizeof(*worker->keys));
    worker->remotes = calloc(count + 1, sizeof(*worker->remotes));
    worker->durations = calloc(count + 1, sizeof(struct gw_histogram *));
    if (worker->hits == NULL || worker->misses == NULL || worker->keys == NULL ||
        worker->remotes == NULL || worker->durations == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        int err = init_provider(worker, gw, i);
        if (err < 0) {
            return err;
        }
    }
    return token_cache_init(&worker->cache, TOKEN_CACHE_MAX_ENTRIES, TOKEN_CACHE_MAX_BYTES,
                            gw_counter(gw, "jwtgate_token_cache_entries", ""));
}

static int worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->top = top;
    int err = fill_worker(worker, gw);
    if (err < 0) {
        worker_done(worker);
        return err;
    }
    *ret_worker = worker;
    return 0;
}

int jwt_set_keys(void *worker_arg, struct jwks_set *set)
{
    struct worker *worker = worker_arg;
    const struct provider *providers = worker->top->providers.items;
    int err = 0;

    for (size_t i = 0; i < worker->top->providers.count && err == 0; i++) {
        if (providers[i].has_jwks) {
            err = verify_keys_set_remote(&worker->keys[i], set);
        }
    }
    return err;
}

/* ---- the token in the request ---- */

static enum jwt_reason take(struct found *found, const struct token_source *source,
                            struct slice token)
{
    if (found->source != NULL) {
        return JWT_MULTIPLE_TOKENS;
    }
    found->source = source;
    found->token = token;
    return JWT_OK;
}

/* The token behind "Bearer " (any case, one blank or more); false: another scheme. */
static bool strip_scheme(struct slice scheme, struct slice value, struct slice *ret)
{
    size_t at = scheme.len;

    if (value.len < at || !slice_eq_nocase(slice_of(value.ptr, at), scheme)) {
        return false;
    }
    if (at > 0 && at < value.len && value.ptr[at] != ' ') {
        return false;
    }
    while (at < value.len && value.ptr[at] == ' ') {
        at++;
    }
    *ret = slice_skip(value, at);
    return true;
}

static enum jwt_reason find_in_header(const struct headers *headers,
                                      const struct token_source *source, struct found *found)
{
    struct slice value = headers_get(headers, source->name);
    struct slice token;

    if (slice_is_absent(value)) {
        return JWT_OK;
    }
    if (headers_count(headers, source->name) > 1) {
        return JWT_MULTIPLE_TOKENS;
    }
    if (!strip_scheme(source->scheme, value, &token)) {
        found->has_other_scheme = true;
        return JWT_OK;
    }
    return take(found, source, token);
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = slice_skip(text, 1);
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* The next "name=value" up to `separator`; false at the end. */
static bool next_pair(struct slice *rest, char separator, struct slice *pair, struct slice *value)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->ptr, separator, rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    *pair = trim(slice_of(rest->ptr, len));
    *rest = slice_skip(*rest, end == NULL ? len : len + 1);

    const char *equals = pair->len == 0 ? NULL : memchr(pair->ptr, '=', pair->len);
    *value = equals == NULL ? SLICE_ABSENT : slice_skip(*pair, (size_t)(equals - pair->ptr) + 1);
    return true;
}

static bool pair_is(struct slice pair, struct slice value, struct slice name)
{
    return !slice_is_absent(value) && pair.len - value.len - 1 == name.len &&
           memcmp(pair.ptr, name.ptr, name.len) == 0;
}

static enum jwt_reason find_in_pairs(struct slice text, char separator,
                                     const struct token_source *source, struct found *found)
{
    struct slice pair, value;

    while (next_pair(&text, separator, &pair, &value)) {
        if (!pair_is(pair, value, source->name)) {
            continue;
        }
        enum jwt_reason reason = take(found, source, value);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    return JWT_OK;
}

static enum jwt_reason find_in_cookies(const struct headers *headers,
                                       const struct token_source *source, struct found *found)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];
        if (header->removed || header->id != HEADER_COOKIE) {
            continue;
        }
        enum jwt_reason reason = find_in_pairs(header->value, ';', source, found);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    return JWT_OK;
}

/* A bearer token beside the one in a cookie or the query: which one counts would be a guess. */
static bool has_bearer_beside(const struct headers *headers)
{
    struct slice value = headers_get_id(headers, HEADER_AUTHORIZATION), token;

    return !slice_is_absent(value) && strip_scheme(SLICE("Bearer"), value, &token);
}

static enum jwt_reason find_at(struct gw_request *req, const struct token_source *source,
                               struct found *found)
{
    const struct headers *headers = gw_headers(req);
    enum jwt_reason reason = JWT_OK;

    switch (source->place) {
    case TOKEN_IN_HEADER: return find_in_header(headers, source, found);
    case TOKEN_IN_COOKIE: reason = find_in_cookies(headers, source, found); break;
    case TOKEN_IN_QUERY: {
        struct slice query = gw_query(req);
        if (!slice_is_absent(query)) {
            reason = find_in_pairs(query, '&', source, found);
        }
        break;
    }
    }
    if (reason == JWT_OK && found->source == source && has_bearer_beside(headers)) {
        return JWT_MULTIPLE_TOKENS;
    }
    return reason;
}

static bool is_same_source(const struct token_source *a, const struct token_source *b)
{
    return a->place == b->place && slice_eq(a->name, b->name) && slice_eq(a->scheme, b->scheme);
}

static bool was_searched(const struct jwt_route *route, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (is_same_source(&route->alternatives[i].provider->source,
                           &route->alternatives[index].provider->source)) {
            return true;
        }
    }
    return false;
}

static enum jwt_reason find_token(struct gw_request *req, const struct jwt_route *route,
                                  struct found *ret)
{
    *ret = (struct found){ 0 };
    if (headers_count_id(gw_headers(req), HEADER_AUTHORIZATION) > 1) {
        return JWT_MULTIPLE_TOKENS;
    }
    for (size_t i = 0; i < route->alternative_count; i++) {
        if (i > 0 && was_searched(route, i)) {
            continue;
        }
        enum jwt_reason reason = find_at(req, &route->alternatives[i].provider->source, ret);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    if (ret->source != NULL) {
        return JWT_OK;
    }
    return ret->has_other_scheme ? JWT_AUTH_SCHEME_UNSUPPORTED : JWT_TOKEN_MISSING;
}

enum jwt_reason jwt_find_token(struct gw_request *req, const struct jwt_route *route,
                               struct slice *ret_token, const struct token_source **ret_source)
{
    struct found found;
    enum jwt_reason reason = find_token(req, route, &found);

    *ret_token = found.token;
    *ret_source = found.source;
    return reason;
}

/* ---- what the upstream sees ---- */

/* `text` without the pairs of this name, joined by `joint`; absent: no memory. */
static struct slice without_pair(struct arena *arena, struct slice text, char separator,
                                 struct slice joint, struct slice name)
{
    char *kept = arena_alloc(arena, text.len * joint.len + 1);
    struct slice pair, value;
    size_t len = 0;

    if (kept == NULL) {
        return SLICE_ABSENT;
    }
    while (next_pair(&text, separator, &pair, &value)) {
        if (pair.len == 0 || pair_is(pair, value, name)) {
            continue;
        }
        if (len > 0) {
            memcpy(kept + len, joint.ptr, joint.len);
            len += joint.len;
        }
        memcpy(kept + len, pair.ptr, pair.len);
        len += pair.len;
    }
    return slice_of(kept, len);
}

static int drop_from_cookies(struct gw_request *req, struct slice name)
{
    struct headers *headers = gw_headers(req);

    for (uint32_t i = 0; i < headers->count; i++) {
        struct header *header = &headers->items[i];
        if (header->removed || header->id != HEADER_COOKIE) {
            continue;
        }
        struct slice kept = without_pair(gw_arena(req), header->value, ';', SLICE("; "), name);
        if (slice_is_absent(kept)) {
            return ERR_NO_MEMORY;
        }
        header->value = kept;
        header->removed = kept.len == 0;
    }
    return 0;
}

static int drop_from_query(struct gw_request *req, struct slice name)
{
    struct slice kept = without_pair(gw_arena(req), gw_query(req), '&', SLICE("&"), name);

    if (slice_is_absent(kept)) {
        return ERR_NO_MEMORY;
    }
    return gw_query_set(req, kept.len == 0 ? SLICE_ABSENT : kept);
}

static int hide_token(struct gw_request *req, const struct jwt_route *route,
                      const struct token_source *source)
{
    if (route->forward_token) {
        return 0;
    }
    headers_remove_id(gw_headers(req), HEADER_AUTHORIZATION);
    if (source == NULL) {
        return 0;
    }
    switch (source->place) {
    case TOKEN_IN_HEADER: headers_remove(gw_headers(req), source->name); return 0;
    case TOKEN_IN_COOKIE: return drop_from_cookies(req, source->name);
    case TOKEN_IN_QUERY: return drop_from_query(req, source->name);
    }
    return 0;
}

/* ---- the decision ---- */

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

static enum gw_verdict pass(struct gw_call *call, const struct token_source *source)
{
    struct state *state = call->state;

    state->identity.route = call->config;
    if (gw_slot_set(call->req, &jwt_identity_slot, &state->identity) < 0 ||
        hide_token(call->req, call->config, source) < 0) {
        return GW_FAIL;
    }
    gw_auth_decision(call->req, jwt_reason_name(JWT_OK));
    return GW_NEXT;
}

/* The provider of the alternatives that has this issuer; NULL: none. */
static const struct provider *provider_of_issuer(const struct jwt_route *route, struct slice issuer)
{
    for (size_t i = 0; i < route->alternative_count; i++) {
        if (slice_eq(route->alternatives[i].provider->issuer, issuer)) {
            return route->alternatives[i].provider;
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

static enum jwt_reason choose_provider(const struct jwt_route *route, struct slice text,
                                       struct arena *arena, const struct provider **ret)
{
    struct slice issuer;

    *ret = route->provider;
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
    *ret = provider_of_issuer(route, issuer);
    return *ret == NULL ? JWT_ISSUER_MISMATCH : JWT_OK;
}

/* NULL also when the keys have changed since: whether they would vouch for it again must be seen. */
static struct token *find_of_provider(struct worker *worker, uint64_t hash, struct slice text,
                                      const struct provider *provider)
{
    struct token *token = token_cache_find(&worker->cache, hash, text, provider);

    if (token != NULL && token->generation != worker->keys[provider->index].generation) {
        token_cache_remove(&worker->cache, token);
        return NULL;
    }
    return token;
}

static struct token *find_cached(struct worker *worker, const struct jwt_route *route,
                                 uint64_t hash, struct slice text)
{
    if (route->provider != NULL) {
        return find_of_provider(worker, hash, text, route->provider);
    }
    for (size_t i = 0; i < route->alternative_count; i++) {
        struct token *token = find_of_provider(worker, hash, text, route->alternatives[i].provider);
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

/* A token that the cache does not have. */
static enum jwt_reason verify_new(struct gw_call *call, struct slice text, struct arena *arena,
                                  const struct provider **ret_provider, struct verify_result *ret)
{
    struct worker *worker = call->worker;
    uint64_t start = clock_precise_ns();
    enum jwt_reason reason = choose_provider(call->config, text, arena, ret_provider);
    const struct provider *provider = *ret_provider;

    *ret = (struct verify_result){ 0 };
    if (reason != JWT_OK) {
        return reason;
    }
    gw_attr_set(call->req, GW_ATTR_PROVIDER, provider->element.name);
    reason = verify_token(&worker->keys[provider->index], text, gw_unix_time(), arena, ret);
    if (worker->durations[provider->index] != NULL) {
        gw_histogram_add_us(worker->durations[provider->index],
                            (clock_precise_ns() - start) / 1000);
    }
    if (reason != JWT_OK) {
        note_kid(call->req, ret->kid);
    }
    return reason;
}

static enum gw_verdict on_request(struct gw_call *call);

static enum gw_verdict on_waited(struct gw_call *call)
{
    struct state *state = call->state;

    state->was_answered = remote_wait_end(&state->wait);
    return on_request(call);
}

/* A refusal that newer keys might turn: GW_WAIT for them, or GW_REPLY with the final *reason. */
static enum gw_verdict consider_newer_keys(struct gw_call *call, const struct provider *provider,
                                           const struct verify_result *result,
                                           enum jwt_reason *reason)
{
    struct worker *worker = call->worker;
    struct state *state = call->state;
    struct remote *remote = &worker->remotes[provider->index];

    if (*reason == JWT_SIGNATURE_INVALID && slice_is_absent(result->kid) &&
        worker->keys[provider->index].remote == NULL) {
        *reason = JWT_JWKS_UNAVAILABLE;
    }
    if (*reason != JWT_KID_UNKNOWN) {
        return GW_REPLY;
    }
    if (state->has_waited) {
        *reason = remote_missed(remote, result->kid, state->was_answered);
        return GW_REPLY;
    }
    state->has_waited = true;
    return remote_wait_begin(call, remote, result->kid, result->may_be_newer, &state->wait,
                             on_waited, reason);
}

static enum gw_verdict on_miss(struct gw_call *call, const struct found *found, uint64_t hash)
{
    char memory[SCRATCH_BYTES] __attribute__((aligned(16)));
    struct worker *worker = call->worker;
    struct state *state = call->state;
    const struct provider *provider = NULL;
    enum gw_verdict verdict = GW_REPLY;
    struct verify_result result;
    struct arena arena;

    (*worker->misses)++;
    arena_init(&arena, memory, sizeof(memory), MAX_SCRATCH_BYTES);
    enum jwt_reason reason = verify_new(call, found->token, &arena, &provider, &result);
    if (reason != JWT_OK && provider != NULL && provider->has_jwks) {
        verdict = consider_newer_keys(call, provider, &result, &reason);
    }
    arena_done(&arena);
    if (verdict == GW_WAIT) {
        return GW_WAIT;
    }
    if (reason != JWT_OK) {
        return jwt_refuse(call, reason, SLICE_ABSENT);
    }
    state->identity.token = result.token;
    token_cache_add(&worker->cache, hash, state->identity.token);
    set_attributes(call->req, state->identity.token);
    return pass(call, found->source);
}

static enum gw_verdict on_hit(struct gw_call *call, const struct found *found, struct token *token)
{
    struct worker *worker = call->worker;
    struct state *state = call->state;

    (*worker->hits)++;
    enum jwt_reason reason =
        claims_check_times(&token->times, &token->provider->policy, gw_unix_time());
    state->identity.token = token_ref(token);
    set_attributes(call->req, token);
    if (reason == JWT_OK) {
        return pass(call, found->source);
    }
    if (reason == JWT_TOKEN_EXPIRED) {
        token_cache_remove(&worker->cache, token);
    }
    return jwt_refuse(call, reason, SLICE_ABSENT);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct jwt_route *route = call->config;
    struct worker *worker = call->worker;
    struct found found;

    if (route->provider != NULL) {
        gw_attr_set(call->req, GW_ATTR_PROVIDER, route->provider->element.name);
    }
    enum jwt_reason reason = find_token(call->req, route, &found);
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

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    (void)remote_wait_end(&state->wait);
    token_unref(state->identity.token);
    state->identity.token = NULL;
}

/* ---- keys of the issuers ---- */

static struct remote *find_remote(void *worker, unsigned provider_index)
{
    return &((struct worker *)worker)->remotes[provider_index];
}

static int process_init(struct gw_process *process, const void *top_arg, void **ret_state)
{
    const struct top *top = top_arg;
    struct remote_process *remote;
    int err = remote_process_new(process, top->providers.items, top->providers.count, find_remote,
                                 &remote);

    *ret_state = remote;
    return err;
}

static void process_done(void *state)
{
    remote_process_free(state);
}

static void probe(const void *top_arg, gw_probe_fn *say, void *arg)
{
    const struct top *top = top_arg;
    const struct provider *providers = top->providers.items;

    for (size_t i = 0; i < top->providers.count; i++) {
        if (providers[i].has_jwks) {
            jwks_probe(&providers[i].jwks, providers[i].element.name, providers[i].issuer, say,
                       arg);
        }
    }
}

const struct gw_plugin jwt_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "jwt",
    .top_options = top_options,
    .top_size = sizeof(struct top),
    .route_options = route_options,
    .config_size = sizeof(struct jwt_route),
    .top_init = top_init,
    .config_init = config_init,
    .top_done = top_done,
    .top_is_same = top_is_same,
    .worker_init = worker_init,
    .worker_done = worker_done,
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
    .probe = probe,
    .process_init = process_init,
    .process_done = process_done,
    .lint = lint,
};
