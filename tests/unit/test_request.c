/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange: no route, a client that goes at any state, a disturbance at every byte. */
#include "gateway/attempt.h"

#include <check.h>

#include <string.h>
#include <sys/socket.h>

#include "tests/support/exchange.h"

START_TEST(no_route_is_answered_on_a_kept_connection)
{
    fx.routing = ROUTER_NO_ROUTE;
    fixture_send(client, GET GET);
    ck_assert_uint_eq(occurrences(fixture_receive(client, &closed), "HTTP/1.1 404 "), 2);
    ck_assert(!closed);
    expect_end(OUTCOME_NO_ROUTE, 2);
}
END_TEST

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
    Suite *suite = suite_create("request");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, exchange_setup, exchange_teardown);
    tcase_add_test(cases, no_route_is_answered_on_a_kept_connection);
    tcase_add_test(cases, a_client_that_goes_ends_its_request);
    tcase_add_test(cases, a_client_that_goes_while_connecting_ends_its_request);
    suite_add_tcase(suite, cases);

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
