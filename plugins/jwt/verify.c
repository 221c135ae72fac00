/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/verify.h"

#include <stdlib.h>

#define MAX_CLAIMS_BYTES    6144u
#define DEFAULT_TOKEN_BYTES 8192u

static size_t key_count(const struct verify_keys *keys)
{
    return keys->provider->key_count + (keys->remote == NULL ? 0 : keys->remote->count);
}

static const struct jwk *key_at(const struct verify_keys *keys, size_t index)
{
    size_t own = keys->provider->key_count;

    return index < own ? &keys->provider->keys[index] : &keys->remote->keys[index - own];
}

static struct jwa_verifier **new_verifiers(size_t keys)
{
    return calloc(keys * JWA_IDS + 1, sizeof(struct jwa_verifier *));
}

static void free_verifiers(struct jwa_verifier **verifiers, size_t keys)
{
    for (size_t i = 0; verifiers != NULL && i < keys * JWA_IDS; i++) {
        jwa_verifier_free(verifiers[i]);
    }
    free(verifiers);
}

int verify_keys_init(struct verify_keys *keys, const struct provider *provider)
{
    *keys = (struct verify_keys){ .provider = provider };
    keys->own_verifiers = new_verifiers(provider->key_count);
    return keys->own_verifiers == NULL ? ERR_NO_MEMORY : 0;
}

static void drop_remote(struct verify_keys *keys)
{
    if (keys->remote != NULL) {
        free_verifiers(keys->remote_verifiers, keys->remote->count);
        jwks_set_unref(keys->remote);
    }
    keys->remote_verifiers = NULL;
    keys->remote = NULL;
}

void verify_keys_done(struct verify_keys *keys)
{
    if (keys->provider == NULL) {
        return;
    }
    drop_remote(keys);
    free_verifiers(keys->own_verifiers, keys->provider->key_count);
    keys->own_verifiers = NULL;
}

int verify_keys_set_remote(struct verify_keys *keys, struct jwks_set *remote)
{
    keys->generation++;
    drop_remote(keys); /* first: it may hold keys that were withdrawn */
    if (remote == NULL) {
        return 0;
    }
    keys->remote_verifiers = new_verifiers(remote->count);
    if (keys->remote_verifiers == NULL) {
        return ERR_NO_MEMORY;
    }
    keys->remote = jwks_set_ref(remote);
    return 0;
}

static struct slice without_application(struct slice type)
{
    const struct slice prefix = SLICE("application/");

    if (type.len > prefix.len && slice_eq_nocase(slice_of(type.ptr, prefix.len), prefix)) {
        return slice_skip(type, prefix.len); /* RFC 7515 section 4.1.9 */
    }
    return type;
}

static bool type_is_accepted(const struct provider *provider, const struct jws_header *header)
{
    static const struct slice defaults[] = { { "at+jwt", 6 }, { "JWT", 3 } };
    const struct option_strings *own = &provider->token_types;
    const struct slice *types = own->count > 0 ? own->items : defaults;
    size_t count = own->count > 0 ? own->count : sizeof(defaults) / sizeof(defaults[0]);

    if (header->typ_is_bad) {
        return false;
    }
    if (slice_is_absent(header->typ)) {
        return own->count == 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (slice_eq_nocase(without_application(header->typ), without_application(types[i]))) {
            return true;
        }
    }
    return false;
}

static enum jwt_reason try_key(struct verify_keys *keys, size_t index, const struct jwa *alg,
                               struct slice input, struct slice sig)
{
    size_t own = keys->provider->key_count;
    struct jwa_verifier **verifier =
        index < own ? &keys->own_verifiers[index * JWA_IDS + alg->id]
                    : &keys->remote_verifiers[(index - own) * JWA_IDS + alg->id];

    if (*verifier == NULL) {
        *verifier = jwa_verifier_new(alg, &key_at(keys, index)->key);
        if (*verifier == NULL) {
            return JWT_NO_MEMORY;
        }
    }
    return jwa_verify(*verifier, input, (const uint8_t *)sig.ptr, sig.len) ? JWT_OK
                                                                           : JWT_SIGNATURE_INVALID;
}

static bool key_allows(const struct jwk *jwk, const struct jwa *alg)
{
    return (jwk->alg == NULL || jwk->alg == alg) && jwa_key_fits(&jwk->key, alg);
}

/* Without kid: the keys of the right type, but not many. */
static enum jwt_reason try_all_keys(struct verify_keys *keys, const struct jwa *alg,
                                    struct slice input, struct slice sig,
                                    const struct jwk **ret_key)
{
    enum jwt_reason reason = JWT_KID_UNKNOWN;
    unsigned tries = 0;

    for (size_t i = 0; i < key_count(keys) && tries < PROVIDER_MAX_TRIES; i++) {
        if (!key_allows(key_at(keys, i), alg)) {
            continue;
        }
        tries++;
        reason = try_key(keys, i, alg, input, sig);
        if (reason != JWT_SIGNATURE_INVALID) {
            *ret_key = key_at(keys, i);
            return reason;
        }
    }
    return reason;
}

/* On JWT_OK *ret_key is the key that verified. */
static enum jwt_reason check_signature(struct verify_keys *keys, const struct jws_header *header,
                                       const struct jwa *alg, struct slice input, struct slice sig,
                                       const struct jwk **ret_key)
{
    enum jwt_reason reason = JWT_KID_UNKNOWN;

    if (slice_is_absent(header->kid)) {
        return try_all_keys(keys, alg, input, sig, ret_key);
    }
    for (size_t i = 0; i < key_count(keys); i++) {
        const struct jwk *jwk = key_at(keys, i);
        if (slice_is_absent(jwk->kid) || !slice_eq(jwk->kid, header->kid)) {
            continue;
        }
        /* A key serves its own type of algorithm only, whatever the token says; another key may have
         * the same kid (RFC 7517 section 4.5). */
        if (key_allows(jwk, alg)) {
            *ret_key = jwk;
            return try_key(keys, i, alg, input, sig);
        }
        reason = JWT_ALG_NOT_ALLOWED;
    }
    return reason;
}

