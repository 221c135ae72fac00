/* SPDX-License-Identifier: Apache-2.0 */
/* The list `keys` of a provider. */
#include "plugins/issuer/issuer.h"
#include "plugins/jwt/key_file.h"
#include "plugins/jwt/provider.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>

enum encoding { ENCODING_TEXT, ENCODING_BASE64URL };

struct secret_spec {
    struct slice env;
    const char *file;
    int encoding;
};

struct key_spec {
    struct slice kid;
    struct secret_spec secret;
    const char *public_key_file;
    const char *jwks_file;
    bool token_issuer;
};

/* One entry of the list. */
struct key_entry {
    struct key_place place;
    struct provider *provider;
};

static const char *const encodings[] = { "text", "base64url", NULL };

static const struct option secret_options[] = {
    { .name = "env",
      .type = OPT_STRING,
      .offset = offsetof(struct secret_spec, env),
      .help = "Name of the environment variable with the secret." },
    { .name = "file",
      .type = OPT_PATH,
      .offset = offsetof(struct secret_spec, file),
      .help = "File with the secret; a newline at its end is dropped." },
    { .name = "encoding",
      .type = OPT_ENUM,
      .offset = offsetof(struct secret_spec, encoding),
      .def = "\"text\"",
      .choices = encodings,
      .help = "text: the bytes themselves; base64url: decoded." },
    { .name = NULL },
};

static const struct option key_options[] = {
    { .name = "kid",
      .type = OPT_STRING,
      .offset = offsetof(struct key_spec, kid),
      .help = "The key's name in tokens." },
    { .name = "secret",
      .type = OPT_OBJECT,
      .offset = offsetof(struct key_spec, secret),
      .sub = secret_options,
      .help = "A shared secret of at least 32 bytes, for HS256 to HS512." },
    { .name = "public_key_file",
      .type = OPT_PATH,
      .offset = offsetof(struct key_spec, public_key_file),
      .help = "A public key in PEM." },
    { .name = "jwks_file",
      .type = OPT_PATH,
      .offset = offsetof(struct key_spec, jwks_file),
      .help = "A JWK or a set of JWKs." },
    { .name = "token_issuer",
      .type = OPT_BOOL,
      .offset = offsetof(struct key_spec, token_issuer),
      .help = "The keys that this gateway signs with." },
    { .name = NULL },
};

/* ---- keys ---- */

static bool algorithms_fit(const struct provider *provider, const struct jwk *jwk)
{
    for (unsigned i = 0; i < JWA_IDS; i++) {
        const struct jwa *alg = jwa_by_id((enum jwa_id)i);
        if ((provider->algorithms & (1u << i)) != 0 && jwa_key_fits(&jwk->key, alg) &&
            (jwk->alg == NULL || jwk->alg == alg)) {
            return true;
        }
    }
    return false;
}

/* Takes over jwk->key. */
static void add_key(const struct key_entry *at, struct jwk *jwk)
{
    struct provider *provider = at->provider;
    const char *fault = NULL;

    jwk->kid = arena_copy(&provider->memory, jwk->kid);
    for (size_t i = 0; i < provider->key_count && !slice_is_absent(jwk->kid); i++) {
        if (slice_eq(provider->keys[i].kid, jwk->kid)) {
            diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path,
                    "give each key its own kid", "the kid \"%.*s\" is there twice",
                    SLICE_FMT(jwk->kid));
            jwa_key_done(&jwk->key);
            return;
        }
    }
    if (provider->key_count == provider->key_room) {
        fault = "there are more than 64 keys";
    } else if (!algorithms_fit(provider, jwk)) {
        fault = "no algorithm of the provider fits this key's type and size";
    }
    if (fault != NULL) {
        key_fail(&at->place, NULL, fault);
        jwa_key_done(&jwk->key);
        return;
    }
    provider->keys[provider->key_count++] = *jwk;
}

