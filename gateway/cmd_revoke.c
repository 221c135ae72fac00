/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate revoke` and `jwtgate revocations`: both speak to the store itself, with or without a
 * gateway that runs. */
#include "core/clock.h"
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "plugins/builtin.h"
#include "plugins/jwt/claims.h"
#include "plugins/jwt/jws.h"
#include "plugins/revocation/keys.h"
#include "plugins/revocation/writer.h"

#include <string.h>
#include <unistd.h>

#define MAX_TOKEN_BYTES 65536u
#define ARENA_BYTES     ((size_t)1 << 20)

enum { OPTION_TOKEN = 256, OPTION_JTI, OPTION_EXPIRES, OPTION_BEFORE, OPTION_KIND };

struct wish {
    const char *config_file;
    bool token_from_stdin;
    struct slice jti;
    enum revocation_kind kind;
    struct slice value;   /* of a watermark; absent: none */
    int64_t before;       /* 0: now */
    int64_t expires_at;   /* of the token; REVOCATION_FOR_EVER: not known */
    unsigned kinds_given; /* of token, jti and the watermarks: one */
};

static int read_unix_time(const struct cmd_line *line, const char *name, int64_t *ret)
{
    if (revocation_read_time(slice_str(line->value), ret) < 0 || *ret == 0) {
        return cmd_usage_error(line, "--%s takes seconds since 1970, not \"%s\"", name,
                               line->value);
    }
    return 0;
}

/* The store of the configuration; NULL: reported, *ret_exit is set. */
static struct revocation_writer *open_store(const char *config_file, struct config **ret_config,
                                            int *ret_exit)
{
    struct revocation_writer *writer = NULL;
    char error[REVOCATION_ERROR_BYTES] = "";

    *ret_config = cmd_load_config(config_file, ret_exit);
    if (*ret_config == NULL) {
        return NULL;
    }
    const struct revocation_settings *settings = cmd_top(*ret_config, &revocation_plugin);
    if (settings == NULL || !revocation_is_on(settings)) {
        fprintf(stderr, "jwtgate: the configuration has no \"revocation\"\n");
        *ret_exit = EXIT_NO;
        return NULL;
    }
    if (revocation_writer_open(settings, (*ret_config)->server.state_dir, &writer, error) < 0) {
        fprintf(stderr, "jwtgate: %s\n", error);
        *ret_exit = EXIT_UNKNOWN;
    }
    return writer;
}

/* ---- revoke ---- */

static bool read_claims(struct arena *arena, struct slice text, struct wish *wish)
{
    struct jws jws;
    struct slice payload;
    struct json_error error;

    if (jws_split(text, &jws) < 0 || jws_decode(arena, jws.payload, &payload) < 0) {
        return false;
    }
    struct json *claims = json_parse(arena, payload, &json_limits_token, &error);
    const struct json *jti = json_get(claims, SLICE("jti"));
    const struct json *exp = json_get(claims, SLICE("exp"));
    if (!json_is(jti, JSON_STRING) || jti->text.len == 0 || jti->text.len > CLAIMS_MAX_JTI_BYTES) {
        return false;
    }
    wish->jti = jti->text;
    if (exp != NULL && !claims_numeric_date(exp, &wish->expires_at)) {
        return false;
    }
    return true;
}

/* Nothing is verified: who may write to the store may revoke any name. */
static int read_token(struct arena *arena, struct wish *wish)
{
    char *text = arena_alloc(arena, MAX_TOKEN_BYTES);
    size_t len = text == NULL ? 0 : fread(text, 1, MAX_TOKEN_BYTES, stdin);

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ')) {
        len--;
    }
    if (len == 0 || len == MAX_TOKEN_BYTES || !read_claims(arena, slice_of(text, len), wish)) {
        fprintf(stderr, "jwtgate: standard input is not a token with a \"jti\"\n");
        return EXIT_NO;
    }
    return EXIT_YES;
}

static int make_entry(const struct wish *wish, struct revocation_entry *ret)
{
    int64_t now = clock_unix();

    if (slice_is_absent(wish->value)) {
        return revocation_entry_jti(ret, wish->jti, wish->expires_at, now);
    }
    return revocation_entry_before(ret, wish->kind, wish->value,
                                   wish->before != 0 ? wish->before : now, wish->expires_at, now);
}

static int store_wish(struct revocation_writer *writer, const struct wish *wish)
{
    struct revocation_entry entry;
    int err = make_entry(wish, &entry);

    if (err == REVOCATION_IS_OVER) {
        printf("expired already, nothing to do\n");
        return EXIT_YES;
    }
    if (err < 0) {
        fprintf(stderr, "jwtgate: not revoked: no token has such a name\n");
        return EXIT_NO;
    }
    if (revocation_writer_put(writer, &entry) < 0) {
        fprintf(stderr, "jwtgate: not revoked: %s\n", revocation_writer_error(writer));
        return EXIT_UNKNOWN;
    }
    printf("revoked %.*s\n", SLICE_FMT(revocation_entry_key(&entry)));
    return EXIT_YES;
}

static int revoke_wish(struct wish *wish)
{
    struct arena arena;
    struct config *config = NULL;
    int code = EXIT_YES;

    clock_update();
    arena_init(&arena, NULL, 0, ARENA_BYTES);
    if (wish->token_from_stdin) {
        code = read_token(&arena, wish);
    }
    if (code == EXIT_YES) {
        struct revocation_writer *writer = open_store(wish->config_file, &config, &code);
        if (writer != NULL) {
            code = store_wish(writer, wish);
        }
        revocation_writer_close(writer);
    }
    config_unref(config);
    arena_done(&arena);
    return code;
}

static int take_option(struct cmd_line *line, int option, struct wish *wish)
{
    struct slice value = slice_str(line->value);

    switch (option) {
    case 'c': wish->config_file = line->value; return 0;
    case OPTION_EXPIRES: return read_unix_time(line, "expires", &wish->expires_at);
    case OPTION_BEFORE: return read_unix_time(line, "before", &wish->before);
    case OPTION_TOKEN:
        if (!slice_eq(value, SLICE("-"))) {
            return cmd_usage_error(line, "a token is read from standard input: --token -");
        }
        wish->token_from_stdin = true;
        break;
    case OPTION_JTI: wish->jti = value; break;
    default:
        wish->kind = (enum revocation_kind)(option - OPTION_KIND);
        wish->value = value;
        break;
    }
    wish->kinds_given++;
    return value.len == 0 ? cmd_usage_error(line, "the name of what to revoke is empty") : 0;
}

static int run_revoke(struct cmd_line *line)
{
    struct wish wish = { .expires_at = REVOCATION_FOR_EVER };
    int option, err = 0;

    while ((option = cmd_next(line)) != CMD_END) {
        if (option == CMD_STOP) {
            return line->exit_code;
        }
        if (option == CMD_WORD) {
            return cmd_unexpected(line);
        }
        err = take_option(line, option, &wish);
        if (err != 0) {
            return err;
        }
    }
    if (wish.kinds_given != 1) {
        return cmd_usage_error(line, "give one of --token, --jti, --subject, --client, --kid, "
                                     "--issuer");
    }
    if (wish.before != 0 && slice_is_absent(wish.value)) {
        return cmd_usage_error(line, "--before goes with --subject, --client, --kid or --issuer");
    }
    return revoke_wish(&wish);
}

static const struct cmd_option revoke_options[] = {
    CMD_OPTION_CONFIG,
    { .id = OPTION_TOKEN,
      .name = "token",
      .value = "-",
      .help = "the token on standard input",
      .is_long_only = true },
    { .id = OPTION_JTI,
      .name = "jti",
      .value = "JTI",
      .help = "the token with this jti",
      .is_long_only = true },
    { .id = OPTION_KIND + REVOCATION_SUB,
      .name = "subject",
      .value = "SUB",
      .help = "all tokens of a subject",
      .is_long_only = true },
    { .id = OPTION_KIND + REVOCATION_CLIENT,
      .name = "client",
      .value = "ID",
      .help = "all tokens of a client",
      .is_long_only = true },
    { .id = OPTION_KIND + REVOCATION_KID,
      .name = "kid",
      .value = "KID",
      .help = "all tokens signed with a key",
      .is_long_only = true },
    { .id = OPTION_KIND + REVOCATION_ISS,
      .name = "issuer",
      .value = "URL",
      .help = "all tokens of an issuer",
      .is_long_only = true },
    { .id = OPTION_BEFORE,
      .name = "before",
      .value = "UNIX",
      .help = "only those issued by this second; default: now",
      .is_long_only = true },
    { .id = OPTION_EXPIRES,
      .name = "expires",
      .value = "UNIX",
      .help = "when they end: forgotten then; default: never",
      .is_long_only = true },
    { .name = NULL },
};

const struct command command_revoke = {
    .name = "revoke",
    .usage = "[-c FILE] --token -\n"
             "[-c FILE] --jti JTI [--expires UNIX]\n"
             "[-c FILE] --subject|--client|--kid|--issuer X [--before UNIX]",
    .summary = "make tokens invalid from now on",
    .about = "Write to the store that \"revocation\" of the configuration names: 0 when the store\n"
             "has it.  What is there is never shortened.  A token is not verified.",
    .options = revoke_options,
    .examples = "revoke --token - < token\n"
                "revoke --subject alice",
    .run = run_revoke,
};

/* ---- revocations ---- */

static int check_jti(const char *config_file, struct slice jti)
{
    char buf[REVOCATION_KEY_BYTES];
    struct config *config = NULL;
    int code = EXIT_UNKNOWN;
    struct revocation_writer *writer = open_store(config_file, &config, &code);

    if (writer != NULL) {
        struct slice key = revocation_jti_key(buf, jti);
        int err = slice_is_absent(key) ? ERR_CRYPTO : revocation_writer_find(writer, key);
        code = err == 0 ? EXIT_YES : err == ERR_NOT_FOUND ? EXIT_NO : EXIT_UNKNOWN;
        if (code == EXIT_UNKNOWN) {
            fprintf(stderr, "jwtgate: %s\n", revocation_writer_error(writer));
        } else {
            printf("%s\n", code == EXIT_YES ? "revoked" : "not revoked");
        }
    }
    revocation_writer_close(writer);
    config_unref(config);
    return code;
}

static int run_revocations(struct cmd_line *line)
{
    const char *config_file = NULL, *word = NULL, *jti = NULL;
    int option;

    while ((option = cmd_next(line)) != CMD_END) {
        switch (option) {
        case CMD_STOP: return line->exit_code;
        case 'c': config_file = line->value; break;
        case OPTION_JTI: jti = line->value; break;
        default:
            if (word != NULL) {
                return cmd_unexpected(line);
            }
            word = line->value;
            break;
        }
    }
    if (word == NULL || strcmp(word, "check") != 0) {
        return cmd_usage_error(line, "say what to do: check");
    }
    if (jti == NULL || jti[0] == '\0') {
        return cmd_usage_error(line, "check needs --jti");
    }
    return check_jti(config_file, slice_str(jti));
}

static const char *const revocations_words[] = { "check", NULL };

static const struct cmd_option revocations_options[] = {
    CMD_OPTION_CONFIG,
    { .id = OPTION_JTI,
      .name = "jti",
      .value = "JTI",
      .help = "the token with this jti",
      .is_long_only = true },
    { .name = NULL },
};

const struct command command_revocations = {
    .name = "revocations",
    .usage = "check [-c FILE] --jti JTI",
    .summary = "ask the store whether a token is revoked",
    .about = "0: revoked, 1: not revoked, 3: the store does not answer.  Watermarks (revoke\n"
             "--subject and the like) are not looked at.",
    .words = revocations_words,
    .options = revocations_options,
    .examples = "revocations check --jti 4f1d",
    .run = run_revocations,
};
