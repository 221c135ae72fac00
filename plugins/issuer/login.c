/* SPDX-License-Identifier: Apache-2.0 */
/* The key "issue_token" of a route: the upstream checks the credentials, the gateway issues the token.
 *
 * A 2xx answer in JSON is kept back: members of it become claims, and the client gets a signed token
 * in its place, without any field of the upstream's head.  Such an answer never passes, whatever goes
 * wrong: what cannot be understood is 502, what cannot be signed 503.  Every other answer passes as it
 * is, unsigned. */
#include "plugins/builtin.h"
#include "plugins/issuer/issue.h"
#include "plugins/jwt/claims.h"

#include <openssl/crypto.h>

#define MAX_CLAIMS        32u
#define MAX_SUBJECT_BYTES 1024u
#define MAX_REPLY_BYTES   16384u

struct login_claim {
    struct slice name;
    struct slice member; /* a pointer when it starts with "/" */
};

struct login_route {
    const struct issuer *issuer; /* of the snapshot */
    const struct json *json;     /* only while the configuration is read */
    struct option_strings audiences;
    uint64_t ttl_ms; /* 0: the issuer's */
    struct login_claim *claims;
    size_t claim_count;
};

struct login_top {
    bool is_used; /* by any route */
};

struct login_call { /* state of a request */
    struct issued_token *token;
    struct slice subject, scope; /* in the request's arena; absent: none */
    struct json *extra;
};

/* ---- configuration ---- */

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

#define L(field) offsetof(struct login_route, field)

static const struct option login_options[] = {
    { .name = "claims",
      .type = OPT_CUSTOM,
      .offset = L(json),
      .required = true,
      .def = "{\"sub\": \"id\"}",
      .parse = keep_json,
      .help =
          "Claims of the token, and the members of the upstream's answer that they are made of, "
          "by name or JSON Pointer; \"sub\" must be there.",
      .schema = "{\"type\":\"object\",\"required\":[\"sub\"],\"maxProperties\":32,"
                "\"propertyNames\":{\"not\":{\"enum\":[\"iss\",\"aud\",\"client_id\",\"exp\","
                "\"iat\",\"nbf\",\"jti\"]}},"
                "\"additionalProperties\":{\"type\":\"string\",\"minLength\":1}}" },
    { .name = "audiences",
      .type = OPT_STRINGS,
      .offset = L(audiences),
      .required = true,
      .def = "[\"orders\"]",
      .min = 1,
      .max = 16,
      .help = "Whom the token is meant for: the claim aud." },
    { .name = "ttl",
      .type = OPT_DURATION,
      .offset = L(ttl_ms),
      .min = 1000,
      .max = 86400000,
      .help = "How long it is valid, if shorter than token_issuer.access_token.ttl." },
    { .name = NULL },
};

static const struct option route_options[] = {
    { .name = "issue_token",
      .type = OPT_OBJECT,
      .offset = 0,
      .sub = login_options,
      .help = "Answer with a token in place of what the upstream says about the user." },
    { .name = NULL },
};

static bool is_settable(struct slice name)
{
    return name.len > 0 && (slice_eq(name, SLICE("sub")) || slice_eq(name, SLICE("scope")) ||
                            !issuer_owns_claim(name));
}

static int add_claim(struct login_route *route, const struct option_context *ctx,
                     const struct json *value, const char *path)
{
    bool is_ours = !is_settable(value->key);

    if (is_ours || value->type != JSON_STRING || value->text.len == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                is_ours ? "leave it out" : "write {\"sub\": \"id\", \"roles\": \"/user/roles\"}",
                is_ours ? "\"%.*s\" is written by the issuer alone"
                        : "\"%.*s\" needs the name of a member",
                SLICE_FMT(value->key));
        return ERR_CONFIG;
    }
    route->claims[route->claim_count++] =
        (struct login_claim){ .name = arena_copy(ctx->arena, value->key),
                              .member = arena_copy(ctx->arena, value->text) };
    return 0;
}

static int read_claims(struct login_route *route, const struct option_context *ctx,
                       const struct json *map, const char *path)
{
    int err = 0;

    if (map->type != JSON_OBJECT || map->count > MAX_CLAIMS ||
        json_get(map, SLICE("sub")) == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, map, path, "write {\"sub\": \"id\"}",
                "not an object of at most 32 claims, with \"sub\"");
        return ERR_CONFIG;
    }
    route->claims = arena_calloc(ctx->arena, map->count, sizeof(*route->claims));
    if (route->claims == NULL) {
        return ERR_NO_MEMORY;
    }
    for (const struct json *value = map->child; value != NULL; value = value->next) {
        int one = add_claim(route, ctx, value, path);

        err = one < 0 ? one : err;
    }
    return err;
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route_json, const char *path)
{
    struct login_route *route = config;
    const struct json *own = json_get(route_json, SLICE("issue_token")), *map = route->json;
    const char *own_path = options_join(ctx, path, SLICE("issue_token"));

    route->json = NULL;
    if (map == NULL) {
        return GW_NOT_ON_ROUTE; /* or its mistakes were reported */
    }
    route->issuer = issuer_of(ctx);
    if (route->issuer == NULL || json_get(route_json, SLICE("upstream")) == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, own, own_path,
                route->issuer == NULL ? "add \"token_issuer\"" : "add \"upstream\"",
                route->issuer == NULL ? "nothing signs tokens" : "nobody checks the credentials");
        return ERR_CONFIG;
    }
    ((struct login_top *)top)->is_used = true;
    return read_claims(route, ctx, map, options_join(ctx, own_path, SLICE("claims")));
}

