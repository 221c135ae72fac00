/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "gateway/upstream.h"

#include <check.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define GET  "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static struct upstream *upstream;

static void setup(void)
{
    fixture_setup();
}

static void teardown(void)
{
    fixture_teardown();
}

static void start(unsigned targets, bool with_servers)
{
    for (unsigned i = 0; i < targets; i++) {
        fixture_add_target(with_servers);
    }
    fixture_start();
    upstream = fx.worker->view->upstreams[0];
}

static unsigned choose(uint64_t tried)
{
    struct upstream_target *target = upstream_choose(upstream, tried);

    return target == NULL ? 99 : (unsigned)(target - upstream->targets);
}

START_TEST(round_robin_spreads_by_weight)
{
    static const unsigned expected[] = { 0, 0, 1, 0, 2, 0, 0 };

    start(3, false);
    fx.targets[0].weight = 5;
    for (unsigned i = 0; i < 70; i++) {
        ck_assert_uint_eq(choose(0), expected[i % 7]);
    }
}
END_TEST

START_TEST(equal_targets_are_chosen_in_turn)
{
    start(3, false);
    for (unsigned i = 0; i < 9; i++) {
        ck_assert_uint_eq(choose(0), i % 3);
    }
}
END_TEST

START_TEST(the_least_loaded_is_chosen)
{
    fx.upstream.balancing = CONFIG_LEAST_REQUEST;
    start(3, false);
    upstream->targets[0].active = 2;
    upstream->targets[1].active = 1;
    upstream->targets[2].active = 3;
    ck_assert_uint_eq(choose(0), 1);
    ck_assert_uint_eq(choose(2), 0);
    fx.targets[2].weight = 4; /* 3 of 4 is less than 1 of 1 */
    ck_assert_uint_eq(choose(0), 2);
}
END_TEST

START_TEST(equally_loaded_targets_are_chosen_in_turn)
{
    unsigned seen[3] = { 0 };

    fx.upstream.balancing = CONFIG_LEAST_REQUEST;
    start(3, false);
    for (unsigned i = 0; i < 30; i++) {
        seen[choose(0)]++;
    }
    ck_assert_uint_eq(seen[0], 10);
    ck_assert_uint_eq(seen[1], 10);
    ck_assert_uint_eq(seen[2], 10);
}
END_TEST

START_TEST(tried_targets_are_left_out)
{
    start(3, false);
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(choose(1 | 4), 1);
    }
    ck_assert_uint_eq(choose(1 | 2 | 4), 99);
}
END_TEST

START_TEST(a_refused_target_is_avoided_for_a_while)
{
    start(2, false);
    struct upstream_target *first = &upstream->targets[0];

    upstream_target_failed(first);
    ck_assert(!upstream_target_is_up(first));
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(choose(0), 1);
    }
    fixture_advance(999);
    ck_assert_uint_eq(choose(0), 1);
    fixture_advance(1);
    ck_assert(upstream_target_is_up(first));
    ck_assert_uint_eq(choose(2), 0);
    upstream_target_failed(first); /* in a row: longer */
    ck_assert_uint_eq(first->avoid_until_ms, fx.now_ms + 2000);
    for (unsigned i = 0; i < 100; i++) {
        upstream_target_failed(first);
    }
    ck_assert_uint_eq(first->avoid_until_ms, fx.now_ms + 10000);
    upstream_target_worked(first);
    ck_assert(upstream_target_is_up(first));
    upstream_target_failed(first);
    ck_assert_uint_eq(first->avoid_until_ms, fx.now_ms + 1000);
}
END_TEST

START_TEST(when_all_refuse_one_is_tried_anyway)
{
    start(2, false);
    upstream_target_failed(&upstream->targets[0]);
    upstream_target_failed(&upstream->targets[1]);
    ck_assert_uint_ne(choose(0), 99);
    ck_assert_uint_eq(choose(1), 1);
}
END_TEST

START_TEST(the_only_target_is_always_tried)
{
    start(1, false);
    upstream_target_failed(&upstream->targets[0]);
    ck_assert_uint_eq(choose(0), 0);
    ck_assert_uint_eq(choose(1), 99);
}
END_TEST

/* ---- With connections ---- */

static void expect_answer(int client, const char *start_of_answer)
{
    bool closed;
    const char *text = fixture_receive(client, &closed);

    ck_assert_msg(strstr(text, start_of_answer) == text, "not %s: %s", start_of_answer, text);
}

