/* SPDX-License-Identifier: Apache-2.0 */
/* Orders go the whole way: from a worker to the control thread, to a store, to the filter, and back. */
#include "plugins/revocation/control.h"
#include "plugins/revocation/orders.h"
#include "plugins/revocation/worker.h"

#include <check.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/revocation_fixture.h"

#define UNDER_WAY 64u

static struct revocation_control *control;
static struct revocation_worker *worker;
static struct revocation_ticket tickets[UNDER_WAY + 1];

static void end(void)
{
    process.state = NULL;
    revocation_control_free(control);
    control = NULL;
    process.worker = NULL;
    for (unsigned i = 0; i <= UNDER_WAY; i++) {
        revocation_ticket_end(&tickets[i]);
    }
    revocation_worker_free(worker);
    worker = NULL;
}

static void setup(void)
{
    revocation_setup();
    memset(tickets, 0, sizeof(tickets));
}

static void teardown(void)
{
    end();
    revocation_teardown();
}

static void start(void)
{
    struct gw_worker *gw = gw_process_worker(&process);

    ck_assert_int_eq(revocation_worker_new(gw, NULL, &settings, &worker), 0);
    process.worker = worker;
    ck_assert_int_eq(revocation_control_new(&process, &settings, &control), 0);
    process.state = control;
}

static bool is_live(void)
{
    return worker->filter != NULL && revocation_filter_is_live(worker->filter);
}

static void start_live(void)
{
    start();
    RUN_UNTIL(is_live());
}

static bool is_under_way(unsigned number)
{
    return tickets[number].at != NULL;
}

static int order(unsigned number, const struct revocation_entry *entries, unsigned count,
                 unsigned replicas)
{
    tickets[number] = (struct revocation_ticket){ .count = 0 };
    gw_waitlist_init(&tickets[number].waiters);
    return revocation_worker_order(worker, &tickets[number], entries, count, replicas);
}

static int order_one(unsigned number, const char *jti, int64_t expires_at)
{
    struct revocation_entry entry = entry_of(jti, expires_at);

    return order(number, &entry, 1, 0);
}

START_TEST(a_0_says_that_redis_and_our_filter_have_it)
{
    start_live();
    ck_assert(!bloom_may_have(worker->filter->bloom, SLICE("blocklist:jti:a")));
    ck_assert_int_eq(order_one(0, "a", in_seconds(600)), 0);
    ck_assert(is_under_way(0));
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, 0);
    ck_assert_uint_eq(fake_host_woken, 1);
    ck_assert(bloom_may_have(worker->filter->bloom, SLICE("blocklist:jti:a")));
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:a", NULL, NULL, NULL), 1);
    ck_assert_int_eq(fake_process_number("jwtgate_revocations_total", "result=\"ok\""), 1);
    /* What is revoked here is kept here. */
    ck_assert_ptr_nonnull(worker->local);
    ck_assert_uint_eq(local_store_count(worker->local->store), 1);
}
END_TEST

