/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 downstream: framing, pipelining, limits, our own answers. */
#include "plugins/plugin.h"

#include <check.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/exchange.h"

START_TEST(pipelined_requests_are_answered_in_order)
{
    ask("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    const char *text = fixture_receive(server, &closed);
    ck_assert_ptr_nonnull(strstr(text, "GET /1 "));
    ck_assert_ptr_null(strstr(text, "GET /2 "));
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    expect(client, "\r\n\r\none");
    expect(server, "GET /2 "); /* on the same connection */
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    expect(client, "\r\n\r\ntwo");
}
END_TEST

START_TEST(a_request_may_come_byte_by_byte)
{
    const char *text = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

    for (const char *at = text; *at != '\0'; at++) {
        char piece[2] = { *at, '\0' };
        fixture_send(client, piece);
    }
    server = fixture_accept(0);
    expect(server, "\r\n\r\nabc");
    for (const char *at = OK_2; *at != '\0'; at++) {
        char piece[2] = { *at, '\0' };
        fixture_send(server, piece);
    }
    expect(client, "\r\n\r\nok");
    expect_end(OUTCOME_UPSTREAM, 1);
}
END_TEST

START_TEST(bodies_are_chunked_both_ways)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    const char *text = fixture_receive(server, &closed);
    ck_assert_ptr_nonnull(strstr(text, "transfer-encoding: chunked\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n3\r\nabc\r\n"));
    fixture_send(client, "2\r\nde\r\n0\r\n\r\n");
    expect(server, "2\r\nde\r\n0\r\n\r\n");
    fixture_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n");
    expect(client, "\r\n\r\n4\r\nwxyz\r\n");
    fixture_send(server, "1\r\n!\r\n0\r\n\r\n");
    expect(client, "1\r\n!\r\n0\r\n\r\n");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM, 1);
    ck_assert_uint_eq(fixture_last_end()->request_bytes, 5);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, 5);
    fixture_send(client, GET);
    expect(server, "GET /a ");
}
END_TEST

START_TEST(a_body_until_close_is_chunked_for_the_client)
{
    ask(GET);
    fixture_receive(server, &closed); /* so that closing sends no reset */
    fixture_send(server, "HTTP/1.1 200 OK\r\n\r\nhello");
    expect(client, "5\r\nhello\r\n");
    hang_up(&server);
    expect(client, "0\r\n\r\n");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM, 1);
}
END_TEST

START_TEST(a_chunked_body_ends_with_the_connection_for_http_1_0)
{
    ask("GET /a HTTP/1.0\r\nHost: a\r\n\r\n");
    fixture_send(server,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nok"));
    ck_assert_ptr_null(strstr(text, "transfer-encoding"));
    ck_assert(closed);
}
END_TEST

START_TEST(head_and_304_have_no_body)
{
    ask("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    expect(client, "content-length: 99\r\n");
    fixture_send(client, GET);
    expect(server, "GET ");
    fixture_send(server, "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n");
    expect(client, "HTTP/1.1 304 ");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM, 2);
}
END_TEST

START_TEST(a_client_that_expects_it_is_told_to_continue)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    fixture_send(client, "hi");
    const char *text = fixture_receive(server, &closed);
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nhi"));
    ck_assert_ptr_null(strstr(text, "expect:"));
    fixture_send(server, OK_2);
    expect(client, "HTTP/1.1 200 ");
    ck_assert(!closed);
}
END_TEST

START_TEST(a_refused_head_is_answered_and_the_connection_closed)
{
    fixture_send(client, "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET);
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 400 "));
    ck_assert_uint_eq(occurrences(text, "HTTP/1.1 "), 1);
    ck_assert(closed);
    ck_assert_int_eq(fixture_accept(0), -1);
    expect_end(OUTCOME_BAD_REQUEST, 1);
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
    fx.config.server.limits.body_bytes = 4;
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    expect(client, "HTTP/1.1 413 ");
    ck_assert(closed);
    expect_end(OUTCOME_BODY_TOO_LARGE, 1);
    hang_up(&client);
    client = fixture_connect();
    ask("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    fixture_send(client, "2\r\nde\r\n");
    expect(client, "HTTP/1.1 413 ");
    ck_assert(closed);
    fixture_receive(server, &closed);
    ck_assert(closed);
}
END_TEST

START_TEST(many_requests_at_once_take_turns)
{
    static char text[200 * (sizeof(GET) - 1) + 1];

    for (unsigned i = 0; i < 200; i++) {
        memcpy(text + i * (sizeof(GET) - 1), GET, sizeof(GET) - 1);
    }
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, text);
    ck_assert_uint_le(fx.end_count, 16);
    ck_assert_uint_le(fx.worker->request_pool_count, 16);
    fixture_receive(client, &closed);
    for (unsigned i = 1; i < 200 / 16 + 1; i++) {
        fixture_advance(1);
        ck_assert_uint_ge(occurrences(fixture_receive(client, &closed), "HTTP/1.1 404 "), 8);
    }
    ck_assert_uint_eq(fx.end_count, 200);
    ck_assert_uint_le(fx.worker->request_pool_count, 16);
    ck_assert(!closed);
    fixture_advance(59000);
    ck_assert_uint_eq(fx.worker->conn_count, 1);
    fixture_advance(2000); /* the deadline of a kept connection */
    ck_assert_uint_eq(fx.worker->conn_count, 0);
}
END_TEST

START_TEST(only_so_many_requests_are_served_on_a_connection)
{
    fx.config.server.limits.requests_per_connection = 2;
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET GET GET);
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 404 "), 2);
    ck_assert(closed);
}
END_TEST

