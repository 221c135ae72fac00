/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/provider.h"

#include "core/base64url.h"
#include "core/headers.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE_BYTES JWK_MAX_BYTES

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
};

struct token_spec {
    struct slice header, scheme, cookie, query;
};

/* What the reading of one entry of `keys` needs. */
struct key_place {
    struct provider *provider;
    const struct option_context *ctx;
    const struct json *where;
    const char *path;
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

#define P(field) offsetof(struct provider, field)
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
      .help = "Keys: {kid, secret}, {kid, public_key_file} or {jwks_file}.",
      .schema = "{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"object\","
                "\"additionalProperties\":false,"
                "\"properties\":{\"kid\":{\"type\":\"string\",\"minLength\":1,"
                "\"maxLength\":128},\"secret\":{\"type\":\"object\","
                "\"additionalProperties\":false,"
                "\"properties\":{\"env\":{\"type\":\"string\"},"
                "\"file\":{\"type\":\"string\"},\"encoding\":{\"enum\":[\"text\","
                "\"base64url\"]}},\"oneOf\":[{\"required\":[\"env\"]},"
                "{\"required\":[\"file\"]}]},\"public_key_file\":{\"type\":\"string\"},"
                "\"jwks_file\":{\"type\":\"string\"}},\"oneOf\":[{\"required\":[\"kid\","
                "\"secret\"]},{\"required\":[\"kid\",\"public_key_file\"]},"
                "{\"required\":[\"jwks_file\"]}]}}" },
    { .name = "jwks",
      .type = OPT_OBJECT,
      .offset = P(jwks),
      .sub = jwks_option_table,
      .help = "Keys that the issuer publishes: {uri}, or {discovery: true}." },
    { .name = "token",
      .type = OPT_CUSTOM,
      .offset = P(token_json),
      .parse = keep_json,
      .help = "Where the token is: {header, scheme}, {cookie} or {query}; "
              "by default Authorization: Bearer.",
      .schema = "{\"type\":\"object\",\"additionalProperties\":false,"
                "\"properties\":{\"header\":{\"type\":\"string\"},"
                "\"scheme\":{\"type\":\"string\"},\"cookie\":{\"type\":\"string\"},"
                "\"query\":{\"type\":\"string\"}},\"oneOf\":[{\"required\":[\"header\"]},"
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
      .max = 300000,
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
      .help = "Accept tokens with the claim cnf as plain bearer tokens." },
    { .name = "max_token_bytes",
      .type = OPT_SIZE,
      .offset = P(max_token_bytes),
      .def = "\"8KiB\"",
      .min = 256,
      .max = 16384,
      .help = "Longer tokens are refused." },
    { .name = NULL },
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

static const char *sub_path(const struct option_context *ctx, const struct provider *provider,
                            const char *name)
{
    const char *path =
        arena_printf(ctx->arena, "providers.%.*s.%s", SLICE_FMT(provider->element.name), name);
    return path == NULL ? name : path;
}

static void fail(const struct key_place *at, const char *remedy, const char *what)
{
    diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, remedy, "%s", what);
}

/* ---- files and secrets ---- */

struct bytes {
    char *ptr; /* OPENSSL_malloc'ed */
    size_t len;
};

static void bytes_done(struct bytes *bytes)
{
    OPENSSL_clear_free(bytes->ptr, bytes->len);
    *bytes = (struct bytes){ 0 };
}

/* Others may not read a secret, unless root owns it and a group may (interface.md's rule). */
static bool mode_is_private(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777;

    return (mode & 077) == 0 || (st->st_uid == 0 && (mode & ~(mode_t)0640) == 0);
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int read_open_file(int fd, bool is_secret, const struct key_place *at, const char *file,
                          struct bytes *ret)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > (off_t)MAX_FILE_BYTES) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL,
                "%s is not a file of at most 256 KiB", file);
        return ERR_CONFIG;
    }
    if (is_secret && !mode_is_private(&st)) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "chmod 600 it",
                "the secret file %s can be read by others (mode %04o)", file,
                (unsigned)(st.st_mode & 0777));
        return ERR_CONFIG;
    }
    size_t size = (size_t)st.st_size;
    char *buf = OPENSSL_malloc(size + 1);
    if (buf == NULL) {
        fail(at, NULL, "out of memory");
        return ERR_NO_MEMORY;
    }
    ssize_t len = read_all(fd, buf, size);
    if (len < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot read %s: %s", file,
                strerror(errno));
        OPENSSL_clear_free(buf, size + 1);
        return ERR_CONFIG;
    }
    *ret = (struct bytes){ .ptr = buf, .len = (size_t)len };
    return 0;
}