/* The worker's state is the counter of issued tokens. */
static int worker_init(struct gw_worker *worker, const void *top_arg, void **ret_worker)
{
    const struct login_top *top = top_arg;

    *ret_worker = !top->is_used ? NULL
                                : gw_counter(worker, "jwtgate_tokens_issued_total",
                                             "client=\"-\",grant=\"login\"");
    return top->is_used && *ret_worker == NULL ? ERR_NO_MEMORY : 0;
}

/* ---- the upstream's answer ---- */

static struct slice media_type(struct slice value)
{
    const char *end = memchr(value.ptr, ';', value.len);
    size_t len = end == NULL ? value.len : (size_t)(end - value.ptr);

    while (len > 0 && (value.ptr[len - 1] == ' ' || value.ptr[len - 1] == '\t')) {
        len--;
    }
    return slice_of(value.ptr, len);
}

static bool is_json_type(struct slice value)
{
    struct slice type = media_type(value), suffix = SLICE("+json");

    return slice_eq_nocase(type, SLICE("application/json")) ||
           (type.len > suffix.len &&
            slice_eq_nocase(slice_skip(type, type.len - suffix.len), suffix));
}

/* There should be one type; of several, which are a mistake, any. */
static bool names_json(struct slice list)
{
    struct slice value;

    while (headers_next_token(&list, &value)) {
        if (is_json_type(value)) {
            return true;
        }
    }
    return false;
}

/* Does any of the fields say so?  With two of them, too, the answer is kept back in doubt. */
static bool says_json(const struct headers *headers)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (!header->removed && header->id == HEADER_CONTENT_TYPE && names_json(header->value)) {
            return true;
        }
    }
    return false;
}

static bool is_encoded(const struct headers *headers)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (!header->removed && slice_eq(header->name, SLICE("content-encoding")) &&
            !slice_eq_nocase(header->value, SLICE("identity"))) {
            return true;
        }
    }
    return false;
}

static enum gw_verdict refuse(struct gw_call *call, unsigned status, const char *reason)
{
    const struct gw_reply reply = { .status = status, .reason = reason };

    return gw_reply(call, &reply);
}

/* ---- its members become claims ---- */

static const struct json *parse_answer(struct gw_call *call)
{
    const struct json_limits limits = {
        .max_bytes = GW_BODY_MAX, .max_depth = 16, .max_nodes = 512, .max_string = 8192
    };
    const struct json *answer =
        json_parse(gw_arena(call->req), gw_response_body(call->req), &limits, NULL);

    return json_is(answer, JSON_OBJECT) ? answer : NULL;
}

/* A string, or an integer as it was written: ids are often numbers, and "sub" is a string. */
static bool is_subject(const struct json *member)
{
    int64_t number;

    return member != NULL && (member->type == JSON_STRING
                                  ? member->text.len > 0 && member->text.len <= MAX_SUBJECT_BYTES
                                  : member->type == JSON_NUMBER && json_int(member, &number));
}

/* Into the state; NULL, or why not. */
static const char *take_claim(struct gw_call *call, const struct login_claim *claim,
                              const struct json *member)
{
    struct login_call *state = call->state;

    if (slice_eq(claim->name, SLICE("sub"))) {
        state->subject = is_subject(member) ? member->text : SLICE_ABSENT;
        return slice_is_absent(state->subject) ? "login_subject" : NULL;
    }
    if (member == NULL || member->type == JSON_NULL) {
        return NULL; /* the token says nothing about it */
    }
    if (slice_eq(claim->name, SLICE("scope"))) {
        state->scope = member->text;
        return member->type == JSON_STRING ? NULL : "login_scope";
    }
    struct json *copy = arena_alloc(gw_arena(call->req), sizeof(*copy));

    if (copy == NULL) {
        return "request_memory";
    }
    *copy = *member;
    copy->key = claim->name;
    copy->next = state->extra->child;
    state->extra->child = copy;
    return NULL;
}

