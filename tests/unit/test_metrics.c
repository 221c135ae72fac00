/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics.h"
#include "gateway/request.h"

#include <check.h>

#include "tests/support/metrics_text.h"

static struct request make_request(void)
{
    struct request req = {
        .route = &metrics_route,
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
        .target = metrics_config.upstreams[0].targets,
    };

    return req;
}

START_TEST(a_request_is_counted)
{
    struct metrics *metrics = metrics_new(&metrics_config);
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
    struct metrics *metrics = metrics_new(&metrics_config);
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
    struct metrics *metrics = metrics_new(&metrics_config);
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
    struct metrics *metrics = metrics_new(&metrics_config);

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
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, a_request_is_counted);
    tcase_add_test(tc, auth_decisions_are_counted_by_provider_and_reason);
    tcase_add_test(tc, attempts_and_retries_are_counted);
    tcase_add_test(tc, connections_are_counted_by_how_they_ended);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