START_TEST(a_request_goes_on_to_the_next_target)
{
    bool closed;

    fixture_add_target(false);
    start(1, true);
    int client = fixture_connect();
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    int server = fixture_accept(1);
    ck_assert_int_ge(server, 0);
    ck_assert_ptr_nonnull(strstr(fixture_receive(server, &closed), "\r\n\r\nhi"));
    fixture_send(server, OK_2);
    expect_answer(client, "HTTP/1.1 200 ");
    ck_assert_uint_eq(fixture_last_end()->tries, 2);
    ck_assert(!upstream_target_is_up(&upstream->targets[0]));
    ck_assert_uint_eq(upstream->targets[0].active + upstream->targets[1].active, 0);
    close(client);
    close(server);
}
END_TEST

START_TEST(when_no_target_takes_it_the_answer_is_502)
{
    start(3, false);
    int client = fixture_connect();

    fixture_send(client, GET);
    expect_answer(client, "HTTP/1.1 502 ");
    ck_assert_uint_eq(fixture_last_end()->tries, 3);
    ck_assert_uint_eq(upstream->connections, 0);
    close(client);
}
END_TEST

START_TEST(connections_are_limited)
{
    fx.upstream.max_connections = 1;
    start(1, true);
    int first = fixture_connect(), second = fixture_connect();

    fixture_send(first, GET);
    fixture_send(second, GET);
    expect_answer(second, "HTTP/1.1 503 ");
    ck_assert_str_eq(fixture_last_end()->reason, "max_connections");
    int server = fixture_accept(0);
    fixture_send(server, OK_2);
    expect_answer(first, "HTTP/1.1 200 ");
    fixture_send(second, GET); /* the kept one */
    fixture_send(server, OK_2);
    expect_answer(second, "HTTP/1.1 200 ");
    close(first);
    close(second);
    close(server);
}
END_TEST

START_TEST(the_newest_idle_connection_is_used_first_and_closed_last)
{
    bool closed;

    start(1, true);
    int clients[2] = { fixture_connect(), fixture_connect() }, servers[2];
    for (unsigned i = 0; i < 2; i++) {
        fixture_send(clients[i], GET);
        servers[i] = fixture_accept(0);
    }
    for (unsigned i = 0; i < 2; i++) {
        fixture_receive(servers[i], &closed);
        fixture_send(servers[i], OK_2);
        expect_answer(clients[i], "HTTP/1.1 200 ");
        fixture_advance(1000);
    }
    ck_assert_uint_eq(upstream->targets[0].idle_count, 2);
    fixture_send(clients[0], GET);
    ck_assert_str_ne(fixture_receive(servers[1], &closed), "");
    fixture_send(servers[1], OK_2);
    fixture_advance(58500);
    ck_assert_uint_eq(upstream->targets[0].idle_count, 1);
    fixture_receive(servers[0], &closed);
    ck_assert(closed);
    fixture_advance(2000);
    ck_assert_uint_eq(upstream->connections, 0);
    for (unsigned i = 0; i < 2; i++) {
        close(clients[i]);
        close(servers[i]);
    }
}
END_TEST

START_TEST(an_idle_connection_on_which_the_server_speaks_is_closed)
{
    start(1, true);
    int client = fixture_connect();
    fixture_send(client, GET);
    int server = fixture_accept(0);
    fixture_send(server, OK_2);
    ck_assert_uint_eq(upstream->targets[0].idle_count, 1);
    fixture_send(server, OK_2);
    ck_assert_uint_eq(upstream->targets[0].idle_count, 0);
    ck_assert_uint_eq(upstream->connections, 0);
    expect_answer(client, "HTTP/1.1 200 ");
    close(client);
    close(server);
}
END_TEST

/* ---- Names ---- */

static void name_target(struct slice name)
{
    fx.targets[0].host = name;
    fx.targets[0].is_literal = false;
    fx.targets[0].address_len = 0;
}

START_TEST(a_name_is_resolved_at_its_first_use)
{
    start(1, true);
    name_target(SLICE("localhost"));
    int client = fixture_connect(), other = fixture_connect();
    fixture_send(client, GET);
    fixture_send(other, GET);
    int server = fixture_accept(0), second = fixture_accept(0);
    ck_assert_int_ge(server, 0);
    ck_assert_int_ge(second, 0);
    fixture_send(server, OK_2);
    fixture_send(second, OK_2);
    expect_answer(client, "HTTP/1.1 200 ");
    expect_answer(other, "HTTP/1.1 200 ");
    close(client);
    close(other);
    close(server);
    close(second);
}
END_TEST

