/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate keys`: make keys and show them. */
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "plugins/jwt/jwt_auth.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <stdlib.h>
#include <unistd.h>

#define SECRET_BYTES   32u
#define MAX_FILES      64u
#define MAX_JSON_BYTES ((size_t)1 << 20)
#define DEFAULT_BITS   2048

struct arguments {
    struct cmd_line *line;
    const char *verb;
    const char *files[MAX_FILES];
    size_t file_count;
    const char *alg, *bits, *output, *config;
    bool as_json;
};

/* ---- generate ---- */

static EVP_PKEY *make_pkey(const struct jwa *alg, int bits)
{
    switch (alg->key_type) {
    case JWA_KEY_OCT: break;
    case JWA_KEY_RSA: return EVP_RSA_gen((unsigned)bits);
    case JWA_KEY_P256: return EVP_EC_gen("P-256");
    case JWA_KEY_P384: return EVP_EC_gen("P-384");
    case JWA_KEY_P521: return EVP_EC_gen("P-521");
    case JWA_KEY_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return NULL;
}

static int write_pem(const char *file, mode_t mode, EVP_PKEY *pkey, bool is_private)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    int err = ERR_CRYPTO;

    if (bio != NULL &&
        (is_private ? PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL)
                    : PEM_write_bio_PUBKEY(bio, pkey)) == 1) {
        long len = BIO_get_mem_data(bio, &text);

        err = cmd_write_file(file, mode, slice_of(text, (size_t)len));
    }
    BIO_free(bio);
    return err;
}

/* "a.pem" -> "a.pub.pem", "a" -> "a.pub"; malloc'ed. */
static char *public_name(const char *file)
{
    size_t len = strlen(file);
    bool is_pem = len > 4 && strcmp(file + len - 4, ".pem") == 0;
    char *name = malloc(len + 5);

    if (name != NULL) {
        snprintf(name, len + 5, "%.*s.pub%s", (int)(is_pem ? len - 4 : len), file,
                 is_pem ? ".pem" : "");
    }
    return name;
}

static int write_pair(const char *file, const char *public_file, EVP_PKEY *pkey)
{
    int err = write_pem(file, 0600, pkey, true);

    if (err < 0) {
        return err;
    }
    err = write_pem(public_file, 0644, pkey, false);
    if (err < 0) {
        unlink(file); /* ours: it was made a moment ago */
    }
    return err;
}

/* Hex text, so that the file's bytes are the secret for everybody who reads it. */
static int make_secret(const char *file, struct jwa_key *ret)
{
    uint8_t random[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 2];
    int err = ERR_CRYPTO;

    if (RAND_priv_bytes(random, sizeof(random)) == 1) {
        for (size_t i = 0; i < sizeof(random); i++) {
            snprintf(text + 2 * i, 3, "%02x", random[i]);
        }
        text[2 * SECRET_BYTES] = '\n';
        err = jwa_key_from_secret((const uint8_t *)text, 2 * SECRET_BYTES, ret);
    }
    if (err == 0) {
        err = cmd_write_file(file, 0600, slice_of(text, 2 * SECRET_BYTES + 1));
    }
    OPENSSL_cleanse(random, sizeof(random));
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

static int make_pair(const struct jwa *alg, int bits, const char *file, const char *public_file,
                     struct jwa_key *ret)
{
    EVP_PKEY *pkey = make_pkey(alg, bits);
    const char *why;

    if (pkey == NULL || jwa_key_from_pkey(pkey, ret, &why) < 0) {
        EVP_PKEY_free(pkey);
        fputs("jwtgate keys: OpenSSL could not make the key\n", stderr);
        return ERR_CRYPTO;
    }
    return write_pair(file, public_file, pkey);
}

static void print_made(const struct arguments *args, const struct jwa *alg, const char *kid,
                       const char *public_file)
{
    if (args->as_json) {
        struct json_writer w;

        json_writer_init(&w, MAX_JSON_BYTES);
        json_write_begin(&w, NULL, '{');
        json_write_string(&w, "kid", slice_str(kid));
        json_write_string(&w, "alg", alg->name);
        json_write_string(&w, "file", slice_str(args->output));
        if (public_file != NULL) {
            json_write_string(&w, "public_file", slice_str(public_file));
        }
        json_write_end(&w, '}');
        printf("%.*s\n", (int)w.len, w.buf);
        json_writer_done(&w);
        return;
    }
    puts(kid);
    fprintf(stderr, "made %s%s%s; in a provider:\n  \"algorithms\": [\"%.*s\"],\n", args->output,
            public_file == NULL ? "" : " and ", public_file == NULL ? "" : public_file,
            SLICE_FMT(alg->name));
    if (public_file == NULL) {
        fprintf(stderr, "  \"keys\": [{ \"kid\": \"%s\", \"secret\": { \"file\": \"%s\" } }]\n",
                kid, args->output);
    } else {
        fprintf(stderr, "  \"keys\": [{ \"kid\": \"%s\", \"public_key_file\": \"%s\" }]\n", kid,
                public_file);
    }
}

static int read_bits(const struct arguments *args, const struct jwa *alg)
{
    if (args->bits == NULL) {
        return DEFAULT_BITS;
    }
    for (int bits = 2048; bits <= 4096 && alg->key_type == JWA_KEY_RSA; bits += 1024) {
        char text[8];

        snprintf(text, sizeof(text), "%d", bits);
        if (strcmp(args->bits, text) == 0) {
            return bits;
        }
    }
    return -1;
}

static int generate(const struct arguments *args)
{
    const struct jwa *alg = jwa_find(slice_str(args->alg == NULL ? "RS256" : args->alg));
    char kid[JWK_THUMBPRINT_BYTES + 1];
    struct jwa_key key = { .pkey = NULL };
    char *public_file = NULL;
    int err;

    if (alg == NULL) {
        return cmd_usage_error(args->line,
                               "no algorithm \"%s\"; there are: RS256, ES256, ES384, "
                               "EdDSA, HS256 and their kin",
                               args->alg);
    }
    int bits = read_bits(args, alg);

    if (args->output == NULL || args->file_count > 0 || bits < 0) {
        return cmd_usage_error(args->line, bits < 0 ? "--bits is 2048, 3072 or 4096, for RSA"
                                                    : "generate needs -o FILE and nothing else");
    }
    if (alg->key_type == JWA_KEY_OCT) {
        err = make_secret(args->output, &key);
    } else {
        public_file = public_name(args->output);
        err = public_file == NULL ? ERR_NO_MEMORY
                                  : make_pair(alg, bits, args->output, public_file, &key);
    }
    if (err == 0) {
        err = jwk_thumbprint(&key, kid);
    }
    if (err == 0) {
        print_made(args, alg, kid, public_file);
    }
    jwa_key_done(&key);
    free(public_file);
    return err == 0 ? EXIT_YES : EXIT_NO;
}

/* ---- thumbprint, jwks ---- */

static int exit_of(int err)
{
    return err == 0 ? EXIT_YES : err == ERR_IO ? EXIT_UNKNOWN : EXIT_NO;
}

static int thumbprint(const struct arguments *args)
{
    char text[JWK_THUMBPRINT_BYTES + 1];
    int err = 0;

    for (size_t i = 0; i < args->file_count && err == 0; i++) {
        struct cmd_key one = { .is_private = false };

        err = cmd_key_read(args->files[i], &one);
        if (err == 0) {
            err = jwk_thumbprint(&one.key, text);
        }
        if (err == 0) {
            puts(text);
        }
        jwa_key_done(&one.key);
    }
    return exit_of(err);
}

static int write_one(struct json_writer *w, const char *file, const struct jwa *alg)
{
    char kid[JWK_THUMBPRINT_BYTES + 1];
    struct cmd_key one = { .is_private = false };
    int err = cmd_key_read(file, &one);

    if (err < 0) {
        return err;
    }
    err = jwk_thumbprint(&one.key, kid);
    if (err == 0 && alg != NULL && !jwa_key_fits(&one.key, alg)) {
        fprintf(stderr, "jwtgate keys: %s: the key is not one for %.*s\n", file,
                SLICE_FMT(alg->name));
        err = ERR_BAD_INPUT;
    }
    if (err == 0) {
        err = jwk_write(w, &one.key, slice_str(kid),
                        alg == NULL ? jwk_only_algorithm(&one.key) : alg);
    }
    if (err == ERR_UNSUPPORTED) {
        fprintf(stderr, "jwtgate keys: %s: a secret is not for publishing\n", file);
    }
    jwa_key_done(&one.key);
    return err;
}

static int jwks(const struct arguments *args)
{
    const struct jwa *alg = args->alg == NULL ? NULL : jwa_find(slice_str(args->alg));
    struct json_writer w;
    int err = 0;

    if (args->alg != NULL && alg == NULL) {
        return cmd_usage_error(args->line, "no algorithm \"%s\"", args->alg);
    }
    json_writer_init(&w, MAX_JSON_BYTES);
    json_write_begin(&w, NULL, '{');
    json_write_begin(&w, "keys", '[');
    for (size_t i = 0; i < args->file_count && err == 0; i++) {
        err = write_one(&w, args->files[i], alg);
    }
    json_write_end(&w, ']');
    json_write_end(&w, '}');
    if (err == 0 && !w.failed) {
        printf("%.*s\n", (int)w.len, w.buf);
    }
    json_writer_done(&w);
    return exit_of(err);
}

/* ---- list ---- */

static void list_key(const struct provider *provider, const struct jwk *jwk, struct json_writer *w)
{
    char text[64], print[JWK_THUMBPRINT_BYTES + 1] = "-";
    const char *what = jwk_describe(&jwk->key, text, sizeof(text));
    struct slice kid = slice_is_absent(jwk->kid) ? SLICE("-") : jwk->kid;

    if (jwk->key.type != JWA_KEY_OCT && jwk_thumbprint(&jwk->key, print) < 0) {
        snprintf(print, sizeof(print), "?");
    }
    if (w == NULL) {
        printf("%-16.*s  %-24.*s  %-12s  %s\n", SLICE_FMT(provider->element.name), SLICE_FMT(kid),
               what, print);
        return;
    }
    json_write_begin(w, NULL, '{');
    json_write_string(w, "provider", provider->element.name);
    json_write_string(w, "kid", kid);
    json_write_string(w, "key", slice_str(what));
    json_write_string(w, "thumbprint", slice_str(print));
    json_write_end(w, '}');
}

static int list(const struct arguments *args)
{
    int exit_code;
    struct config *config = cmd_load_config(args->config, &exit_code);
    struct json_writer w;

    if (config == NULL) {
        return exit_code;
    }
    const struct provider_list *providers = jwt_providers(cmd_top(config, &jwt_plugin));

    json_writer_init(&w, MAX_JSON_BYTES);
    json_write_begin(&w, NULL, '[');
    if (!args->as_json) {
        printf("%-16s  %-24s  %-12s  %s\n", "PROVIDER", "KID", "KEY", "THUMBPRINT");
    }
    for (size_t p = 0; p < providers->count; p++) {
        for (size_t k = 0; k < providers->items[p]->key_count; k++) {
            list_key(providers->items[p], &providers->items[p]->keys[k], args->as_json ? &w : NULL);
        }
    }
    json_write_end(&w, ']');
    if (args->as_json && !w.failed) {
        printf("%.*s\n", (int)w.len, w.buf);
    }
    json_writer_done(&w);
    config_unref(config);
    return EXIT_YES;
}

/* ---- the command ---- */

static int dispatch(const struct arguments *args)
{
    bool is_list = strcmp(args->verb, "list") == 0;

    if (strcmp(args->verb, "generate") == 0) {
        return generate(args);
    }
    if (is_list && args->file_count == 0) {
        return list(args);
    }
    bool is_jwks = strcmp(args->verb, "jwks") == 0;

    if (is_list || (!is_jwks && strcmp(args->verb, "thumbprint") != 0)) {
        return cmd_usage_error(args->line, is_list ? "list takes no files" : "no \"%s\" of keys",
                               args->verb);
    }
    if (args->file_count == 0) {
        return cmd_usage_error(args->line, "name a key file");
    }
    return is_jwks ? jwks(args) : thumbprint(args);
}

static int run(struct cmd_line *line)
{
    struct arguments args = { .line = line };
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'a': args.alg = line->value; break;
        case 'b': args.bits = line->value; break;
        case 'o': args.output = line->value; break;
        case 'c': args.config = line->value; break;
        case 'j': args.as_json = true; break;
        case CMD_WORD:
            if (args.verb == NULL) {
                args.verb = line->value;
            } else if (args.file_count < MAX_FILES) {
                args.files[args.file_count++] = line->value;
            } else {
                return cmd_unexpected(line);
            }
            break;
        default: return line->exit_code;
        }
    }
    if (args.verb == NULL) {
        return cmd_usage_error(line, "say what: generate, list, jwks or thumbprint");
    }
    return dispatch(&args);
}

static const char *const words[] = { "generate", "list", "jwks", "thumbprint", NULL };

static const struct cmd_option options[] = {
    { 'a', "alg", "ALG", "RS256 (default), ES256, ES384, EdDSA, HS256 and their kin", true },
    { 'b', "bits", "N", "of RSA: 2048 (default), 3072 or 4096", true },
    { 'o', "output", "FILE", "the private key or secret; never over a file that exists", false },
    CMD_OPTION_CONFIG,
    CMD_OPTION_JSON,
    { .name = NULL },
};

const struct command command_keys = {
    .name = "keys",
    .usage = "generate [--alg ALG] [--bits N] -o FILE\n"
             "list [-c FILE] [--json]\n"
             "jwks [--alg ALG] FILE...\n"
             "thumbprint FILE...",
    .summary = "make keys and show them",
    .about = "generate writes a private key (mode 0600) and its public key beside it, or a\n"
             "secret, and prints its kid (RFC 7638).  list shows the keys of the\n"
             "configuration, jwks the public keys of files as a set.",
    .words = words,
    .options = options,
    .examples = "keys generate -o 2026-11.pem\n"
                "keys generate --alg HS256 -o orders.secret\n"
                "keys jwks 2026-11.pub.pem > jwks.json",
    .run = run,
};
