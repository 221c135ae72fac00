/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/inherit.h"
#include "gateway/listener.h"

#include <check.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/exchange.h"

static uint16_t port;
static struct inherit nothing = { .parent_fd = -1 };

static void listen_on_loopback(struct config_listener *listener)
{
    struct sockaddr_in *addr = (struct sockaddr_in *)&listener->address;

    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener->address_len = sizeof(*addr);
    listener->address_text = SLICE("127.0.0.1:0");
    listener->service = CONFIG_PUBLIC;
}

static void setup(void)
{
    fixture_setup();
    listen_on_loopback(&fx.listener);
    fx.routing = ROUTER_NO_ROUTE;
    fx.gateway.worker_count = 2;
    fixture_start();
    port = 0;
    ck_assert_int_eq(listeners_open(fx.worker, &nothing, &port), 0);
    ck_assert_uint_ne(port, 0);
    client = server = -1;
}

static int try_connect(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A client whose connection waits to be accepted. */
static int dial(void)
{
    int fd = try_connect();

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

START_TEST(a_client_is_accepted_and_answered)
{
    client = dial();
    fixture_send(client, GET);
    expect(client, "HTTP/1.1 404 ");
    ck_assert_uint_eq(fx.worker->conn_count, 1);
    ck_assert_uint_eq(fx.worker->conns->listener_index, 0);

    int no_delay = 0;
    socklen_t len = sizeof(no_delay);
    int fd = fx.worker->conns->stream.fd;
    ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &len), 0);
    ck_assert_int_ne(no_delay, 0); /* from the listening socket */
}
END_TEST

START_TEST(at_the_limit_the_next_waits_until_one_has_gone)
{
    fx.config.server.limits.connections = 2;
    int first = dial(), second = dial();
    client = dial();
    (void)!send(client, GET, sizeof(GET) - 1, MSG_NOSIGNAL);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 2);
    ck_assert(fx.worker->accept_paused);
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(!closed);
    close(first);
    fixture_spin();
    expect(client, "HTTP/1.1 404 ");
    close(second);
}
END_TEST

START_TEST(one_address_has_a_limit_of_its_own)
{
    fx.config.server.limits.connections_per_ip = 2;
    int first = dial(), second = dial();
    fixture_spin();
    client = dial();
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(closed); /* at once, without an answer */
    ck_assert_uint_eq(fx.worker->conn_count, 2);
    close(first);
    fixture_spin();
    hang_up(&client);
    client = dial();
    fixture_send(client, GET);
    expect(client, "HTTP/1.1 404 ");
    close(second);
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->peers.count, 0);
}
END_TEST

START_TEST(many_that_come_at_once_take_turns)
{
    int fds[100];

    for (unsigned i = 0; i < 100; i++) {
        fds[i] = dial();
    }
    loop_turn(fx.worker->loop, false);
    ck_assert_uint_le(fx.worker->conn_count, 64);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 100);
    for (unsigned i = 0; i < 100; i++) {
        close(fds[i]);
    }
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 0);
}
END_TEST

