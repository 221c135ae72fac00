/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "gateway/identify.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/gateway_fixture.h"

#define VALID "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static struct config_cidr trusted[2];

static void setup(void)
{
    static const uint8_t ten[16] = { [10] = 0xff, [11] = 0xff, [12] = 10 };
    static const uint8_t documentation[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2 };

    memcpy(trusted[0].address, ten, 16);
    trusted[0].bits = 96 + 8;
    memcpy(trusted[1].address, documentation, 16);
    trusted[1].bits = 96 + 24;
    fixture_setup();
    fixture_add_target(false);
    fixture_start();
}

static void teardown(void)
{
    fixture_teardown();
}

/* The peer is 192.0.2.1. */
static void trust_the_peer(void)
{
    fx.config.server.trusted_proxies = trusted;
    fx.config.server.trusted_proxy_count = 2;
}

static struct request *request_with(const char *fields)
{
    char head[1024];

    snprintf(head, sizeof(head), "GET /a HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    return fixture_request(head);
}

static void expect_slice(struct slice got, const char *text)
{
    ck_assert_msg(slice_eq(got, slice_str(text)), "\"%.*s\" is not \"%s\"", SLICE_FMT(got), text);
}

START_TEST(the_client_behind_trusted_proxies_is_read_from_the_right)
{
    static const struct {
        const char *fields, *client;
    } vectors[] = {
        { "", "192.0.2.1" },
        { "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9" },
        { "X-Forwarded-For: 1.1.1.1, 203.0.113.9, 10.0.0.1\r\n", "203.0.113.9" },
        { "X-Forwarded-For: 1.1.1.1,203.0.113.9\t,10.0.0.1 \r\n", "203.0.113.9" },
        { "X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", "10.0.0.2" },
        { "X-Forwarded-For: nonsense, 10.0.0.1\r\n", "10.0.0.1" },
        { "X-Forwarded-For: 10.0.0.1, nonsense\r\n", "192.0.2.1" },
        { "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 10.0.0.1\r\n", "1.1.1.1" },
        { "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2" },
        { "X-Forwarded-For: 2001:db8::1, 10.0.0.1\r\n", "2001:db8::1" },
        { "X-Forwarded-For: 999.0.0.1\r\n", "192.0.2.1" },
        { "X-Forwarded-For:\r\n", "192.0.2.1" },
        { "X-Forwarded-For: ,\r\n", "192.0.2.1" },
    };

    trust_the_peer();
    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct request *req = request_with(vectors[i].fields);
        identify_client(req);
        expect_slice(req->client_ip, vectors[i].client);
        expect_slice(req->peer_ip, "192.0.2.1");
    }
}
END_TEST

START_TEST(an_untrusted_peer_is_the_client)
{
    struct request *req = request_with("X-Forwarded-For: 203.0.113.9\r\n");

    identify_client(req);
    expect_slice(req->client_ip, "192.0.2.1");
    ck_assert(!identify_is_trusted(req));
    fx.config.server.trusted_proxies = trusted;
    fx.config.server.trusted_proxy_count = 1; /* only 10/8 */
    identify_client(req);
    expect_slice(req->client_ip, "192.0.2.1");
}
END_TEST

START_TEST(a_request_id_is_a_ulid_of_now)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    struct request *req = request_with("X-Request-Id: mine\r\n"); /* nobody trusts it */
    struct slice id = identify_request_id(req);
    uint64_t ms = 0;

    ck_assert_uint_eq(id.len, 26);
    for (unsigned i = 0; i < 26; i++) {
        const char *digit = strchr(digits, id.ptr[i]);
        ck_assert_ptr_nonnull(digit);
        ms = i < 10 ? ms * 32 + (uint64_t)(digit - digits) : ms;
    }
    ck_assert_uint_eq(ms, clock_unix_us() / 1000);
    struct slice again = identify_request_id(req);
    ck_assert(slice_eq(id, again));
    again = identify_request_id(request_with(""));
    ck_assert(!slice_eq(id, again));
}
END_TEST

