/* SPDX-License-Identifier: Apache-2.0 */
/* One downstream connection: its deadlines, its end, its drain. */
#include <check.h>

#include <string.h>

#include "tests/support/exchange.h"

START_TEST(a_client_that_goes_between_requests_is_closed)
{
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    client = fixture_connect();
    fixture_send(client, "GET / HT");
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    ck_assert_uint_eq(fx.end_count, 0);
}
END_TEST

START_TEST(a_head_has_a_deadline)
{
    fixture_send(client, "GET / HTTP/1.1\r\n");
    fixture_advance(9000);
    fixture_send(client, "Host: a\r\n");
    fixture_advance(900);
    ck_assert_uint_eq(fx.worker->conn_count, 1);
    fixture_advance(200);
    expect(client, "HTTP/1.1 408 ");
    ck_assert(closed);
    expect_end(OUTCOME_REQUEST_TIMEOUT, 1);
}
END_TEST

START_TEST(a_connection_without_a_request_is_closed_without_an_answer)
{
    fixture_advance(10001);
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(closed);
    ck_assert_uint_eq(fx.end_count, 0);
}
END_TEST

START_TEST(a_kept_connection_has_a_deadline)
{
    ask(GET);
    fixture_send(server, OK_2);
    expect(client, " 200 ");
    fixture_advance(59900);
    ck_assert_uint_eq(fx.worker->conn_count, 1);
    fixture_advance(200);
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(closed);
    fixture_receive(server, &closed); /* idle for as long */
    ck_assert(closed);
}
END_TEST

START_TEST(a_closing_connection_lingers_for_a_while)
{
    ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    fixture_send(server, OK_2);
    expect(client, "connection: close\r\n");
    ck_assert(closed);
    fixture_send(client, GET); /* dropped */
    ck_assert_uint_eq(fx.worker->conn_count, 1);
    fixture_advance(2001);
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    expect_end(OUTCOME_UPSTREAM, 1);
}
END_TEST

START_TEST(a_drain_closes_an_idle_connection)
{
    worker_drain(fx.worker);
    fixture_advance(999);
    fixture_receive(client, &closed);
    ck_assert(!closed);
    fixture_advance(2);
    fixture_receive(client, &closed);
    ck_assert(closed);
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(a_drain_serves_the_request_that_was_on_its_way)
{
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET);
    expect(client, "HTTP/1.1 404 ");
    worker_drain(fx.worker);
    fixture_advance(900);
    fixture_send(client, GET GET);
    const char *text = fixture_receive(client, &closed);
    ck_assert_uint_eq(occurrences(text, "HTTP/1.1 404 "), 1);
    ck_assert_ptr_nonnull(strstr(text, "connection: close\r\n"));
    ck_assert(closed);
}
END_TEST

START_TEST(a_drain_keeps_the_promise_of_an_answer_that_has_begun)
{
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    expect(client, "ab");
    worker_drain(fx.worker);
    fixture_send(server, "cd");
    expect(client, "cd");
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET);
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 404 "));
    ck_assert_ptr_nonnull(strstr(text, "connection: close\r\n"));
    ck_assert(closed);
}
END_TEST

START_TEST(a_drain_lets_a_head_end)
{
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, "GET /a HTTP/1.1\r\nHo");
    worker_drain(fx.worker);
    fixture_advance(2000);
    fixture_send(client, "st: a\r\n\r\n");
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 404 "));
    ck_assert(closed);
}
END_TEST

START_TEST(a_drain_lets_a_request_end)
{
    ask(GET GET);
    worker_drain(fx.worker);
    fixture_send(server, OK_2);
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 200 "));
    ck_assert_ptr_nonnull(strstr(text, "connection: close\r\n"));
    ck_assert_uint_eq(occurrences(text, "HTTP/1.1 "), 1);
    ck_assert(closed);
    expect_end(OUTCOME_UPSTREAM, 1);
    fixture_receive(server, &closed);
    ck_assert(closed);
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(a_drain_lets_an_answer_end)
{
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
    expect(client, "ab");
    worker_drain(fx.worker);
    fixture_send(server, "cd");
    expect(client, "cd");
    expect_end(OUTCOME_UPSTREAM, 1);
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(a_drain_lets_a_body_end)
{
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    worker_drain(fx.worker);
    fixture_send(client, "cd");
    expect(server, "abcd");
    fixture_send(server, OK_2);
    expect(client, "HTTP/1.1 200 ");
    ck_assert(closed);
    expect_end(OUTCOME_UPSTREAM, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, a_client_that_goes_between_requests_is_closed);
    tcase_add_test(cases, a_head_has_a_deadline);
    tcase_add_test(cases, a_connection_without_a_request_is_closed_without_an_answer);
    tcase_add_test(cases, a_kept_connection_has_a_deadline);
    tcase_add_test(cases, a_closing_connection_lingers_for_a_while);
    tcase_add_test(cases, a_drain_closes_an_idle_connection);
    tcase_add_test(cases, a_drain_serves_the_request_that_was_on_its_way);
    tcase_add_test(cases, a_drain_keeps_the_promise_of_an_answer_that_has_begun);
    tcase_add_test(cases, a_drain_lets_a_head_end);
    tcase_add_test(cases, a_drain_lets_a_request_end);
    tcase_add_test(cases, a_drain_lets_an_answer_end);
    tcase_add_test(cases, a_drain_lets_a_body_end);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