/* A name server that does not answer; its socket. */
static int ask_nobody(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    char text[32];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)ntohs(addr.sin_port));
    ck_assert_int_eq(resolver_set_nameserver(fx.worker->resolver, text), 0);
    return fd;
}

START_TEST(a_client_may_go_while_the_name_is_resolved)
{
    start(1, true);
    name_target(SLICE("slow.invalid"));
    int clients[3], dns = ask_nobody();

    for (unsigned i = 0; i < 3; i++) {
        clients[i] = fixture_connect();
        fixture_send(clients[i], GET);
    }
    ck_assert_ptr_nonnull(upstream->targets[0].waiting);
    close(clients[1]); /* the middle of those that wait */
    fixture_spin();
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_CLIENT_GONE);
    for (unsigned i = 0; i < 20 && fx.end_count < 3; i++) {
        fixture_advance(1000);
    }
    expect_answer(clients[0], "HTTP/1.1 502 ");
    expect_answer(clients[2], "HTTP/1.1 502 ");
    ck_assert_uint_eq(upstream->targets[0].active, 0);
    close(clients[0]);
    close(clients[2]);
    close(dns);
}
END_TEST

START_TEST(a_worker_may_stop_while_a_name_is_resolved)
{
    start(1, true);
    name_target(SLICE("slow.invalid"));
    int dns = ask_nobody(), client = fixture_connect();

    fixture_send(client, GET);
    ck_assert_ptr_nonnull(upstream->targets[0].waiting);
    worker_stop(fx.worker);
    ck_assert_ptr_null(upstream->targets[0].waiting);
    close(client);
    close(dns);
}
END_TEST

START_TEST(a_name_that_nobody_knows_is_answered_502)
{
    start(1, true);
    name_target(SLICE("no-such-host.invalid"));
    ck_assert_int_eq(resolver_set_nameserver(fx.worker->resolver, NULL), 0);
    int client = fixture_connect();
    fixture_send(client, GET);
    for (unsigned i = 0; i < 20 && fx.end_count == 0; i++) {
        fixture_advance(1000);
    }
    expect_answer(client, "HTTP/1.1 502 ");
    close(client);
}
END_TEST

/* "localhost" is often ::1 first, and the server listens on 127.0.0.1 only. */
START_TEST(the_other_addresses_of_a_name_are_tried)
{
    start(1, true);
    name_target(SLICE("two.invalid"));
    struct upstream_target *target = &upstream->targets[0];
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&target->addresses[0].addr;
    struct sockaddr_in *four = (struct sockaddr_in *)&target->addresses[1].addr;

    *six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    target->addresses[0].len = sizeof(*six);
    four->sin_family = AF_INET;
    four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target->addresses[1].len = sizeof(*four);
    target->address_count = 2;
    target->resolved_until_ms = fx.now_ms + 100000;
    for (unsigned i = 0; i < 3; i++) {
        int client = fixture_connect();
        fixture_send(client, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        int server = fixture_accept(0);
        ck_assert_int_ge(server, 0);
        fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        expect_answer(client, "HTTP/1.1 200 ");
        close(client);
        close(server);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upstream");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, round_robin_spreads_by_weight);
    tcase_add_test(cases, equal_targets_are_chosen_in_turn);
    tcase_add_test(cases, the_least_loaded_is_chosen);
    tcase_add_test(cases, equally_loaded_targets_are_chosen_in_turn);
    tcase_add_test(cases, tried_targets_are_left_out);
    tcase_add_test(cases, a_refused_target_is_avoided_for_a_while);
    tcase_add_test(cases, when_all_refuse_one_is_tried_anyway);
    tcase_add_test(cases, the_only_target_is_always_tried);
    tcase_add_test(cases, a_request_goes_on_to_the_next_target);
    tcase_add_test(cases, when_no_target_takes_it_the_answer_is_502);
    tcase_add_test(cases, connections_are_limited);
    tcase_add_test(cases, the_newest_idle_connection_is_used_first_and_closed_last);
    tcase_add_test(cases, an_idle_connection_on_which_the_server_speaks_is_closed);
    tcase_add_test(cases, a_name_is_resolved_at_its_first_use);
    tcase_add_test(cases, a_client_may_go_while_the_name_is_resolved);
    tcase_add_test(cases, a_worker_may_stop_while_a_name_is_resolved);
    tcase_add_test(cases, a_name_that_nobody_knows_is_answered_502);
    tcase_add_test(cases, the_other_addresses_of_a_name_are_tried);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
