/* SPDX-License-Identifier: Apache-2.0 */
/* jwtgate check and what it is made of: gateway/check.c, cmd_check.c. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/commands.h"

START_TEST(a_good_file_is_counted)
{
    write_guarded_config();
    expect_command("check -c t.jsonc", NULL, EXIT_YES, NULL,
                   "t.jsonc: ok: 1 listener, 1 upstream, 1 route\n");
    expect_command("check --quiet -c t.jsonc", NULL, EXIT_YES, NULL, NULL);
    ck_assert_str_eq(command_err, "");
}
END_TEST

START_TEST(mistakes_are_told_with_their_place)
{
    write_file("t.jsonc", HEAD "\"routs\": {},\n" ROUTES);
    expect_command("check -c t.jsonc", NULL, EXIT_NO, NULL, "t.jsonc:4:1: error: unknown key");
    expect_command("check --json -c t.jsonc", NULL, EXIT_NO, "\"line\":4", NULL);
    expect_command("check --quiet -c t.jsonc", NULL, EXIT_NO, NULL, NULL);
    ck_assert_str_eq(command_err, "");
}
END_TEST

/* What the server would end with; `check` and `run` read the file by the same code. */
START_TEST(a_folder_that_the_server_needs_must_be_there)
{
    write_file("t.jsonc", HEAD "\"revocation\": {},\n" ROUTES);
    expect_command("check -c t.jsonc", NULL, EXIT_NO, NULL,
                   "t.jsonc:4:15: error: revocation: needs a place: server.state_dir is missing");
    write_file("t.jsonc",
               HEAD "\"server\": {\"state_dir\": \"state\"},\n\"revocation\": {},\n" ROUTES);
    expect_command("check -c t.jsonc", NULL, EXIT_NO, NULL,
                   "t.jsonc:4:25: error: server.state_dir: ");
    ck_assert_ptr_nonnull(strstr(command_err, "state does not exist; revocation keeps"));
    write_file("state", "");
    expect_command("check -c t.jsonc", NULL, EXIT_NO, NULL, "state is no folder");
    ck_assert_int_eq(unlink("state"), 0);
    ck_assert_int_eq(mkdir("state", 0700), 0);
    expect_command("check -c t.jsonc", NULL, EXIT_YES, NULL, "t.jsonc: ok");
    ck_assert_int_eq(rmdir("state"), 0);
}
END_TEST

START_TEST(a_folder_that_nobody_uses_is_not_looked_at)
{
    write_file("t.jsonc",
               HEAD "\"server\": {\"state_dir\": \"a\", \"cache_dir\": \"b\"},\n" ROUTES);
    expect_command("check --strict -c t.jsonc", NULL, EXIT_YES, NULL, "t.jsonc: ok");
}
END_TEST

START_TEST(without_the_folder_for_fetched_keys_the_server_starts)
{
    write_file("t.jsonc", HEAD
               "\"server\": {\"cache_dir\": \"cache\"},\n"
               "\"providers\": {\"p\": {\"issuer\": \"https://i.test/\", \"audiences\": [\"a\"],\n"
               "\"algorithms\": [\"RS256\"], \"max_lifetime\": \"1h\",\n"
               "\"jwks\": {\"uri\": \"https://i.test/keys\"}}},\n" GUARDED);
    expect_command("check -c t.jsonc", NULL, EXIT_YES, NULL,
                   "t.jsonc:4:25: warning: server.cache_dir: ");
}
END_TEST

START_TEST(strict_makes_warnings_errors)
{
    write_file("t.jsonc", HEAD "\"admin\": {\"address\": \"0.0.0.0:9901\"},\n" ROUTES);
    expect_command("check -c t.jsonc", NULL, EXIT_YES, NULL, "warning: ");
    expect_command("check --strict -c t.jsonc", NULL, EXIT_NO, NULL, "[admin-public]");
}
END_TEST

START_TEST(the_effective_configuration_has_no_secret)
{
    write_guarded_config();
    expect_command("check --print -c t.jsonc", NULL, EXIT_YES, "<env JWTGATE_HS256_SECRET>", NULL);
    ck_assert_ptr_null(strstr(command_out, "0123456789"));
}
END_TEST

START_TEST(a_missing_file_is_another_exit_code)
{
    expect_command("check -c none.jsonc", NULL, EXIT_UNKNOWN, NULL, "none.jsonc");
    expect_command("check --nothing", NULL, EXIT_USAGE, NULL, "no option --nothing");
    expect_command("check x", NULL, EXIT_USAGE, NULL, "unexpected \"x\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_check");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, a_good_file_is_counted);
    tcase_add_test(tc, mistakes_are_told_with_their_place);
    tcase_add_test(tc, a_folder_that_the_server_needs_must_be_there);
    tcase_add_test(tc, a_folder_that_nobody_uses_is_not_looked_at);
    tcase_add_test(tc, without_the_folder_for_fetched_keys_the_server_starts);
    tcase_add_test(tc, strict_makes_warnings_errors);
    tcase_add_test(tc, the_effective_configuration_has_no_secret);
    tcase_add_test(tc, a_missing_file_is_another_exit_code);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
