/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of the program.  argv[0] is the command's name; the result is the exit code. */
#pragma once

enum cmd_exit {
    EXIT_YES = 0,     /* done */
    EXIT_NO = 1,      /* invalid, failed */
    EXIT_USAGE = 2,   /* wrong arguments */
    EXIT_UNKNOWN = 3, /* could not find out: file missing, network */
};

int cmd_check(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_run(int argc, char **argv);

/* Says on stderr where help is; EXIT_USAGE. */
int cmd_usage_error(const char *command);