static int read_file(const struct key_place *at, const char *file, bool is_secret,
                     struct bytes *ret)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "cannot open %s: %s", file,
                strerror(errno));
        return ERR_CONFIG;
    }
    int err = read_open_file(fd, is_secret, at, file, ret);
    close(fd);
    return err;
}

static int read_env(const struct key_place *at, struct slice name, struct bytes *ret)
{
    char *name_z = arena_strdup(at->ctx->arena, name);
    const char *value = name_z == NULL ? NULL : getenv(name_z);

    if (value == NULL || value[0] == '\0') {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "set it before the start",
                "the environment variable %.*s is not set", SLICE_FMT(name));
        return ERR_CONFIG;
    }
    ret->len = strlen(value);
    ret->ptr = OPENSSL_memdup(value, ret->len);
    return ret->ptr == NULL ? ERR_NO_MEMORY : 0;
}

static void drop_newline(struct bytes *bytes)
{
    if (bytes->len > 0 && bytes->ptr[bytes->len - 1] == '\n') {
        bytes->len--;
        if (bytes->len > 0 && bytes->ptr[bytes->len - 1] == '\r') {
            bytes->len--;
        }
    }
}

static int decode_secret(struct bytes *bytes)
{
    size_t len = 0;
    uint8_t *out = OPENSSL_malloc(BASE64URL_DECODED_BYTES(bytes->len));

    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    int err = base64url_decode(slice_of(bytes->ptr, bytes->len), out, &len);
    if (err < 0) {
        OPENSSL_clear_free(out, BASE64URL_DECODED_BYTES(bytes->len));
        return err;
    }
    bytes_done(bytes);
    *bytes = (struct bytes){ .ptr = (char *)out, .len = len };
    return 0;
}

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
static void add_key(const struct key_place *at, struct jwk *jwk)
{
    struct provider *provider = at->provider;
    const char *fault = NULL;

    jwk->kid = arena_copy(at->ctx->arena, jwk->kid);
    for (size_t i = 0; i < provider->key_count && !slice_is_absent(jwk->kid); i++) {
        if (slice_eq(provider->keys[i].kid, jwk->kid)) {
            diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, "give each key its own kid",
                    "the kid \"%.*s\" is there twice", SLICE_FMT(jwk->kid));
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
        fail(at, NULL, fault);
        jwa_key_done(&jwk->key);
        return;
    }
    provider->keys[provider->key_count++] = *jwk;
}

static void add_secret(const struct key_place *at, const struct key_spec *spec)
{
    struct bytes bytes = { 0 };
    struct jwk jwk = { .kid = spec->kid };

    if (slice_is_absent(spec->secret.env) == (spec->secret.file == NULL)) {
        fail(at, "write \"secret\": { \"env\": \"NAME\" } or { \"file\": \"path\" }",
             "the secret has neither or both of \"env\" and \"file\"");
        return;
    }
    int err = spec->secret.file == NULL ? read_env(at, spec->secret.env, &bytes)
                                        : read_file(at, spec->secret.file, true, &bytes);
    if (err < 0) {
        return;
    }
    drop_newline(&bytes);
    if (spec->secret.encoding == ENCODING_BASE64URL && decode_secret(&bytes) < 0) {
        fail(at, "leave out \"encoding\" for a secret that is plain text",
             "the secret is not base64url without padding");
        bytes_done(&bytes);
        return;
    }
    err = jwa_key_from_secret((const uint8_t *)bytes.ptr, bytes.len, &jwk.key);
    if (err < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path,
                "make one with: openssl rand -hex 32",
                "the secret has %zu bytes and needs 32 or more", bytes.len);
    } else {
        add_key(at, &jwk);
    }
    bytes_done(&bytes);
}