START_TEST(a_trusted_proxy_may_give_the_request_id)
{
    static const struct {
        const char *fields;
        bool kept;
    } vectors[] = {
        { "X-Request-Id: abc-123\r\n", true },
        { "X-Request-Id: a b\r\n", false },
        { "X-Request-Id: caf\xc3\xa9\r\n", false },
        { "X-Request-Id:\r\n", false },
        { "X-Request-Id: a\r\nX-Request-Id: a\r\n", false },
    };
    char text[200];

    trust_the_peer();
    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct request *req = request_with(vectors[i].fields);
        ck_assert_int_eq(identify_request_id(req).len != 26, vectors[i].kept);
    }
    snprintf(text, sizeof(text), "X-Request-Id: %0128u\r\n", 7u);
    ck_assert_uint_eq(identify_request_id(request_with(text)).len, 128);
    snprintf(text, sizeof(text), "X-Request-Id: %0129u\r\n", 7u);
    ck_assert_uint_eq(identify_request_id(request_with(text)).len, 26);
}
END_TEST

START_TEST(a_valid_trace_is_continued_with_a_parent_of_our_own)
{
    struct request *req = request_with("Traceparent: " VALID "\r\nTracestate: a=b\r\n");
    struct slice value = identify_traceparent(req);

    ck_assert_uint_eq(value.len, 55);
    ck_assert_mem_eq(value.ptr, VALID, 36);
    ck_assert_mem_ne(value.ptr + 36, &VALID[36], 16);
    ck_assert_mem_eq(value.ptr + 52, "-01", 3);
    expect_slice(req->trace_id, "0af7651916cd43dd8448eb211c80319c");
    ck_assert_uint_eq(headers_count_id(&req->head.headers, HEADER_TRACESTATE), 1);
}
END_TEST

START_TEST(a_new_trace_begins_where_there_is_no_valid_one)
{
    static const char *const vectors[] = {
        "",
        "Traceparent: \r\n",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\r\n",
        "Traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\n",
        "Traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "Traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g\r\n",
        "Traceparent: 00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        "Traceparent: " VALID "-x\r\n",
        "Traceparent: " VALID "\r\nTraceparent: " VALID "\r\n",
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char fields[300];
        snprintf(fields, sizeof(fields), "%sTracestate: a=b\r\n", vectors[i]);
        struct request *req = request_with(fields);
        struct slice value = identify_traceparent(req);
        ck_assert_uint_eq(value.len, 55);
        ck_assert_mem_eq(value.ptr, "00-", 3);
        ck_assert_mem_eq(value.ptr + 52, "-00", 3);
        ck_assert_mem_ne(value.ptr, VALID, 36);
        ck_assert_uint_eq(strspn(value.ptr + 3, "0123456789abcdef"), 32);
        ck_assert_uint_eq(headers_count_id(&req->head.headers, HEADER_TRACESTATE), 0);
    }
}
END_TEST

START_TEST(a_trace_may_be_taken_of_trusted_proxies_only)
{
    fx.config.tracing.trust_any = false;
    struct slice value = identify_traceparent(request_with("Traceparent: " VALID "\r\n"));
    ck_assert_mem_ne(value.ptr, VALID, 36);
    trust_the_peer();
    value = identify_traceparent(request_with("Traceparent: " VALID "\r\n"));
    ck_assert_mem_eq(value.ptr, VALID, 36);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identify");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, the_client_behind_trusted_proxies_is_read_from_the_right);
    tcase_add_test(cases, an_untrusted_peer_is_the_client);
    tcase_add_test(cases, a_request_id_is_a_ulid_of_now);
    tcase_add_test(cases, a_trusted_proxy_may_give_the_request_id);
    tcase_add_test(cases, a_valid_trace_is_continued_with_a_parent_of_our_own);
    tcase_add_test(cases, a_new_trace_begins_where_there_is_no_valid_one);
    tcase_add_test(cases, a_trace_may_be_taken_of_trusted_proxies_only);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
