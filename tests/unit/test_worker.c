/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics.h"
#include "plugins/plugin.h"

#include <check.h>

#include <stdlib.h>
#include <unistd.h>

#include "tests/support/exchange.h"

static unsigned inits, dones;
static bool init_fails;

static int count_init(struct gw_worker *worker, const void *top, void **ret_worker)
{
    inits++;
    *ret_worker = &inits;
    return init_fails ? ERR_NO_MEMORY : 0;
}

static void count_done(void *worker)
{
    dones++;
}

static enum gw_verdict pass(struct gw_call *call)
{
    return GW_NEXT;
}

static const struct gw_plugin counting_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "counting",
    .worker_init = count_init,
    .worker_done = count_done,
    .on_request = pass,
};

static void setup(void)
{
    inits = dones = 0;
    init_fails = false;
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&counting_plugin);
    client = server = -1;
}

static void start(void)
{
    fixture_start();
    client = fixture_connect();
}

START_TEST(plugins_start_and_end_with_it)
{
    fixture_start();
    ck_assert_uint_eq(inits, 1);
    ck_assert_uint_eq(dones, 0);
    fixture_teardown();
    ck_assert_uint_eq(dones, 1);
    fixture_setup(); /* for the teardown */
}
END_TEST

START_TEST(a_plugin_that_cannot_start_is_no_worker)
{
    init_fails = true;
    ck_assert_ptr_null(worker_new(&fx.gateway, &fx.config, 1));
    ck_assert_uint_eq(inits, 1);
    ck_assert_uint_eq(dones, 0);
}
END_TEST

START_TEST(a_drain_without_connections_ends_at_once)
{
    fixture_start();
    worker_drain(fx.worker);
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
    worker_drain(fx.worker);
    worker_stop(fx.worker);
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
    worker_run(fx.worker); /* returns: it was told to stop */
}
END_TEST

START_TEST(a_drain_waits_for_the_last_request)
{
    start();
    ask(GET);
    int other = fixture_connect();
    worker_drain(fx.worker);
    ck_assert_int_eq(fx.worker->state, WORKER_DRAINING);
    ck_assert_uint_eq(fx.worker->requests_in_flight, 1);
    fixture_advance(1001); /* a request might have been on its way */
    fixture_receive(other, &closed);
    ck_assert(closed);
    fixture_send(server, OK_2);
    expect(client, "connection: close\r\n");
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fx.worker->state, WORKER_STOPPED);
    close(other);
}
END_TEST

START_TEST(a_stop_ends_all_at_once)
{
    start();
    ask(GET);
    int other = fixture_connect();
    worker_stop(fx.worker);
    ck_assert_uint_eq(fx.worker->conn_count, 0);
    fixture_receive(client, &closed);
    ck_assert(closed);
    fixture_receive(other, &closed);
    ck_assert(closed);
    fixture_receive(server, &closed);
    ck_assert(closed);
    expect_end(OUTCOME_CLIENT_GONE, 1);
    close(other);
}
END_TEST

/* What a reload brings: the same but for the limit. */
static struct config *next_config(void)
{
    static struct config next;

    next = fx.config;
    next.refs = 1;
    next.server.limits.body_bytes = 1;
    return &next;
}

START_TEST(a_switch_serves_by_the_new_view_and_keeps_the_old_for_who_has_it)
{
    int none[1] = { -1 };
    struct worker_change change = { .config = next_config(), .fds = none };

    start();
    ask(GET);
    ck_assert_int_eq(worker_prepare(fx.worker, &change), 0);
    ck_assert_ptr_ne(change.view, fx.worker->view);
    ck_assert_uint_eq(inits, 1); /* its top is the same: shared */
    worker_switch(fx.worker, &change);
    worker_change_done(&change);
    ck_assert_ptr_eq(fx.worker->view->config, change.config);
    ck_assert_int_gt(fx.config.refs, 1); /* of the request */
    fixture_send(server, OK_2);
    expect(client, "HTTP/1.1 200 ");
    fixture_spin();
    fixture_send(client, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    expect(client, "HTTP/1.1 413 ");
    ck_assert_int_eq(fx.config.refs, 1);
}
END_TEST

START_TEST(a_change_that_is_not_used_leaves_no_trace)
{
    int none[1] = { -1 };
    struct worker_change change = { .config = next_config(), .fds = none };
    struct config_view *before;

    start();
    before = fx.worker->view;
    ck_assert_int_eq(worker_prepare(fx.worker, &change), 0);
    worker_change_done(&change);
    ck_assert_ptr_eq(fx.worker->view, before);
    ck_assert_int_eq(change.config->refs, 1);
    ask(GET);
    fixture_send(server, OK_2);
    expect(client, "HTTP/1.1 200 ");
}
END_TEST

START_TEST(a_worker_that_drains_does_not_switch)
{
    int none[1] = { -1 };
    struct worker_change change = { .config = next_config(), .fds = none };

    start();
    ask(GET);
    ck_assert_int_eq(worker_prepare(fx.worker, &change), 0);
    worker_drain(fx.worker);
    worker_switch(fx.worker, &change);
    ck_assert_ptr_eq(fx.worker->view->config, &fx.config);
    worker_change_done(&change);
    ck_assert_int_eq(change.config->refs, 1);
}
END_TEST

START_TEST(random_numbers_differ)
{
    uint64_t seen[64];

    fixture_start();
    for (unsigned i = 0; i < 64; i++) {
        seen[i] = worker_random(fx.worker);
        for (unsigned j = 0; j < i; j++) {
            ck_assert(seen[i] != seen[j]);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, exchange_teardown);
    tcase_add_test(tc, plugins_start_and_end_with_it);
    tcase_add_test(tc, a_plugin_that_cannot_start_is_no_worker);
    tcase_add_test(tc, a_drain_without_connections_ends_at_once);
    tcase_add_test(tc, a_drain_waits_for_the_last_request);
    tcase_add_test(tc, a_stop_ends_all_at_once);
    tcase_add_test(tc, a_switch_serves_by_the_new_view_and_keeps_the_old_for_who_has_it);
    tcase_add_test(tc, a_change_that_is_not_used_leaves_no_trace);
    tcase_add_test(tc, a_worker_that_drains_does_not_switch);
    tcase_add_test(tc, random_numbers_differ);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
