/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/check.h"
#include "gateway/cmd.h"

static int run(struct cmd_line *line)
{
    struct check_request request = { .file = NULL };
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'c': request.file = line->value; break;
        case 's': request.strict = true; break;
        case 'p': request.print = true; break;
        case 'o': request.online = true; break;
        case 'q': request.quiet = true; break;
        case 'j': request.json = true; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
    }
    return check_config(&request);
}

static const struct cmd_option options[] = {
    CMD_OPTION_CONFIG,
    { 's', "strict", NULL, "warnings are errors", true },
    { 'p', "print", NULL, "print the configuration with all defaults, without secrets", true },
    { 'o', "online", NULL, "also fetch the keys of each provider with \"jwks\"", true },
    { 'q', "quiet", NULL, "only the exit code", true },
    { 'j', "json", NULL, "messages as a JSON array on standard output", true },
    { .name = NULL },
};

const struct command command_check = {
    .name = "check",
    .usage = "[-c FILE] [--strict] [--online] [--print] [--quiet] [--json]",
    .summary = "check a configuration without starting",
    .about = "Read a configuration and say all that is wrong with it, and what is valid and\n"
             "dangerous (warnings, each with the name of its rule).  Nothing is started;\n"
             "nothing is asked over the network unless --online is given.\n"
             "Exit codes: 0 valid, 1 invalid, 2 wrong usage, 3 no such file",
    .options = options,
    .examples = "check --strict\n"
                "check -c jwtgate.jsonc --print > effective.json",
    .run = run,
};