static const char *take_claims(struct gw_call *call, const struct json *answer)
{
    const struct login_route *route = call->config;
    struct login_call *state = call->state;
    const char *problem = NULL;

    state->extra = arena_calloc(gw_arena(call->req), 1, sizeof(*state->extra));
    if (state->extra == NULL) {
        return "request_memory";
    }
    state->extra->type = JSON_OBJECT;
    for (size_t i = route->claim_count; i > 0 && problem == NULL; i--) { /* keeps the order */
        const struct login_claim *claim = &route->claims[i - 1];

        problem = take_claim(call, claim, claims_find(answer, claim->member));
    }
    return problem;
}

/* ---- the token ---- */

static void set_attr_if_absent(struct gw_call *call, enum gw_attr attr, struct slice value)
{
    if (slice_is_absent(gw_attr_get(call->req, attr))) {
        gw_attr_set(call->req, attr, value);
    }
}

/* For the access log: who got which token. */
static void tell_who(struct gw_call *call, const struct login_call *state)
{
    set_attr_if_absent(call, GW_ATTR_SUBJECT, state->subject);
    set_attr_if_absent(call, GW_ATTR_JTI, slice_str(state->token->jti));
    set_attr_if_absent(call, GW_ATTR_KID, slice_str(state->token->key->kid));
}

static enum gw_verdict on_signed(struct gw_call *call)
{
    const struct login_call *state = call->state;
    struct json_writer w;

    if (state->token->text == NULL) {
        return refuse(call, 503, "signing_failed");
    }
    json_writer_init(&w, MAX_REPLY_BYTES);
    json_write_begin(&w, NULL, '{');
    json_write_string(&w, "access_token", slice_str(state->token->text));
    json_write_string(&w, "token_type", SLICE("Bearer"));
    json_write_int(&w, "expires_in", state->token->lifetime_s);
    if (!slice_is_absent(state->scope)) {
        json_write_string(&w, "scope", state->scope);
    }
    json_write_end(&w, '}');
    const struct gw_reply reply = { .status = 200,
                                    .content_type = SLICE("application/json"),
                                    .body = slice_of(w.buf, w.len) };
    enum gw_verdict verdict = w.failed ? GW_FAIL : gw_reply(call, &reply);

    if (w.buf != NULL) {
        OPENSSL_cleanse(w.buf, w.len);
    }
    json_writer_done(&w);
    if (verdict == GW_REPLY) {
        tell_who(call, state);
        (*(uint64_t *)call->worker)++;
    }
    return verdict;
}

static enum gw_verdict on_body(struct gw_call *call)
{
    const struct login_route *route = call->config;
    struct login_call *state = call->state;
    const struct json *answer = parse_answer(call);

    if (answer == NULL) {
        return refuse(call, 502, "login_answer_json");
    }
    const char *problem = take_claims(call, answer);

    if (problem != NULL) {
        return refuse(call, 502, problem);
    }
    const struct token_claims claims = {
        .subject = state->subject,
        .scope = state->scope,
        .audiences = route->audiences.items,
        .audience_count = route->audiences.count,
        .extra = state->extra,
        .ttl_ms = route->ttl_ms,
    };
    enum gw_verdict verdict = issuer_sign(call, route->issuer, &claims, on_signed, &state->token);

    if (verdict != GW_FAIL) {
        return verdict;
    }
    return state->token != NULL && state->token->claims.failed
               ? refuse(call, 502, "login_claims_too_long")
               : refuse(call, 503, "signing_queue_full");
}

/* ---- hooks ---- */

/* So that the answer is whole, and in plain text. */
static enum gw_verdict on_request(struct gw_call *call)
{
    static const char *const names[] = { "accept-encoding", "range", "if-range" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        headers_remove_folded(gw_headers(call->req), slice_str(names[i]));
    }
    return GW_NEXT;
}

static enum gw_verdict on_response(struct gw_call *call)
{
    const struct login_route *route = call->config;
    const struct headers *headers = gw_response_headers(call->req);
    unsigned status = gw_response_status(call->req);

    if (status / 100 != 2 || status == 204 || gw_method(call->req) == HTTP_HEAD ||
        !says_json(headers)) {
        return GW_NEXT;
    }
    if (is_encoded(headers)) {
        return refuse(call, 502, "login_answer_encoded");
    }
    if (status == 206) {
        return refuse(call, 502, "login_answer_partial");
    }
    if (route->issuer->keys->active == NULL) {
        return refuse(call, 503, "signing_key_missing");
    }
    return gw_read_response_body(call, GW_BODY_MAX, on_body);
}

static void on_end(struct gw_call *call)
{
    struct login_call *state = call->state;

    issued_token_unref(state->token);
    state->token = NULL;
}

const struct gw_plugin login_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "issue_token",
    .top_size = sizeof(struct login_top),
    .route_options = route_options,
    .config_size = sizeof(struct login_route),
    .config_init = config_init,
    .worker_init = worker_init,
    .state_size = sizeof(struct login_call),
    .on_request = on_request,
    .on_response = on_response,
    .on_end = on_end,
};
