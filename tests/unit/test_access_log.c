/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/json.h"
#include "gateway/access_log.h"
#include "gateway/config.h"
#include "gateway/request.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_listener listeners[] = {
    { .element = { .name = { "public", 6 } }, .service = CONFIG_PUBLIC },
};
static struct config_target target = { .label = { "127.0.0.1:9001", 14 } };
static struct config_upstream upstream = {
    .element = { .name = { "orders-up", 9 } },
    .targets = &target,
    .target_count = 1,
};
static const struct config_route route = {
    .element = { .name = { "orders", 6 } },
    .upstream = &upstream,
};
static struct config config;
static struct config_view view;
static struct arena arena;
static struct request req;

static void setup(void)
{
    memset(&config, 0, sizeof(config));
    config.listeners = listeners;
    config.listener_count = 1;
    config.access_log.enabled = true;
    view.config = &config;
    arena_init(&arena, NULL, 0, 65536);
    clock_set(1000, UINT64_C(1795515072123456));

    memset(&req, 0, sizeof(req));
    req.view = &view;
    req.route = &route;
    req.head.method = HTTP_GET;
    req.head.method_name = SLICE("GET");
    req.head.scheme = SLICE("http");
    req.head.authority = SLICE("api.example.com");
    req.head.path = SLICE("/orders/1");
    req.head.query = SLICE("access_token=secret");
    req.head.minor = 1;
    ck_assert_int_eq(headers_init(&req.head.headers, &arena, 4), 0);
    ck_assert_int_eq(headers_add_id(&req.head.headers, HEADER_USER_AGENT, SLICE("curl/7.88")), 0);
    req.id = SLICE("01JD00000000");
    req.client_ip = SLICE("192.0.2.1");
    req.peer_ip = SLICE("127.0.0.1");
    req.status = 200;
    req.outcome = OUTCOME_UPSTREAM;
    req.start_ns = 5000000000;
    req.sent_ns = 5000020000;
    req.response_ns = 5003020000;
    req.end_ns = 5003050000;
    req.request_bytes = 0;
    req.response_bytes = 1234;
    req.upstream_status = 200;
    req.tries = 1;
    req.target = &target;
}

static void teardown(void)
{
    arena_done(&arena);
    clock_unset();
}

static const char *line(void)
{
    static char text[ACCESS_LOG_BYTES + 1];
    struct slice got = access_log_format(&req, text);

    ck_assert_uint_le(got.len, ACCESS_LOG_BYTES);
    ck_assert_ptr_eq(got.ptr, text);
    ck_assert_int_eq(text[got.len - 1], '\n');
    text[got.len - 1] = '\0';
    return text;
}

START_TEST(a_proxied_request_has_all_fields_in_order)
{
    req.trace_id = SLICE("4bf92f3577b34da6a3ce929d0e0e4736");
    req.attrs[GW_ATTR_PROVIDER] = SLICE("corporate");
    req.attrs[GW_ATTR_KID] = SLICE("k1");
    req.attrs[GW_ATTR_SUBJECT] = SLICE("alice");
    req.attrs[GW_ATTR_CLIENT_ID] = SLICE("shop");
    req.attrs[GW_ATTR_JTI] = SLICE("j-1");
    ck_assert_str_eq(
        line(),
        "{\"time\":\"2026-11-24T10:11:12.123456Z\",\"request_id\":\"01JD00000000\","
        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"listener\":\"public\","
        "\"route\":\"orders\",\"client_ip\":\"192.0.2.1\",\"peer_ip\":\"127.0.0.1\","
        "\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"api.example.com\","
        "\"path\":\"/orders/1\",\"protocol\":\"HTTP/1.1\",\"status\":200,"
        "\"outcome\":\"upstream\",\"provider\":\"corporate\",\"kid\":\"k1\",\"sub\":\"alice\","
        "\"client_id\":\"shop\",\"jti\":\"j-1\",\"request_bytes\":0,\"response_bytes\":1234,"
        "\"duration_s\":0.003050,\"overhead_s\":0.000050,\"upstream\":\"orders-up\","
        "\"upstream_address\":\"127.0.0.1:9001\",\"upstream_status\":200,"
        "\"upstream_duration_s\":0.003000,\"retries\":0,\"user_agent\":\"curl/7.88\"}");
}
END_TEST

START_TEST(a_clients_certificate_is_named)
{
    req.tls_version = "TLSv1.3";
    req.attrs[GW_ATTR_CERT_SUBJECT] = SLICE("CN=shop,O=Example");
    req.attrs[GW_ATTR_CERT_THUMBPRINT] = SLICE("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2");
    ck_assert_ptr_nonnull(
        strstr(line(), ",\"tls_version\":\"TLSv1.3\",\"client_cert_subject\":\"CN=shop,O=Example\","
                       "\"client_cert_thumbprint\":"
                       "\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\",\"user_agent\":"));
    config.access_log.hash_subject = true;
    ck_assert_ptr_null(strstr(line(), "CN=shop"));
    ck_assert_ptr_nonnull(strstr(line(), "\"client_cert_subject\":\""));
}
END_TEST

