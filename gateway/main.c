/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"

#include <stdio.h>
#include <string.h>

#include "version.h"

typedef int command_fn(int argc, char **argv);

struct command {
    const char *name;
    command_fn *fn;
    const char *summary;
};

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct command commands[] = {
    { "run", cmd_run, "serve in the foreground" },
    { "check", cmd_check, "check a configuration without starting" },
    { "demo", cmd_demo, "make keys and a configuration, and serve them" },
    { "version", cmd_version, "print the version" },
    { "help", cmd_help, "explain a command" },
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_usage(FILE *out)
{
    fputs("usage: jwtgate COMMAND [OPTIONS]\n\nCommands\n", out);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
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

int cmd_usage_error(const char *command)
{
    fprintf(stderr, "Try: jwtgate help %s\n", command);
    return EXIT_USAGE;
}

static int cmd_version(int argc, char **argv)
{
    puts("jwtgate " JWTGATE_VERSION);
    return EXIT_YES;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "jwtgate: no command \"%s\"; see: jwtgate help\n", name);
    return EXIT_USAGE;
}

static int cmd_help(int argc, char **argv)
{
    char help[] = "--help";

    if (argc < 2 || argv[1][0] == '-') {
        print_usage(stdout);
        return EXIT_YES;
    }
    const struct command *command = find_command(argv[1]);
    char *args[] = { argv[1], help, NULL };

    if (command == NULL) {
        return unknown_command(argv[1]);
    }
    return command->fn == cmd_help ? cmd_help(1, argv) : command->fn(2, args);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return cmd_help(1, argv);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return cmd_version(1, argv);
    }
    const struct command *command = find_command(argv[1]);

    if (command == NULL) {
        return unknown_command(argv[1]);
    }
    return command->fn(argc - 1, argv + 1);
}
