/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of `jwtgate demo`: keys, a client, a configuration, tokens of an hour. */
#include "core/base64url.h"
#include "core/json.h"
#include "gateway/cmd_demo.h"
#include "gateway/cmd_key.h"
#include "plugins/issuer/client_secret.h"
#include "plugins/jwt/jws.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DEMO_TOKEN_LIFE_S 3600

static const char demo_config[] =
    "// Made by `jwtgate demo`.  Change it and start again: `jwtgate run -c jwtgate.jsonc` serves "
    "it\n"
    "// too, with backends of yours in \"upstreams\".\n"
    "{\n"
    "  \"version\": 1,\n"
    "  \"listeners\": { \"public\": { \"address\": \"%s\" } },\n"
    "  // /livez, /readyz and /metrics.  Never on a public address.\n"
    "  \"admin\": { \"address\": \"%s\" },\n"
    "  \"upstreams\": {\n"
    "    // `jwtgate demo` answers here itself, with what it saw.\n"
    "    \"echo\": { \"targets\": [\"%s\"] },\n"
    "    \"website\": { \"targets\": [\"%s\"] }\n"
    "  },\n"
    "  // Who may issue tokens, and how we know it was them.\n"
    "  \"providers\": {\n"
    "    \"internal\": {\n"
    "      \"issuer\": \"https://internal.demo/\",\n"
    "      \"audiences\": [\"demo\"],\n"
    "      \"algorithms\": [\"HS256\"],\n"
    "      \"keys\": [{ \"kid\": \"demo-hs\", \"secret\": { \"file\": \"hs256.secret\" } }],\n"
    "      \"max_lifetime\": \"1h\"\n"
    "    },\n"
    "    \"corporate\": {\n"
    "      \"issuer\": \"https://corporate.demo/\",\n"
    "      \"audiences\": [\"demo\"],\n"
    "      \"algorithms\": [\"RS256\"],\n"
    "      \"keys\": [{ \"token_issuer\": true }],\n"
    "      \"max_lifetime\": \"1h\"\n"
    "    }\n"
    "  },\n"
    "  // POST /oauth2/token for the clients of clients.jsonc; the keys are at\n"
    "  // /.well-known/jwks.json.\n"
    "  \"token_issuer\": {\n"
    "    \"issuer\": \"https://corporate.demo/\",\n"
    "    \"signing_keys\": [{ \"key_file\": \"rs256.pem\", \"use\": \"sign\" }],\n"
    "    \"clients_file\": \"clients.jsonc\"\n"
    "  },\n"
    "  // The most specific route wins, not the first.  Each says who may pass.\n"
    "  \"routes\": {\n"
    "    // An upstream of its own: \"echo\" learns from X-User-Id who calls.\n"
    "    \"public\": { \"match\": { \"path_prefix\": \"/public\" }, \"upstream\": \"website\", "
    "\"auth\": \"none\" },\n"
    "    \"hs\": {\n"
    "      \"match\": { \"path_prefix\": \"/hs\" },\n"
    "      \"upstream\": \"echo\",\n"
    "      \"auth\": { \"provider\": \"internal\" },\n"
    "      // The backend gets the claim as a field; what a client sends under that name is "
    "removed.\n"
    "      \"claims_to_headers\": { \"sub\": \"X-User-Id\" }\n"
    "    },\n"
    "    \"rs\": {\n"
    "      \"match\": { \"path_prefix\": \"/rs\" },\n"
    "      \"upstream\": \"echo\",\n"
    "      \"auth\": { \"provider\": \"corporate\" },\n"
    "      \"claims_to_headers\": { \"sub\": \"X-User-Id\" }\n"
    "    },\n"
    "    \"admin\": {\n"
    "      \"match\": { \"path_prefix\": \"/admin\" },\n"
    "      \"upstream\": \"echo\",\n"
    "      \"auth\": { \"provider\": \"corporate\", \"scopes\": [\"demo:admin\"] },\n"
    "      \"claims_to_headers\": { \"sub\": \"X-User-Id\" }\n"
    "    }\n"
    "  }\n"
    "}\n";

/* ---- files ---- */

const char *demo_path(struct demo *demo, const char *name)
{
    return arena_printf(&demo->arena, "%s/%s", demo->dir, name);
}

