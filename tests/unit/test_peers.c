/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/peers.h"

#include <check.h>

#include <arpa/inet.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

static void setup(void)
{
    fixture_setup();
    fixture_add_target(false);
    fixture_start();
    fx.config.server.limits.connections_per_ip = 2;
}

static void teardown(void)
{
    fixture_teardown();
}

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage addr = { .ss_family = AF_INET };

    if (inet_pton(AF_INET, text, &((struct sockaddr_in *)(void *)&addr)->sin_addr) != 1) {
        addr.ss_family = AF_INET6;
        ck_assert_int_eq(
            inet_pton(AF_INET6, text, &((struct sockaddr_in6 *)(void *)&addr)->sin6_addr), 1);
    }
    return addr;
}

static bool enter(const char *text)
{
    struct sockaddr_storage addr = address_of(text);

    return peers_enter(fx.worker, (const struct sockaddr *)(const void *)&addr);
}

static void leave(const char *text)
{
    struct sockaddr_storage addr = address_of(text);
    uint8_t key[PEERS_KEY_BYTES];

    peers_key_of((const struct sockaddr *)(const void *)&addr, key);
    peers_leave(fx.worker, key);
}

START_TEST(an_address_has_so_many_and_no_more)
{
    ck_assert(enter("192.0.2.1") && enter("192.0.2.1"));
    ck_assert(!enter("192.0.2.1"));
    ck_assert(enter("192.0.2.2"));
    leave("192.0.2.1");
    ck_assert(enter("192.0.2.1") && !enter("192.0.2.1"));
    leave("192.0.2.1");
    leave("192.0.2.1");
    leave("192.0.2.2");
    ck_assert_uint_eq(fx.worker->peers.count, 0);
}
END_TEST

START_TEST(a_customer_of_ipv6_is_a_whole_64)
{
    ck_assert(enter("2001:db8::1") && enter("2001:db8::ffff:1"));
    ck_assert(!enter("2001:db8::2"));
    ck_assert(enter("2001:db8:0:1::1"));
    leave("2001:db8::77");
    ck_assert(enter("2001:db8::2"));
}
END_TEST

START_TEST(an_address_of_ipv4_is_the_same_on_a_dual_socket)
{
    ck_assert(enter("192.0.2.1") && enter("::ffff:192.0.2.1"));
    ck_assert(!enter("192.0.2.1") && !enter("::ffff:192.0.2.1"));
    ck_assert(enter("::ffff:192.0.2.2"));
}
END_TEST

START_TEST(without_a_limit_nothing_is_counted)
{
    fx.config.server.limits.connections_per_ip = 0;
    for (unsigned i = 0; i < 10; i++) {
        ck_assert(enter("192.0.2.1"));
    }
    ck_assert_uint_eq(fx.worker->peers.count, 0);
    leave("192.0.2.1");
}
END_TEST

/* Connections are those of the fixture: 192.0.2.1. */
START_TEST(a_limit_that_comes_with_a_reload_counts_who_is_there)
{
    int first, second;

    fx.config.server.limits.connections_per_ip = 0;
    first = fixture_connect();
    second = fixture_connect();
    fx.config.server.limits.connections_per_ip = 3;
    peers_recount(fx.worker);
    ck_assert(enter("192.0.2.1"));
    ck_assert(!enter("192.0.2.1"));
    close(first);
    close(second);
    fixture_spin();
    ck_assert_uint_eq(fx.worker->peers.count, 1); /* the third */
    ck_assert(enter("192.0.2.1") && enter("192.0.2.1") && !enter("192.0.2.1"));
}
END_TEST

START_TEST(a_limit_that_goes_with_a_reload_forgets)
{
    ck_assert(enter("192.0.2.1") && enter("192.0.2.1"));
    fx.config.server.limits.connections_per_ip = 0;
    peers_recount(fx.worker);
    ck_assert_uint_eq(fx.worker->peers.count, 0);
    leave("192.0.2.1");
    ck_assert_uint_eq(fx.worker->peers.count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_address_has_so_many_and_no_more);
    tcase_add_test(tcase, a_customer_of_ipv6_is_a_whole_64);
    tcase_add_test(tcase, an_address_of_ipv4_is_the_same_on_a_dual_socket);
    tcase_add_test(tcase, without_a_limit_nothing_is_counted);
    tcase_add_test(tcase, a_limit_that_comes_with_a_reload_counts_who_is_there);
    tcase_add_test(tcase, a_limit_that_goes_with_a_reload_forgets);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
