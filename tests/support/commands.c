/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/commands.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORDS 32

char command_out[262144], command_err[65536];

/* Put a file in place of descriptor `fd`; what was there. */
static int redirect(int fd, FILE *file)
{
    int kept = dup(fd);

    ck_assert_int_ge(kept, 0);
    ck_assert_int_eq(dup2(fileno(file), fd), fd);
    return kept;
}

static void take_back(int fd, int kept)
{
    ck_assert_int_eq(dup2(kept, fd), fd);
    close(kept);
}

static void read_all(FILE *file, char *ret, size_t size)
{
    rewind(file);
    size_t len = fread(ret, 1, size - 1, file);

    ret[len] = '\0';
    fclose(file);
}

static int run_words(char *text)
{
    char *argv[MAX_WORDS + 1];
    int argc = 0;

    for (char *word = text; word != NULL && *word != '\0'; argc++) {
        ck_assert_int_lt(argc, MAX_WORDS);
        argv[argc] = strsep(&word, " ");
    }
    argv[argc] = NULL;
    const struct command *command = cmd_find(argv[0]);

    ck_assert_msg(command != NULL, "%s", argv[0]);
    struct cmd_line line = { .command = command, .argc = argc, .argv = argv, .next = 1 };

    return command->run(&line);
}

int run_command(const char *words, const char *input)
{
    FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
    char *copy = strdup(words);

    fputs(input == NULL ? "" : input, in);
    rewind(in);
    fflush(NULL);
    int kept_in = redirect(STDIN_FILENO, in), kept_out = redirect(STDOUT_FILENO, out),
        kept_err = redirect(STDERR_FILENO, err);
    int code = run_words(copy);

    fflush(NULL);
    take_back(STDIN_FILENO, kept_in);
    take_back(STDOUT_FILENO, kept_out);
    take_back(STDERR_FILENO, kept_err);
    clearerr(stdin);
    fseek(stdin, 0, SEEK_SET);
    free(copy);
    fclose(in);
    read_all(out, command_out, sizeof(command_out));
    read_all(err, command_err, sizeof(command_err));
    return code;
}

void expect_command(const char *words, const char *input, int code, const char *out,
                    const char *err)
{
    int got = run_command(words, input);

    ck_assert_msg(got == code, "%s: exit %d\n%s%s", words, got, command_out, command_err);
    ck_assert_msg(out == NULL || strstr(command_out, out) != NULL, "%s: no \"%s\" in\n%s", words,
                  out, command_out);
    ck_assert_msg(err == NULL || strstr(command_err, err) != NULL, "%s: no \"%s\" in\n%s", words,
                  err, command_err);
}

void write_guarded_config(void)
{
    write_file("t.jsonc", HEAD PROVIDER GUARDED);
}

const char *read_file_text(const char *name)
{
    static char text[65536];
    FILE *file = fopen(name, "r");

    ck_assert_msg(file != NULL, "%s", name);
    size_t len = fread(text, 1, sizeof(text) - 1, file);

    fclose(file);
    text[len] = '\0';
    return text;
}
