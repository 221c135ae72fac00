/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/clients.h"

#include "core/map.h"
#include "plugins/jwt/key_file.h"

#include <openssl/evp.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_SCOPE_BYTES    128
#define MAX_AUDIENCE_BYTES 512
#define MAX_LIST           64
#define MAX_CLAIMS         32u
#define MAX_CLAIMS_BYTES   2048u
#define DIGEST_BYTES       32u

struct clients {
    struct option_list list; /* of struct client */
    struct map by_id;
    uint8_t digest[DIGEST_BYTES]; /* of the file's text */
};

/* ---- the table ---- */

static void read_secret(const struct option_context *ctx, const struct json *value,
                        const char *path, void *field)
{
    const char *why = "it is not a string";

    if (!json_is(value, JSON_STRING) || client_secret_read(value->text, field, &why) < 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "make it with: jwtgate client add",
                "not the hash of a secret: %s", why);
    }
}

/* scope-token of RFC 6749 section 3.3. */
static bool is_scope(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c <= ' ' || c > '~' || c == '"' || c == '\\') {
            return false;
        }
    }
    return text.len > 0 && text.len <= MAX_SCOPE_BYTES;
}

static bool is_audience(struct slice text)
{
    return text.len > 0 && text.len <= MAX_AUDIENCE_BYTES;
}

static void check_all(const struct option_context *ctx, const struct json *list, const char *path,
                      bool (*is_good)(struct slice), const char *what)
{
    for (const struct json *item = list->child; item != NULL; item = item->next) {
        if (!is_good(item->text)) {
            diag_at(ctx->diag, DIAG_ERROR, item, path, NULL, "not %s", what);
        }
    }
}

static void check_scopes(const struct option_context *ctx, const struct json *value,
                         const char *path, void *field)
{
    check_all(ctx, value, path, is_scope, "a scope of up to 128 printable characters");
}

static void check_audiences(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field)
{
    check_all(ctx, value, path, is_audience, "an audience of up to 512 bytes");
}

/* What the gateway says itself about each token, and what would change what the token is. */
static bool is_reserved(struct slice name)
{
    static const char *const names[] = { "iss", "sub",       "aud",   "exp", "nbf", "iat",
                                         "jti", "client_id", "scope", "cnf", "act" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq(name, slice_str(names[i]))) {
            return true;
        }
    }
    return false;
}

/* How much text there is in a value. */
static size_t text_bytes(const struct json *value)
{
    size_t sum = value->key.len + value->text.len + 4;

    for (const struct json *child = value->child; child != NULL; child = child->next) {
        sum += text_bytes(child);
    }
    return sum;
}

static void read_claims(const struct option_context *ctx, const struct json *value,
                        const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_OBJECT, path, "write { \"tenant\": \"acme\" }")) {
        return;
    }
    for (const struct json *claim = value->child; claim != NULL; claim = claim->next) {
        if (is_reserved(claim->key)) {
            diag_at_key(ctx->diag, DIAG_ERROR, claim, path, "remove it",
                        "the claim \"%.*s\" is the gateway's own", SLICE_FMT(claim->key));
        }
    }
    if (value->count > MAX_CLAIMS || text_bytes(value) > MAX_CLAIMS_BYTES) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "more than %u claims or %u bytes",
                MAX_CLAIMS, MAX_CLAIMS_BYTES);
    }
    memcpy(field, &value, sizeof(value));
}

#define AT(field) offsetof(struct client, field)
static const struct option client_options[] = {
    { .name = "secret_hash",
      .type = OPT_CUSTOM,
      .offset = AT(secret),
      .required = true,
      .parse = read_secret,
      .help = "What is kept of the secret, as `jwtgate client add` makes it.",
      .schema = "{\"type\":\"string\",\"pattern\":\"^(sha256|scrypt:[1-9][0-9]{4,6}:[1-9][0-9]{0,6}"
                ":[1-9][0-9]{0,6}):[A-Za-z0-9_-]{21}[AQgw]:"
                "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$\"}" },
    { .name = "scopes",
      .type = OPT_STRINGS,
      .offset = AT(scopes),
      .def = "[]",
      .max = MAX_LIST,
      .parse = check_scopes,
      .schema = "{\"type\":\"string\",\"pattern\":\"^[!#-\\\\[\\\\]-~]{1,128}$\"}",
      .help = "Scopes that the client may ask for." },
    { .name = "audiences",
      .type = OPT_STRINGS,
      .offset = AT(audiences),
      .def = "[]",
      .max = MAX_LIST,
      .parse = check_audiences,
      .schema = "{\"type\":\"string\",\"minLength\":1,\"maxLength\":512}",
      .help = "Audiences that the client's tokens may have." },
    { .name = "claims",
      .type = OPT_CUSTOM,
      .offset = AT(claims),
      .parse = read_claims,
      .help = "Claims that its tokens carry, too.",
      .schema = "{\"type\":\"object\",\"maxProperties\":32,\"propertyNames\":{\"not\":{\"enum\":["
                "\"iss\",\"sub\",\"aud\",\"exp\",\"nbf\",\"iat\",\"jti\",\"client_id\","
                "\"scope\",\"cnf\",\"act\"]}}}" },
    { .name = NULL },
};