static int demo_complain(const char *what, const char *path)
{
    fprintf(stderr, "jwtgate demo: %s %s: %s\n", what, path == NULL ? "" : path, strerror(errno));
    return ERR_IO;
}

static bool demo_has(struct demo *demo, const char *name)
{
    const char *path = demo_path(demo, name);

    return path != NULL && access(path, F_OK) == 0;
}

/* Open a file to write, readable by its owner alone. `flags`: O_EXCL, or O_TRUNC for what may be
 * replaced. */
static FILE *demo_create(struct demo *demo, const char *name, int flags, mode_t mode)
{
    const char *path = demo_path(demo, name);
    FILE *file;
    int fd;

    if (path == NULL) {
        return NULL;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, mode);
    if (fd < 0) {
        demo_complain("cannot write", path);
        return NULL;
    }
    file = fdopen(fd, "w");
    if (file == NULL) {
        close(fd);
    }
    return file;
}

static int demo_close(FILE *file)
{
    int bad = ferror(file);

    if (fclose(file) != 0 || bad != 0) {
        return demo_complain("cannot write", NULL);
    }
    return 0;
}

/* ---- keys ---- */

/* Use the key that is there, or make one. */
static int demo_get_key(struct demo *demo, const char *name, enum jwa_id id, struct jwa_key *ret)
{
    const struct jwa *alg = jwa_by_id(id);
    const char *path = demo_path(demo, name);
    struct cmd_key key;
    int err;

    if (path == NULL) {
        return ERR_NO_MEMORY;
    }
    if (!demo_has(demo, name)) {
        err = cmd_key_generate(alg, cmd_key_bits(NULL, alg), ret);
        return err < 0 ? err : cmd_key_write(path, ret, true);
    }
    err = cmd_key_read(path, &key);
    if (err < 0) {
        return err;
    }
    *ret = key.key;
    if (!key.is_private || !jwa_key_fits(ret, alg)) {
        fprintf(stderr, "jwtgate demo: %s: not a key for %.*s; remove it\n", path,
                SLICE_FMT(alg->name));
        return ERR_BAD_INPUT;
    }
    return 0;
}

/* ---- the client ---- */

/* Who may ask the gateway for a token: its secret in one file, a hash of it in another. */
static int demo_make_client(struct demo *demo)
{
    char secret[CLIENT_SECRET_MADE_BYTES], hash[CLIENT_SECRET_TEXT_BYTES];
    struct client_secret kept;
    int err = demo_has(demo, "clients.jsonc") ? ERR_EXISTS : client_secret_generate(secret);

    if (err < 0) {
        return err == ERR_EXISTS ? 0 : err;
    }
    err = client_secret_keep(CLIENT_SECRET_SHA256, slice_str(secret), &kept);
    if (err < 0) {
        return err;
    }
    client_secret_write(&kept, hash);
    FILE *file = demo_create(demo, "client.secret", O_TRUNC, 0600);

    if (file == NULL) {
        return ERR_IO;
    }
    fprintf(file, "%s\n", secret);
    OPENSSL_cleanse(secret, sizeof(secret));
    if (demo_close(file) != 0) {
        return ERR_IO;
    }
    file = demo_create(demo, "clients.jsonc", O_EXCL, 0600);
    if (file == NULL) {
        return ERR_IO;
    }
    fprintf(
        file,
        "// Who may ask for tokens.  Change it with: jwtgate client\n"
        "{\n  \"clients\": {\n    \"demo\": { \"secret_hash\": \"%s\",\n"
        "              \"scopes\": [\"demo:read\", \"demo:admin\"], \"audiences\": [\"demo\"] }\n"
        "  }\n}\n",
        hash);
    return demo_close(file);
}

/* ---- tokens ---- */

struct demo_token {
    const char *file;
    bool is_rs256;
    const char *subject, *scope;
};

static const struct demo_token demo_tokens[] = {
    { "hs256.token", false, "alice", "demo:read" },
    { "rs256.token", true, "bob", "demo:read" },
    { "admin.token", true, "carol", "demo:read demo:admin" },
};