static void add_pem(const struct key_place *at, const struct key_spec *spec)
{
    struct bytes bytes = { 0 };
    struct jwk jwk = { .kid = spec->kid };
    const char *why = NULL;

    if (read_file(at, spec->public_key_file, false, &bytes) < 0) {
        return;
    }
    if (jwk_read_pem(slice_of(bytes.ptr, bytes.len), &jwk.key, &why) < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path,
                "make one with: openssl pkey -in private.pem -pubout", "%s: %s",
                spec->public_key_file, why);
    } else {
        add_key(at, &jwk);
    }
    bytes_done(&bytes);
}

static void skip_key(void *arg, struct slice kid, const char *why)
{
    const struct key_place *at = arg;

    diag_at(at->ctx->diag, DIAG_WARNING, at->where, at->path, NULL,
            "the key \"%.*s\" of the set is skipped: %s", (int)kid.len,
            slice_is_absent(kid) ? "" : kid.ptr, why);
}

static void add_set(const struct key_place *at, const struct key_spec *spec, struct slice text)
{
    struct jwk keys[JWK_MAX_KEYS];
    struct json_error error;
    struct arena arena;
    size_t count = 0;
    int err = ERR_BAD_INPUT;

    arena_init(&arena, NULL, 0, 8u * JWK_MAX_BYTES);
    const struct json *root = json_parse(&arena, text, &jwk_limits, &error);
    if (root == NULL) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "%s:%u:%u: %s",
                spec->jwks_file, error.line, error.column, error.text);
    } else {
        err = jwk_read_set(root, at->provider->is_symmetric, keys, JWK_MAX_KEYS, &count, skip_key,
                           (void *)(uintptr_t)at);
        if (err < 0) {
            diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL,
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
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL, "%s has no usable key",
                spec->jwks_file);
    }
    arena_done(&arena);
}

static void add_jwks(const struct key_place *at, const struct key_spec *spec)
{
    struct bytes bytes = { 0 };

    if (!slice_is_absent(spec->kid)) {
        fail(at, "remove \"kid\"", "the kid of a jwks_file comes from the file");
        return;
    }
    if (read_file(at, spec->jwks_file, at->provider->is_symmetric, &bytes) == 0) {
        add_set(at, spec, slice_of(bytes.ptr, bytes.len));
    }
    bytes_done(&bytes);
}

