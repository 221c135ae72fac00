/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/provider.h"

#include "core/fetch.h"
#include "core/headers.h"
#include "plugins/jwt/key_file.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdlib.h>

#define MAX_MEMORY ((size_t)8 << 20)

struct token_spec {
    struct slice header, scheme, cookie, query;
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

#define P(field) offsetof(struct provider, field)
/* No colon: where it ends must be plain. */
static void check_namespace(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "._-";
    struct slice name = *(const struct slice *)field;

    for (size_t i = 0; i < name.len; i++) {
        if (memchr(allowed, name.ptr[i], sizeof(allowed) - 1) == NULL) {
            diag_at(ctx->diag, DIAG_ERROR, value, path, "use letters, digits and any of ._-",
                    "this is not a name");
            return;
        }
    }
}

const struct option provider_options[] = {
    { .name = "issuer",
      .type = OPT_STRING,
      .offset = P(issuer),
      .required = true,
      .help = "The exact value of the claim iss." },
    { .name = "audiences",
      .type = OPT_CUSTOM,
      .offset = P(audiences_json),
      .required = true,
      .parse = keep_json,
      .help = "Accepted values of the claim aud, any one is enough; or \"any\".",
      .schema = "{\"anyOf\":[{\"const\":\"any\"},{\"type\":\"array\",\"minItems\":1,"
                "\"items\":{\"type\":\"string\",\"minLength\":1}}]}" },
    { .name = "algorithms",
      .type = OPT_CUSTOM,
      .offset = P(algorithms_json),
      .required = true,
      .parse = keep_json,
      .help = "Accepted signature algorithms; HS* never together with others.",
      .schema = "{\"type\":\"array\",\"minItems\":1,\"items\":{\"enum\":[\"HS256\",\"HS384\","
                "\"HS512\",\"RS256\",\"RS384\",\"RS512\",\"PS256\",\"PS384\",\"PS512\","
                "\"ES256\",\"ES384\",\"ES512\",\"EdDSA\"]}}" },
    { .name = "keys",
      .type = OPT_CUSTOM,
      .offset = P(keys_json),
      .parse = keep_json,
      .help = "Keys: {kid, secret}, {kid, public_key_file}, {jwks_file}, or {token_issuer: true} "
              "for those that this gateway signs with.",
      .schema =
          "{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\","
          "\"additionalProperties\":false,"
          "\"properties\":{\"kid\":{\"description\":\"Name of the key, as tokens say "
          "it.\",\"type\":\"string\",\"minLength\":1,"
          "\"maxLength\":128},\"secret\":{\"description\":\"Secret of HS*.\",\"type\":\"object\","
          "\"additionalProperties\":false,"
          "\"properties\":{\"env\":{\"description\":\"Environment variable that holds "
          "it.\",\"type\":\"string\",\"minLength\":1},"
          "\"file\":{\"description\":\"File that holds "
          "it.\",\"type\":\"string\",\"minLength\":1},\"encoding\":{\"description\":\"How it is "
          "written.\",\"enum\":[\"text\","
          "\"base64url\"]}},\"oneOf\":[{\"required\":[\"env\"]},"
          "{\"required\":[\"file\"]}]},\"public_key_file\":{\"description\":\"Public key in "
          "PEM.\",\"type\":\"string\"},"
          "\"jwks_file\":{\"description\":\"JWK or JWK set (RFC 7517).\",\"type\":\"string\"},"
          "\"token_issuer\":{\"description\":\"The keys that this gateway signs "
          "with.\",\"const\":true}},\"oneOf\":[{\"required\":[\"kid\","
          "\"secret\"]},{\"required\":[\"kid\",\"public_key_file\"]},"
          "{\"required\":[\"jwks_file\"]},{\"required\":[\"token_issuer\"]}]}}" },
    { .name = "jwks",
      .type = OPT_OBJECT,
      .offset = P(jwks),
      .sub = jwks_option_table,
      .help = "Keys that the issuer publishes: {uri}, or {discovery: true}.",
      .schema = "{\"anyOf\":[{\"required\":[\"uri\"]},{\"required\":[\"discovery\"]}]}" },
    { .name = "token",
      .type = OPT_CUSTOM,
      .offset = P(token_json),
      .parse = keep_json,
      .help = "Where the token is: {header, scheme}, {cookie} or {query}; "
              "by default Authorization: Bearer.",
      .schema =
          "{\"type\":\"object\",\"additionalProperties\":false,"
          "\"properties\":{\"header\":{\"description\":\"Header that holds the "
          "token.\",\"type\":\"string\",\"minLength\":1},"
          "\"scheme\":{\"description\":\"Word before the "
          "token.\",\"type\":\"string\"},\"cookie\":{\"description\":\"Cookie that holds the "
          "token.\",\"type\":\"string\",\"minLength\":1},"
          "\"query\":{\"description\":\"Query parameter that holds the "
          "token.\",\"type\":\"string\",\"minLength\":1}},\"oneOf\":[{\"required\":[\"header\"]},"
          "{\"required\":[\"cookie\"]},{\"required\":[\"query\"]}]}" },
    { .name = "token_types",
      .type = OPT_STRINGS,
      .offset = P(token_types),
      .min = 1,
      .max = 8,
      .help = "Accepted values of the header typ; by default at+jwt, JWT or none." },
    { .name = "clock_skew",
      .type = OPT_DURATION,
      .offset = P(clock_skew_ms),
      .def = "\"30s\"",
      .min = 0,
      .max = CLAIMS_MAX_SKEW_S * 1000,
      .help = "Tolerated difference between the issuer's clock and ours." },
    { .name = "max_lifetime",
      .type = OPT_DURATION,
      .offset = P(max_lifetime_ms),
      .min = 1000,
      .max = INT64_C(366) * 86400 * 1000,
      .help = "Tokens that are valid for longer than this are refused; by default none." },
    { .name = "accept_bound_tokens",
      .type = OPT_BOOL,
      .offset = P(accept_bound_tokens),
      .def = "false",
      .help = "Accept tokens with the claim cnf whose proof cannot be checked here as plain bearer "
              "tokens." },
    { .name = "max_token_bytes",
      .type = OPT_SIZE,
      .offset = P(max_token_bytes),
      .def = "\"8KiB\"",
      .min = 256,
      .max = 16384,
      .help = "Longer tokens are refused." },
    { .name = "revocation_namespace",
      .type = OPT_STRING,
      .offset = P(revocation_namespace),
      .min = 1,
      .max = PROVIDER_MAX_NAMESPACE,
      .parse = check_namespace,
      .help =
          "Stands with a colon before jti, sub, client and kid in the names of revocations: these "
          "are unique for one issuer only." },
    { .name = NULL },
};

static const struct option token_options[] = {
    { .name = "header",
      .type = OPT_STRING,
      .offset = offsetof(struct token_spec, header),
      .help = "Header that holds the token." },
    { .name = "scheme",
      .type = OPT_STRING,
      .offset = offsetof(struct token_spec, scheme),
      .help = "Word before the token; by default Bearer for Authorization, else none." },
    { .name = "cookie",
      .type = OPT_STRING,
      .offset = offsetof(struct token_spec, cookie),
      .help = "Cookie that holds the token." },
    { .name = "query",
      .type = OPT_STRING,
      .offset = offsetof(struct token_spec, query),
      .help = "Query parameter that holds the token; URLs end up in logs." },
    { .name = NULL },
};

const char *provider_path(const struct provider *provider, const struct option_context *ctx,
                          const char *name)
{
    const char *path =
        arena_printf(ctx->arena, "providers.%.*s.%s", SLICE_FMT(provider->element.name), name);
    return path == NULL ? name : path;
}

static void read_audiences(struct provider *provider, const struct option_context *ctx)
{
    const struct json *value = provider->audiences_json;
    struct slice *items = NULL;
    size_t count = 0;

    if (json_is(value, JSON_STRING) && slice_eq(value->text, SLICE("any"))) {
        provider->policy.any_audience = true;
        return;
    }
    if (json_is(value, JSON_ARRAY) && value->count > 0) {
        items = arena_calloc(&provider->memory, value->count, sizeof(*items));
        for (const struct json *item = value->child; items != NULL && item != NULL;
             item = item->next) {
            if (item->type == JSON_STRING && item->text.len > 0) {
                items[count++] = arena_copy(&provider->memory, item->text);
            }
        }
    }
    if (items == NULL || count != value->count) {
        diag_at(ctx->diag, DIAG_ERROR, value, provider_path(provider, ctx, "audiences"),
                "write [\"https://api.example.com\"], or \"any\"",
                "not a list of one string or more");
        return;
    }
    provider->policy.audiences = items;
    provider->policy.audience_count = count;
}

static void unknown_algorithm(struct provider *provider, const struct option_context *ctx,
                              const struct json *item)
{
    diag_at(ctx->diag, DIAG_ERROR, item, provider_path(provider, ctx, "algorithms"),
            "there are: HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 "
            "EdDSA",
            "no algorithm \"%.*s\"", item->type == JSON_STRING ? (int)item->text.len : 0,
            item->type == JSON_STRING ? item->text.ptr : "");
}

static void read_algorithms(struct provider *provider, const struct option_context *ctx)
{
    const struct json *value = provider->algorithms_json;
    bool has_other = false;

    if (!json_is(value, JSON_ARRAY) || value->count == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, provider_path(provider, ctx, "algorithms"),
                "write [\"RS256\"]", "not a list of one algorithm or more");
        return;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        const struct jwa *alg = item->type == JSON_STRING ? jwa_find(item->text) : NULL;
        if (alg == NULL) {
            unknown_algorithm(provider, ctx, item);
            continue;
        }
        provider->algorithms |= 1u << alg->id;
        provider->is_symmetric |= alg->family == JWA_FAMILY_HS;
        has_other |= alg->family != JWA_FAMILY_HS;
    }
    if (provider->is_symmetric && has_other) {
        diag_at(ctx->diag, DIAG_ERROR, value, provider_path(provider, ctx, "algorithms"),
                "make two providers",
                "HS algorithms and others together let a public key pass for a secret");
    }
}

