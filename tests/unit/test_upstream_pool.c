/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to targets that are kept, used again and given up. */
#include <check.h>

#include "tests/support/exchange.h"

START_TEST(connections_are_kept_on_both_sides)
{
    ask(GET);
    for (unsigned i = 0; i < 3; i++) {
        expect(server, "GET /a HTTP/1.1\r\n");
        fixture_send(server, OK_2);
        expect(client, "HTTP/1.1 200 OK\r\n");
        ck_assert(!closed);
        expect_end(OUTCOME_UPSTREAM, i + 1);
        fixture_send(client, GET);
        ck_assert_int_eq(fixture_accept(0), -1);
    }
    ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 1);
}
END_TEST

START_TEST(pipelined_requests_do_with_one_upstream_connection)
{
    fx.upstream.max_connections = 1;
    ask(GET GET GET);
    for (unsigned i = 0; i < 3; i++) {
        expect(server, "GET /a ");
        fixture_send(server, OK_2);
        expect(client, "HTTP/1.1 200 OK\r\n");
    }
    expect_end(OUTCOME_UPSTREAM, 3);
}
END_TEST

START_TEST(a_kept_connection_that_dies_is_tried_again_for_get_only)
{
    const char *again[] = { GET, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" };

    for (unsigned i = 0; i < 2; i++) {
        ask(GET);
        fixture_send(server, OK_2);
        expect(client, " 200 ");
        fixture_send(client, again[i]);
        expect(server, "/a HTTP/1.1\r\n");
        hang_up(&server);
        server = fixture_accept(0);
        if (i == 0) {
            expect(server, "GET /a ");
            fixture_send(server,
                         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            expect(client, " 200 ");
            ck_assert_uint_eq(fixture_last_end()->tries, 2);
        } else {
            ck_assert_int_eq(server, -1);
            expect(client, "HTTP/1.1 502 ");
            expect_end(OUTCOME_UPSTREAM_RESET, 4);
        }
    }
}
END_TEST

START_TEST(an_idle_connection_that_dies_is_not_used)
{
    ask(GET);
    fixture_send(server, OK_2);
    expect(client, " 200 ");
    hang_up(&server);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 0);
    ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    fixture_send(server, OK_2);
    expect(client, " 200 ");
}
END_TEST

START_TEST(bytes_behind_an_answer_end_the_upstream_connection)
{
    ask(GET);
    fixture_receive(server, &closed);
    fixture_send(server, OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    const char *text = fixture_receive(client, &closed);
    ck_assert_uint_eq(occurrences(text, "HTTP/1.1 "), 1);
    ck_assert(!closed);
    ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 0);
    ask(GET);
    fixture_send(server, OK_2);
    expect(client, "\r\n\r\nok");
}
END_TEST

START_TEST(a_server_that_says_close_is_not_used_again)
{
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    expect(client, "\r\n\r\nok");
    ck_assert(!closed);
    ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream_pool");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, connections_are_kept_on_both_sides);
    tcase_add_test(cases, pipelined_requests_do_with_one_upstream_connection);
    tcase_add_test(cases, a_kept_connection_that_dies_is_tried_again_for_get_only);
    tcase_add_test(cases, an_idle_connection_that_dies_is_not_used);
    tcase_add_test(cases, bytes_behind_an_answer_end_the_upstream_connection);
    tcase_add_test(cases, a_server_that_says_close_is_not_used_again);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