START_TEST(an_order_of_nothing_or_too_much_is_none)
{
    static struct revocation_entry entries[REVOCATION_ORDER_MAX + 1];

    start_live();
    ck_assert_int_eq(order(0, entries, 0, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(order(0, entries, REVOCATION_ORDER_MAX + 1, 0), ERR_BAD_INPUT);
    ck_assert(!is_under_way(0));
    ck_assert_uint_eq(process.posted, 0);
}
END_TEST

START_TEST(as_much_as_an_order_may_have_is_done_as_a_whole)
{
    static struct revocation_entry entries[REVOCATION_ORDER_MAX];
    char jti[16];

    for (unsigned i = 0; i < REVOCATION_ORDER_MAX; i++) {
        snprintf(jti, sizeof(jti), "n%u", i);
        entries[i] = entry_of(jti, in_seconds(600));
    }
    start_live();
    ck_assert_int_eq(order(0, entries, REVOCATION_ORDER_MAX, 0), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, 0);
    for (unsigned i = 0; i < REVOCATION_ORDER_MAX; i++) {
        ck_assert(bloom_may_have(worker->filter->bloom, revocation_entry_key(&entries[i])));
        snprintf(jti, sizeof(jti), "n%u", i);
    }
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:n255", NULL, NULL, NULL), 1);
}
END_TEST

START_TEST(more_orders_than_the_limit_are_busy_and_the_others_are_done)
{
    char jti[16];

    settings.client.command_timeout_ms = 5000;
    start_live();
    kill(server.pid, SIGSTOP);
    for (unsigned i = 0; i < UNDER_WAY; i++) {
        snprintf(jti, sizeof(jti), "n%u", i);
        ck_assert_int_eq(order_one(i, jti, in_seconds(600)), 0);
        ck_assert(is_under_way(i));
    }
    ck_assert_int_eq(order_one(UNDER_WAY, "too-many", in_seconds(600)), 0);
    ck_assert(!is_under_way(UNDER_WAY)); /* the answer came at once */
    ck_assert_int_eq(tickets[UNDER_WAY].err, ERR_BUSY);
    ck_assert_int_eq(fake_process_number("jwtgate_revocations_total", "result=\"error\""), 1);
    kill(server.pid, SIGCONT);
    for (unsigned i = 0; i < UNDER_WAY; i++) {
        RUN_UNTIL(!is_under_way(i));
        ck_assert_int_eq(tickets[i].err, 0);
    }
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:too-many", NULL, NULL, NULL), 0);
    ck_assert_int_eq(order_one(0, "later", in_seconds(600)), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, 0);
}
END_TEST

START_TEST(again_is_harmless_and_never_shortens)
{
    start_live();
    ck_assert_int_eq(order_one(0, "a", in_seconds(5000)), 0);
    RUN_UNTIL(!is_under_way(0));
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(order_one(0, "a", in_seconds(100)), 0);
        RUN_UNTIL(!is_under_way(0));
        ck_assert_int_eq(tickets[0].err, 0);
        ck_assert_int_gt(redis_command("TTL", "blocklist:jti:a", NULL, NULL, NULL), 4900);
    }
    ck_assert_uint_eq(local_store_count(worker->local->store), 1);
}
END_TEST

START_TEST(what_lives_for_ever_in_redis_goes_on_to)
{
    start_live();
    ck_assert_int_eq(redis_command("SET", "blocklist:jti:a", "1", NULL, NULL), -1);
    ck_assert_int_eq(order_one(0, "a", in_seconds(100)), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, 0);
    ck_assert_int_eq(redis_command("TTL", "blocklist:jti:a", NULL, NULL, NULL), -1);
}
END_TEST

START_TEST(replicas_that_are_not_there_are_told)
{
    struct revocation_entry entry = entry_of("a", in_seconds(600));

    start_live();
    ck_assert_int_eq(order(0, &entry, 1, 1), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, ERR_NOT_FOUND);
    /* Done all the same, and enforced. */
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:a", NULL, NULL, NULL), 1);
    ck_assert(bloom_may_have(worker->filter->bloom, SLICE("blocklist:jti:a")));
}
END_TEST

START_TEST(a_redis_that_is_gone_is_an_error_and_the_filter_suspects)
{
    settings.client.connect_timeout_ms = settings.client.command_timeout_ms = 200;
    start_live();
    struct revocation_filter *filter = worker->filter;
    redis_server_kill(&server);
    ck_assert_int_eq(order_one(0, "a", in_seconds(600)), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_lt(tickets[0].err, 0);
    ck_assert(bloom_may_have(filter->bloom, SLICE("blocklist:jti:a")));
    ck_assert_int_eq(fake_process_number("jwtgate_revocations_total", "result=\"error\""), 1);
}
END_TEST

START_TEST(a_refusal_of_redis_is_an_error)
{
    start_live();
    ck_assert_int_eq(redis_command("HSET", "blocklist:jti:a", "f", "v", NULL), 1);
    ck_assert_int_eq(order_one(0, "a", in_seconds(600)), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, ERR_IO);
}
END_TEST

/* The request ends while its order is under way: nobody is told, and it is done. */
START_TEST(who_has_gone_is_not_told)
{
    start_live();
    ck_assert_int_eq(order_one(0, "a", in_seconds(600)), 0);
    ck_assert_int_eq(order_one(1, "b", in_seconds(600)), 0);
    for (int i = 0; i < _i && is_under_way(0); i++) {
        turn();
    }
    unsigned told = !is_under_way(0);
    revocation_ticket_end(&tickets[0]);
    memset(&tickets[0], 0xa5, sizeof(tickets[0])); /* its memory is another's now */
    RUN_UNTIL(!is_under_way(1));
    ck_assert_int_eq(tickets[1].err, 0);
    ck_assert_uint_eq(fake_host_woken, 1 + told);
    for (size_t i = 0; i < sizeof(tickets[0]); i++) {
        ck_assert_uint_eq(((unsigned char *)&tickets[0])[i], 0xa5);
    }
    memset(&tickets[0], 0, sizeof(tickets[0]));
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:a", NULL, NULL, NULL), 1);
}
END_TEST

/* Nobody hears of those under way. */
START_TEST(it_may_end_in_each_state)
{
    struct revocation_entry entry = entry_of("a", in_seconds(600));

    start();
    if (_i % 2 == 0) {
        RUN_UNTIL(is_live());
    }
    ck_assert_int_eq(order(0, &entry, 1, 0), 0);
    ck_assert_int_eq(order(1, &entry, 1, 1), 0);
    for (int i = 0; i < _i; i++) {
        turn();
    }
    unsigned woken = fake_host_woken;
    end();
    for (unsigned i = 0; i < 50; i++) {
        turn();
    }
    ck_assert_uint_eq(fake_host_woken, woken);
}
END_TEST

START_TEST(without_redis_the_local_store_has_it)
{
    struct revocation_entry entry = entry_of("a", in_seconds(600));
    int64_t value = 0;

    revocation_without_redis();
    start();
    ck_assert_int_eq(order(0, &entry, 1, 0), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, 0);
    ck_assert_int_eq(local_store_find(worker->local->store, revocation_entry_key(&entry), &value),
                     0);
    ck_assert_int_eq(order(0, &entry, 1, 1), 0);
    RUN_UNTIL(!is_under_way(0));
    ck_assert_int_eq(tickets[0].err, ERR_UNSUPPORTED);
}
END_TEST

START_TEST(without_redis_it_may_end_in_each_state)
{
    struct revocation_entry entry = entry_of("a", in_seconds(600));

    revocation_without_redis();
    start();
    ck_assert_int_eq(order(0, &entry, 1, 0), 0);
    for (int i = 0; i < _i; i++) {
        turn();
    }
    unsigned woken = fake_host_woken;
    end();
    ck_assert_uint_eq(fake_host_woken, woken);
    start(); /* what was being written is there, or nothing of it */
    ck_assert_uint_le(local_store_count(worker->local->store), 1);
}
END_TEST

/* ---- a store of the test's own ---- */

static void take(struct revocation_orders *orders, unsigned number, unsigned first)
{
    struct revocation_ticket *ticket = &tickets[0];
    struct revocation_order *bytes =
        calloc(1, sizeof(*bytes) + REVOCATION_ORDER_MAX * sizeof(bytes->entries[0]));

    ck_assert_ptr_nonnull(bytes);
    bytes->id = number;
    bytes->count = REVOCATION_ORDER_MAX;
    for (unsigned i = 0; i < REVOCATION_ORDER_MAX; i++) {
        char jti[16];
        snprintf(jti, sizeof(jti), "n%u", first + i);
        bytes->entries[i] = entry_of(jti, in_seconds(600));
    }
    *ticket = (struct revocation_ticket){ .id = number, .at = &worker->tickets };
    worker->tickets = ticket;
    revocation_orders_take(orders, bytes);
    free(bytes);
    RUN_UNTIL(!is_under_way(0));
}

START_TEST(a_full_store_is_told)
{
    struct local_store_options options = { .map_bytes = 1 << 20,
                                           .max_map_bytes = 1 << 20,
                                           .purge_interval_ms = 3600000 };
    struct offload *offload = offload_new(1, 16);
    struct local_store *local = NULL;
    char error[LOCAL_STORE_ERROR_BYTES];
    unsigned number = 0;

    revocation_without_redis();
    ck_assert_int_eq(local_store_open(&options, loop, offload, &local, error), 0);
    ck_assert_int_eq(revocation_worker_new(gw_process_worker(&process), NULL, &settings, &worker),
                     0);
    process.worker = worker;
    struct revocation_orders *orders = revocation_orders_new(&(struct revocation_orders_options){
        .gw = &process, .settings = &settings, .local = local });
    ck_assert_ptr_nonnull(orders);
    do {
        number++;
        take(orders, number, number * REVOCATION_ORDER_MAX);
    } while (tickets[0].err == 0 && number < 100);
    ck_assert_int_eq(tickets[0].err, ERR_TOO_BIG);
    ck_assert_uint_gt(number, 1);
    ck_assert_uint_eq(local_store_count(local), (number - 1) * REVOCATION_ORDER_MAX);
    revocation_orders_free(orders);
    offload_free(offload);
    local_store_close(local);
    loop_turn(loop, false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/orders");
    TCase *tcase = tcase_create("orders");

    tcase_set_timeout(tcase, 50);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_0_says_that_redis_and_our_filter_have_it);
    tcase_add_test(tcase, an_order_of_nothing_or_too_much_is_none);
    tcase_add_test(tcase, as_much_as_an_order_may_have_is_done_as_a_whole);
    tcase_add_test(tcase, more_orders_than_the_limit_are_busy_and_the_others_are_done);
    tcase_add_test(tcase, again_is_harmless_and_never_shortens);
    tcase_add_test(tcase, what_lives_for_ever_in_redis_goes_on_to);
    tcase_add_test(tcase, replicas_that_are_not_there_are_told);
    tcase_add_test(tcase, a_redis_that_is_gone_is_an_error_and_the_filter_suspects);
    tcase_add_test(tcase, a_refusal_of_redis_is_an_error);
    tcase_add_loop_test(tcase, who_has_gone_is_not_told, 0, 6);
    tcase_add_loop_test(tcase, it_may_end_in_each_state, 0, 12);
    tcase_add_test(tcase, without_redis_the_local_store_has_it);
    tcase_add_loop_test(tcase, without_redis_it_may_end_in_each_state, 0, 6);
    tcase_add_test(tcase, a_full_store_is_told);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