START_TEST(a_request_that_could_not_be_parsed_has_few_fields)
{
    struct http_request none = { 0 };

    req.head = none;
    req.route = NULL;
    req.target = NULL;
    req.tries = 0;
    req.upstream_status = 0;
    req.sent_ns = req.response_ns = 0;
    req.status = 400;
    req.outcome = OUTCOME_BAD_REQUEST;
    req.reason = "bad_header_name";
    req.response_bytes = 90;
    ck_assert_str_eq(line(),
                     "{\"time\":\"2026-11-24T10:11:12.123456Z\",\"request_id\":\"01JD00000000\","
                     "\"listener\":\"public\",\"client_ip\":\"192.0.2.1\","
                     "\"peer_ip\":\"127.0.0.1\",\"status\":400,\"outcome\":\"bad_request\","
                     "\"reason\":\"bad_header_name\",\"request_bytes\":0,\"response_bytes\":90,"
                     "\"duration_s\":0.003050,\"overhead_s\":0.003050}");
}
END_TEST

START_TEST(the_query_is_never_written)
{
    ck_assert_ptr_null(strstr(line(), "secret"));
    config.access_log.format = 1;
    ck_assert_ptr_null(strstr(line(), "secret"));
}
END_TEST

START_TEST(values_of_clients_are_escaped)
{
    ck_assert_int_eq(headers_set(&req.head.headers, SLICE("user-agent"), SLICE("a\"b\\c\x01\n")),
                     0);
    ck_assert_ptr_nonnull(strstr(line(), "\"user_agent\":\"a\\\"b\\\\c\\u0001\\n\"}"));
}
END_TEST

START_TEST(long_values_are_cut_and_the_line_stays_json)
{
    static char value[20000];
    struct json_error error;
    struct json *root;

    memset(value, '"', sizeof(value));
    for (unsigned attr = 0; attr < GW_ATTRS; attr++) {
        req.attrs[attr] = slice_of(value, sizeof(value));
    }
    req.head.path = slice_of(value, sizeof(value));
    req.head.authority = slice_of(value, sizeof(value));
    req.head.method_name = slice_of(value, sizeof(value));
    req.id = slice_of(value, sizeof(value));
    ck_assert_int_eq(
        headers_set(&req.head.headers, SLICE("user-agent"), slice_of(value, sizeof(value))), 0);
    root = json_parse(&arena, slice_str(line()), &json_limits_token, &error);
    ck_assert_msg(root != NULL, "%s", error.text);
    ck_assert_ptr_nonnull(json_get(root, SLICE("user_agent")));
}
END_TEST

START_TEST(the_subject_can_be_hashed)
{
    req.attrs[GW_ATTR_SUBJECT] = SLICE("alice");
    config.access_log.hash_subject = true;
    ck_assert_ptr_nonnull(strstr(line(), "\"sub\":\"2bd806c97f0e00af\""));
    ck_assert_ptr_null(strstr(line(), "alice"));
}
END_TEST

START_TEST(an_upstream_that_did_not_answer_took_the_time_until_the_end)
{
    req.response_ns = 0;
    req.upstream_status = 0;
    req.tries = 2;
    req.outcome = OUTCOME_UPSTREAM_TIMEOUT;
    req.status = 504;
    ck_assert_ptr_nonnull(strstr(line(), "\"overhead_s\":0.000020,"));
    ck_assert_ptr_nonnull(strstr(line(), "\"upstream_duration_s\":0.003030,\"retries\":1,"));
    ck_assert_ptr_null(strstr(line(), "upstream_status"));
}
END_TEST

START_TEST(the_combined_format_is_that_of_other_servers)
{
    config.access_log.format = 1;
    req.attrs[GW_ATTR_SUBJECT] = SLICE("alice b");
    ck_assert_str_eq(line(), "192.0.2.1 - alice_b [24/Nov/2026:10:11:12 +0000] "
                             "\"GET /orders/1 HTTP/1.1\" 200 1234 \"-\" \"curl/7.88\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("access_log");
    TCase *tcase = tcase_create("access_log");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_proxied_request_has_all_fields_in_order);
    tcase_add_test(tcase, a_clients_certificate_is_named);
    tcase_add_test(tcase, a_request_that_could_not_be_parsed_has_few_fields);
    tcase_add_test(tcase, the_query_is_never_written);
    tcase_add_test(tcase, values_of_clients_are_escaped);
    tcase_add_test(tcase, long_values_are_cut_and_the_line_stays_json);
    tcase_add_test(tcase, the_subject_can_be_hashed);
    tcase_add_test(tcase, an_upstream_that_did_not_answer_took_the_time_until_the_end);
    tcase_add_test(tcase, the_combined_format_is_that_of_other_servers);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
