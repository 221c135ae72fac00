/* SPDX-License-Identifier: Apache-2.0 */
/* What the process knows of revocations, says of itself, and keeps over a reload. */
#include "plugins/revocation/control.h"
#include "plugins/revocation/worker.h"

#include <check.h>

#include <stdlib.h>

#include "tests/support/revocation_fixture.h"

static struct revocation_control *control;
static struct revocation_worker *worker;

static void setup(void)
{
    revocation_setup();
    control = NULL;
    worker = NULL;
}

static void end(void)
{
    revocation_control_free(control);
    control = NULL;
    process.worker = NULL;
    revocation_worker_free(worker);
    worker = NULL;
}

static void teardown(void)
{
    end();
    revocation_teardown();
}

static void make_worker(void)
{
    ck_assert_int_eq(revocation_worker_new(gw_process_worker(&process), NULL, &settings, &worker),
                     0);
    process.worker = worker;
}

static int start(void)
{
    make_worker();
    return revocation_control_new(&process, &settings, &control);
}

static bool is_in(const char *state)
{
    static const char *const labels[] = { "state=\"cold\"", "state=\"live\"", "state=\"stale\"" };
    unsigned sum = 0;
    bool is_it = false;

    for (unsigned i = 0; i < 3; i++) {
        int64_t value = fake_process_number("jwtgate_revocation_state", labels[i]);
        sum += (unsigned)value;
        is_it = is_it || (value == 1 && strstr(labels[i], state) != NULL);
    }
    ck_assert_uint_eq(sum, 1); /* one of them */
    return is_it;
}

static bool is_ready(void)
{
    ck_assert_uint_ge(process.check_count, 1);
    ck_assert_str_eq(process.checks[process.check_count - 1].name, "revocation");
    return process.checks[process.check_count - 1].ok;
}

/* ---- Redis ---- */

START_TEST(it_is_cold_then_live_then_stale)
{
    ck_assert_int_eq(redis_command("SET", "blocklist:jti:a", "1", NULL, NULL), -1);
    ck_assert_int_eq(start(), 0);
    ck_assert(is_in("cold") && !is_ready());
    ck_assert_ptr_null(worker->filter);
    RUN_UNTIL(is_in("live"));
    ck_assert(is_ready());
    ck_assert(revocation_filter_is_live(worker->filter));
    ck_assert(bloom_may_have(worker->filter->bloom, SLICE("blocklist:jti:a")));
    ck_assert_int_eq(fake_process_number("jwtgate_redis_up", ""), 1);
    ck_assert_int_ge(fake_process_number("jwtgate_revocation_entries", ""), 1);
    ck_assert_int_eq(fake_process_number("jwtgate_revocation_filter_bytes", ""),
                     (int64_t)bloom_bytes(worker->filter->bloom));
    ck_assert_int_gt(fake_process_number("jwtgate_revocation_filter_fill_ratio", ""), 0);
    ck_assert_int_eq(fake_process_number("jwtgate_revocation_resyncs_total", "cause=\"start\""), 1);
    redis_server_kill(&server);
    RUN_UNTIL(is_in("stale"));
    ck_assert(!is_ready());
    ck_assert(!revocation_filter_is_live(worker->filter));
    RUN_UNTIL(fake_process_number("jwtgate_redis_up", "") == 0);
    ck_assert(redis_server_again(&server, ""));
    RUN_UNTIL(is_in("live"));
    ck_assert(is_ready());
}
END_TEST

START_TEST(who_may_pass_unseen_is_ready_all_the_same)
{
    settings.on_unavailable = REVOCATION_ALLOW;
    redis_server_kill(&server);
    ck_assert_int_eq(start(), 0);
    for (unsigned i = 0; i < 50; i++) {
        turn();
    }
    ck_assert(is_in("cold") && is_ready());
}
END_TEST

/* It is handed over again with the next generation; until then the old one's lease decides. */
START_TEST(a_worker_that_did_not_get_a_filter_gets_the_next_one)
{
    settings.resync_interval_ms = 1000;
    make_worker();
    ck_assert_int_eq(revocation_control_new(&process, &settings, &control), 0);
    process.publish_fails = 1;
    RUN_UNTIL(is_in("live"));
    ck_assert_ptr_null(worker->filter);
    RUN_UNTIL(worker->filter != NULL);
    ck_assert(revocation_filter_is_live(worker->filter));
}
END_TEST