static void add_secret(const struct key_entry *at, const struct key_spec *spec)
{
    struct key_bytes bytes = { 0 };
    struct jwk jwk = { .kid = spec->kid };

    if (slice_is_absent(spec->secret.env) == (spec->secret.file == NULL)) {
        key_fail(&at->place, "write \"secret\": { \"env\": \"NAME\" } or { \"file\": \"path\" }",
                 "the secret has neither or both of \"env\" and \"file\"");
        return;
    }
    int err = spec->secret.file == NULL
                  ? key_read_env(&at->place, spec->secret.env, &bytes)
                  : key_read_file(&at->place, spec->secret.file, true, &bytes);
    if (err < 0) {
        return;
    }
    key_drop_newline(&bytes);
    if (spec->secret.encoding == ENCODING_BASE64URL && key_decode(&bytes) < 0) {
        key_fail(&at->place, "leave out \"encoding\" for a secret that is plain text",
                 "the secret is not base64url without padding");
        key_bytes_done(&bytes);
        return;
    }
    err = jwa_key_from_secret((const uint8_t *)bytes.ptr, bytes.len, &jwk.key);
    if (err < 0) {
        diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path,
                "make one with: openssl rand -hex 32",
                "the secret has %zu bytes and needs 32 or more", bytes.len);
    } else {
        add_key(at, &jwk);
    }
    key_bytes_done(&bytes);
}

static void add_pem(const struct key_entry *at, const struct key_spec *spec)
{
    struct key_bytes bytes = { 0 };
    struct jwk jwk = { .kid = spec->kid };
    const char *why = NULL;

    if (key_read_file(&at->place, spec->public_key_file, false, &bytes) < 0) {
        return;
    }
    if (jwk_read_pem(slice_of(bytes.ptr, bytes.len), &jwk.key, &why) < 0) {
        diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path,
                "make one with: openssl pkey -in private.pem -pubout", "%s: %s",
                spec->public_key_file, why);
    } else {
        add_key(at, &jwk);
    }
    key_bytes_done(&bytes);
}

static void skip_key(void *arg, struct slice kid, const char *why)
{
    const struct key_entry *at = arg;

    diag_at(at->place.ctx->diag, DIAG_WARNING, at->place.where, at->place.path, NULL,
            "the key \"%.*s\" of the set is skipped: %s", (int)kid.len,
            slice_is_absent(kid) ? "" : kid.ptr, why);
}

static void add_set(const struct key_entry *at, const struct key_spec *spec, struct slice text)
{
    struct jwk keys[JWK_MAX_KEYS];
    struct json_error error;
    struct arena arena;
    size_t count = 0;
    int err = ERR_BAD_INPUT;

    arena_init(&arena, NULL, 0, 8u * JWK_MAX_BYTES);
    const struct json *root = json_parse(&arena, text, &jwk_limits, &error);
    if (root == NULL) {
        diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path, NULL,
                "%s:%u:%u: %s", spec->jwks_file, error.line, error.column, error.text);
    } else {
        err = jwk_read_set(root, at->provider->is_symmetric, keys, JWK_MAX_KEYS, &count, skip_key,
                           (void *)(uintptr_t)at);
        if (err < 0) {
            diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path, NULL,
                    "%s is neither a JWK nor a set of JWKs", spec->jwks_file);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (algorithms_fit(at->provider, &keys[i])) {
            add_key(at, &keys[i]);
            continue;
        }
        skip_key((void *)(uintptr_t)at, keys[i].kid, "no algorithm of the provider fits it");
        jwa_key_done(&keys[i].key);
    }
    if (err == 0 && at->provider->key_count == 0) {
        diag_at(at->place.ctx->diag, DIAG_ERROR, at->place.where, at->place.path, NULL,
                "%s has no usable key", spec->jwks_file);
    }
    arena_done(&arena);
}

static void add_jwks(const struct key_entry *at, const struct key_spec *spec)
{
    struct key_bytes bytes = { 0 };

    if (!slice_is_absent(spec->kid)) {
        key_fail(&at->place, "remove \"kid\"", "the kid of a jwks_file comes from the file");
        return;
    }
    if (key_read_file(&at->place, spec->jwks_file, at->provider->is_symmetric, &bytes) == 0) {
        add_set(at, spec, slice_of(bytes.ptr, bytes.len));
    }
    key_bytes_done(&bytes);
}

/* What this gateway has issued, it verifies without asking itself for the keys. */
static void add_own(const struct key_entry *at, const struct key_spec *spec)
{
    const struct issuer *issuer = issuer_of(at->place.ctx);

    if (!slice_is_absent(spec->kid)) {
        key_fail(&at->place, "remove \"kid\"", "the issuer's keys have their own kids");
        return;
    }
    if (issuer == NULL || issuer->keys == NULL) {
        key_fail(&at->place, "add \"token_issuer\" to the configuration",
                 "this gateway issues no tokens");
        return;
    }
    if (!slice_eq(issuer->issuer, at->provider->issuer)) {
        key_fail(&at->place, "write the same \"issuer\" in both",
                 "\"issuer\" is not the one of token_issuer");
        return;
    }
    at->provider->has_own_keys = true;
    for (size_t i = 0; i < issuer->keys->count; i++) {
        const struct signing_key *one = &issuer->keys->keys[i];
        struct jwk jwk = { .kid = slice_str(one->kid), .alg = one->alg };

        if (jwa_key_copy(&one->key, &jwk.key) < 0) {
            key_fail(&at->place, NULL, "out of memory");
            return;
        }
        add_key(at, &jwk);
    }
}

