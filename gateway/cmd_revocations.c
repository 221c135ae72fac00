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

/* ---- check ---- */

static int check(const struct config *config, const char *config_file, const char *jti)
{
    char buf[REVOCATION_KEY_BYTES];
    struct revocation_writer *writer = cmd_revoke_store(config);
    int code = EXIT_UNKNOWN;

    if (writer != NULL) {
        struct slice key = revocation_jti_key(buf, slice_str(jti));
        int err = slice_is_absent(key) ? ERR_CRYPTO : revocation_writer_find(writer, key);
        code = err == 0 ? EXIT_YES : err == ERR_NOT_FOUND ? EXIT_NO : EXIT_UNKNOWN;
        if (code == EXIT_UNKNOWN) {
            fprintf(stderr, "jwtgate: %s\n", revocation_writer_error(writer));
        } else {
            printf("%s\n", code == EXIT_YES ? "revoked" : "not revoked");
        }
    }
    revocation_writer_close(writer);
    return code;
}

/* ---- export ---- */

/* One JSON object a line. */
static bool print_entry(void *arg, const struct local_entry *entry)
{
    int *code = arg;
    struct json_writer json;

    json_writer_init(&json, 8192);
    json_write_begin(&json, NULL, '{');
    json_write_string(&json, "key", entry->key);
    json_write_int(&json, "value", entry->value);
    if (entry->expires_at != REVOCATION_FOR_EVER) {
        json_write_int(&json, "expires_at", entry->expires_at);
    }
    json_write_end(&json, '}');
    if (json.failed || printf("%.*s\n", (int)json.len, json.buf) < 0) {
        *code = EXIT_UNKNOWN;
    }
    json_writer_done(&json);
    return *code == EXIT_YES;
}

static int export(const struct config *config, const char *config_file, const char *jti)
{
    struct revocation_writer *writer = cmd_revoke_store(config);
    int code = writer == NULL ? EXIT_UNKNOWN : EXIT_YES;

    if (writer != NULL && revocation_writer_visit(writer, print_entry, &code) < 0) {
        fprintf(stderr, "jwtgate: not all of it: %s\n", revocation_writer_error(writer));
        code = EXIT_UNKNOWN;
    }
    revocation_writer_close(writer);
    return fflush(stdout) == 0 ? code : EXIT_UNKNOWN;
}

/* ---- status ---- */

/* The value of a line of /metrics; NULL: there is none. */
static const char *find_number(const char *metrics, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = metrics; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ') {
            return line + len + 1;
        }
    }
    return NULL;
}

static void print_number(const char *metrics, const char *name, const char *word)
{
    const char *value = find_number(metrics, name);

    if (value != NULL) {
        printf("%-10s %.*s\n", word, (int)strcspn(value, "\n"), value);
    }
}

static bool print_state(const char *metrics)
{
    static const char *const states[] = { "cold", "live", "stale" };
    char name[64];

    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "jwtgate_revocation_state{state=\"%s\"}", states[i]);
        const char *value = find_number(metrics, name);
        if (value != NULL && *value == '1') {
            printf("%-10s %s\n", "state", states[i]);
            return i == 1;
        }
    }
    return false;
}

static int print_metrics(const char *metrics)
{
    int code = print_state(metrics) ? EXIT_YES : EXIT_NO;

    print_number(metrics, "jwtgate_revocation_entries", "entries");
    print_number(metrics, "jwtgate_revocation_sync_age_seconds", "age_s");
    print_number(metrics, "jwtgate_revocation_filter_bytes", "bytes");
    print_number(metrics, "jwtgate_revocation_filter_fill_ratio", "fill");
    print_number(metrics, "jwtgate_redis_up", "redis_up");
    return code;
}

static int status(const struct config *config, const char *config_file, const char *jti)
{
    struct cmd_admin admin = { .config_file = config_file };
    struct cmd_admin_answer answer = { .status = 0 };
    int code = cmd_admin_open(&admin, false);

    if (code == EXIT_YES) {
        code = cmd_admin_ask(&admin, false, "/metrics", ANSWER_MS, false, &answer);
    }
    if (code == EXIT_YES && answer.status != 200) {
        code = cmd_admin_refused(&answer);
    } else if (code == EXIT_YES) {
        code = print_metrics(answer.body);
    }
    free(answer.body);
    cmd_admin_close(&admin);
    return code;
}

/* ---- the command ---- */

static const struct {
    const char *word;
    int (*run)(const struct config *config, const char *config_file, const char *jti);
} actions[] = { { "status", status }, { "check", check }, { "export", export } };
#define ACTIONS (sizeof(actions) / sizeof(actions[0]))

static int run_action(struct cmd_line *line, size_t action, const char *config_file,
                      const char *jti)
{
    bool needs_jti = actions[action].run == check;
    int code = EXIT_YES;

    if (needs_jti != (jti != NULL && jti[0] != '\0')) {
        return cmd_usage_error(line, needs_jti ? "check needs --jti" : "--jti goes with check");
    }
    clock_update();
    struct config *config = cmd_revoke_config(config_file, &code);
    if (config != NULL) {
        code = actions[action].run(config, config_file, jti);
    }
    config_unref(config);
    return code;
}

static int run_revocations(struct cmd_line *line)
{
    const char *config_file = NULL, *word = "", *jti = NULL;
    int option;

    while ((option = cmd_next(line)) != CMD_END) {
        switch (option) {
        case CMD_STOP: return line->exit_code;
        case 'c': config_file = line->value; break;
        case OPTION_JTI: jti = line->value; break;
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
            return run_action(line, i, config_file, jti);
        }
    }
    return cmd_usage_error(line, "say what to do: status, check or export");
}

static const char *const revocations_words[] = { "status", "check", "export", NULL };

static const struct cmd_option revocations_options[] = {
    CMD_OPTION_CONFIG,
    { .id = OPTION_JTI,
      .name = "jti",
      .value = "JTI",
      .help = "check: the token with this jti",
      .is_long_only = true },
    { .name = NULL },
};

const struct command command_revocations = {
    .name = "revocations",
    .usage = "status [-c FILE]\n"
             "check [-c FILE] --jti JTI\n"
             "export [-c FILE]",
    .summary = "what is revoked, and how much the gateway knows of it",
    .about = "status: of the gateway that runs; 0 when its knowledge is live, else 1.\n"
             "check: 0 revoked, 1 not; watermarks (revoke --subject ...) are not looked at.\n"
             "export: all entries of the store, one JSON object a line.\n"
             "3: the gateway, or the store, does not answer.",
    .words = revocations_words,
    .options = revocations_options,
    .examples = "revocations status\n"
                "revocations check --jti 4f1d\n"
                "revocations export > revocations.jsonl",
    .run = run_revocations,
};
