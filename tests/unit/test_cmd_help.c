/* SPDX-License-Identifier: Apache-2.0 */
/* jwtgate help, completion, version and fmt. */
#include <stdio.h>
#include <string.h>

#include "tests/support/commands.h"

START_TEST(every_command_has_help_and_is_completed)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        char words[64], usage[80];

        snprintf(words, sizeof(words), "help %s", commands[i]->name);
        snprintf(usage, sizeof(usage), "usage: jwtgate %s", commands[i]->name);
        expect_command(words, NULL, EXIT_YES, usage, NULL);
        snprintf(words, sizeof(words), "%s --help", commands[i]->name);
        expect_command(words, NULL, EXIT_YES, usage, NULL);
        expect_command("help", NULL, EXIT_YES, commands[i]->name, NULL);
        expect_command("completion bash", NULL, EXIT_YES, commands[i]->name, NULL);
        expect_command("completion zsh", NULL, EXIT_YES, commands[i]->name, NULL);
        expect_command("completion fish", NULL, EXIT_YES, commands[i]->name, NULL);
    }
    expect_command("help nothing", NULL, EXIT_USAGE, NULL, "nothing");
    expect_command("completion csh", NULL, EXIT_USAGE, NULL, "csh");
}
END_TEST

START_TEST(the_version_says_what_it_was_built_with)
{
    expect_command("version", NULL, EXIT_YES, "jwtgate ", NULL);
    expect_command("version -v", NULL, EXIT_YES, "OpenSSL 3", NULL);
}
END_TEST

START_TEST(a_file_is_formatted_and_keeps_its_comments)
{
    static const char text[] = "{\"version\":1,// one\n\"routes\":{ /* none */ }}";
    char once[4096];

    write_file("t.jsonc", text);
    expect_command("fmt t.jsonc", NULL, EXIT_YES, "// one", NULL);
    ck_assert_ptr_nonnull(strstr(command_out, "/* none */"));
    ck_assert_str_eq(read_file_text("t.jsonc"), text); /* only with -w */
    snprintf(once, sizeof(once), "%.4000s", command_out);
    expect_command("fmt -w t.jsonc", NULL, EXIT_YES, NULL, NULL);
    ck_assert_str_eq(read_file_text("t.jsonc"), once);
    expect_command("fmt t.jsonc", NULL, EXIT_YES, NULL, NULL);
    ck_assert_str_eq(command_out, once); /* again: the same */
}
END_TEST

START_TEST(a_broken_file_is_left_alone)
{
    write_file("t.jsonc", "{\"version\": }");
    expect_command("fmt -w t.jsonc", NULL, EXIT_NO, NULL, "t.jsonc:1:13");
    ck_assert_str_eq(read_file_text("t.jsonc"), "{\"version\": }");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_help");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, every_command_has_help_and_is_completed);
    tcase_add_test(tc, the_version_says_what_it_was_built_with);
    tcase_add_test(tc, a_file_is_formatted_and_keeps_its_comments);
    tcase_add_test(tc, a_broken_file_is_left_alone);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
