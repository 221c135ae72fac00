/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"
#include "gateway/gateway.h"

static int run(struct cmd_line *line)
{
    const char *file = NULL;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'c': file = line->value; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
    }
    return gateway_run(file);
}

static const struct cmd_option options[] = { CMD_OPTION_CONFIG, { .name = NULL } };

const struct command command_run = {
    .name = "run",
    .usage = "[-c FILE]",
    .summary = "serve in the foreground",
    .about = "Serve in the foreground until SIGTERM or SIGINT; log to standard error.\n"
             "Exit codes: 0 after a clean stop, 1 failed start, 3 no such file",
    .options = options,
    .examples = "run -c /etc/jwtgate/jwtgate.jsonc",
    .run = run,
};
