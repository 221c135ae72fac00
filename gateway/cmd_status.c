/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate status`: how a gateway that runs is, as its admin listener says it. */
#include "core/clock.h"
#include "core/json.h"
#include "gateway/cmd_admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MS   5000u
#define ARENA_BYTES ((size_t)1 << 20)

/* ---- words ---- */

/* "3d4h", "12m5s": two units at most. */
static const char *age_text(int64_t seconds, char ret[32])
{
    static const struct {
        int64_t seconds;
        char letter;
    } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
    size_t unit = 0;

    while (unit < 3 && seconds < units[unit].seconds) {
        unit++;
    }
    int n = snprintf(ret, 32, "%" PRId64 "%c", seconds / units[unit].seconds, units[unit].letter);
    int64_t rest = seconds % units[unit].seconds;

    if (unit < 3 && rest >= units[unit + 1].seconds) {
        snprintf(ret + n, 32 - (size_t)n, "%" PRId64 "%c", rest / units[unit + 1].seconds,
                 units[unit + 1].letter);
    }
    return ret;
}

static struct slice text_of(const struct json *object, const char *name)
{
    const struct json *value = json_get(object, slice_str(name));

    return json_is(value, JSON_STRING) ? value->text : SLICE("");
}

static int64_t number_of(const struct json *object, const char *name)
{
    int64_t value = 0;

    return json_int(json_get(object, slice_str(name)), &value) ? value : 0;
}

static bool is_true(const struct json *object, const char *name)
{
    const struct json *value = json_get(object, slice_str(name));

    return json_is(value, JSON_BOOL) && value->boolean;
}

static void print_status(const struct json *status)
{
    const struct json *config = json_get(status, SLICE("config"));
    const struct json *reloads = json_get(status, SLICE("reloads"));
    const struct json *listeners = json_get(status, SLICE("listeners"));
    const struct json *checks = json_get(status, SLICE("checks"));
    char age[32];

    printf("jwtgate %.*s  process %" PRId64 "  %.*s, %s  for %s  workers %" PRId64 "\n",
           SLICE_FMT(text_of(status, "version")), number_of(status, "pid"),
           SLICE_FMT(text_of(status, "state")), is_true(status, "ready") ? "ready" : "not ready",
           age_text(number_of(status, "uptime_s"), age), number_of(status, "workers"));
    printf("configuration  %.*s  %.*s  loaded %s ago\n", SLICE_FMT(text_of(config, "file")),
           SLICE_FMT(text_of(config, "hash")), age_text(number_of(config, "age_s"), age));
    printf("reloads  %" PRId64 " done, %" PRId64 " failed%s\n", number_of(reloads, "success"),
           number_of(reloads, "failure"),
           is_true(reloads, "last_successful") ? "" : "; THE LAST ONE FAILED");
    for (const struct json *at = listeners == NULL ? NULL : listeners->child; at != NULL;
         at = at->next) {
        printf("listener  %.*s  %.*s  %.*s%s\n", SLICE_FMT(text_of(at, "name")),
               SLICE_FMT(text_of(at, "address")), SLICE_FMT(text_of(at, "service")),
               is_true(at, "tls") ? ", tls" : "");
    }
    for (const struct json *at = checks == NULL ? NULL : checks->child; at != NULL; at = at->next) {
        struct slice why = text_of(at, "why");

        printf("check  %.*s  %s%s%.*s\n", SLICE_FMT(text_of(at, "name")),
               is_true(at, "ok") ? "ok" : "FAILED", why.len == 0 ? "" : ": ", SLICE_FMT(why));
    }
}

/* ---- from the metrics ---- */

/* Families that say how those are whom we depend on. */
static const struct family {
    const char *name, *words;
    bool is_time; /* the value is a Unix time */
} families[] = {
    { "jwtgate_jwks_last_success_timestamp_seconds", "keys fetched", true },
    { "jwtgate_jwks_keys", "keys", false },
    { "jwtgate_upstream_target_up", "target up", false },
    { "jwtgate_upstream_connections", "connections", false },
    { "jwtgate_redis_up", "redis up", false },
    { "jwtgate_revocation_state", "revocation", false },
    { "jwtgate_revocation_sync_age_seconds", "revocation age, s", false },
    { "jwtgate_revocation_entries", "revocation entries", false },
    { "jwtgate_certificate_not_after_timestamp_seconds", "certificate ends", true },
};

/* `line`: name{labels} value, without its end; the blank goes with the labels. */
static void print_sample(const struct family *family, const char *line, size_t len)
{
    size_t name_len = strlen(family->name), labels_len = len;
    char age[32];

    while (labels_len > name_len && line[labels_len - 1] != ' ') {
        labels_len--;
    }
    double value = strtod(line + labels_len, NULL);
    int64_t seconds = (int64_t)value - clock_unix();

    printf("%s  %.*s", family->words, (int)(labels_len - name_len), line + name_len);
    if (!family->is_time) {
        printf("%g\n", value);
    } else if (value <= 0) {
        puts("never");
    } else {
        printf(seconds < 0 ? "%s ago\n" : "in %s\n",
               age_text(seconds < 0 ? -seconds : seconds, age));
    }
}

static void print_line(const char *line, size_t len)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        size_t name_len = strlen(families[i].name);

        if (len > name_len && strncmp(line, families[i].name, name_len) == 0 &&
            (line[name_len] == '{' || line[name_len] == ' ')) {
            print_sample(&families[i], line, len);
        }
    }
}

static void print_metrics(struct cmd_admin *admin)
{
    struct cmd_admin_answer answer;

    if (cmd_admin_ask(admin, false, "/metrics", ANSWER_MS, false, &answer) != EXIT_YES) {
        return;
    }
    for (const char *line = answer.body; *line != '\0';) {
        size_t len = strcspn(line, "\n");

        print_line(line, len);
        line += len + (line[len] == '\n');
    }
    free(answer.body);
}

/* ---- the command ---- */

static int show(struct cmd_admin *admin, struct slice body, bool as_json, bool only_ready)
{
    struct arena arena;
    int code = EXIT_UNKNOWN;

    arena_init(&arena, NULL, 0, ARENA_BYTES);
    const struct json *status = json_parse(&arena, body, &json_limits_config, NULL);

    if (status == NULL) {
        fprintf(stderr, "jwtgate: the answer of %s is not understood\n", cmd_admin_place(admin));
    } else {
        code = only_ready && !is_true(status, "ready") ? EXIT_NO : EXIT_YES;
        if (as_json) {
            printf("%.*s\n", SLICE_FMT(body));
        } else if (only_ready) {
            puts(code == EXIT_YES ? "ready" : "not ready");
        } else {
            print_status(status);
            print_metrics(admin);
        }
    }
    arena_done(&arena);
    return code;
}

static int ask(struct cmd_admin *admin, bool as_json, bool only_ready)
{
    struct cmd_admin_answer answer;
    int code = cmd_admin_ask(admin, false, "/api/status", ANSWER_MS, false, &answer);

    if (code != EXIT_YES) {
        return code;
    }
    code = answer.status == 200
               ? show(admin, slice_of(answer.body, answer.len), as_json, only_ready)
               : cmd_admin_refused(&answer);
    free(answer.body);
    return code;
}

static int run(struct cmd_line *line)
{
    struct cmd_admin admin = { .config_file = NULL };
    bool as_json = false, only_ready = false;
    int option, code;

    while ((option = cmd_next(line)) != CMD_END) {
        switch (option) {
        case 'j': as_json = true; break;
        case 'r': only_ready = true; break;
        case CMD_WORD: return cmd_unexpected(line);
        default:
            if (!cmd_admin_take(&admin, line, option)) {
                return line->exit_code;
            }
        }
    }
    code = cmd_admin_open(&admin, false);
    if (code == EXIT_YES) {
        code = ask(&admin, as_json, only_ready);
    }
    cmd_admin_close(&admin);
    return code;
}

static const struct cmd_option options[] = {
    CMD_OPTION_ADMIN,
    CMD_OPTION_JSON,
    { 'r', "ready", NULL, "only whether it is ready: exit code 0 or 1", true },
    { .name = NULL },
};

const struct command command_status = {
    .name = "status",
    .usage = "[-c FILE] [--json] [--ready]",
    .summary = "how a running gateway is",
    .about = "Ask the gateway's admin listener: how long it serves, by which configuration, its\n"
             "listeners, and how those are whom it depends on: keys, revocations, upstreams.\n"
             "Exit codes: 0, 1 not ready (--ready), 3 nobody answers",
    .options = options,
    .examples = "status\n"
                "status --address 127.0.0.1:9901 --ready",
    .run = run,
};
