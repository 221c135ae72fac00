/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange from socket to socket: connection, codec, request, attempt and relay. */
#include "gateway/attempt.h"
#include "gateway/upstream_pool.h"
#include "plugins/plugin.h"

#include <check.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define GET  "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static int client, server;
static bool closed;

static void setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

static void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void teardown(void)
{
    hang_up(&client);
    hang_up(&server);
    fixture_teardown();
}

/* Send as the client; the server's end of what the gateway then opens. */
static void ask(const char *text)
{
    fixture_send(client, text);
    hang_up(&server);
    server = fixture_accept(0);
    ck_assert_int_ge(server, 0);
}

static void expect(int fd, const char *part)
{
    const char *text = fixture_receive(fd, &closed);

    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in \"%s\"", part, text);
}

static void expect_end(enum outcome outcome, unsigned count)
{
    ck_assert_uint_eq(fx.end_count, count);
    ck_assert_str_eq(outcome_word(fixture_last_end()->outcome), outcome_word(outcome));
}

static unsigned occurrences(const char *text, const char *part)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

/* ---- The usual ---- */

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

START_TEST(no_route_is_answered_on_a_kept_connection)
{
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET GET);
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 404 "), 2);
    ck_assert(!closed);
    expect_end(OUTCOME_NO_ROUTE, 2);
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

/* ---- The server ends ---- */

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

/* ---- The client ends ---- */

START_TEST(a_client_that_goes_ends_its_request)
{
    static const char *const asked[] = {
        GET,                                                           /* no answer yet */
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab", /* body under way */
    };

    for (unsigned i = 0; i < 2; i++) {
        ask(asked[i]);
        hang_up(&client);
        fixture_receive(server, &closed);
        ck_assert(closed);
        expect_end(OUTCOME_CLIENT_GONE, i + 1);
        ck_assert_uint_eq(fixture_last_end()->status, 499);
        client = fixture_connect();
    }
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab");
    hang_up(&client);
    fixture_receive(server, &closed);
    ck_assert(closed);
    expect_end(OUTCOME_CLIENT_GONE, 3);
    ck_assert_uint_eq(fixture_last_end()->status, 200);
}
END_TEST

START_TEST(a_client_that_goes_while_connecting_ends_its_request)
{
    ck_assert_int_gt(send(client, GET, strlen(GET), 0), 0);
    loop_turn(fx.worker->loop, false);
    ck_assert_ptr_nonnull(fx.worker->conns->request);
    ck_assert_uint_eq(fx.worker->conns->request->attempt->sm.state, ATTEMPT_CONNECT);
    conn_close(fx.worker->conns, CONN_END_ERROR);
    fixture_spin();
    expect_end(OUTCOME_CLIENT_GONE, 1);
    ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 0);
}
END_TEST

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

/* ---- Deadlines ---- */

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

START_TEST(only_so_many_requests_are_served_on_a_connection)
{
    fx.config.server.limits.requests_per_connection = 2;
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET GET GET);
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 404 "), 2);
    ck_assert(closed);
}
END_TEST

/* ---- Drain ---- */

