/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate revocations`: status of the gateway that runs; check and export ask the store itself. */
#include "core/clock.h"
#include "core/json.h"
#include "gateway/cmd.h"
#include "gateway/cmd_admin.h"
#include "gateway/cmd_revoke.h"
#include "plugins/revocation/keys.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MS 5000u

enum { OPTION_JTI = 256 };

struct question {
    const char *config_file, *jti;
    const struct config *config;
    bool as_json;
};

/* One line. Takes `json` over. */
static int print_line(struct json_writer *json, const char *end)
{
    int code = json->failed || printf("%.*s%s", (int)json->len, json->buf, end) < 0 ? EXIT_UNKNOWN
                                                                                    : EXIT_YES;
    json_writer_done(json);
    return code;
}

/* ---- check ---- */

static int print_answer(const struct question *question, bool is_revoked)
{
    struct json_writer json;

    if (!question->as_json) {
        puts(is_revoked ? "revoked" : "not revoked");
        return EXIT_YES;
    }
    json_writer_init(&json, 4096);
    json_write_begin(&json, NULL, '{');
    json_write_string(&json, "jti", slice_str(question->jti));
    json_write_bool(&json, "revoked", is_revoked);
    json_write_end(&json, '}');
    return print_line(&json, "\n");
}

static int check(const struct question *question)
{
    char buf[REVOCATION_KEY_BYTES];
    struct revocation_writer *writer = cmd_revoke_store(question->config);
    int code = EXIT_UNKNOWN;

    if (writer != NULL) {
        struct slice key = revocation_jti_key(buf, slice_str(question->jti));
        int err = slice_is_absent(key) ? ERR_CRYPTO : revocation_writer_find(writer, key);
        code = err == 0 ? EXIT_YES : err == ERR_NOT_FOUND ? EXIT_NO : EXIT_UNKNOWN;
        if (code == EXIT_UNKNOWN) {
            fprintf(stderr, "jwtgate: %s\n", revocation_writer_error(writer));
        } else if (print_answer(question, code == EXIT_YES) != EXIT_YES) {
            code = EXIT_UNKNOWN;
        }
    }
    revocation_writer_close(writer);
    return code;
}

/* ---- export ---- */

struct export
{
    bool as_json; /* one array, else an object a line */
    bool has_begun;
    int code;
};

static bool print_entry(void *arg, const struct local_entry *entry)
{
    struct export *export = arg;
    struct json_writer json;

    if (export->as_json) {
        fputs(export->has_begun ? ",\n" : "[\n", stdout);
        export->has_begun = true;
    }
    json_writer_init(&json, 8192);
    json_write_begin(&json, NULL, '{');
    json_write_string(&json, "key", entry->key);
    json_write_int(&json, "value", entry->value);
    if (entry->expires_at != REVOCATION_FOR_EVER) {
        json_write_int(&json, "expires_at", entry->expires_at);
    }
    json_write_end(&json, '}');
    export->code = print_line(&json, export->as_json ? "" : "\n");
    return export->code == EXIT_YES;
}

/* What is not whole does not end: nobody can take it for all. */
static void end_array(const struct export *export)
{
    if (export->as_json && export->code == EXIT_YES) {
        puts(export->has_begun ? "\n]" : "[]");
    }
}

static int export(const struct question *question)
{
    struct revocation_writer *writer = cmd_revoke_store(question->config);
    struct export export = { .as_json = question->as_json,
                             .code = writer == NULL ? EXIT_UNKNOWN : EXIT_YES };

    if (writer != NULL && revocation_writer_visit(writer, print_entry, &export) < 0) {
        fprintf(stderr, "jwtgate: not all of it: %s\n", revocation_writer_error(writer));
        export.code = EXIT_UNKNOWN;
    }
    end_array(&export);
    revocation_writer_close(writer);
    return fflush(stdout) == 0 ? export.code : EXIT_UNKNOWN;
}

/* ---- status ---- */

static const char *const states[] = { "cold", "live", "stale" };
#define STATE_LIVE 1

static const struct {
    const char *metric, *word;
} numbers[] = {
    { "jwtgate_revocation_entries", "entries" },
    { "jwtgate_revocation_sync_age_seconds", "age_s" },
    { "jwtgate_revocation_filter_bytes", "bytes" },
    { "jwtgate_revocation_filter_fill_ratio", "fill" },
    { "jwtgate_redis_up", "redis_up" },
};

/* The value of a line of /metrics; absent: there is none. */
static struct slice find_number(const char *metrics, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = metrics; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ') {
            return slice_of(line + len + 1, strspn(line + len + 1, "0123456789.e+-"));
        }
    }
    return SLICE_ABSENT;
}

/* An index of `states`; -1: the gateway does not look for revocations. */
static int find_state(const char *metrics)
{
    char name[64];

    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "jwtgate_revocation_state{state=\"%s\"}", states[i]);
        if (slice_eq(find_number(metrics, name), SLICE("1"))) {
            return i;
        }
    }
    return -1;
}

static int print_text(const char *metrics, int state)
{
    if (state >= 0) {
        printf("%-10s %s\n", "state", states[state]);
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct slice value = find_number(metrics, numbers[i].metric);
        if (value.len > 0) {
            printf("%-10s %.*s\n", numbers[i].word, SLICE_FMT(value));
        }
    }
    return EXIT_YES;
}

static int print_json(const char *metrics, int state)
{
    struct json_writer json;

    json_writer_init(&json, 4096);
    json_write_begin(&json, NULL, '{');
    if (state >= 0) {
        json_write_string(&json, "state", slice_str(states[state]));
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct json value = { .type = JSON_NUMBER,
                              .text = find_number(metrics, numbers[i].metric) };
        if (value.text.len > 0) {
            json_write_tree(&json, slice_str(numbers[i].word), &value);
        }
    }
    json_write_end(&json, '}');
    return print_line(&json, "\n");
}

static int print_metrics(const char *metrics, bool as_json)
{
    int state = find_state(metrics);
    int code = as_json ? print_json(metrics, state) : print_text(metrics, state);

    return code == EXIT_YES && state != STATE_LIVE ? EXIT_NO : code;
}

static int status(const struct question *question)
{
    struct cmd_admin admin = { .config_file = question->config_file };
    struct cmd_admin_answer answer = { .status = 0 };
    int code = cmd_admin_open(&admin, false);

    if (code == EXIT_YES) {
        code = cmd_admin_ask(&admin, false, "/metrics", ANSWER_MS, false, &answer);
    }
    if (code == EXIT_YES && answer.status != 200) {
        code = cmd_admin_refused(&answer);
    } else if (code == EXIT_YES) {
        code = print_metrics(answer.body, question->as_json);
    }
    free(answer.body);
    cmd_admin_close(&admin);
    return code;
}

/* ---- the command ---- */

static const struct {
    const char *word;
    int (*run)(const struct question *question);
} actions[] = { { "status", status }, { "check", check }, { "export", export } };
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static int run_action(struct cmd_line *line, size_t action, struct question *question)
{
    bool needs_jti = actions[action].run == check;
    int code = EXIT_YES;

    if (needs_jti != (question->jti != NULL && question->jti[0] != '\0')) {
        return cmd_usage_error(line, needs_jti ? "check needs --jti" : "--jti goes with check");
    }
    clock_update();
    struct config *config = cmd_revoke_config(question->config_file, &code);
    if (config != NULL) {
        question->config = config;
        code = actions[action].run(question);
    }
    config_unref(config);
    return code;
}

static int run_revocations(struct cmd_line *line)
{
    struct question question = { .as_json = false };
    const char *word = "";
    int option;

    while ((option = cmd_next(line)) != CMD_END) {
        switch (option) {
        case CMD_STOP: return line->exit_code;
        case 'c': question.config_file = line->value; break;
        case 'j': question.as_json = true; break;
        case OPTION_JTI: question.jti = line->value; break;
        default:
            if (word[0] != '\0') {
                return cmd_unexpected(line);
            }
            word = line->value;
            break;
        }
    }
    for (size_t i = 0; i < ACTIONS; i++) {
        if (strcmp(word, actions[i].word) == 0) {
            return run_action(line, i, &question);
        }
    }
    return cmd_usage_error(line, "say what to do: status, check or export");
}

static const char *const revocations_words[] = { "status", "check", "export", NULL };

static const struct cmd_option revocations_options[] = {
    CMD_OPTION_CONFIG,
    CMD_OPTION_JSON,
    { .id = OPTION_JTI,
      .name = "jti",
      .value = "JTI",
      .help = "check: the token with this jti",
      .is_long_only = true },
    { .name = NULL },
};

const struct command command_revocations = {
    .name = "revocations",
    .usage = "status [-c FILE] [--json]\n"
             "check [-c FILE] [--json] --jti JTI\n"
             "export [-c FILE] [--json]",
    .summary = "what is revoked, and how much the gateway knows of it",
    .about = "status: of the gateway that runs; 0 when its knowledge is live, else 1.\n"
             "check: 0 revoked, 1 not; watermarks (revoke --subject ...) are not looked at.\n"
             "export: all entries of the store, one JSON object a line; --json: one array, which\n"
             "does not end when it is not whole.\n"
             "3: the gateway, or the store, does not answer.",
    .words = revocations_words,
    .options = revocations_options,
    .examples = "revocations status\n"
                "revocations check --jti 4f1d\n"
                "revocations export > revocations.jsonl",
    .run = run_revocations,
};