static struct slice lower_copy(struct arena *arena, struct slice text)
{
    char *copy = arena_strdup(arena, text);

    for (size_t i = 0; copy != NULL && i < text.len; i++) {
        copy[i] = ascii_lower(copy[i]);
    }
    return slice_of(copy, copy == NULL ? 0 : text.len);
}

static void read_token_source(struct provider *provider, const struct option_context *ctx)
{
    struct token_source *source = &provider->source;
    const char *path = provider_path(provider, ctx, "token");
    struct token_spec spec = { 0 };

    *source = (struct token_source){ .name = SLICE("authorization"), .scheme = SLICE("Bearer") };
    if (provider->token_json == NULL) {
        return;
    }
    bool is_object = json_is(provider->token_json, JSON_OBJECT);
    if (is_object) {
        options_read(ctx, token_options, provider->token_json, path, NULL, &spec);
    }
    if (!is_object || (spec.header.len > 0) + (spec.cookie.len > 0) + (spec.query.len > 0) != 1) {
        diag_at(ctx->diag, DIAG_ERROR, provider->token_json, path,
                "write one of {\"header\", \"scheme\"}, {\"cookie\"}, {\"query\"}",
                "it does not say one place of the token");
        return;
    }
    if (spec.cookie.len > 0 || spec.query.len > 0) {
        bool is_cookie = spec.cookie.len > 0;
        source->place = is_cookie ? TOKEN_IN_COOKIE : TOKEN_IN_QUERY;
        source->name = arena_copy(&provider->memory, is_cookie ? spec.cookie : spec.query);
        source->scheme = SLICE("");
        return;
    }
    source->name = lower_copy(&provider->memory, spec.header);
    if (!header_name_is_valid(source->name)) {
        diag_at(ctx->diag, DIAG_ERROR, provider->token_json, path, NULL,
                "\"%.*s\" is not a header name", SLICE_FMT(spec.header));
    }
    if (!slice_is_absent(spec.scheme)) {
        source->scheme = arena_copy(&provider->memory, spec.scheme);
    } else if (!slice_eq(source->name, SLICE("authorization"))) {
        source->scheme = SLICE("");
    }
}