static void keep_nothing(const struct option_context *ctx, const struct json *value,
                         const char *path, void *field)
{
    (void)options_expect(ctx, value, JSON_STRING, path, "write \"./clients.schema.json\"");
}

const struct option clients_options[] = {
    { .name = "$schema",
      .type = OPT_CUSTOM,
      .parse = keep_nothing,
      .help = "For editors.",
      .schema = "{\"type\":\"string\"}" },
    { .name = "clients",
      .type = OPT_MAP,
      .offset = offsetof(struct clients, list),
      .required = true,
      .def = "{}",
      .max = CLIENTS_MAX,
      .sub = client_options,
      .sub_size = sizeof(struct client),
      .has_element = true,
      .help = "By client_id." },
    { .name = NULL },
};

/* ---- reading ---- */

/* The file's text, for as long as messages may quote it. */
static int read_text(const char *file, const struct option_context *ctx, const struct json *where,
                     const char *path, struct slice *ret)
{
    const struct key_place at = { .ctx = ctx, .where = where, .path = path };
    struct key_bytes bytes;

    if (access(file, F_OK) != 0 && errno == ENOENT) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, "make it with: jwtgate client add",
                "%s does not exist", file);
        return ERR_CONFIG;
    }
    int err = key_read_file(&at, file, true, &bytes);

    if (err < 0) {
        return err;
    }
    *ret = arena_copy(&ctx->diag->arena, slice_of(bytes.ptr, bytes.len));
    key_bytes_done(&bytes);
    return slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
}

/* Its tree, in the snapshot's arena; NULL: reported. */
static struct json *parse_text(const char *file, const struct option_context *ctx,
                               const struct json *where, const char *path, struct slice text)
{
    struct json_limits limits = json_limits_config;
    struct json_error error = { .line = 0 };
    int number = diag_add_file(ctx->diag, file, text);

    if (number < 0) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, NULL, "%s cannot be read: %s", file,
                err_text(number));
        return NULL;
    }
    limits.file = (uint16_t)number;
    struct json *root = json_parse(ctx->arena, text, &limits, &error);

    if (root == NULL) {
        diag_syntax(ctx->diag, number, &error);
    }
    return root != NULL && options_expect(ctx, root, JSON_OBJECT, "", NULL) ? root : NULL;
}

static int index_by_id(struct clients *clients)
{
    struct client *list = clients->list.items;

    for (size_t i = 0; i < clients->list.count; i++) {
        int err = map_set(&clients->by_id, list[i].element.name, &list[i]);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static int fill(struct clients *clients, const char *file, struct slice text,
                const struct option_context *ctx, const struct json *where, const char *path)
{
    unsigned errors = ctx->diag->errors;

    if (EVP_Digest(text.ptr, text.len, clients->digest, NULL, EVP_sha256(), NULL) != 1) {
        return ERR_CRYPTO;
    }
    const struct json *root = parse_text(file, ctx, where, path, text);

    if (root == NULL) {
        return ERR_CONFIG;
    }
    options_read(ctx, clients_options, root, "", NULL, clients);
    return ctx->diag->errors != errors ? ERR_CONFIG : index_by_id(clients);
}

static int parse(const char *file, struct slice text, const struct option_context *ctx,
                 const struct json *where, const char *path, struct clients **ret)
{
    struct clients *clients = calloc(1, sizeof(*clients));
    int err = clients == NULL ? ERR_NO_MEMORY : fill(clients, file, text, ctx, where, path);

    if (err < 0) {
        clients_free(clients);
        return err;
    }
    *ret = clients;
    return 0;
}

int clients_parse(const char *file, struct slice text, const struct option_context *ctx,
                  struct clients **ret)
{
    return parse(file, text, ctx, NULL, NULL, ret);
}

int clients_read(const char *file, const struct option_context *ctx, const struct json *where,
                 const char *path, struct clients **ret)
{
    struct slice text;
    int err = read_text(file, ctx, where, path, &text);

    return err < 0 ? err : parse(file, text, ctx, where, path, ret);
}

void clients_free(struct clients *clients)
{
    if (clients == NULL) {
        return;
    }
    map_done(&clients->by_id);
    free(clients);
}

/* ---- asking ---- */

bool clients_are_same(const struct clients *a, const struct clients *b)
{
    return memcmp(a->digest, b->digest, sizeof(a->digest)) == 0;
}

const struct client *clients_find(const struct clients *clients, struct slice id)
{
    return map_get(&clients->by_id, id);
}

const struct client *clients_list(const struct clients *clients, size_t *ret_count)
{
    *ret_count = clients->list.count;
    return clients->list.items;
}

void clients_stand_in(const struct clients *clients, struct slice id, struct client_secret *ret)
{
    const struct client *list = clients->list.items;
    uint64_t hash = map_hash(id);

    *ret = (struct client_secret){ .kind = CLIENT_SECRET_SHA256 };
    if (clients->list.count > 0) {
        *ret = list[hash % clients->list.count].secret;
    }
    memcpy(ret->salt, &hash, sizeof(hash));
    memset(ret->hash, 0, sizeof(ret->hash));
}