static void demo_write_claims(struct json_writer *w, const struct demo_token *token)
{
    const char *issuer = token->is_rs256 ? "https://corporate.demo/" : "https://internal.demo/";
    int64_t now = (int64_t)time(NULL);
    uint8_t random[16];
    char id[2 * sizeof(random)];

    json_write_begin(w, NULL, '{');
    json_write_string(w, "iss", slice_str(issuer));
    json_write_string(w, "sub", slice_str(token->subject));
    json_write_string(w, "aud", SLICE("demo"));
    json_write_string(w, "scope", slice_str(token->scope));
    json_write_int(w, "iat", now);
    json_write_int(w, "exp", now + DEMO_TOKEN_LIFE_S - 1);
    if (RAND_bytes(random, sizeof(random)) == 1) {
        size_t len = base64url_encode(random, sizeof(random), id);

        json_write_string(w, "jti", slice_of(id, len));
    }
    json_write_end(w, '}');
}

static char *demo_sign(const struct demo *demo, const struct demo_token *token)
{
    const struct jwa *alg = jwa_by_id(token->is_rs256 ? JWA_RS256 : JWA_HS256);
    const struct jwa_key *key = token->is_rs256 ? &demo->rs256 : &demo->hs256;
    char kid[JWK_THUMBPRINT_BYTES + 1] = "demo-hs";
    char *text = NULL;
    struct json_writer w;

    if (token->is_rs256 && jwk_thumbprint(key, kid) < 0) {
        return NULL;
    }
    json_writer_init(&w, 4096);
    demo_write_claims(&w, token);
    if (!w.failed) {
        text = jws_sign(alg, key, slice_str(kid), SLICE("at+jwt"), slice_of(w.buf, w.len));
    }
    json_writer_done(&w);
    return text;
}

static int demo_make_tokens(struct demo *demo)
{
    for (size_t i = 0; i < sizeof(demo_tokens) / sizeof(demo_tokens[0]); i++) {
        char *text = demo_sign(demo, &demo_tokens[i]);
        FILE *file;

        if (text == NULL) {
            return ERR_CRYPTO;
        }
        file = demo_create(demo, demo_tokens[i].file, O_TRUNC, 0600);
        if (file != NULL) {
            fprintf(file, "%s\n", text);
        }
        free(text);
        if (file == NULL || demo_close(file) != 0) {
            return ERR_IO;
        }
    }
    return 0;
}

/* ---- configuration ---- */

/* A port that is free now; the echo listener takes it a moment later. */
static unsigned demo_free_port(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;

    if (fd < 0) {
        return 0;
    }
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 &&
        getsockname(fd, (struct sockaddr *)&addr, &len) == 0) {
        port = ntohs(addr.sin_port);
    }
    close(fd);
    return port;
}

static int demo_make_config(struct demo *demo)
{
    char echo[32];
    FILE *file;

    if (demo_has(demo, "jwtgate.jsonc")) {
        if (demo->has_address) {
            fprintf(stderr,
                    "jwtgate demo: %s/jwtgate.jsonc is there already: change the address in it\n",
                    demo->dir);
            return ERR_EXISTS;
        }
        return 0;
    }
    snprintf(echo, sizeof(echo), "127.0.0.1:%u", demo_free_port());
    file = demo_create(demo, "jwtgate.jsonc", O_EXCL, 0600);
    if (file == NULL) {
        return ERR_IO;
    }
    fprintf(file, demo_config, demo->listen, demo->admin, echo, echo);
    return demo_close(file);
}

/* ---- all of it ---- */

/* The printed lines must work in a terminal that is somewhere else. */
static int demo_resolve_dir(struct demo *demo)
{
    char *resolved = realpath(demo->dir, NULL);

    if (resolved == NULL) {
        return demo_complain("cannot use the folder", demo->dir);
    }
    demo->dir = arena_strdup(&demo->arena, slice_str(resolved));
    free(resolved);
    return demo->dir == NULL ? ERR_NO_MEMORY : 0;
}

int demo_prepare(struct demo *demo)
{
    int err = 0;

    if (mkdir(demo->dir, 0700) != 0 && errno != EEXIST) {
        return demo_complain("cannot make the folder", demo->dir);
    }
    err = demo_resolve_dir(demo);
    if (err == 0) {
        err = demo_get_key(demo, "hs256.secret", JWA_HS256, &demo->hs256);
    }
    if (err == 0) {
        err = demo_get_key(demo, "rs256.pem", JWA_RS256, &demo->rs256);
    }
    if (err == 0) {
        err = demo_make_client(demo);
    }
    if (err == 0) {
        err = demo_make_config(demo);
    }
    return err == 0 ? demo_make_tokens(demo) : err;
}