static void read_key(const struct key_place *at)
{
    static const char remedy[] =
        "write one of {\"kid\", \"secret\"}, {\"kid\", \"public_key_file\"}, {\"jwks_file\"}";
    struct key_spec spec = { 0 };
    unsigned before = at->ctx->diag->errors;

    if (!json_is(at->where, JSON_OBJECT)) {
        fail(at, remedy, "a key is an object");
        return;
    }
    options_read(at->ctx, key_options, at->where, at->path, NULL, &spec);
    if (at->ctx->diag->errors != before) {
        return;
    }
    bool has_secret = json_get(at->where, SLICE("secret")) != NULL;
    if (has_secret + (spec.public_key_file != NULL) + (spec.jwks_file != NULL) != 1) {
        fail(at, remedy, "the key has none or several of secret, public_key_file, jwks_file");
        return;
    }
    if (spec.jwks_file != NULL) {
        add_jwks(at, &spec);
        return;
    }
    if (spec.kid.len == 0 || spec.kid.len > JWS_MAX_KID_BYTES) {
        fail(at, "name the key as its tokens do", "\"kid\" is missing or over 128 bytes");
        return;
    }
    if (has_secret != at->provider->is_symmetric) {
        fail(at, NULL,
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

static void read_keys(struct provider *provider, const struct option_context *ctx)
{
    struct key_place at = { .provider = provider, .ctx = ctx, .where = provider->keys_json };
    unsigned i = 0;

    at.path = sub_path(ctx, provider, "keys");
    if (!json_is(at.where, JSON_ARRAY) || at.where->count == 0) {
        fail(&at, NULL, "\"keys\" is a list of one key or more");
        return;
    }
    provider->keys = calloc(JWK_MAX_KEYS, sizeof(*provider->keys));
    provider->key_room = provider->keys == NULL ? 0 : JWK_MAX_KEYS;
    for (const struct json *item = at.where->child; item != NULL; item = item->next) {
        struct key_place one = { .provider = provider, .ctx = ctx, .where = item };
        one.path = arena_printf(ctx->arena, "%s[%u]", at.path, i++);
        one.path = one.path == NULL ? at.path : one.path;
        read_key(&one);
    }
}

/* ---- the other members ---- */

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
        items = arena_calloc(ctx->arena, value->count, sizeof(*items));
        for (const struct json *item = value->child; items != NULL && item != NULL;
             item = item->next) {
            if (item->type == JSON_STRING && item->text.len > 0) {
                items[count++] = arena_copy(ctx->arena, item->text);
            }
        }
    }
    if (items == NULL || count != value->count) {
        diag_at(ctx->diag, DIAG_ERROR, value, sub_path(ctx, provider, "audiences"),
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
    diag_at(ctx->diag, DIAG_ERROR, item, sub_path(ctx, provider, "algorithms"),
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
        diag_at(ctx->diag, DIAG_ERROR, value, sub_path(ctx, provider, "algorithms"),
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
        diag_at(ctx->diag, DIAG_ERROR, value, sub_path(ctx, provider, "algorithms"),
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
    const char *path = sub_path(ctx, provider, "token");
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
        source->name = is_cookie ? spec.cookie : spec.query;
        source->scheme = SLICE("");
        return;
    }
    source->name = lower_copy(ctx->arena, spec.header);
    if (!header_name_is_valid(source->name)) {
        diag_at(ctx->diag, DIAG_ERROR, provider->token_json, path, NULL,
                "\"%.*s\" is not a header name", SLICE_FMT(spec.header));
    }
    if (!slice_is_absent(spec.scheme)) {
        source->scheme = spec.scheme;
    } else if (!slice_eq(source->name, SLICE("authorization"))) {
        source->scheme = SLICE("");
    }
}

/* The options were read if the defaults are there. */
static void check_jwks(struct provider *provider, const struct option_context *ctx)
{
    const struct jwks_options *jwks = &provider->jwks;
    const struct json *where = provider->element.where;
    const char *path = sub_path(ctx, provider, "jwks");

    provider->has_jwks = jwks->timeout_ms != 0;
    if (!provider->has_jwks) {
        if (provider->keys_json == NULL) {
            diag_at(ctx->diag, DIAG_ERROR, where, sub_path(ctx, provider, "keys"),
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
    const char *url = arena_strdup(ctx->arena, jwks->discovery ? provider->issuer : jwks->uri);
    if (url != NULL && !fetch_url_is_valid(url, jwks->allow_http)) {
        diag_at(ctx->diag, DIAG_ERROR, where, path,
                "plain http needs \"allow_http\": true, and is for tests", "%s is no https address",
                url);
    }
}

int provider_init(struct provider *provider, const struct option_context *ctx)
{
    unsigned before = ctx->diag->errors;

    if (provider->audiences_json == NULL || provider->algorithms_json == NULL) {
        return ERR_CONFIG; /* reported as missing */
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
        read_keys(provider, ctx);
    }
    /* The JSON text does not outlive the reading. */
    provider->audiences_json = provider->algorithms_json = NULL;
    provider->keys_json = provider->token_json = NULL;
    return ctx->diag->errors == before ? 0 : ERR_CONFIG;
}

void provider_done(struct provider *provider)
{
    for (size_t i = 0; i < provider->key_count; i++) {
        jwa_key_done(&provider->keys[i].key);
    }
    free(provider->keys);
    provider->keys = NULL;
    provider->key_count = 0;
}

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