static void read_key(const struct key_entry *at)
{
    static const char remedy[] = "write one of {\"kid\", \"secret\"}, {\"kid\", "
                                 "\"public_key_file\"}, {\"jwks_file\"}, "
                                 "{\"token_issuer\": true}";
    struct key_spec spec = { 0 };
    unsigned before = at->place.ctx->diag->errors;

    if (!json_is(at->place.where, JSON_OBJECT)) {
        key_fail(&at->place, remedy, "a key is an object");
        return;
    }
    options_read(at->place.ctx, key_options, at->place.where, at->place.path, NULL, &spec);
    if (at->place.ctx->diag->errors != before) {
        return;
    }
    bool has_secret = json_get(at->place.where, SLICE("secret")) != NULL;
    if (has_secret + (spec.public_key_file != NULL) + (spec.jwks_file != NULL) +
            spec.token_issuer !=
        1) {
        key_fail(&at->place, remedy,
                 "the key has none or several of secret, public_key_file, jwks_file, "
                 "token_issuer");
        return;
    }
    if (spec.token_issuer) {
        add_own(at, &spec);
        return;
    }
    if (spec.jwks_file != NULL) {
        add_jwks(at, &spec);
        return;
    }
    if (spec.kid.len == 0 || spec.kid.len > JWS_MAX_KID_BYTES) {
        key_fail(&at->place, "name the key as its tokens do",
                 "\"kid\" is missing or over 128 bytes");
        return;
    }
    if (has_secret != at->provider->is_symmetric) {
        key_fail(&at->place, NULL,
                 has_secret ? "a secret is for HS256, HS384, HS512 only"
                            : "a public key does not go with HS256, HS384, HS512");
        return;
    }
    if (has_secret) {
        add_secret(at, &spec);
    } else {
        add_pem(at, &spec);
    }
}

void provider_read_keys(struct provider *provider, const struct option_context *ctx)
{
    const struct json *list = provider->keys_json;
    struct key_place all = { .ctx = ctx,
                             .where = list,
                             .path = provider_path(provider, ctx, "keys") };
    unsigned i = 0;

    if (!json_is(list, JSON_ARRAY) || list->count == 0) {
        key_fail(&all, NULL, "\"keys\" is a list of one key or more");
        return;
    }
    provider->keys = calloc(JWK_MAX_KEYS, sizeof(*provider->keys));
    provider->key_room = provider->keys == NULL ? 0 : JWK_MAX_KEYS;
    for (const struct json *item = list->child; item != NULL; item = item->next) {
        struct key_entry one = { .place = { .ctx = ctx, .where = item }, .provider = provider };

        one.place.path = arena_printf(ctx->arena, "%s[%u]", all.path, i++);
        one.place.path = one.place.path == NULL ? all.path : one.place.path;
        read_key(&one);
    }
}

/* ---- comparing ---- */

static bool same_key(const struct jwk *a, const struct jwk *b)
{
    if (!slice_eq(a->kid, b->kid) || a->alg != b->alg || a->key.type != b->key.type ||
        a->key.secret_len != b->key.secret_len) {
        return false;
    }
    if (a->key.secret_len > 0) {
        return CRYPTO_memcmp(a->key.secret, b->key.secret, a->key.secret_len) == 0;
    }
    bool is_same =
        a->key.pkey != NULL && b->key.pkey != NULL && EVP_PKEY_eq(a->key.pkey, b->key.pkey) == 1;

    ERR_clear_error(); /* keys of different types leave something there */
    return is_same;
}

bool provider_has_same_keys(const struct provider *a, const struct provider *b)
{
    if (a->key_count != b->key_count) {
        return false;
    }
    for (size_t i = 0; i < a->key_count; i++) {
        if (!same_key(&a->keys[i], &b->keys[i])) {
            return false;
        }
    }
    return true;
}
