/* SPDX-License-Identifier: Apache-2.0 */
/* jwtgate token, explain and routes: offline, by the configuration's own rules. */
#include <stdio.h>
#include <string.h>

#include "tests/support/commands.h"

static char token[4096];

static void issue(const char *more)
{
    char words[256];

    write_guarded_config();
    snprintf(words, sizeof(words), "token issue --provider p -c t.jsonc%s", more);
    expect_command(words, NULL, EXIT_YES, "ey", NULL);
    snprintf(token, sizeof(token), "%.4000s", command_out);
}

START_TEST(what_is_issued_verifies)
{
    issue("");
    expect_command("token verify -c t.jsonc", token, EXIT_YES, NULL, NULL);
    expect_command("token verify --json -c t.jsonc", token, EXIT_YES, "\"iss\"", NULL);
    char *last = &token[strlen(token) - 3];
    *last = *last == 'A' ? 'B' : 'A'; /* still base64url */
    expect_command("token verify -c t.jsonc", token, EXIT_NO, "signature_invalid", NULL);
}
END_TEST

START_TEST(an_inspected_token_is_not_verified)
{
    issue(" --subject alice");
    expect_command("token inspect", token, EXIT_YES, "NOT VERIFIED", NULL);
    ck_assert_ptr_nonnull(strstr(command_out, "alice"));
    expect_command("token inspect", "a.b", EXIT_NO, NULL, NULL);
}
END_TEST

START_TEST(a_token_is_no_argument)
{
    expect_command("token inspect eyJsecret.token.here", NULL, EXIT_USAGE, NULL, NULL);
    ck_assert_ptr_null(strstr(command_err, "eyJsecret"));
}
END_TEST

START_TEST(explain_tells_the_first_check_that_fails)
{
    issue("");
    expect_command("explain GET /orders/1 --token - -c t.jsonc", token, EXIT_NO,
                   "scope_insufficient", NULL);
    issue(" --scope read");
    expect_command("explain GET /orders/1 --token - -c t.jsonc", token, EXIT_YES, "answer: ", NULL);
    expect_command("explain GET /orders/1 -c t.jsonc", NULL, EXIT_NO, "token_missing", NULL);
    expect_command("explain GET /other -c t.jsonc", NULL, EXIT_NO, "404", NULL);
}
END_TEST

START_TEST(routes_tell_what_is_open_to_whom)
{
    write_guarded_config();
    expect_command("routes -c t.jsonc", NULL, EXIT_YES, "/orders", NULL);
    ck_assert_ptr_nonnull(strstr(command_out, "https://i.test/"));
    write_file("t.jsonc", HEAD ROUTES);
    expect_command("routes -c t.jsonc", NULL, EXIT_YES, "PUBLIC", NULL);
    expect_command("routes --json -c t.jsonc", NULL, EXIT_YES, "\"public\":true", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_token");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, what_is_issued_verifies);
    tcase_add_test(tc, an_inspected_token_is_not_verified);
    tcase_add_test(tc, a_token_is_no_argument);
    tcase_add_test(tc, explain_tells_the_first_check_that_fails);
    tcase_add_test(tc, routes_tell_what_is_open_to_whom);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