START_TEST(a_drain_closes_an_idle_connection)
{
    worker_drain(fx.worker);
    fixture_receive(client, &closed);
    ck_assert(closed);
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
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

/* ---- Back-pressure ---- */

/* Write as much as the gateway takes. */
static size_t pump(int fd, size_t most)
{
    static char block[16384];
    size_t sum = 0;

    for (unsigned stalls = 0; stalls < 3 && sum < most;) {
        size_t n = most - sum < sizeof(block) ? most - sum : sizeof(block);
        ssize_t sent = send(fd, block, n, MSG_NOSIGNAL);
        stalls = sent > 0 ? 0 : stalls + 1;
        sum += sent > 0 ? (size_t)sent : 0;
        fixture_spin();
    }
    return sum;
}

/* Read it all again; how much. */
static size_t drink(int from, int to, size_t left_to_send)
{
    static char block[65536];
    size_t sum = 0;

    for (unsigned stalls = 0; stalls < 3;) {
        ssize_t n = recv(to, block, sizeof(block), 0);
        stalls = n > 0 ? 0 : stalls + 1;
        sum += n > 0 ? (size_t)n : 0;
        fixture_spin();
        left_to_send -= pump(from, left_to_send);
    }
    return sum;
}

static size_t memory_bytes(void)
{
    return block_pool_in_use(loop_pool(fx.worker->loop)) * BUF_BLOCK_BYTES;
}

#define BIG ((size_t)64 << 20)

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
    fixture_send(client, GET GET);
    worker_drain(fx.worker);
    size_t len = strlen(fixture_receive(client, &closed));
    ck_assert_uint_ge(len, sizeof(big_answer) - 1);
    ck_assert_uint_lt(len, 2 * (sizeof(big_answer) - 1));
    ck_assert(closed);
    expect_end(OUTCOME_LOCAL, 1);
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

/* ---- More of servers ---- */

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

/* ---- At every byte ---- */

#define ASKED                                                                                      \
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"                            \
    "3\r\nabc\r\n0\r\n\r\n"
#define ANSWERED                                                                                   \
    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"                                                  \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

/* What happens when so many bytes have been sent. */
enum disturbance {
    CLIENT_GOES,
    SERVER_GOES,
    WORKER_DRAINS,
    WORKER_STOPS,
    TIME_PASSES,
    DISTURBANCES,
};

static void let_happen(enum disturbance what)
{
    switch (what) {
    case CLIENT_GOES: hang_up(&client); break;
    case SERVER_GOES: hang_up(&server); break;
    case WORKER_DRAINS: worker_drain(fx.worker); break;
    case WORKER_STOPS: worker_stop(fx.worker); break;
    case TIME_PASSES:
        for (unsigned i = 0; i < 4; i++) {
            fixture_advance(61000);
        }
        break;
    case DISTURBANCES: break;
    }
    fixture_spin();
}

/* The first `n` bytes; to nobody when the other side has gone. */
static size_t send_part(int fd, const char *text, size_t n)
{
    size_t len = strlen(text);

    n = n < len ? n : len;
    if (fd >= 0 && n > 0) {
        (void)!send(fd, text, n, MSG_NOSIGNAL);
        fixture_spin();
    }
    return n;
}

static void run_until(size_t bytes, enum disturbance what)
{
    size_t asked = send_part(client, ASKED, bytes);

    server = fixture_accept(0);
    size_t answered = send_part(server, ANSWERED, bytes - asked);
    let_happen(what);
    send_part(client, &ASKED[asked], SIZE_MAX);
    server = server < 0 && what != SERVER_GOES ? fixture_accept(0) : server;
    send_part(server, &ANSWERED[answered], SIZE_MAX);
}

START_TEST(an_exchange_may_be_disturbed_at_every_byte)
{
    for (size_t at = 0; at <= strlen(ASKED) + strlen(ANSWERED); at++) {
        fixture_setup();
        fixture_add_target(true);
        fixture_start();
        client = fixture_connect();
        run_until(at, (enum disturbance)_i);
        if (_i == DISTURBANCES) { /* nothing has happened */
            const char *text = fixture_receive(client, &closed);
            ck_assert_msg(strstr(text, "\r\n0\r\n\r\n") != NULL, "byte %zu: %s", at, text);
            ck_assert_uint_eq(fixture_last_end()->response_bytes, 2);
            ck_assert(!closed);
        }
        ck_assert_uint_le(fx.end_count, 1);
        hang_up(&client);
        hang_up(&server);
        fixture_spin();
        ck_assert_msg(fx.worker->conn_count == 0, "a connection is left, byte %zu", at);
        ck_assert_uint_eq(fx.worker->requests_in_flight, 0);
        ck_assert_uint_eq(fx.worker->view->upstreams[0]->targets[0].active, 0);
        ck_assert_uint_eq(fx.worker->view->upstreams[0]->connections, 0);
        ck_assert_uint_eq(block_pool_in_use(loop_pool(fx.worker->loop)), 0);
        fixture_teardown();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange");
    TCase *cases = tcase_create("all");

    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, connections_are_kept_on_both_sides);
    tcase_add_test(cases, pipelined_requests_are_answered_in_order);
    tcase_add_test(cases, pipelined_requests_do_with_one_upstream_connection);
    tcase_add_test(cases, a_request_may_come_byte_by_byte);
    tcase_add_test(cases, bodies_are_chunked_both_ways);
    tcase_add_test(cases, a_body_until_close_is_chunked_for_the_client);
    tcase_add_test(cases, a_chunked_body_ends_with_the_connection_for_http_1_0);
    tcase_add_test(cases, head_and_304_have_no_body);
    tcase_add_test(cases, interim_responses_pass);
    tcase_add_test(cases, a_client_that_expects_it_is_told_to_continue);
    tcase_add_test(cases, a_refused_head_is_answered_and_the_connection_closed);
    tcase_add_test(cases, a_body_over_the_limit_is_refused);
    tcase_add_test(cases, no_route_is_answered_on_a_kept_connection);
    tcase_add_test(cases, many_requests_at_once_take_turns);
    tcase_add_test(cases, a_kept_connection_that_dies_is_tried_again_for_get_only);
    tcase_add_test(cases, an_idle_connection_that_dies_is_not_used);
    tcase_add_test(cases, a_server_that_ends_early_is_answered_for);
    tcase_add_test(cases, a_server_that_refuses_is_answered_for);
    tcase_add_test(cases, an_answer_before_the_body_is_passed_on);
    tcase_add_test(cases, a_client_that_goes_ends_its_request);
    tcase_add_test(cases, a_client_that_goes_while_connecting_ends_its_request);
    tcase_add_test(cases, a_client_that_goes_between_requests_is_closed);
    tcase_add_test(cases, a_head_has_a_deadline);
    tcase_add_test(cases, a_connection_without_a_request_is_closed_without_an_answer);
    tcase_add_test(cases, a_kept_connection_has_a_deadline);
    tcase_add_test(cases, a_body_that_does_not_come_has_a_deadline);
    tcase_add_test(cases, a_body_must_come_at_a_least_pace);
    tcase_add_test(cases, a_response_has_a_deadline);
    tcase_add_test(cases, a_connect_has_a_deadline);
    tcase_add_test(cases, a_closing_connection_lingers_for_a_while);
    tcase_add_test(cases, only_so_many_requests_are_served_on_a_connection);
    tcase_add_test(cases, a_drain_closes_an_idle_connection);
    tcase_add_test(cases, a_drain_lets_a_request_end);
    tcase_add_test(cases, a_drain_lets_an_answer_end);
    tcase_add_test(cases, a_drain_lets_a_body_end);
    tcase_add_test(cases, a_client_that_does_not_read_stops_the_server);
    tcase_add_test(cases, a_client_that_does_not_read_has_a_deadline);
    tcase_add_test(cases, a_server_that_does_not_read_stops_the_client);
    tcase_add_test(cases, a_server_may_refuse_a_body_and_close);
    tcase_add_test(cases, bytes_behind_an_answer_end_the_upstream_connection);
    tcase_add_test(cases, a_server_that_says_close_is_not_used_again);
    tcase_add_test(cases, a_response_head_has_limits);
    tcase_add_test(cases, interim_responses_have_a_limit);
    tcase_add_test(cases, http_1_0_clients_may_keep_their_connection);
    tcase_add_test(cases, heads_over_the_limits_are_refused);
    tcase_add_test(cases, tiny_chunks_make_no_large_memory);
    suite_add_tcase(suite, cases);

    TCase *own = tcase_create("own");
    tcase_add_checked_fixture(own, setup_big, teardown);
    tcase_add_test(own, a_long_answer_of_our_own_waits_for_the_client);
    tcase_add_test(own, a_client_that_does_not_take_our_answer_is_closed);
    tcase_add_test(own, a_client_may_go_while_our_answer_is_sent);
    tcase_add_test(own, a_drain_lets_our_answer_end);
    tcase_add_test(own, a_body_that_nobody_wants_is_dropped);
    tcase_add_test(own, a_client_that_waits_for_100_is_answered_without);
    suite_add_tcase(suite, own);

    TCase *disturbed = tcase_create("disturbed");
    tcase_set_timeout(disturbed, 60);
    tcase_add_loop_test(disturbed, an_exchange_may_be_disturbed_at_every_byte, 0, DISTURBANCES + 1);
    suite_add_tcase(suite, disturbed);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
