/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config.h"
#include "gateway/metrics.h"
#include "gateway/request.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_listener listeners[] = {
    { .element = { .name = { "public", 6 } }, .service = CONFIG_PUBLIC, .index = 0 },
    { .element = { .name = { "admin", 5 } }, .service = CONFIG_ADMIN, .index = 1 },
};
static struct config_target targets[] = { { .label = { "127.0.0.1:9001", 14 } } };
static struct config_upstream upstreams[] = {
    { .element = { .name = { "orders", 6 } }, .targets = targets, .target_count = 1 },
};
static const struct config config = {
    .listeners = listeners,
    .listener_count = 2,
    .upstreams = upstreams,
    .upstream_count = 1,
};
static const struct config_route route = {
    .element = { .name = { "orders", 6 } },
    .upstream = upstreams,
};

static char *text_of(struct metrics *const *all, unsigned count)
{
    size_t len = 0;
    char *text = metrics_format(all, count, &len);
    char *copy;

    ck_assert_ptr_nonnull(text);
    copy = malloc(len + 2);
    ck_assert_ptr_nonnull(copy);
    copy[0] = '\n'; /* every line then starts behind a newline */
    memcpy(copy + 1, text, len);
    copy[len + 1] = '\0';
    free(text);
    return copy;
}

static void assert_line(struct metrics *const *all, unsigned count, const char *line)
{
    char *text = text_of(all, count);
    char wanted[512];

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    ck_assert_msg(strstr(text, wanted) != NULL, "no line '%s' in:%s", line, text);
    free(text);
}

