/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

#include "tests/support/metrics_text.h"

static unsigned occurrences(const char *text, const char *word)
{
    unsigned count = 0;

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

START_TEST(numbers_of_workers_are_summed)
{
    struct metrics *all[2] = { metrics_new(&metrics_config), metrics_new(&metrics_config) };
    const char *labels = "result=\"hit\"";

    *metrics_number(all[0], "jwtgate_token_cache_lookups_total", labels) += 2;
    *metrics_number(all[1], "jwtgate_token_cache_lookups_total", labels) += 3;
    *metrics_number(all[1], "jwtgate_token_cache_lookups_total", "result=\"miss\"") += 7;
    assert_line(all, 2, "jwtgate_token_cache_lookups_total{result=\"hit\"} 5");
    assert_line(all, 2, "jwtgate_token_cache_lookups_total{result=\"miss\"} 7");
    metrics_free(all[0]);
    metrics_free(all[1]);
}
END_TEST

START_TEST(a_target_is_up_only_when_all_workers_say_so)
{
    struct metrics *all[2] = { metrics_new(&metrics_config), metrics_new(&metrics_config) };
    const char *labels = "upstream=\"orders\",target=\"127.0.0.1:9001\"";
    const char *family = "jwtgate_upstream_target_up";

    assert_line(all, 2,
                "jwtgate_upstream_target_up{upstream=\"orders\",target=\"127.0.0.1:9001\"} 1");
    *metrics_number(all[1], family, labels) = 0;
    assert_line(all, 2,
                "jwtgate_upstream_target_up{upstream=\"orders\",target=\"127.0.0.1:9001\"} 0");
    metrics_free(all[0]);
    metrics_free(all[1]);
}
END_TEST

START_TEST(help_and_type_come_once_for_a_family)
{
    struct metrics *all[2] = { metrics_new(&metrics_config), metrics_new(&metrics_config) };
    char *text = text_of(all, 2);

    ck_assert_uint_eq(occurrences(text, "# TYPE jwtgate_connections_closed_total counter\n"), 1);
    ck_assert_uint_eq(occurrences(text, "# HELP jwtgate_connections_closed_total "), 1);
    ck_assert_uint_eq(
        occurrences(text,
                    "\njwtgate_connections_closed_total{listener=\"public\",reason=\"idle\"} 0\n"),
        1);
    free(text);
    metrics_free(all[0]);
    metrics_free(all[1]);
}
END_TEST

START_TEST(histograms_are_cumulated)
{
    struct metrics *metrics = metrics_new(&metrics_config);
    struct gw_histogram *histogram =
        metrics_histogram(metrics, "jwtgate_auth_duration_seconds", "provider=\"p\",cache=\"hit\"");

    ck_assert_ptr_nonnull(histogram);
    metrics_histogram_add_us(histogram, 10);     /* on a bound: in its bucket */
    metrics_histogram_add_us(histogram, 11);     /* over it: in the next */
    metrics_histogram_add_us(histogram, 200000); /* over all */
    assert_line(
        &metrics, 1,
        "jwtgate_auth_duration_seconds_bucket{provider=\"p\",cache=\"hit\",le=\"1e-05\"} 1");
    assert_line(&metrics, 1,
                "jwtgate_auth_duration_seconds_bucket{provider=\"p\",cache=\"hit\",le=\"0.1\"} 2");
    assert_line(&metrics, 1,
                "jwtgate_auth_duration_seconds_bucket{provider=\"p\",cache=\"hit\",le=\"+Inf\"} 3");
    assert_line(&metrics, 1,
                "jwtgate_auth_duration_seconds_sum{provider=\"p\",cache=\"hit\"} 0.200021");
    assert_line(&metrics, 1, "jwtgate_auth_duration_seconds_count{provider=\"p\",cache=\"hit\"} 3");
    metrics_free(metrics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics_text");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, numbers_of_workers_are_summed);
    tcase_add_test(tc, a_target_is_up_only_when_all_workers_say_so);
    tcase_add_test(tc, help_and_type_come_once_for_a_family);
    tcase_add_test(tc, histograms_are_cumulated);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