START_TEST(it_may_end_in_each_state)
{
    ck_assert_int_eq(start(), 0);
    for (int i = 0; i < 3 * _i; i++) {
        turn();
    }
    struct revocation_filter *held = worker->filter;
    if (held != NULL) {
        (void)gw_shared_ref(&held->shared);
    }
    end();
    for (unsigned i = 0; i < 30; i++) {
        turn();
    }
    ck_assert(!revocation_filter_is_live(held)); /* nobody feeds it any more */
    revocation_filter_unref(held);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_is_an_error)
{
    process.state_dir = "/proc/nowhere";
    ck_assert_int_lt(start(), 0);
    ck_assert_ptr_null(control);
}
END_TEST

/* ---- the local store ---- */

START_TEST(the_local_store_is_live_at_once)
{
    revocation_without_redis();
    ck_assert_int_eq(start(), 0);
    ck_assert(is_in("live") && is_ready());
    ck_assert_ptr_nonnull(worker->local);
    ck_assert_ptr_nonnull(worker->local->store);
    RUN_UNTIL(fake_process_number("jwtgate_revocation_entries", "") == 0);
}
END_TEST

static unsigned kept;

static void on_kept(void *arg, int err)
{
    ck_assert_int_eq(err, 0);
    kept++;
}

static void keep(struct local_store *store)
{
    struct local_entry entry = { SLICE("blocklist:jti:a"), 1, in_seconds(600) };

    kept = 0;
    ck_assert_int_eq(local_store_put(store, &entry, 1, on_kept, NULL), 0);
    RUN_UNTIL(kept == 1);
}

/* A reload: the new one starts before the old one ends.  _i: with Redis, the store keeps what is revoked here. */
START_TEST(a_reload_goes_on_with_the_same_store)
{
    int64_t value = 0;

    if (_i == 0) {
        revocation_without_redis();
    }
    ck_assert_int_eq(start(), 0);
    struct local_store *store = worker->local->store;
    keep(store);
    struct revocation_control *old = control;
    struct revocation_worker *old_worker = worker;
    process.previous = old;
    ck_assert_int_eq(start(), 0);
    ck_assert_ptr_eq(worker->local->store, store);
    revocation_control_free(old);
    revocation_worker_free(old_worker);
    process.previous = NULL;
    ck_assert_int_eq(local_store_find(store, SLICE("blocklist:jti:a"), &value), 0);
    keep(store);
}
END_TEST

/* A reload that is given up: the old one goes on. */
START_TEST(a_reload_that_ends_first_leaves_the_store)
{
    int64_t value = 0;

    revocation_without_redis();
    ck_assert_int_eq(start(), 0);
    struct revocation_control *first = control;
    struct revocation_worker *first_worker = worker;
    struct local_store *store = worker->local->store;
    process.previous = first;
    ck_assert_int_eq(start(), 0);
    process.previous = NULL;
    end();
    control = first;
    worker = first_worker;
    process.worker = worker;
    keep(store);
    ck_assert_int_eq(local_store_find(store, SLICE("blocklist:jti:a"), &value), 0);
    RUN_UNTIL(fake_process_number("jwtgate_revocation_entries", "") == 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/control");
    TCase *tcase = tcase_create("control");

    tcase_set_timeout(tcase, 50);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_is_cold_then_live_then_stale);
    tcase_add_test(tcase, who_may_pass_unseen_is_ready_all_the_same);
    tcase_add_test(tcase, a_worker_that_did_not_get_a_filter_gets_the_next_one);
    tcase_add_loop_test(tcase, it_may_end_in_each_state, 0, 12);
    tcase_add_test(tcase, a_folder_that_cannot_be_made_is_an_error);
    tcase_add_test(tcase, the_local_store_is_live_at_once);
    tcase_add_loop_test(tcase, a_reload_goes_on_with_the_same_store, 0, 2);
    tcase_add_test(tcase, a_reload_that_ends_first_leaves_the_store);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
