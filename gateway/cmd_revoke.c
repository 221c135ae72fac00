/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate revoke`: through the gateway that runs, else straight to the store. */
#include "gateway/cmd_revoke.h"

#include "core/clock.h"
#include "core/json.h"
#include "gateway/cmd.h"
#include "gateway/cmd_admin.h"
#include "gateway/cmd_config.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"
#include "plugins/revocation/body.h"
#include "plugins/revocation/keys.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TOKEN_BYTES 65536u
#define ARENA_BYTES     ((size_t)1 << 20)
#define ANSWER_MS       12000u /* a gateway answers within 10 s */

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

struct config *cmd_revoke_config(const char *config_file, int *ret_exit)
{
    struct config *config = cmd_load_config(config_file, ret_exit);
    const struct revocation_settings *settings =
        config == NULL ? NULL : cmd_top(config, &revocation_plugin);

    if (config != NULL && (settings == NULL || !revocation_is_on(settings))) {
        fprintf(stderr, "jwtgate: the configuration has no \"revocation\"\n");
        *ret_exit = EXIT_NO;
        config_unref(config);
        return NULL;
    }
    return config;
}

struct revocation_writer *cmd_revoke_store(const struct config *config)
{
    struct revocation_writer *writer = NULL;
    char error[REVOCATION_ERROR_BYTES] = "";

    if (revocation_writer_open(cmd_top(config, &revocation_plugin), config->server.state_dir,
                               &writer, error) < 0) {
        fprintf(stderr, "jwtgate: %s\n", error);
    }
    return writer;
}

/* ---- revoke ---- */

static struct slice namespace_of(const void *arg, struct slice issuer)
{
    const struct provider_list *providers = arg;

    for (size_t i = 0; i < providers->count; i++) {
        if (slice_eq(providers->items[i]->issuer, issuer)) {
            return providers->items[i]->revocation_namespace;
        }
    }
    return SLICE_ABSENT;
}

/* Nothing is verified: who may write to the store may revoke any name. */
static int read_token(struct arena *arena, const struct config *config, struct wish *wish)
{
    const struct revocation_spaces spaces = { namespace_of,
                                              jwt_providers(cmd_top(config, &jwt_plugin)) };
    char *text = arena_alloc(arena, MAX_TOKEN_BYTES);
    size_t len = text == NULL ? 0 : fread(text, 1, MAX_TOKEN_BYTES, stdin);

    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ')) {
        len--;
    }
    if (len == 0 || len == MAX_TOKEN_BYTES ||
        revocation_read_token(arena, &spaces, slice_of(text, len), &wish->jti, &wish->expires_at) <
            0) {
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
    return revocation_entry_before(ret, wish->kind, wish->value, wish->before, wish->expires_at,
                                   now);
}

static int say_revoked(const struct revocation_entry *entry)
{
    printf("revoked %.*s\n", SLICE_FMT(revocation_entry_key(entry)));
    return EXIT_YES;
}

static int store_entry(const struct config *config, const struct revocation_entry *entry)
{
    struct revocation_writer *writer = cmd_revoke_store(config);
    int code = EXIT_UNKNOWN;

    if (writer != NULL && revocation_writer_put(writer, entry) < 0) {
        fprintf(stderr, "jwtgate: not revoked: %s\n", revocation_writer_error(writer));
    } else if (writer != NULL) {
        code = say_revoked(entry);
    }
    revocation_writer_close(writer);
    return code;
}

/* The body of POST /revocations. */
static void write_body(struct json_writer *json, const struct wish *wish)
{
    json_write_begin(json, NULL, '{');
    if (slice_is_absent(wish->value)) {
        json_write_string(json, "jti", wish->jti);
    } else {
        json_write_begin(json, "before", '{');
        json_write_string(json, revocation_kind_names[wish->kind], wish->value);
        json_write_int(json, "time", wish->before);
        json_write_end(json, '}');
    }
    if (wish->expires_at != REVOCATION_FOR_EVER) {
        json_write_int(json, "expires_at", wish->expires_at);
    }
    json_write_end(json, '}');
}

static int say_answer(const struct cmd_admin_answer *answer, const struct revocation_entry *entry)
{
    if (answer->status == 200) {
        return say_revoked(entry);
    }
    (void)cmd_admin_refused(answer);
    return EXIT_UNKNOWN;
}

/* Ask the gateway that runs: what it answers is true for its requests at once. False: none runs. */
static bool ask_gateway(const struct config *config, const struct wish *wish,
                        const struct revocation_entry *entry, int *ret_code)
{
    struct cmd_admin admin = { .config_file = wish->config_file };
    struct cmd_admin_answer answer = { .status = 0 };
    struct json_writer json;
    bool is_answered = false;

    if (!config->admin_token.is_set) {
        return false;
    }
    json_writer_init(&json, MAX_TOKEN_BYTES);
    write_body(&json, wish);
    if (!json.failed && cmd_admin_open(&admin, true) == EXIT_YES) {
        is_answered = cmd_admin_post(&admin, "/revocations", slice_of(json.buf, json.len),
                                     ANSWER_MS, true, &answer) == EXIT_YES;
    }
    if (is_answered) {
        *ret_code = say_answer(&answer, entry);
    }
    free(answer.body);
    cmd_admin_close(&admin);
    json_writer_done(&json);
    return is_answered;
}

static int carry_out(const struct config *config, struct wish *wish)
{
    struct revocation_entry entry;
    int code = EXIT_UNKNOWN;

    wish->before = wish->before != 0 ? wish->before : clock_unix();
    int err = make_entry(wish, &entry);
    if (err == REVOCATION_IS_OVER) {
        printf("expired already, nothing to do\n");
        return EXIT_YES;
    }
    if (err < 0) {
        fprintf(stderr, "jwtgate: not revoked: no token has such a name\n");
        return EXIT_NO;
    }
    return ask_gateway(config, wish, &entry, &code) ? code : store_entry(config, &entry);
}

static int revoke_wish(struct wish *wish)
{
    struct arena arena;
    int code = EXIT_YES;

    clock_update();
    arena_init(&arena, NULL, 0, ARENA_BYTES);
    struct config *config = cmd_revoke_config(wish->config_file, &code);
    if (config != NULL && wish->token_from_stdin) {
        code = read_token(&arena, config, wish);
    }
    if (config != NULL && code == EXIT_YES) {
        code = carry_out(config, wish);
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
    .about = "Through the gateway that runs, when the configuration has an admin.token, else\n"
             "straight to the store that \"revocation\" names: 0 when the store has it.  What is\n"
             "there is never shortened.  A token is not verified.",
    .options = revoke_options,
    .examples = "revoke --token - < token\n"
                "revoke --subject alice",
    .run = run_revoke,
};
