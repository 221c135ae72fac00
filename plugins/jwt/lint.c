/* SPDX-License-Identifier: Apache-2.0 */
/* Values that are valid and dangerous, for `jwtgate check`.  Each rule has a stable name and says why
 * it matters and what to write instead.  Runs once, so plain loops over all pairs are fine. */
#include "plugins/jwt/jwt_auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#define MAX_LIFETIME_S      86400
#define MAX_SKEW_S          300
#define MIN_BITS_PER_BYTE   3.0
#define MAX_UPSTREAMS_SHOWN 2

struct lint {
    const struct option_context *ctx;
    struct provider *const *providers;
    size_t provider_count;
    const struct gw_lint_route *routes;
    size_t route_count;
};

/* ---- places ---- */

static const char *path_of(const struct lint *lint, const struct provider *provider,
                           const char *name)
{
    const char *path =
        arena_printf(lint->ctx->arena, "providers.%.*s%s%s", SLICE_FMT(provider->element.name),
                     name == NULL ? "" : ".", name == NULL ? "" : name);
    return path == NULL ? "providers" : path;
}

/* The member of a provider, or the provider. */
static const struct json *place_of(const struct provider *provider, const char *name)
{
    const struct json *member = json_get(provider->element.where, slice_str(name));
    return member == NULL ? provider->element.where : member;
}

/* The entry of `keys` that names the key, or the list. */
static const struct json *place_of_key(const struct provider *provider, const struct jwk *jwk)
{
    const struct json *keys = place_of(provider, "keys");

    for (const struct json *item = json_is(keys, JSON_ARRAY) ? keys->child : NULL; item != NULL;
         item = item->next) {
        const struct json *kid = json_is(item, JSON_OBJECT) ? json_get(item, SLICE("kid")) : NULL;
        if (json_is(kid, JSON_STRING) && slice_eq(kid->text, jwk->kid)) {
            return item;
        }
    }
    return keys;
}

/* ---- keys ---- */

/* Does the text consist of a shorter one, again and again? */
static bool is_repetition(const uint8_t *bytes, size_t len)
{
    for (size_t period = 1; period <= len / 2; period++) {
        if (CRYPTO_memcmp(bytes, bytes + period, len - period) == 0) {
            return true;
        }
    }
    return false;
}

/* log2(x) for x >= 1, to about a thousandth: no need for libm. */
static double log2_of(double x)
{
    double result = 0, bit = 1;

    while (x >= 2) {
        x /= 2;
        result += 1;
    }
    for (unsigned i = 0; i < 12; i++) {
        x *= x;
        bit /= 2;
        if (x >= 2) {
            x /= 2;
            result += bit;
        }
    }
    return result;
}

/* Shannon entropy of the bytes' frequencies. */
static double bits_per_byte(const uint8_t *bytes, size_t len)
{
    unsigned counts[256] = { 0 };
    double bits = 0;

    for (size_t i = 0; i < len; i++) {
        counts[bytes[i]]++;
    }
    for (unsigned i = 0; i < 256; i++) {
        if (counts[i] > 0) {
            bits += (double)counts[i] * log2_of((double)len / (double)counts[i]);
        }
    }
    OPENSSL_cleanse(counts, sizeof(counts));
    return bits / (double)len;
}

static void check_secret(const struct lint *lint, const struct provider *provider,
                         const struct jwk *jwk)
{
    const struct jwa_key *key = &jwk->key;

    if (key->type != JWA_KEY_OCT ||
        (!is_repetition(key->secret, key->secret_len) &&
         bits_per_byte(key->secret, key->secret_len) >= MIN_BITS_PER_BYTE)) {
        return;
    }
    diag_lint(lint->ctx->diag, "weak-secret", place_of_key(provider, jwk),
              path_of(lint, provider, "keys"), "make one with: openssl rand -hex 32",
              "the secret of \"%.*s\" repeats itself: whoever has one token can find it by trying",
              SLICE_FMT(jwk->kid));
}

static bool is_same_key(const struct jwa_key *a, const struct jwa_key *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == JWA_KEY_OCT) {
        return a->secret_len == b->secret_len &&
               CRYPTO_memcmp(a->secret, b->secret, a->secret_len) == 0;
    }
    return EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

static void report_same_key(const struct lint *lint, const struct provider *provider,
                            const struct jwk *jwk, const struct provider *other,
                            const struct jwk *first)
{
    bool is_secret = jwk->key.type == JWA_KEY_OCT;

    diag_lint(lint->ctx->diag, is_secret ? "hs-secret-shared" : "same-key-two-providers",
              place_of_key(provider, jwk), path_of(lint, provider, "keys"),
              is_secret ? "give each issuer and each name a secret of its own"
                        : "give each provider its own key",
              "the key \"%.*s\" is also \"%.*s\" of the provider \"%.*s\": %s", SLICE_FMT(jwk->kid),
              SLICE_FMT(first->kid), SLICE_FMT(other->element.name),
              is_secret ? "whoever knows it can issue tokens under both names"
                        : "only the claims tell the tokens of the two apart");
}

