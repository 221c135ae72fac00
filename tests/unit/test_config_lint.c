/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings about values. */
#include <check.h>

#include "tests/support/config_file.h"

START_TEST(an_open_admin_listener_is_a_warning)
{
    struct config *config = load(HEAD "\"admin\": {\"address\": \"0.0.0.0:9901\"},\n" ROUTES);

    assert_loads(config);
    ck_assert_uint_eq(diag.warnings, 1);
    ck_assert_str_eq(diag.entries[0].rule, "admin-public");
    config_unref(config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_lint");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, an_open_admin_listener_is_a_warning);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
