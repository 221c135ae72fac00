/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Where one is closed, the next file or socket would take its number, and get what is logged or printed.
 * What is opened in its place fails as a closed one does. */
static bool fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            return false;
        }
    }
    return true;
}

/* Whoever keeps what a command prints must learn that it is not all there. */
static int flush_output(int exit_code)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return exit_code;
    }
    fprintf(stderr, "jwtgate: cannot write standard output: %s\n", strerror(errno));
    return exit_code == EXIT_YES ? EXIT_UNKNOWN : exit_code;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct cmd_line line = { .command = command, .argc = argc, .argv = argv, .next = 1 };

    return flush_output(command->run(&line));
}

int main(int argc, char **argv)
{
    if (!fill_standard_descriptors()) {
        return EXIT_UNKNOWN;
    }
    if (argc < 2) {
        cmd_print_commands(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return run(&command_help, 1, argv);
    }
    if (strcmp(argv[1], "--version") == 0) {
        return run(&command_version, 1, argv);
    }
    const struct command *command = cmd_find(argv[1]);

    if (command == NULL) {
        fprintf(stderr, "jwtgate: no command \"%s\"; see: jwtgate help\n", argv[1]);
        return EXIT_USAGE;
    }
    return run(command, argc - 1, argv + 1);
}