/* The highest descriptor in use, so that the next one is refused. */
START_TEST(without_descriptors_it_tries_again_later)
{
    struct rlimit before, now;
    int fd = dup(0);

    client = dial();
    (void)!send(client, GET, sizeof(GET) - 1, MSG_NOSIGNAL);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    close(fd);
    now = (struct rlimit){ .rlim_cur = (rlim_t)fd, .rlim_max = before.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    fixture_spin();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    ck_assert(fx.worker->accept_paused);
    fixture_spin(); /* it does not spin */
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    fixture_advance(101);
    ck_assert(!fx.worker->accept_paused);
    expect(client, "HTTP/1.1 404 ");
}
END_TEST

START_TEST(a_closed_listener_refuses)
{
    client = dial();
    fixture_spin();
    listeners_close(fx.worker);
    ck_assert_int_eq(try_connect(), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    fixture_send(client, GET); /* who is there stays */
    expect(client, "HTTP/1.1 404 ");
}
END_TEST

/* Two are in, so many as the limit allows; the third waits in the kernel's queue. */
static void fill(int *ret_first, int *ret_second)
{
    fx.config.server.limits.connections = 2;
    fx.config.server.shutdown_grace_ms = 5000;
    *ret_first = dial();
    *ret_second = dial();
    fixture_spin();
    client = dial();
    (void)!send(client, GET, sizeof(GET) - 1, MSG_NOSIGNAL);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->conn_count, 2);
}

START_TEST(who_waits_when_it_drains_is_served)
{
    int first, second;

    fill(&first, &second);
    worker_drain(fx.worker);
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(!closed);
    close(first);
    fixture_spin();
    expect(client, "connection: close\r\n");
    ck_assert_int_eq(try_connect(), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
    close(second);
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(who_goes_while_he_waits_does_not_keep_it_from_ending)
{
    int first, second;

    fill(&first, &second);
    worker_drain(fx.worker);
    hang_up(&client);
    close(first);
    close(second);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
}
END_TEST

START_TEST(those_who_wait_have_the_grace)
{
    int first, second;

    fill(&first, &second);
    fixture_send(first, "GET /a HTTP/1.1\r\n"); /* it is in, and slow */
    fixture_send(second, "GET /a HTTP/1.1\r\n");
    worker_drain(fx.worker);
    fixture_advance(4900);
    fixture_receive(client, &closed);
    ck_assert(!closed);
    fixture_advance(200);
    fixture_receive(client, &closed);
    ck_assert(closed);
    ck_assert_uint_eq(fx.worker->conn_count, 2);
    close(first);
    close(second);
}
END_TEST

/* As a reload that takes the listener away. */
START_TEST(who_waits_at_a_listener_that_goes_is_served)
{
    struct config_listener gone = { .element = fx.listener.element, .is_gone = true };
    struct config config = fx.config;
    int refs = fx.config.refs;
    int first, second;

    fill(&first, &second);
    config.listeners = &gone;
    ck_assert_ptr_nonnull(listeners_next(fx.worker, NULL));
    listeners_switch(fx.worker, &fx.config, &config, NULL);
    ck_assert_ptr_null(listeners_next(fx.worker, NULL)); /* an upgrade does not hand it over */
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    ck_assert(!closed);
    close(first);
    fixture_spin();
    expect(client, "connection: close\r\n");
    ck_assert_int_eq(try_connect(), -1);
    ck_assert_int_eq(fx.config.refs, refs);
    close(second);
}
END_TEST

START_TEST(the_port_of_another_program_is_an_error)
{
    static const struct config none;
    static struct config second;
    static struct config_listener taken;
    const struct config_listener *failed = NULL;
    uint16_t ports[1] = { 0 };
    int fds[1] = { -1 };

    second = fx.config;
    taken = fx.listener;
    second.listeners = &taken;
    ((struct sockaddr_in *)&taken.address)->sin_port = htons(port);
    /* The one before had no listener: as another process would see it. */
    ck_assert_int_eq(listeners_bind(1, &none, &second, ports, fds, &failed), ERR_IO);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_ptr_eq(failed, &taken);
    ck_assert_int_eq(fds[0], -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listener");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, exchange_teardown);
    tcase_add_test(tc, a_client_is_accepted_and_answered);
    tcase_add_test(tc, at_the_limit_the_next_waits_until_one_has_gone);
    tcase_add_test(tc, one_address_has_a_limit_of_its_own);
    tcase_add_test(tc, many_that_come_at_once_take_turns);
    tcase_add_test(tc, without_descriptors_it_tries_again_later);
    tcase_add_test(tc, a_closed_listener_refuses);
    tcase_add_test(tc, who_waits_when_it_drains_is_served);
    tcase_add_test(tc, who_goes_while_he_waits_does_not_keep_it_from_ending);
    tcase_add_test(tc, those_who_wait_have_the_grace);
    tcase_add_test(tc, who_waits_at_a_listener_that_goes_is_served);
    tcase_add_test(tc, the_port_of_another_program_is_an_error);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