static bool has_certificate(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len); /* a file of at most 1 MiB */
    X509 *certificate = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool found = certificate != NULL;

    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    return found;
}

/* Certificates count as they are now, for as long as this provider lives. */
static void read_ca(struct provider *provider, const struct option_context *ctx,
                    const struct json *where, const char *path)
{
    struct key_place at = { .ctx = ctx, .where = where, .path = path };
    struct jwks_options *jwks = &provider->jwks;
    struct key_bytes bytes = { 0 };

    if (jwks->ca_file == NULL || key_read_file(&at, jwks->ca_file, false, &bytes) < 0) {
        return;
    }
    jwks->ca = arena_copy(&provider->memory, slice_of(bytes.ptr, bytes.len));
    if (slice_is_absent(jwks->ca)) {
        key_fail(&at, NULL, "out of memory");
    } else if (!has_certificate(jwks->ca)) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, NULL, "%s holds no certificate (PEM)",
                jwks->ca_file);
    }
    key_bytes_done(&bytes);
    jwks->ca_file = NULL; /* its text goes with the snapshot */
}

/* The options were read if the defaults are there. */
static void check_jwks(struct provider *provider, const struct option_context *ctx)
{
    const struct jwks_options *jwks = &provider->jwks;
    const struct json *where = provider->element.where;
    const char *path = provider_path(provider, ctx, "jwks");

    provider->has_jwks = jwks->timeout_ms != 0;
    if (!provider->has_jwks) {
        if (provider->keys_json == NULL) {
            diag_at(ctx->diag, DIAG_ERROR, where, provider_path(provider, ctx, "keys"),
                    "write \"keys\": [...], or \"jwks\": {\"uri\": \"https://...\"}",
                    "there are neither \"keys\" nor \"jwks\"");
        }
        return;
    }
    where = json_get(where, SLICE("jwks")) != NULL ? json_get(where, SLICE("jwks")) : where;
    if (slice_is_absent(jwks->uri) != jwks->discovery) {
        diag_at(ctx->diag, DIAG_ERROR, where, path,
                "write \"uri\": \"https://...\" or \"discovery\": true",
                "it has neither or both of \"uri\" and \"discovery\"");
        return;
    }
    if (provider->is_symmetric) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, "use RS256 or another public-key algorithm",
                "keys that are published cannot be secrets of HS algorithms");
    }
    const char *url = jwks->discovery ? provider->issuer.ptr : jwks->uri.ptr;
    if (!fetch_url_is_valid(url, jwks->allow_http)) {
        diag_at(ctx->diag, DIAG_ERROR, where, path,
                "plain http needs \"allow_http\": true, and is for tests", "%s is no https address",
                url);
    }
    if (!slice_is_absent(jwks->proxy) && !fetch_proxy_is_valid(jwks->proxy.ptr)) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, "write \"http://host:port\"",
                "%s is no proxy, or one with a password", jwks->proxy.ptr);
    }
    read_ca(provider, ctx, where, path);
}