static unsigned occurrences(const char *text, const char *word)
{
    unsigned count = 0;

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

static struct request make_request(void)
{
    struct request req = {
        .route = &route,
        .head = { .method = HTTP_GET },
        .status = 200,
        .start_ns = 1000000,
        .sent_ns = 1020000,
        .response_ns = 4020000,
        .end_ns = 4050000,
        .request_bytes = 3,
        .response_bytes = 100,
        .upstream_status = 200,
        .tries = 1,
        .target = targets,
    };

    return req;
}

START_TEST(numbers_of_workers_are_summed)
{
    struct metrics *all[2] = { metrics_new(&config), metrics_new(&config) };
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
    struct metrics *all[2] = { metrics_new(&config), metrics_new(&config) };
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
    struct metrics *all[2] = { metrics_new(&config), metrics_new(&config) };
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

START_TEST(the_same_series_is_the_same_number)
{
    struct metrics *metrics = metrics_new(&config);
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
    struct metrics *metrics = metrics_new(&config);

    ck_assert_ptr_null(metrics_number(metrics, "jwtgate_nothing_total", ""));
    ck_assert_ptr_null(metrics_number(metrics, "jwtgate_auth_duration_seconds", ""));
    ck_assert_ptr_null(metrics_histogram(metrics, "jwtgate_token_cache_entries", ""));
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

START_TEST(histograms_are_cumulated)
{
    struct metrics *metrics = metrics_new(&config);
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

START_TEST(a_request_is_counted)
{
    struct metrics *metrics = metrics_new(&config);
    struct request req = make_request();

    for (unsigned i = 0; i < 3; i++) {
        metrics_count_request(metrics, &req);
    }
    req.status = 404;
    req.route = NULL;
    req.sent_ns = req.response_ns = 0;
    metrics_count_request(metrics, &req);
    assert_line(&metrics, 1,
                "jwtgate_http_requests_total{listener=\"public\",route=\"orders\",method=\"GET\","
                "code=\"200\"} 3");
    assert_line(&metrics, 1,
                "jwtgate_http_requests_total{listener=\"public\",route=\"-\",method=\"GET\","
                "code=\"404\"} 1");
    assert_line(&metrics, 1, "jwtgate_http_request_bytes_total{route=\"orders\"} 9");
    assert_line(&metrics, 1, "jwtgate_http_response_bytes_total{route=\"orders\"} 300");
    assert_line(&metrics, 1, "jwtgate_http_request_duration_seconds_count{route=\"orders\"} 3");
    /* 20 us to the upstream and 30 us behind it, three times; the 3 ms between are not ours. */
    assert_line(&metrics, 1, "jwtgate_gateway_overhead_seconds_sum{route=\"orders\"} 0.000150");
    assert_line(&metrics, 1, "jwtgate_gateway_overhead_seconds_sum{route=\"-\"} 0.003050");
    metrics_free(metrics);
}
END_TEST

START_TEST(auth_decisions_are_counted_by_provider_and_reason)
{
    static const char ok[] = "ok", expired[] = "token_expired";
    struct metrics *metrics = metrics_new(&config);
    struct request req = make_request();

    metrics_count_request(metrics, &req); /* no decision was made */
    req.auth_reason = ok;
    req.attrs[GW_ATTR_PROVIDER] = SLICE("corporate");
    metrics_count_request(metrics, &req);
    req.attrs[GW_ATTR_PROVIDER] = SLICE("internal");
    metrics_count_request(metrics, &req);
    req.attrs[GW_ATTR_PROVIDER] = SLICE("corporate");
    metrics_count_request(metrics, &req);
    req.auth_reason = expired;
    req.attrs[GW_ATTR_PROVIDER] = SLICE_ABSENT;
    metrics_count_request(metrics, &req);
    assert_line(&metrics, 1,
                "jwtgate_auth_decisions_total{route=\"orders\",provider=\"corporate\","
                "reason=\"ok\"} 2");
    assert_line(&metrics, 1,
                "jwtgate_auth_decisions_total{route=\"orders\",provider=\"internal\","
                "reason=\"ok\"} 1");
    assert_line(&metrics, 1,
                "jwtgate_auth_decisions_total{route=\"orders\",provider=\"-\","
                "reason=\"token_expired\"} 1");
    metrics_free(metrics);
}
END_TEST

START_TEST(attempts_and_retries_are_counted)
{
    struct metrics *metrics = metrics_new(&config);
    struct request req = make_request();

    metrics_count_attempt(metrics, &req, "connect_failed");
    req.tries = 2;
    metrics_count_attempt(metrics, &req, NULL);
    assert_line(&metrics, 1,
                "jwtgate_upstream_requests_total{upstream=\"orders\",target=\"127.0.0.1:9001\","
                "code=\"connect_failed\"} 1");
    assert_line(&metrics, 1,
                "jwtgate_upstream_requests_total{upstream=\"orders\",target=\"127.0.0.1:9001\","
                "code=\"200\"} 1");
    assert_line(&metrics, 1, "jwtgate_upstream_retries_total{upstream=\"orders\"} 1");
    metrics_free(metrics);
}
END_TEST

START_TEST(connections_are_counted_by_how_they_ended)
{
    struct metrics *metrics = metrics_new(&config);

    metrics_count_accepted(metrics, 0);
    metrics_count_accepted(metrics, 0);
    metrics_count_closed(metrics, 0, CONN_END_LIMIT);
    metrics_count_closed(metrics, 1, CONN_END_DRAIN);
    metrics_count_accepted(metrics, 99); /* no such listener: nothing happens */
    assert_line(&metrics, 1, "jwtgate_connections_accepted_total{listener=\"public\"} 2");
    assert_line(&metrics, 1,
                "jwtgate_connections_closed_total{listener=\"public\",reason=\"limit\"} 1");
    assert_line(&metrics, 1,
                "jwtgate_connections_closed_total{listener=\"admin\",reason=\"drain\"} 1");
    metrics_free(metrics);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tcase = tcase_create("metrics");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, numbers_of_workers_are_summed);
    tcase_add_test(tcase, a_target_is_up_only_when_all_workers_say_so);
    tcase_add_test(tcase, help_and_type_come_once_for_a_family);
    tcase_add_test(tcase, the_same_series_is_the_same_number);
    tcase_add_test(tcase, unknown_families_and_wrong_types_are_refused);
    tcase_add_test(tcase, label_values_are_escaped);
    tcase_add_test(tcase, label_values_that_are_too_long_are_cut_and_closed);
    tcase_add_test(tcase, histograms_are_cumulated);
    tcase_add_test(tcase, a_request_is_counted);
    tcase_add_test(tcase, auth_decisions_are_counted_by_provider_and_reason);
    tcase_add_test(tcase, attempts_and_retries_are_counted);
    tcase_add_test(tcase, connections_are_counted_by_how_they_ended);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
