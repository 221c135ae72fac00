/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics.h"
#include "gateway/metrics_table.h"

#include <check.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/metrics_text.h"

START_TEST(the_same_series_is_the_same_number)
{
    struct metrics *metrics = metrics_new(&metrics_config);
    uint64_t *number = metrics_number(metrics, "jwtgate_token_cache_entries", "");

    ck_assert_ptr_nonnull(number);
    for (unsigned i = 0; i < 1000; i++) {
        char labels[32];

        snprintf(labels, sizeof(labels), "result=\"%u\"", i);
        ck_assert_ptr_nonnull(metrics_number(metrics, "jwtgate_token_cache_lookups_total", labels));
    }
    ck_assert_ptr_eq(number, metrics_number(metrics, "jwtgate_token_cache_entries", ""));
    metrics_free(metrics);
}
END_TEST

START_TEST(unknown_families_and_wrong_types_are_refused)
{
    struct metrics *metrics = metrics_new(&metrics_config);

    ck_assert_ptr_null(metrics_number(metrics, "jwtgate_nothing_total", ""));
    ck_assert_ptr_null(metrics_number(metrics, "jwtgate_auth_duration_seconds", ""));
    ck_assert_ptr_null(metrics_histogram(metrics, "jwtgate_token_cache_entries", ""));
    metrics_free(metrics);
}
END_TEST

/* In Prometheus what does not exist has no series; one that stays at its last value raises alarms. */
START_TEST(a_gauge_that_is_hidden_has_no_series_until_it_is_asked_for)
{
    static const char family[] = "jwtgate_jwks_last_success_timestamp_seconds";
    struct metrics *metrics = metrics_new(&metrics_config);
    uint64_t *corp = metrics_number(metrics, family, "provider=\"corp\"");
    uint64_t *other = metrics_number(metrics, family, "provider=\"other\"");

    *corp = 7;
    *other = 8;
    metrics_hide_gauge(metrics, family, "provider=\"corp\"");
    metrics_hide_gauge(metrics, family, "provider=\"never\"");
    assert_no_line(&metrics, 1, "jwtgate_jwks_last_success_timestamp_seconds{provider=\"corp\"}");
    assert_no_line(&metrics, 1, "jwtgate_jwks_last_success_timestamp_seconds{provider=\"never\"}");
    assert_line(&metrics, 1, "jwtgate_jwks_last_success_timestamp_seconds{provider=\"other\"} 8");
    ck_assert_ptr_eq(metrics_number(metrics, family, "provider=\"corp\""), corp);
    assert_line(&metrics, 1, "jwtgate_jwks_last_success_timestamp_seconds{provider=\"corp\"} 7");
    metrics_free(metrics);
}
END_TEST

START_TEST(counters_are_not_hidden)
{
    struct metrics *metrics = metrics_new(&metrics_config);

    *metrics_number(metrics, "jwtgate_jwks_fetches_total", "result=\"ok\"") = 3;
    metrics_hide_gauge(metrics, "jwtgate_jwks_fetches_total", "result=\"ok\"");
    metrics_hide_gauge(metrics, "jwtgate_nothing", "");
    assert_line(&metrics, 1, "jwtgate_jwks_fetches_total{result=\"ok\"} 3");
    metrics_free(metrics);
}
END_TEST

START_TEST(label_values_are_escaped)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    metrics_label_add(labels, &len, "route", SLICE("a\"b\\c\nd"));
    metrics_label_add(labels, &len, "code", SLICE("200"));
    ck_assert_str_eq(labels, "route=\"a\\\"b\\\\c\\nd\",code=\"200\"");
    ck_assert_uint_eq(len, strlen(labels));
}
END_TEST

START_TEST(label_values_that_are_too_long_are_cut_and_closed)
{
    char labels[METRICS_LABELS_BYTES];
    char value[METRICS_LABELS_BYTES * 2];

    for (size_t fill = METRICS_LABELS_BYTES - 30; fill < METRICS_LABELS_BYTES; fill++) {
        size_t len = 0;

        memset(value, 'x', sizeof(value));
        metrics_label_add(labels, &len, "a", slice_of(value, fill));
        memset(value, '"', sizeof(value));
        metrics_label_add(labels, &len, "b", slice_of(value, sizeof(value)));
        ck_assert_uint_lt(len, METRICS_LABELS_BYTES);
        ck_assert_uint_eq(len, strlen(labels));
        ck_assert_int_eq(labels[len - 1], '"');
    }
}
END_TEST

START_TEST(families_have_names_of_their_own_and_a_help_text)
{
    for (int i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family *family = &metrics_families[i];

        ck_assert_int_eq(metrics_find_family(family->name), i); /* the first of that name */
        ck_assert_uint_gt(strlen(family->help), 10);
        ck_assert_int_eq((family->type == METRICS_HISTOGRAM), family->bounds != NULL);
        ck_assert(family->type != METRICS_COUNTER || strstr(family->name, "_total") != NULL);
    }
    ck_assert_int_eq(metrics_find_family("jwtgate_nothing"), -1);
}
END_TEST

START_TEST(bounds_rise_and_fit)
{
    for (int i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_bound *bounds = metrics_families[i].bounds;
        unsigned count = 0;

        for (; bounds != NULL && bounds[count].le != NULL; count++) {
            ck_assert(count == 0 || bounds[count].us > bounds[count - 1].us);
        }
        ck_assert_uint_le(count, METRICS_MAX_BUCKETS);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics_series");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, the_same_series_is_the_same_number);
    tcase_add_test(tc, unknown_families_and_wrong_types_are_refused);
    tcase_add_test(tc, a_gauge_that_is_hidden_has_no_series_until_it_is_asked_for);
    tcase_add_test(tc, counters_are_not_hidden);
    tcase_add_test(tc, label_values_are_escaped);
    tcase_add_test(tc, label_values_that_are_too_long_are_cut_and_closed);
    tcase_add_test(tc, families_have_names_of_their_own_and_a_help_text);
    tcase_add_test(tc, bounds_rise_and_fit);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