static const struct jwa *accepted_algorithm(const struct provider *provider,
                                            const struct jws_header *header)
{
    const struct jwa *alg = slice_is_absent(header->alg) ? NULL : jwa_find(header->alg);

    return alg != NULL && (provider->algorithms & (1u << alg->id)) != 0 ? alg : NULL;
}

static struct json *parse_claims(struct arena *arena, struct slice text, size_t max_token_bytes)
{
    struct json_limits limits = json_limits_token;

    limits.max_bytes = max_token_bytes > DEFAULT_TOKEN_BYTES ? max_token_bytes : MAX_CLAIMS_BYTES;
    return json_parse(arena, text, &limits, NULL);
}

/* The token is filed under the kid of the key that verified, whether its header names it or not:
 * revoking a key reaches all that it signed. */
static enum jwt_reason check_claims(struct verify_keys *keys, const struct jwk *key,
                                    struct slice text, struct slice payload, int64_t now,
                                    struct arena *arena, struct token **ret)
{
    const struct provider *provider = keys->provider;
    const struct json *claims = parse_claims(arena, payload, provider->max_token_bytes);
    struct claims_times times;

    if (claims == NULL) {
        return JWT_TOKEN_MALFORMED;
    }
    enum jwt_reason reason = claims_check(claims, &provider->policy, now, &times);
    if (reason != JWT_OK) {
        return reason;
    }
    struct token *token = token_new(provider, text, key->kid, claims, &times);
    if (token == NULL) {
        return JWT_NO_MEMORY;
    }
    token->generation = keys->generation;
    *ret = token;
    return JWT_OK;
}

/* Nobody shall make us fetch keys with a token that no key could make good. */
static bool may_be_newer(const struct provider *provider, const struct jws_header *header,
                         struct slice payload, int64_t now, struct arena *arena)
{
    struct claims_times times;
    const struct json *claims;

    if (!provider->has_jwks || slice_is_absent(header->kid)) {
        return false;
    }
    claims = parse_claims(arena, payload, provider->max_token_bytes);
    return claims != NULL && claims_check(claims, &provider->policy, now, &times) == JWT_OK;
}

static enum jwt_reason decode_parts(struct arena *arena, const struct jws *jws,
                                    struct slice *payload, struct slice *sig)
{
    int err = jws_decode(arena, jws->payload, payload);

    if (err == 0) {
        err = jws_decode(arena, jws->signature, sig);
    }
    if (err == 0) {
        return JWT_OK;
    }
    return err == ERR_NO_MEMORY ? JWT_NO_MEMORY : JWT_TOKEN_MALFORMED;
}

enum jwt_reason verify_token(struct verify_keys *keys, struct slice text, int64_t now,
                             struct arena *arena, struct verify_result *ret)
{
    const struct provider *provider = keys->provider;
    struct jws_header header;
    struct slice payload, sig;
    const struct jwk *key = NULL;
    enum jwt_reason reason;
    struct jws jws;

    *ret = (struct verify_result){ 0 };
    if (text.len > provider->max_token_bytes) {
        return JWT_TOKEN_TOO_LARGE;
    }
    if (jws_split(text, &jws) < 0) {
        return JWT_TOKEN_MALFORMED;
    }
    reason = decode_parts(arena, &jws, &payload, &sig);
    if (reason != JWT_OK) {
        return reason;
    }
    reason = jws_read_header(arena, jws.header, &header);
    if (reason != JWT_OK) {
        return reason;
    }
    ret->kid = header.kid;
    const struct jwa *alg = accepted_algorithm(provider, &header);
    if (alg == NULL) {
        return JWT_ALG_NOT_ALLOWED;
    }
    if (!type_is_accepted(provider, &header)) {
        return JWT_TOKEN_TYPE_REJECTED;
    }
    if (header.has_crit) { /* no extension is implemented (RFC 7515 section 4.1.11) */
        return JWT_CRIT_UNSUPPORTED;
    }
    reason = check_signature(keys, &header, alg, jws.signing_input, sig, &key);
    if (reason == JWT_KID_UNKNOWN) {
        ret->may_be_newer = may_be_newer(provider, &header, payload, now, arena);
    }
    if (reason != JWT_OK) {
        return reason;
    }
    return check_claims(keys, key, text, payload, now, arena, &ret->token);
}

enum jwt_reason verify_peek_issuer(struct slice text, struct arena *arena, struct slice *ret)
{
    struct slice payload;
    struct jws jws;

    if (jws_split(text, &jws) < 0) {
        return JWT_TOKEN_MALFORMED;
    }
    int err = jws_decode(arena, jws.payload, &payload);
    if (err < 0) {
        return err == ERR_NO_MEMORY ? JWT_NO_MEMORY : JWT_TOKEN_MALFORMED;
    }
    const struct json *claims = parse_claims(arena, payload, text.len);
    if (!json_is(claims, JSON_OBJECT)) {
        return JWT_TOKEN_MALFORMED;
    }
    const struct json *iss = json_get(claims, SLICE("iss"));
    if (iss == NULL) {
        return JWT_CLAIM_MISSING;
    }
    *ret = json_is(iss, JSON_STRING) ? iss->text : SLICE("");
    return JWT_OK;
}
