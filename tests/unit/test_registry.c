/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/registry.h"

#include <check.h>

#include <string.h>

START_TEST(the_built_in_plugins_are_valid_and_have_names_of_their_own)
{
    size_t count = 0;
    const struct gw_plugin *const *plugins = registry_plugins(&count);

    ck_assert_uint_gt(count, 0);
    ck_assert_ptr_null(plugins[count]);
    for (size_t i = 0; i < count; i++) {
        ck_assert(registry_plugin_is_valid(plugins[i]));
        for (size_t j = 0; j < i; j++) {
            ck_assert_str_ne(plugins[i]->name, plugins[j]->name);
        }
    }
}
END_TEST

START_TEST(who_the_caller_is_is_known_before_what_he_may)
{
    static const char *const order[] = { "identity_strip", "jwt", "revocation", "authorize",
                                         "identity" };
    size_t count = 0, at = 0;
    const struct gw_plugin *const *plugins = registry_plugins(&count);

    for (size_t i = 0; i < count && at < sizeof(order) / sizeof(order[0]); i++) {
        at += strcmp(plugins[i]->name, order[at]) == 0;
    }
    ck_assert_uint_eq(at, sizeof(order) / sizeof(order[0]));
}
END_TEST

START_TEST(a_plugin_of_another_time_is_refused)
{
    struct gw_plugin plugin = { .abi = GW_PLUGIN_ABI, .size = sizeof(plugin), .name = "x" };

    ck_assert(registry_plugin_is_valid(&plugin));
    plugin.abi = GW_PLUGIN_ABI + 1;
    ck_assert(!registry_plugin_is_valid(&plugin));
    plugin.abi = GW_PLUGIN_ABI;
    plugin.size = sizeof(plugin) - 1;
    ck_assert(!registry_plugin_is_valid(&plugin));
    plugin.size = sizeof(plugin);
    plugin.name = NULL;
    ck_assert(!registry_plugin_is_valid(&plugin));
    ck_assert(!registry_plugin_is_valid(NULL));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("registry");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, the_built_in_plugins_are_valid_and_have_names_of_their_own);
    tcase_add_test(tc, who_the_caller_is_is_known_before_what_he_may);
    tcase_add_test(tc, a_plugin_of_another_time_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