/* Report the first earlier key that is the same. */
static void check_same_key(const struct lint *lint, size_t provider_index, size_t key_index)
{
    const struct provider *provider = lint->providers[provider_index];
    const struct jwk *jwk = &provider->keys[key_index];

    for (size_t p = 0; p <= provider_index; p++) {
        const struct provider *other = lint->providers[p];
        size_t end = p == provider_index ? key_index : other->key_count;

        if (p == provider_index && jwk->key.type != JWA_KEY_OCT) {
            continue;
        }
        for (size_t k = 0; k < end; k++) {
            if (is_same_key(&other->keys[k].key, &jwk->key)) {
                report_same_key(lint, provider, jwk, other, &other->keys[k]);
                return;
            }
        }
    }
}

/* ---- providers ---- */

static void check_token_source(const struct lint *lint, const struct provider *provider)
{
    const struct json *where = place_of(provider, "token");
    const char *path = path_of(lint, provider, "token");
    static const char remedy[] = "leave out \"token\": Authorization: Bearer";

    switch (provider->source.place) {
    case TOKEN_IN_HEADER: break;
    case TOKEN_IN_COOKIE:
        diag_lint(
            lint->ctx->diag, "token-in-cookie", where, path, remedy,
            "browsers send cookies with requests of other sites too: the upstream must have a "
            "defence against cross-site request forgery");
        break;
    case TOKEN_IN_QUERY:
        diag_lint(lint->ctx->diag, "token-in-query", where, path, remedy,
                  "URLs end up in logs, histories and Referer (RFC 9700 section 4.3.2)");
        break;
    }
}

static void check_claims(const struct lint *lint, const struct provider *provider)
{
    const struct claims_policy *policy = &provider->policy;
    struct diag *diag = lint->ctx->diag;

    if (policy->any_audience) {
        diag_lint(diag, "audience-any", place_of(provider, "audiences"),
                  path_of(lint, provider, "audiences"), "write [\"https://api.example.com\"]",
                  "tokens that the issuer made for any other service are good here");
    }
    if (provider->is_symmetric && policy->audience_count > 1) {
        diag_lint(
            diag, "hs-secret-shared", place_of(provider, "audiences"),
            path_of(lint, provider, "audiences"),
            "make a provider with a secret of its own for each service",
            "one secret serves the audiences of several services: each can issue tokens for the "
            "others");
    }
    if (policy->max_lifetime_s == 0) {
        diag_lint(
            diag, "lifetime-unbounded", provider->element.where, path_of(lint, provider, NULL),
            "write \"max_lifetime\": \"1h\"",
            "\"max_lifetime\" is missing: a stolen token is good for as long as its issuer says");
    } else if (policy->max_lifetime_s > MAX_LIFETIME_S) {
        diag_lint(diag, "lifetime-unbounded", place_of(provider, "max_lifetime"),
                  path_of(lint, provider, "max_lifetime"), "write \"24h\" or less",
                  "a stolen token is good for more than a day");
    }
}

/* allow_http is the permission; an address with https does not need it. */
static void check_jwks(const struct lint *lint, const struct provider *provider)
{
    const struct jwks_options *jwks = &provider->jwks;

    if (!provider->has_jwks || !jwks->allow_http ||
        (!slice_is_absent(jwks->uri) && !slice_starts_with(jwks->uri, SLICE("http:")))) {
        return;
    }
    diag_lint(lint->ctx->diag, "jwks-over-http", place_of(provider, "jwks"),
              path_of(lint, provider, "jwks"), "write an https address, with \"ca_file\" if needed",
              "who sits between can replace the keys and then issue any token");
}

static void check_skew(const struct lint *lint, const struct provider *provider)
{
    if (provider->policy.clock_skew_s > MAX_SKEW_S) {
        diag_lint(lint->ctx->diag, "skew-too-large", place_of(provider, "clock_skew"),
                  path_of(lint, provider, "clock_skew"), "write \"30s\", and set the clocks by NTP",
                  "a token is good for more than five minutes after it has expired");
    }
}

static void check_provider(const struct lint *lint, size_t index)
{
    const struct provider *provider = lint->providers[index];

    check_claims(lint, provider);
    check_skew(lint, provider);
    check_token_source(lint, provider);
    check_jwks(lint, provider);
    for (size_t i = 0; i < provider->key_count; i++) {
        check_secret(lint, provider, &provider->keys[i]);
        check_same_key(lint, index, i);
    }
}

/* ---- routes ---- */

static bool is_public(const struct gw_lint_route *route)
{
    return route->config == NULL;
}

