/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot: chains and views. */
#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/config_file.h"

START_TEST(states_of_a_chain_are_aligned_and_do_not_overlap)
{
    char path[4096];

    if (config_file_conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/gateway.jsonc", config_file_conf_dir);
    struct config *config = config_load(path, &diag, NULL);

    assert_loads(config);
    const struct config_route *route = &config->routes[1];
    size_t end = 0;

    ck_assert_uint_gt(route->chain_length, 1);
    for (unsigned i = 0; i < route->chain_length; i++) {
        ck_assert_uint_eq(route->chain[i].state_offset % 16, 0);
        ck_assert_uint_ge(route->chain[i].state_offset, end);
        end = route->chain[i].state_offset + route->chain[i].plugin->state_size;
    }
    ck_assert_uint_ge(route->chain_state_bytes, end);
    config_unref(config);
}
END_TEST

/* Views: plugins that note their calls */

static char calls[32];
static bool second_fails;

static void note(char c)
{
    size_t len = strlen(calls);

    if (len + 1 < sizeof(calls)) {
        calls[len] = c;
        calls[len + 1] = '\0';
    }
}

static int init_first(struct gw_worker *worker, const void *top, void **ret_worker)
{
    note('a');
    *ret_worker = calls;
    return 0;
}

static int init_second(struct gw_worker *worker, const void *top, void **ret_worker)
{
    note('b');
    *ret_worker = calls;
    return second_fails ? ERR_NO_MEMORY : 0;
}

static void done_first(void *worker)
{
    note('A');
}

static void done_second(void *worker)
{
    note('B');
}

static const struct gw_plugin first_plugin = { .name = "first",
                                               .worker_init = init_first,
                                               .worker_done = done_first };
static const struct gw_plugin second_plugin = { .name = "second",
                                                .worker_init = init_second,
                                                .worker_done = done_second };

static struct config *config_of_two(void)
{
    static const struct gw_plugin *plugins[] = { &first_plugin, &second_plugin };
    static void *tops[2];
    struct config *config = calloc(1, sizeof(*config));

    ck_assert_ptr_nonnull(config);
    config->plugins = plugins;
    config->tops = tops;
    config->plugin_count = 2;
    atomic_init(&config->refs, 1);
    calls[0] = '\0';
    return config;
}

START_TEST(a_view_starts_plugins_in_order_and_ends_them_in_reverse)
{
    struct config *config = config_of_two();

    second_fails = false;
    struct config_view *view = config_view_new(config, NULL);

    ck_assert_ptr_nonnull(view);
    config_unref(config); /* the view holds it */
    config_view_unref(config_view_ref(view));
    ck_assert_str_eq(calls, "ab");
    config_view_unref(view);
    ck_assert_str_eq(calls, "abBA");
    config_view_unref(NULL);
}
END_TEST

START_TEST(a_plugin_that_cannot_start_ends_those_before_it)
{
    struct config *config = config_of_two();

    second_fails = true;
    ck_assert_ptr_null(config_view_new(config, NULL));
    ck_assert_str_eq(calls, "abA");
    ck_assert_int_eq(atomic_load(&config->refs), 1);
    config_unref(config);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, states_of_a_chain_are_aligned_and_do_not_overlap);
    tcase_add_test(tc, a_view_starts_plugins_in_order_and_ends_them_in_reverse);
    tcase_add_test(tc, a_plugin_that_cannot_start_ends_those_before_it);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