/* ---- life ---- */

static void own_text(struct provider *provider, struct slice *text, bool *ok)
{
    const char *copy = text->ptr == NULL ? NULL : arena_strdup(&provider->memory, *text);

    *ok = *ok && (copy == NULL) == (text->ptr == NULL);
    text->ptr = copy;
}

/* The configuration's memory goes with its snapshot. */
static bool own_texts(struct provider *provider)
{
    struct option_strings *types = &provider->token_types;
    struct slice *items = arena_calloc(&provider->memory, types->count + 1, sizeof(*items));
    bool ok = items != NULL;

    own_text(provider, &provider->element.name, &ok);
    own_text(provider, &provider->issuer, &ok);
    own_text(provider, &provider->revocation_namespace, &ok);
    own_text(provider, &provider->jwks.uri, &ok);
    own_text(provider, &provider->jwks.proxy, &ok);
    for (size_t i = 0; ok && i < types->count; i++) {
        items[i] = types->items[i];
        own_text(provider, &items[i], &ok);
    }
    types->items = items;
    provider->element.where = json_copy(&provider->memory, provider->element.where);
    return ok && provider->element.where != NULL;
}

static void read_all(struct provider *provider, const struct option_context *ctx)
{
    if (provider->audiences_json == NULL || provider->algorithms_json == NULL) {
        return; /* reported as missing */
    }
    read_audiences(provider, ctx);
    read_algorithms(provider, ctx);
    read_token_source(provider, ctx);
    provider->policy.issuer = provider->issuer;
    provider->policy.accept_bound_tokens = provider->accept_bound_tokens;
    provider->policy.clock_skew_s = (int64_t)(provider->clock_skew_ms / 1000);
    provider->policy.max_lifetime_s = (int64_t)(provider->max_lifetime_ms / 1000);
    check_jwks(provider, ctx);
    if (provider->algorithms != 0 &&
        provider->keys_json != NULL) { /* else every key would be an error too */
        provider_read_keys(provider, ctx);
    }
    /* The JSON text does not outlive the reading. */
    provider->audiences_json = provider->algorithms_json = NULL;
    provider->keys_json = provider->token_json = NULL;
}

struct provider *provider_new(const struct provider *spec, const struct option_context *ctx)
{
    struct provider *provider = calloc(1, sizeof(*provider));

    if (provider == NULL) {
        return NULL;
    }
    *provider = *spec;
    provider->refs = 1;
    arena_init(&provider->memory, NULL, 0, MAX_MEMORY);
    if (!own_texts(provider)) {
        provider_unref(provider);
        return NULL;
    }
    read_all(provider, ctx);
    return provider;
}

struct provider *provider_ref(struct provider *provider)
{
    __atomic_fetch_add(&provider->refs, 1, __ATOMIC_RELAXED);
    return provider;
}

void provider_unref(struct provider *provider)
{
    if (provider == NULL || __atomic_sub_fetch(&provider->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < provider->key_count; i++) {
        jwa_key_done(&provider->keys[i].key);
    }
    free(provider->keys);
    arena_done(&provider->memory);
    free(provider);
}

bool provider_is_same(const struct provider *a, const struct provider *b)
{
    return slice_eq(a->element.name, b->element.name) &&
           json_equal(a->element.where, b->element.where) &&
           slice_is_absent(a->jwks.ca) == slice_is_absent(b->jwks.ca) &&
           slice_eq(a->jwks.ca, b->jwks.ca) && provider_has_same_keys(a, b);
}
