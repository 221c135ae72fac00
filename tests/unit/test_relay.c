/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies from one side to the other: back-pressure, pace, early answers. */
#include <check.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/support/exchange.h"

/* What was sent to the server in how many pieces: each write is a segment of its own. */
static unsigned segments(void)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);

    fixture_spin();
    ck_assert_int_eq(getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_data_segs_in;
}

START_TEST(a_body_that_is_there_goes_with_the_head)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    ck_assert_uint_eq(segments(), 1);
    expect(server, "\r\n\r\nabc");
    fixture_send(server, OK_2);
    expect(client, " 200 ");
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n0\r\n\r\n"); /* on the kept connection */
    ck_assert_uint_eq(segments(), 2);
    expect(server, "0\r\n\r\n");
}
END_TEST

START_TEST(a_body_that_comes_later_keeps_no_head_waiting)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    expect(server, "content-length: 3\r\n");
    fixture_send(client, "abc");
    expect(server, "abc");
}
END_TEST

START_TEST(a_body_that_is_refused_is_not_begun)
{
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n");
    server = fixture_accept(0);
    expect(client, "HTTP/1.1 400 ");
    ck_assert(closed);
    ck_assert_str_eq(fixture_receive(server, &closed), "");
    ck_assert(closed);
    expect_end(OUTCOME_BAD_REQUEST, 1);
}
END_TEST

START_TEST(an_answer_before_the_body_is_passed_on)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    fixture_receive(server, &closed);
    fixture_send(server, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    expect(client, "HTTP/1.1 403 ");
    ck_assert(closed); /* the rest of the body is never taken for a request */
    expect_end(OUTCOME_UPSTREAM, 1);
    fixture_receive(server, &closed);
    ck_assert(closed);
}
END_TEST

START_TEST(a_body_that_does_not_come_has_a_deadline)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    fixture_advance(29000);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_advance(1100);
    expect(client, "HTTP/1.1 408 ");
    ck_assert(closed);
    expect_end(OUTCOME_REQUEST_TIMEOUT, 1);
    fixture_receive(server, &closed);
    ck_assert(closed);
}
END_TEST

START_TEST(a_body_must_come_at_a_least_pace)
{
    char piece[16001];

    memset(piece, 'x', 16000);
    piece[16000] = '\0';
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    fixture_send(client, piece); /* over 500 bytes a second */
    fixture_advance(30001);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_send(client, "x");
    fixture_advance(30001);
    expect(client, "HTTP/1.1 408 ");
    expect_end(OUTCOME_REQUEST_TIMEOUT, 1);
}
END_TEST

START_TEST(a_client_that_does_not_read_stops_the_server)
{
    ask(GET);
    fixture_receive(server, &closed);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    size_t sent = pump(server, BIG);
    ck_assert_uint_lt(sent, BIG);
    ck_assert_uint_le(memory_bytes(), (size_t)1 << 20);
    fixture_advance(20000);
    ck_assert_uint_eq(fx.end_count, 0);
    ck_assert_uint_ge(drink(server, client, BIG - sent), BIG);
    expect_end(OUTCOME_UPSTREAM, 1);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, BIG);
}
END_TEST

START_TEST(a_client_that_does_not_read_has_a_deadline)
{
    ask(GET);
    fixture_receive(server, &closed);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
    pump(server, BIG);
    fixture_advance(30001);
    fixture_advance(30001);
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    expect_end(OUTCOME_CLIENT_GONE, 1);
}
END_TEST

START_TEST(a_server_that_does_not_read_stops_the_client)
{
    fx.config.server.limits.body_bytes = BIG;
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n");
    size_t sent = pump(client, BIG);
    ck_assert_uint_lt(sent, BIG);
    ck_assert_uint_le(memory_bytes(), (size_t)1 << 20);
    ck_assert_uint_ge(drink(client, server, BIG - sent), BIG);
    fixture_send(server, OK_2);
    expect(client, " 200 ");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM, 1);
    ck_assert_uint_eq(fixture_last_end()->request_bytes, BIG);
}
END_TEST

START_TEST(a_server_may_refuse_a_body_and_close)
{
    fx.config.server.limits.body_bytes = UINT64_C(64) << 20;
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\n");
    pump(client, BIG);
    fixture_send(server, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    hang_up(&server); /* with unread bytes: a reset */
    expect(client, "HTTP/1.1 413 ");
    ck_assert(closed);
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_uint_eq(fixture_last_end()->status, 413);
}
END_TEST

START_TEST(tiny_chunks_make_no_large_memory)
{
    static char text[60001];

    for (unsigned i = 0; i < 10000; i++) {
        memcpy(text + (size_t)6 * i, "1\r\nx\r\n", 6);
    }
    ask("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    fixture_send(client, text);
    ck_assert_uint_le(memory_bytes(), (size_t)1 << 20);
    fixture_send(client, "0\r\n\r\n");
    const char *got = fixture_receive(server, &closed);
    ck_assert_ptr_nonnull(strstr(got, "0\r\n\r\n"));
    fixture_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    fixture_send(server, text);
    fixture_send(server, "0\r\n\r\n");
    expect(client, "0\r\n\r\n");
    expect_end(OUTCOME_UPSTREAM, 1);
    ck_assert_uint_eq(fixture_last_end()->request_bytes, 10000);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, 10000);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("relay");
    TCase *cases = tcase_create("all");

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, a_body_that_is_there_goes_with_the_head);
    tcase_add_test(cases, a_body_that_comes_later_keeps_no_head_waiting);
    tcase_add_test(cases, a_body_that_is_refused_is_not_begun);
    tcase_add_test(cases, an_answer_before_the_body_is_passed_on);
    tcase_add_test(cases, a_body_that_does_not_come_has_a_deadline);
    tcase_add_test(cases, a_body_must_come_at_a_least_pace);
    tcase_add_test(cases, a_client_that_does_not_read_stops_the_server);
    tcase_add_test(cases, a_client_that_does_not_read_has_a_deadline);
    tcase_add_test(cases, a_server_that_does_not_read_stops_the_client);
    tcase_add_test(cases, a_server_may_refuse_a_body_and_close);
    tcase_add_test(cases, tiny_chunks_make_no_large_memory);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
