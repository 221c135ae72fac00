/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings about values. */
#include <check.h>

#include <stdlib.h>
#include <string.h>

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

/* What a plugin finds has the place and the names of the route. */
START_TEST(the_plugins_see_the_routes)
{
    static const struct config_load_options options = { .lint = true };

    write_file("t.jsonc", HEAD
               "\"providers\": {\"p\": {\"issuer\": \"https://i/\", \"audiences\": \"any\",\n"
               "\"algorithms\": [\"HS256\"], \"keys\": [{\"kid\": \"1\", \"secret\": {\"env\": "
               "\"JWTGATE_HS256_SECRET\"}}]}},\n"
               "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/a\"}, \"upstream\": \"u\", "
               "\"auth\": {\"provider\": \"p\"}},\n"
               "\"open\": {\"match\": {\"path_prefix\": \"/a/b\"}, \"upstream\": \"u\", "
               "\"auth\": \"none\"}}}");
    struct config *config = config_load_with("t.jsonc", &options, &diag, NULL);
    bool found = false;

    assert_loads(config);
    for (unsigned i = 0; i < diag.count; i++) {
        const struct diag_entry *entry = &diag.entries[i];

        if (entry->rule != NULL && strcmp(entry->rule, "public-under-protected") == 0) {
            found = true;
            ck_assert_str_eq(entry->path, "routes.open");
            ck_assert_uint_eq(entry->line, 7);
        }
    }
    char *text = printed();
    ck_assert_msg(found, "%s", text);
    free(text);
    config_unref(config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_lint");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, an_open_admin_listener_is_a_warning);
    tcase_add_test(tc, the_plugins_see_the_routes);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
