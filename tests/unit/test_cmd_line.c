/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cmd_option options[] = {
    { 'c', "config", "FILE", "the configuration", false },
    { 'q', "quiet", NULL, "say nothing", false },
    { 's', "subject", "S", "of a token", false },
    { 'x', "extra", NULL, "only by its name", true },
    { .name = NULL },
};
static const struct command command = {
    .name = "test",
    .usage = "[-c FILE] WORD",
    .summary = "a command of the tests",
    .options = options,
    .examples = "test -q x",
};
const struct command *const commands[] = { &command, NULL };

/* What was read, as "c=VALUE q x word=W", and how it ended. */
static char seen[256];

static int read_all(const char *const *arguments)
{
    char *argv[8] = { (char[]){ "test" } };
    struct cmd_line line = { .command = &command, .argv = argv, .argc = 1, .next = 1 };
    int id;

    while (arguments[line.argc - 1] != NULL) {
        argv[line.argc] = strdup(arguments[line.argc - 1]);
        line.argc++;
    }
    seen[0] = '\0';
    while ((id = cmd_next(&line)) != CMD_END && id != CMD_STOP) {
        size_t len = strlen(seen);

        if (id == CMD_WORD) {
            snprintf(seen + len, sizeof(seen) - len, " word=%s", line.value);
        } else {
            snprintf(seen + len, sizeof(seen) - len, " %c%s%s", id, line.value == NULL ? "" : "=",
                     line.value == NULL ? "" : line.value);
        }
    }
    for (int i = 1; i < line.argc; i++) {
        free(argv[i]);
    }
    return id == CMD_STOP ? line.exit_code : CMD_END;
}

static const struct {
    const char *arguments[6];
    const char *seen;
    int end; /* CMD_END, or the exit code */
} vectors[] = {
    { { NULL }, "", CMD_END },
    { { "-c", "f", "w", NULL }, " c=f word=w", CMD_END },
    { { "-cf", NULL }, " c=f", CMD_END },
    { { "-qcf", "w", NULL }, " q c=f word=w", CMD_END },
    { { "--config", "f", "--quiet", NULL }, " c=f q", CMD_END },
    { { "--config=f=g", NULL }, " c=f=g", CMD_END },
    { { "--config=", NULL }, " c=", CMD_END },
    { { "--extra", NULL }, " x", CMD_END },
    { { "-", NULL }, " word=-", CMD_END },
    { { "--", "-q", "--config", NULL }, " word=-q word=--config", CMD_END },
    { { "w", "-q", NULL }, " word=w q", CMD_END },
    { { "--subject", "\xc3\xa9", "-s\xf0\x9f\x98\x80", NULL },
      " s=\xc3\xa9 s=\xf0\x9f\x98\x80",
      CMD_END },
    { { "-c", "a\xff", "b\xff", NULL }, " c=a\xff word=b\xff", CMD_END },
    /* mistakes */
    { { "--subject", "a\xff", NULL }, "", EXIT_USAGE },
    { { "-s\xc3", NULL }, "", EXIT_USAGE },
    { { "--subject=\xed\xa0\x80z", NULL }, "", EXIT_USAGE },
    { { "-z", NULL }, "", EXIT_USAGE },
    { { "-x", NULL }, "", EXIT_USAGE },
    { { "-c", NULL }, "", EXIT_USAGE },
    { { "--config", NULL }, "", EXIT_USAGE },
    { { "--confi=x", NULL }, "", EXIT_USAGE },
    { { "--quiet=1", NULL }, "", EXIT_USAGE },
    { { "-q", "--nothing", "w", NULL }, " q", EXIT_USAGE },
    { { "--help", NULL }, "", EXIT_YES },
    { { "-qh", NULL }, " q", EXIT_YES },
};

START_TEST(arguments_are_read_by_the_table)
{
    ck_assert_int_eq(read_all(vectors[_i].arguments), vectors[_i].end);
    ck_assert_str_eq(seen, vectors[_i].seen);
}
END_TEST

START_TEST(help_shows_every_option)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    cmd_print_help(&command, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "usage: jwtgate test [-c FILE] WORD\n"));
    ck_assert_ptr_nonnull(strstr(text, "-c, --config FILE  the configuration\n"));
    ck_assert_ptr_nonnull(strstr(text, "    --extra        only by its name\n"));
    ck_assert_ptr_nonnull(strstr(text, "  jwtgate test -q x\n"));
    free(text);
}
END_TEST

START_TEST(commands_are_found_by_their_whole_name)
{
    ck_assert_ptr_eq(cmd_find("test"), &command);
    ck_assert_ptr_null(cmd_find("tes"));
    ck_assert_ptr_null(cmd_find(""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_line");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, arguments_are_read_by_the_table, 0,
                        (int)(sizeof(vectors) / sizeof(vectors[0])));
    tcase_add_test(tc, help_shows_every_option);
    tcase_add_test(tc, commands_are_found_by_their_whole_name);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
