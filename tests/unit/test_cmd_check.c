/* SPDX-License-Identifier: Apache-2.0 */
/* jwtgate check and what it is made of: gateway/check.c, cmd_check.c. */
#include <string.h>

#include "tests/support/commands.h"

#define PROVIDER                                                                                   \
    "\"providers\": {\"p\": {\"issuer\": \"https://i.test/\", \"audiences\": [\"a\"],\n"           \
    "\"algorithms\": [\"HS256\"], \"max_lifetime\": \"1h\", \"keys\": [{\"kid\": \"k1\", "         \
    "\"secret\": "                                                                                 \
    "{\"env\": \"JWTGATE_HS256_SECRET\"}}]}},\n"
#define GUARDED                                                                                    \
    "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/orders\"}, \"upstream\": \"u\", "        \
    "\"auth\": "                                                                                   \
    "{\"provider\": \"p\", \"scopes\": [\"read\"]}}}}\n"

static void write_config(void)
{
    write_file("t.jsonc", HEAD PROVIDER GUARDED);
}

START_TEST(a_good_file_is_counted)
{
    write_config();
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

START_TEST(strict_makes_warnings_errors)
{
    write_file("t.jsonc", HEAD "\"admin\": {\"address\": \"0.0.0.0:9901\"},\n" ROUTES);
    expect_command("check -c t.jsonc", NULL, EXIT_YES, NULL, "warning: ");
    expect_command("check --strict -c t.jsonc", NULL, EXIT_NO, NULL, "[admin-public]");
}
END_TEST

START_TEST(the_effective_configuration_has_no_secret)
{
    write_config();
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
    tcase_add_test(tc, strict_makes_warnings_errors);
    tcase_add_test(tc, the_effective_configuration_has_no_secret);
    tcase_add_test(tc, a_missing_file_is_another_exit_code);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
