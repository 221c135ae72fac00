/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate reload`, `stop` and `drain`: a gateway that runs, told through its admin listener. */
#include "core/json.h"
#include "core/options.h"
#include "gateway/cmd_admin.h"

#include <stdlib.h>
#include <time.h>

#define ANSWER_MS   65000u /* a reload waits for keys of new providers */
#define POLL_MS     100u
#define ARENA_BYTES ((size_t)256 << 10)

enum { OPTION_WAIT = 256 };

struct order {
    struct cmd_admin admin;
    uint64_t wait_ms; /* of drain */
};

static void pause_ms(uint64_t ms)
{
    struct timespec left = { .tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000 };

    while (nanosleep(&left, &left) != 0) {
    }
}

/* ---- reload ---- */

/* The gateway's own words: what has changed, or each error with its place. */
static int print_verdict(const struct cmd_admin_answer *answer)
{
    switch (answer->status) {
    case 200: fputs(answer->body, stdout); return EXIT_YES;
    case 422: fputs(answer->body, stderr); return EXIT_NO;
    case 202:
        fputs("jwtgate: the reload goes on: see the gateway's log\n", stderr);
        return EXIT_UNKNOWN;
    default: return cmd_admin_refused(answer);
    }
}

static int reload(struct order *order)
{
    struct cmd_admin_answer answer = { .body = NULL };
    int code = cmd_admin_ask(&order->admin, true, "/reload", ANSWER_MS, false, &answer);

    if (code == EXIT_YES) {
        code = print_verdict(&answer);
    }
    free(answer.body);
    return code;
}

/* ---- stop, drain ---- */

/* The number of the process that answers; 0: none does. */
static int64_t ask_pid(struct cmd_admin *admin)
{
    struct cmd_admin_answer answer;
    struct arena arena;
    int64_t pid = 0;

    if (cmd_admin_ask(admin, false, "/api/status", ANSWER_MS, true, &answer) != EXIT_YES) {
        return 0;
    }
    arena_init(&arena, NULL, 0, ARENA_BYTES);
    const struct json *status =
        json_parse(&arena, slice_of(answer.body, answer.len), &json_limits_config, NULL);
    if (!json_int(json_get(status, SLICE("pid")), &pid)) {
        pid = 0;
    }
    arena_done(&arena);
    free(answer.body);
    return pid;
}

static int tell(struct cmd_admin *admin, const char *path, unsigned expected)
{
    struct cmd_admin_answer answer;
    int code = cmd_admin_ask(admin, true, path, ANSWER_MS, false, &answer);

    if (code != EXIT_YES) {
        return code;
    }
    code = answer.status == expected ? EXIT_YES : cmd_admin_refused(&answer);
    free(answer.body);
    return code;
}

static int stop(struct order *order)
{
    struct cmd_admin *admin = &order->admin;
    int64_t pid = ask_pid(admin);
    int code = tell(admin, "/stop", 202);

    if (code != EXIT_YES) {
        return code;
    }
    while (ask_pid(admin) == pid) {
        pause_ms(POLL_MS);
    }
    puts("stopped");
    return EXIT_YES;
}

static int drain(struct order *order)
{
    int code = tell(&order->admin, "/drain", 200);

    if (code == EXIT_YES) {
        pause_ms(order->wait_ms);
        puts("not ready any more, serving until the stop");
    }
    return code;
}

/* ---- the commands ---- */

/* False: end with line->exit_code. */
static bool take(struct order *order, struct cmd_line *line, int option)
{
    if (option == CMD_WORD) {
        line->exit_code = cmd_unexpected(line);
        return false;
    }
    if (option != OPTION_WAIT) {
        return cmd_admin_take(&order->admin, line, option);
    }
    if (options_duration(slice_str(line->value), &order->wait_ms) < 0) {
        line->exit_code = cmd_usage_error(line, "\"%s\" is no duration: write 10s", line->value);
        return false;
    }
    return true;
}

static int give(struct cmd_line *line, int (*fn)(struct order *order))
{
    struct order order = { .wait_ms = 0 };
    int option;

    while ((option = cmd_next(line)) != CMD_END) {
        if (!take(&order, line, option)) {
            return line->exit_code;
        }
    }
    int code = cmd_admin_open(&order.admin, true);

    if (code == EXIT_YES) {
        code = fn(&order);
    }
    cmd_admin_close(&order.admin);
    return code;
}

static int run_reload(struct cmd_line *line)
{
    return give(line, reload);
}

static int run_stop(struct cmd_line *line)
{
    return give(line, stop);
}

static int run_drain(struct cmd_line *line)
{
    return give(line, drain);
}

static const struct cmd_option options[] = {
    CMD_OPTION_ADMIN,
    CMD_OPTION_ADMIN_TOKEN,
    { .name = NULL },
};

const struct command command_reload = {
    .name = "reload",
    .usage = "[-c FILE]",
    .summary = "have a running gateway read its configuration again",
    .about =
        "Ask the gateway, wait for it, and print what has changed, or each mistake with file,\n"
        "line and column; then everything is as it was.\n"
        "Exit codes: 0 it serves by the file as it is, 1 it does not, 3 nobody answers",
    .options = options,
    .examples = "reload -c /etc/jwtgate/jwtgate.jsonc",
    .run = run_reload,
};

const struct command command_stop = {
    .name = "stop",
    .usage = "[-c FILE]",
    .summary = "stop a running gateway: what is in flight is finished",
    .about = "As SIGTERM does: nothing new is accepted, what is in flight is finished, for\n"
             "server.shutdown_grace at most.  Waits for the end.  Needs admin.token.",
    .options = options,
    .examples = "stop -c /etc/jwtgate/jwtgate.jsonc",
    .run = run_stop,
};

static const struct cmd_option drain_options[] = {
    CMD_OPTION_ADMIN,
    CMD_OPTION_ADMIN_TOKEN,
    { OPTION_WAIT, "wait", "DURATION", "then wait for so long, for load balancers to notice",
      true },
    { .name = NULL },
};

const struct command command_drain = {
    .name = "drain",
    .usage = "[-c FILE] [--wait DURATION]",
    .summary = "take a running gateway out of the load balancers' sight",
    .about = "From now on /readyz says 503 and connections are closed after their answers;\n"
             "new ones are still served, until the stop.  Needs admin.token.",
    .options = drain_options,
    .examples = "drain --wait 10s",
    .run = run_drain,
};
