/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of the program.  One table row per command and option: the parser, the help, the
 * completions of shells and the manual are made of it. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum cmd_exit {
    EXIT_YES = 0,     /* done */
    EXIT_NO = 1,      /* invalid, failed */
    EXIT_USAGE = 2,   /* wrong arguments */
    EXIT_UNKNOWN = 3, /* could not find out: file missing, network */
};

struct cmd_option {
    int id;            /* what cmd_next() returns: the letter where there is one */
    const char *name;  /* "config" for --config; NULL ends the table */
    const char *value; /* "FILE"; NULL: a switch */
    const char *help;
    bool is_long_only; /* `id` is not a letter to type */
};

struct cmd_line;

struct command {
    const char *name;
    const char *usage;        /* behind the name; one form a line */
    const char *summary;      /* half a line */
    const char *about;        /* a paragraph, or NULL */
    const char *const *words; /* what may stand first ("generate"), NULL-terminated; or NULL */
    const struct cmd_option *options;
    const char *examples; /* one a line, without "jwtgate" */
    int (*run)(struct cmd_line *line);
};

extern const struct command command_check;
extern const struct command command_client;
extern const struct command command_completion;
extern const struct command command_demo;
extern const struct command command_drain;
extern const struct command command_explain;
extern const struct command command_fmt;
extern const struct command command_help;
extern const struct command command_keys;
extern const struct command command_reload;
extern const struct command command_revocations;
extern const struct command command_revoke;
extern const struct command command_routes;
extern const struct command command_run;
extern const struct command command_status;
extern const struct command command_stop;
extern const struct command command_token;
extern const struct command command_version;
extern const struct command *const commands[]; /* ends with NULL */
const struct command *cmd_find(const char *name);

/* Row of -c, --config, which every command that reads a configuration has. */
#define CMD_OPTION_CONFIG                                                                          \
    {                                                                                              \
        .id = 'c', .name = "config", .value = "FILE", .help = "the configuration"                  \
    }
#define CMD_OPTION_JSON                                                                            \
    {                                                                                              \
        .id = 'j', .name = "json", .help = "JSON on standard output", .is_long_only = true         \
    }

/* Arguments of one command while they are read. */
struct cmd_line {
    const struct command *command;
    int argc;
    char **argv; /* argv[0]: the command */
    int next;
    const char *letters; /* the rest of "-ab"; NULL: none */
    bool only_words;     /* after "--" */
    const char *value;   /* of the option, or the word */
    int exit_code;       /* on CMD_STOP */
};

enum {
    CMD_END = -1,
    CMD_WORD = -2, /* an argument that is no option */
    CMD_STOP = -3, /* help was printed, or a mistake reported: end with exit_code */
};

/* Is its value the name of a file, or of a folder? */
bool cmd_option_is_file(const struct cmd_option *row);
/* The id of the next option, or one of the above.  -h and --help are everybody's. */
int cmd_next(struct cmd_line *line);
/* Say what is wrong with the arguments on stderr; EXIT_USAGE. */
int cmd_usage_error(const struct cmd_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a word too many. */
int cmd_unexpected(const struct cmd_line *line);
void cmd_print_commands(FILE *out);
void cmd_print_help(const struct command *command, FILE *out);
