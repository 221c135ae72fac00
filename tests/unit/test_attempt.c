/* SPDX-License-Identifier: Apache-2.0 */
/* One try at one target: connecting, the response head, its limits and deadlines. */
#include "gateway/attempt.h"
#include "gateway/upstream_pool.h"

#include <check.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/exchange.h"

START_TEST(interim_responses_pass)
{
    ask(GET);
    fixture_send(server,
                 "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 103 "));
    ck_assert_ptr_null(strstr(text, "HTTP/1.1 100 "));
    fixture_send(server, OK_2);
    expect(client, "HTTP/1.1 200 ");
}
END_TEST

START_TEST(a_server_that_ends_early_is_answered_for)
{
    static const struct {
        const char *answer;
        const char *seen; /* by the client; its connection is closed when the answer was cut */
        enum outcome outcome;
        bool cut;
    } vectors[] = {
        { "", "HTTP/1.1 502 ", OUTCOME_UPSTREAM_RESET, false },
        { "HTTP/1.1 200 O", "HTTP/1.1 502 ", OUTCOME_UPSTREAM_RESET, false },
        { "HTTP/1.1 200 OK\r\n", "HTTP/1.1 502 ", OUTCOME_UPSTREAM_RESET, false },
        { "nonsense\r\n\r\n", "HTTP/1.1 502 ", OUTCOME_UPSTREAM_PROTOCOL_ERROR, false },
        { "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 502 ", OUTCOME_UPSTREAM_PROTOCOL_ERROR,
          false },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "abc", OUTCOME_UPSTREAM_RESET, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "3\r\nabc\r\n",
          OUTCOME_UPSTREAM_RESET, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZ\r\n", "",
          OUTCOME_UPSTREAM_PROTOCOL_ERROR, true },
        { "HTTP/1.1 200 OK\r\n\r\nabc", "3\r\nabc\r\n0\r\n\r\n", OUTCOME_UPSTREAM, false },
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        hang_up(&client);
        client = fixture_connect();
        ask(GET);
        fixture_send(server, vectors[i].answer);
        fixture_receive(server, &closed); /* so that closing sends no reset */
        if (!vectors[i].cut) {
            hang_up(&server);
            expect(client, vectors[i].seen);
        } else {
            expect(client, vectors[i].seen);
            bool was_closed = closed;
            hang_up(&server);
            ck_assert_str_eq(fixture_receive(client, &closed), "");
            ck_assert(closed || was_closed);
        }
        ck_assert_int_eq(closed, vectors[i].cut);
        expect_end(vectors[i].outcome, i + 1);
    }
}
END_TEST

START_TEST(a_server_that_refuses_is_answered_for)
{
    close(fx.servers[0]);
    fx.servers[0] = -1;
    fixture_send(client, GET);
    expect(client, "HTTP/1.1 502 ");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM_CONNECT_FAILED, 1);
}
END_TEST

/* A listening socket whose queue is full does not answer. */
START_TEST(a_connect_has_a_deadline)
{
    ck_assert_int_gt(send(client, GET, strlen(GET), 0), 0);
    loop_turn(fx.worker->loop, false);
    struct attempt *attempt = fx.worker->conns->request->attempt;
    ck_assert_uint_eq(attempt->sm.state, ATTEMPT_CONNECT);
    ck_assert_uint_eq(attempt->conn->timer.deadline_ms, fx.now_ms + 1000);
    attempt_late(attempt);
    expect(client, "HTTP/1.1 502 ");
    expect_end(OUTCOME_UPSTREAM_CONNECT_FAILED, 1);
    ck_assert_str_eq(fixture_last_end()->reason, "connect_timeout");
    ck_assert(!upstream_target_is_up(&fx.worker->view->upstreams[0]->targets[0]));
}
END_TEST

START_TEST(a_response_has_a_deadline)
{
    ask(GET);
    fixture_advance(29900);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_advance(200);
    expect(client, "HTTP/1.1 504 ");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM_TIMEOUT, 1);
    fixture_receive(server, &closed);
    ck_assert(closed);
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
    fixture_advance(29000);
    fixture_send(server, "c");
    fixture_advance(29000);
    ck_assert_uint_eq(fx.end_count, 1);
    fixture_advance(1100);
    expect(client, "abc");
    ck_assert(closed);
    expect_end(OUTCOME_UPSTREAM_TIMEOUT, 2);
}
END_TEST

START_TEST(a_response_head_has_limits)
{
    char line[1100];

    memset(line, 'x', sizeof(line));
    memcpy(line, "X-A: ", 5);
    memcpy(line + sizeof(line) - 3, "\r\n", 3);
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 20; i++) { /* more than a block */
        fixture_send(server, line);
    }
    fixture_send(server, "Content-Length: 2\r\n\r\nok");
    expect(client, "\r\n\r\nok");
    fixture_send(client, GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\n");
    for (unsigned i = 0; i < 30; i++) {
        (void)!send(server, line, sizeof(line) - 1, MSG_NOSIGNAL);
        fixture_spin();
    }
    expect(client, "HTTP/1.1 502 ");
    ck_assert(!closed);
    expect_end(OUTCOME_UPSTREAM_PROTOCOL_ERROR, 2);
}
END_TEST

START_TEST(interim_responses_have_a_limit)
{
    ask(GET);
    for (unsigned i = 0; i < 17; i++) {
        (void)!send(server, "HTTP/1.1 103 X\r\n\r\n", 18, MSG_NOSIGNAL);
        fixture_spin();
    }
    expect(client, "HTTP/1.1 502 ");
    expect_end(OUTCOME_UPSTREAM_PROTOCOL_ERROR, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("attempt");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, interim_responses_pass);
    tcase_add_test(cases, a_server_that_ends_early_is_answered_for);
    tcase_add_test(cases, a_server_that_refuses_is_answered_for);
    tcase_add_test(cases, a_connect_has_a_deadline);
    tcase_add_test(cases, a_response_has_a_deadline);
    tcase_add_test(cases, a_response_head_has_limits);
    tcase_add_test(cases, interim_responses_have_a_limit);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
