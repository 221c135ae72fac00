/* SPDX-License-Identifier: Apache-2.0 */
/* help and version. */
#include "gateway/cmd.h"

#include "version.h"

static const struct cmd_option no_options[] = { { .name = NULL } };

void cmd_print_commands(FILE *out)
{
    fputs("usage: jwtgate COMMAND [OPTIONS]\n\nCommands\n", out);
    for (size_t i = 0; commands[i] != NULL; i++) {
        fprintf(out, "  %-11s  %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\nThe configuration is ./jwtgate.jsonc, else /etc/jwtgate/jwtgate.jsonc, or -c FILE.\n"
          "\nExit codes\n"
          "  0 yes, done    1 no, invalid, failed    2 wrong usage    3 could not find out\n"
          "\nExamples\n"
          "  jwtgate demo\n"
          "  jwtgate check -c jwtgate.jsonc --print\n"
          "  jwtgate help run\n",
          out);
}

static int run_help(struct cmd_line *line)
{
    switch (cmd_next(line)) {
    case CMD_END: cmd_print_commands(stdout); return EXIT_YES;
    case CMD_WORD: break;
    default: return line->exit_code;
    }
    const struct command *command = cmd_find(line->value);

    if (command == NULL) {
        fprintf(stderr, "jwtgate: no command \"%s\"; see: jwtgate help\n", line->value);
        return EXIT_USAGE;
    }
    cmd_print_help(command, stdout);
    return EXIT_YES;
}

const struct command command_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "explain a command",
    .options = no_options,
    .examples = "help check",
    .run = run_help,
};

static int run_version(struct cmd_line *line)
{
    bool is_verbose = false;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'v': is_verbose = true; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
    }
    puts("jwtgate " JWTGATE_VERSION);
    if (is_verbose) {
        puts("OpenSSL " JWTGATE_OPENSSL "\nlibevent " JWTGATE_LIBEVENT "\ncompiler " __VERSION__);
    }
    return EXIT_YES;
}

static const struct cmd_option version_options[] = {
    { 'v', "verbose", NULL, "also what it was built with", false },
    { .name = NULL },
};

const struct command command_version = {
    .name = "version",
    .usage = "[-v]",
    .summary = "print the version",
    .options = version_options,
    .run = run_version,
};
