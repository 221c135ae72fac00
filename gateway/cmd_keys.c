/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate keys`: make keys and show them. */
#include "gateway/cmd_keys.h"

#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_table.h"
#include "plugins/issuer/issuer.h"
#include "plugins/jwt/jwt_auth.h"

#include <stdlib.h>
#include <unistd.h>

#define MAX_FILES      64u
#define MAX_JSON_BYTES ((size_t)1 << 20)

struct arguments {
    struct cmd_line *line;
    const char *verb;
    const char *files[MAX_FILES];
    size_t file_count;
    const char *alg, *bits, *output, *config;
    bool as_json, is_init, is_forced;
};

/* ---- generate ---- */

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

static int write_key(const char *file, const char *public_file, const struct jwa_key *key)
{
    int err = cmd_key_write(file, key, true);

    if (err < 0 || public_file == NULL) {
        return err;
    }
    err = cmd_key_write(public_file, key, false);
    if (err < 0) {
        unlink(file); /* ours: it was made a moment ago */
    }
    return err;
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
    int bits = cmd_key_bits(args->bits, alg);

    if (args->output == NULL || args->file_count > 0 || bits < 0) {
        return cmd_usage_error(args->line, bits < 0 ? "--bits is 2048, 3072 or 4096, for RSA"
                                                    : "generate needs -o FILE and nothing else");
    }
    err = cmd_key_generate(alg, bits, &key);
    if (err == 0 && alg->key_type != JWA_KEY_OCT) {
        public_file = public_name(args->output);
        err = public_file == NULL ? ERR_NO_MEMORY : 0;
    }
    if (err == 0) {
        err = write_key(args->output, public_file, &key);
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

/* Where the list goes: one of them. */
struct listing {
    struct json_writer *json;
    struct cmd_table *table;
};

/* `state`: of a key that token_issuer signs with; NULL: of a provider. */
static void list_key(struct slice owner, struct slice kid, const struct jwa_key *key,
                     const char *state, const struct listing *to)
{
    struct json_writer *w = to->json;
    char text[64], print[JWK_THUMBPRINT_BYTES + 1] = "-";
    const char *what = jwk_describe(key, text, sizeof(text));

    kid = slice_is_absent(kid) ? SLICE("-") : kid;
    if (key->type != JWA_KEY_OCT && jwk_thumbprint(key, print) < 0) {
        snprintf(print, sizeof(print), "?");
    }
    if (w == NULL) {
        cmd_table_add(to->table, owner);
        cmd_table_add(to->table, kid);
        cmd_table_add(to->table, slice_str(what));
        cmd_table_add(to->table, slice_str(print));
        cmd_table_add(to->table, slice_str(state == NULL ? "-" : state));
        return;
    }
    json_write_begin(w, NULL, '{');
    json_write_string(w, "provider", owner);
    json_write_string(w, "kid", kid);
    json_write_string(w, "key", slice_str(what));
    json_write_string(w, "thumbprint", slice_str(print));
    if (state != NULL) {
        json_write_string(w, "state", slice_str(state));
    }
    json_write_end(w, '}');
}

static void list_providers(const struct provider_list *providers, const struct listing *to)
{
    for (size_t p = 0; p < providers->count; p++) {
        const struct provider *one = providers->items[p];

        for (size_t k = 0; k < one->key_count; k++) {
            list_key(one->element.name, one->keys[k].kid, &one->keys[k].key, NULL, to);
        }
    }
}

static void list_issuer(const struct issuer *issuer, const struct listing *to)
{
    for (size_t k = 0; issuer != NULL && k < issuer->keys->count; k++) {
        const struct signing_key *one = &issuer->keys->keys[k];

        list_key(SLICE("token_issuer"), slice_str(one->kid), &one->key, key_state_name(one->state),
                 to);
    }
}

static void list_all(const struct config *config, const struct listing *to)
{
    list_providers(jwt_providers(cmd_top(config, &jwt_plugin)), to);
    list_issuer(issuer_of_top(cmd_top(config, &issuer_plugin)), to);
}

static int list_json(const struct config *config)
{
    struct json_writer w;

    json_writer_init(&w, MAX_JSON_BYTES);
    json_write_begin(&w, NULL, '[');
    list_all(config, &(struct listing){ .json = &w });
    json_write_end(&w, ']');
    if (!w.failed) {
        printf("%.*s\n", (int)w.len, w.buf);
    }
    json_writer_done(&w);
    return EXIT_YES;
}

static int list_table(const struct config *config)
{
    static const char *const titles[] = { "PROVIDER", "KID", "KEY", "THUMBPRINT", "STATE" };
    struct cmd_table table;

    cmd_table_init(&table, titles, sizeof(titles) / sizeof(titles[0]));
    list_all(config, &(struct listing){ .table = &table });
    return cmd_table_end(&table, stdout);
}

static int list(const struct arguments *args)
{
    int exit_code;
    struct config *config = cmd_load_config(args->config, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    exit_code = args->as_json ? list_json(config) : list_table(config);
    config_unref(config);
    return exit_code;
}

/* ---- the command ---- */

static int rotate(const struct arguments *args)
{
    return keys_rotate(&(struct keys_rotation){
        .line = args->line,
        .config = args->config,
        .alg = args->alg,
        .bits = args->bits,
        .begins = args->is_init,
        .is_forced = args->is_forced,
        .as_json = args->as_json,
    });
}

static int dispatch(const struct arguments *args)
{
    bool is_list = strcmp(args->verb, "list") == 0;

    if (strcmp(args->verb, "generate") == 0) {
        return generate(args);
    }
    if (strcmp(args->verb, "rotate") == 0 && args->file_count == 0) {
        return rotate(args);
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
        case 'i': args.is_init = true; break;
        case 'f': args.is_forced = true; break;
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
        return cmd_usage_error(line, "say what: generate, list, jwks, thumbprint or rotate");
    }
    return dispatch(&args);
}

static const char *const words[] = { "generate", "list", "jwks", "thumbprint", "rotate", NULL };

static const struct cmd_option options[] = {
    { 'a', "alg", "ALG", "RS256 (default), ES256, ES384, EdDSA, HS256 and their kin", true },
    { 'b', "bits", "N", "of RSA: 2048 (default), 3072 or 4096", true },
    { 'i', "init", NULL, "rotate: make the file of the keys and a first key", true },
    { 'f', "force", NULL, "rotate: also when it is not safe yet", true },
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
             "thumbprint FILE...\n"
             "rotate [-c FILE] [--init] [--force] [--alg ALG] [--json]",
    .summary = "make keys, show them and rotate those that sign",
    .about = "generate writes a private key (mode 0600) and its public key beside it, or a\n"
             "secret, and prints its kid (RFC 7638).  list shows the keys of the\n"
             "configuration, jwks the public keys of files as a set.  rotate takes the next\n"
             "step with the keys that token_issuer signs with: a new key is published, then\n"
             "signs, the old one retires and is removed.  A step that would break tokens is\n"
             "refused with the time from which on it is safe.",
    .words = words,
    .options = options,
    .examples = "keys generate -o 2026-11.pem\n"
                "keys generate --alg HS256 -o orders.secret\n"
                "keys jwks 2026-11.pub.pem > jwks.json\n"
                "keys rotate -c jwtgate.jsonc",
    .run = run,
};