static bool is_protected(const struct gw_lint_route *route)
{
    const struct jwt_route *config = route->config;

    return config != NULL && !config->is_optional;
}

/* Do the provider's tokens pass the route?  *ret_bare: without any scope or claim. */
static bool opens(const struct gw_lint_route *route, const struct provider *provider,
                  bool *ret_bare)
{
    const struct jwt_route *config = route->config;
    bool is_open = false;

    *ret_bare = false;
    for (size_t i = 0; config != NULL && i < config->alternative_count; i++) {
        const struct jwt_alternative *one = &config->alternatives[i];
        if (one->provider == provider) {
            is_open = true;
            *ret_bare |= one->scope_count == 0 && one->rule_count == 0;
        }
    }
    return is_open;
}

/* Two upstreams behind one provider, and one of them asks for nothing but the audience. */
static void check_upstreams(const struct lint *lint, const struct provider *provider)
{
    struct slice found[MAX_UPSTREAMS_SHOWN];
    size_t count = 0;
    bool is_bare = false;

    for (size_t i = 0; i < lint->route_count && count < MAX_UPSTREAMS_SHOWN; i++) {
        struct slice upstream = lint->routes[i].upstream;
        bool bare;

        if (!opens(&lint->routes[i], provider, &bare) || slice_is_absent(upstream)) {
            continue;
        }
        is_bare |= bare;
        if (count == 0 || !slice_eq(found[0], upstream)) {
            found[count++] = upstream;
        }
    }
    if (count < MAX_UPSTREAMS_SHOWN || !is_bare || provider->policy.any_audience) {
        return;
    }
    diag_lint(
        lint->ctx->diag, "audience-shared-across-upstreams", place_of(provider, "audiences"),
        path_of(lint, provider, "audiences"),
        "give each service its audience in a provider of its own, or ask for \"scopes\"",
        "the same audience opens the upstreams \"%.*s\" and \"%.*s\": a token meant for one is "
        "good for the other",
        SLICE_FMT(found[0]), SLICE_FMT(found[1]));
}

/* Below another prefix than "/", which protects what nobody thought of. */
static bool is_under(const struct gw_lint_route *route, const struct gw_lint_route *prefix)
{
    return prefix->is_prefix && prefix->match.len > 0 && route->match.len > prefix->match.len &&
           slice_starts_with(route->match, prefix->match) &&
           route->match.ptr[prefix->match.len] == '/';
}

static const struct json *member_of(const struct gw_lint_route *route, const char *name)
{
    const struct json *member = json_get(route->json, slice_str(name));
    return member == NULL ? route->json : member;
}

static void check_public_path(const struct lint *lint, const struct gw_lint_route *route)
{
    for (size_t i = 0; i < lint->route_count; i++) {
        const struct gw_lint_route *other = &lint->routes[i];
        if (!is_protected(other) || !is_under(route, other)) {
            continue;
        }
        diag_lint(lint->ctx->diag, "public-under-protected", member_of(route, "auth"), route->path,
                  "protect it too, or move it out of that prefix",
                  "everybody may call it, though it is below the protected \"%.*s\" of the route "
                  "\"%.*s\"",
                  SLICE_FMT(other->match), SLICE_FMT(other->name));
        return;
    }
}

static bool sets_claim_headers(const struct gw_lint_route *route)
{
    return json_is(json_get(route->json, SLICE("claims_to_headers")), JSON_OBJECT);
}

static void check_public_upstream(const struct lint *lint, const struct gw_lint_route *route)
{
    for (size_t i = 0; i < lint->route_count; i++) {
        const struct gw_lint_route *other = &lint->routes[i];
        if (slice_is_absent(route->upstream) || !slice_eq(other->upstream, route->upstream) ||
            !sets_claim_headers(other)) {
            continue;
        }
        diag_lint(
            lint->ctx->diag, "claim-header-on-public-upstream", member_of(route, "upstream"),
            route->path, "give the public part an upstream of its own, or protect the route",
            "the upstream \"%.*s\" learns from headers who calls, by the route \"%.*s\"; here it "
            "gets requests without them",
            SLICE_FMT(route->upstream), SLICE_FMT(other->name));
        return;
    }
}

void jwt_lint(const struct provider_list *providers, const struct option_context *ctx,
              const struct gw_lint_route *routes, size_t count)
{
    const struct lint lint = {
        .ctx = ctx,
        .providers = providers->items,
        .provider_count = providers->count,
        .routes = routes,
        .route_count = count,
    };

    for (size_t i = 0; i < providers->count; i++) {
        check_provider(&lint, i);
        check_upstreams(&lint, lint.providers[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (is_public(&routes[i])) {
            check_public_path(&lint, &routes[i]);
            check_public_upstream(&lint, &routes[i]);
        }
    }
}