START_TEST(http_1_0_clients_may_keep_their_connection)
{
    ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    fixture_send(server, OK_2);
    expect(client, "connection: keep-alive\r\n");
    ck_assert(!closed);
    fixture_send(client, "GET /a HTTP/1.0\r\n\r\n");
    fixture_send(server, OK_2);
    expect(client, "\r\n\r\nok");
    ck_assert(closed);
}
END_TEST

START_TEST(heads_over_the_limits_are_refused)
{
    static const struct {
        unsigned path, fields, status;
    } vectors[] = { { 9000, 0, 414 }, { 1, 101, 431 } };
    static char text[64000];

    for (unsigned i = 0; i < 2; i++) {
        int len = snprintf(text, sizeof(text), "GET /%0*u HTTP/1.1\r\nHost: a\r\n",
                           (int)vectors[i].path, 0u);
        for (unsigned f = 0; f < vectors[i].fields; f++) {
            len += snprintf(text + len, sizeof(text) - (size_t)len, "X-%u: 1\r\n", f);
        }
        snprintf(text + len, sizeof(text) - (size_t)len, "\r\n");
        hang_up(&client);
        client = fixture_connect();
        fixture_send(client, text);
        char line[32];
        snprintf(line, sizeof(line), "HTTP/1.1 %u ", vectors[i].status);
        expect(client, line);
        ck_assert(closed);
    }
}
END_TEST

/* ---- Answers of our own ---- */

static char big_answer[3000001];

static enum gw_verdict answer_at_length(struct gw_call *call)
{
    const struct gw_reply reply = {
        .status = 200,
        .content_type = SLICE("text/plain"),
        .body = slice_of(big_answer, sizeof(big_answer) - 1),
    };

    return gw_reply(call, &reply);
}

static const struct gw_plugin big_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "big",
    .on_request = answer_at_length,
};

static void setup_big(void)
{
    memset(big_answer, 'a', sizeof(big_answer) - 1);
    fixture_setup();
    fixture_add_plugin(&big_plugin);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

START_TEST(a_long_answer_of_our_own_waits_for_the_client)
{
    fixture_send(client, GET GET);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_advance(20000);
    ck_assert_uint_ge(strlen(fixture_receive(client, &closed)), 2 * (sizeof(big_answer) - 1));
    ck_assert(!closed);
    expect_end(OUTCOME_LOCAL, 2);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, sizeof(big_answer) - 1);
}
END_TEST

START_TEST(a_client_that_does_not_take_our_answer_is_closed)
{
    fixture_send(client, GET GET);
    fixture_advance(30001);
    fixture_advance(30001);
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    expect_end(OUTCOME_CLIENT_GONE, 1);
}
END_TEST

START_TEST(a_client_may_go_while_our_answer_is_sent)
{
    fixture_send(client, GET);
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    expect_end(OUTCOME_CLIENT_GONE, 1);
}
END_TEST

START_TEST(a_drain_lets_our_answer_end)
{
    fixture_send(client, GET GET GET);
    worker_drain(fx.worker); /* the first answer says that the connection goes on */
    const char *text = fixture_receive(client, &closed);
    ck_assert_uint_ge(strlen(text), 2 * (sizeof(big_answer) - 1));
    ck_assert_uint_lt(strlen(text), 3 * (sizeof(big_answer) - 1));
    ck_assert_ptr_nonnull(strstr(text, "connection: close\r\n"));
    ck_assert(closed);
    expect_end(OUTCOME_LOCAL, 2);
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(a_body_that_nobody_wants_is_dropped)
{
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" GET);
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 200 "), 2);
    ck_assert(!closed); /* all of it was there */
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell");
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 200 "), 1);
    ck_assert(closed);
    fixture_send(client, "o" GET);
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    expect_end(OUTCOME_LOCAL, 3);
}
END_TEST

START_TEST(a_client_that_waits_for_100_is_answered_without)
{
    fixture_send(
        client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_eq(strstr(text, "HTTP/1.1 200 "), text);
    ck_assert(closed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_h1");
    TCase *cases = tcase_create("all");

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, pipelined_requests_are_answered_in_order);
    tcase_add_test(cases, a_request_may_come_byte_by_byte);
    tcase_add_test(cases, bodies_are_chunked_both_ways);
    tcase_add_test(cases, a_body_until_close_is_chunked_for_the_client);
    tcase_add_test(cases, a_chunked_body_ends_with_the_connection_for_http_1_0);
    tcase_add_test(cases, head_and_304_have_no_body);
    tcase_add_test(cases, a_client_that_expects_it_is_told_to_continue);
    tcase_add_test(cases, a_refused_head_is_answered_and_the_connection_closed);
    tcase_add_test(cases, a_body_over_the_limit_is_refused);
    tcase_add_test(cases, many_requests_at_once_take_turns);
    tcase_add_test(cases, only_so_many_requests_are_served_on_a_connection);
    tcase_add_test(cases, http_1_0_clients_may_keep_their_connection);
    tcase_add_test(cases, heads_over_the_limits_are_refused);
    suite_add_tcase(suite, cases);

    TCase *own = tcase_create("own");
    tcase_add_checked_fixture(own, setup_big, exchange_teardown);
    tcase_add_test(own, a_long_answer_of_our_own_waits_for_the_client);
    tcase_add_test(own, a_client_that_does_not_take_our_answer_is_closed);
    tcase_add_test(own, a_client_may_go_while_our_answer_is_sent);
    tcase_add_test(own, a_drain_lets_our_answer_end);
    tcase_add_test(own, a_body_that_nobody_wants_is_dropped);
    tcase_add_test(own, a_client_that_waits_for_100_is_answered_without);
    suite_add_tcase(suite, own);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
