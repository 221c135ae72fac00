/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/log.h"
#include "core/offload.h"
#include "plugins/revocation/redis_store.h"

#include <check.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/redis_server.h"

static struct loop *loop;
static struct redis_server server;
static struct redis *writer;
static struct redis_store *store;
static struct redis_store_options options;
static struct revocation_filter *filter; /* as a worker holds it */

static struct {
    unsigned synced[REDIS_STORE_CAUSES];
    unsigned generations, answers;
    bool failed;
    long long integer;
} seen;

static void on_filter(void *arg, struct revocation_filter *generation)
{
    revocation_filter_unref(filter);
    filter = generation;
    (void)gw_shared_ref(&filter->shared);
    seen.generations++;
}

static void on_synced(void *arg, enum redis_store_cause cause)
{
    seen.synced[cause]++;
}

static const struct redis_store_ops ops = { .filter = on_filter, .synced = on_synced };

static void on_answer(void *arg, int err, const struct redis_reply *reply)
{
    seen.answers++;
    seen.failed = err < 0 || reply->type == REDIS_IS_ERROR;
    seen.integer = err < 0 ? -1 : reply->integer;
}

static void turn(void)
{
    loop_turn(loop, false);
    poll(NULL, 0, 1);
}

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        uint64_t end_ = clock_precise_ns() + UINT64_C(30000000000);                                \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_precise_ns() < end_, "not within 30 s: " #condition);              \
            turn();                                                                                \
        }                                                                                          \
    } while (0)

static bool is_live(void)
{
    return revocation_filter_is_live(filter);
}

static bool may_have(const char *key)
{
    return filter == NULL || bloom_may_have(filter->bloom, slice_str(key));
}

/* By another client, as another service would. */
static void command(const char *a, const char *b, const char *c, const char *d, const char *e)
{
    struct slice argv[5] = { slice_str(a), slice_str(b), slice_str(c), slice_str(d), slice_str(e) };
    unsigned argc = 0, before = seen.answers;

    while (argc < 5 && !slice_is_absent(argv[argc])) {
        argc++;
    }
    RUN_UNTIL(redis_is_ready(writer));
    ck_assert_int_eq(redis_send(writer, argc, argv, on_answer, NULL), 0);
    RUN_UNTIL(seen.answers > before);
}

static void block(const char *key)
{
    command("SET", key, "1", "EX", "600");
    ck_assert(!seen.failed);
}

static void setup(void)
{
    static const struct redis_ops no_ops = { 0 };

    log_set_level(LOG_ERROR);
    memset(&seen, 0, sizeof(seen));
    filter = NULL;
    store = NULL;
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    ck_assert(redis_server_start(&server, ""));
    options = (struct redis_store_options){ .redis = { .connect_timeout_ms = 3000,
                                                       .command_timeout_ms = 1000,
                                                       .max_queue = 64,
                                                       .max_reply_bytes = 1 << 20 },
                                            .prefix = SLICE("blocklist:"),
                                            .expected_items = 1000,
                                            .false_positive_rate = 0.0001,
                                            .max_staleness_ms = 2000,
                                            .resync_interval_ms = 3600000 };
    ck_assert_int_eq(redis_read_url(slice_str(server.url), &options.redis.address), 0);
    struct redis_options patient = options.redis; /* of a client that is not under test */
    patient.command_timeout_ms = 5000;
    writer = redis_new(loop, NULL, &patient, &no_ops, NULL);
    ck_assert_ptr_nonnull(writer);
}

static void start_store(void)
{
    store = redis_store_new(loop, NULL, &options, &ops, NULL);
    ck_assert_ptr_nonnull(store);
}

static void teardown(void)
{
    redis_store_free(store);
    redis_free(writer);
    revocation_filter_unref(filter);
    filter = NULL;
    loop_turn(loop, false);
    loop_free(loop);
    redis_server_stop(&server);
}

START_TEST(what_is_there_before_the_start_is_found)
{
    block("blocklist:jti:early");
    block("blocklist:before:client:app");
    block("other:jti:x");
    start_store();
    ck_assert(!redis_store_is_live(store));
    RUN_UNTIL(is_live());
    ck_assert(may_have("blocklist:jti:early"));
    ck_assert(!may_have("blocklist:jti:never"));
    ck_assert(!may_have("other:jti:x"));
    ck_assert_uint_eq(atomic_load(&filter->kinds), 1u << REVOCATION_CLIENT);
    ck_assert_uint_eq(seen.synced[REDIS_STORE_START], 1);
    ck_assert_uint_eq(bloom_count(filter->bloom), 2); /* no heartbeats */
}
END_TEST

START_TEST(another_prefix_is_another_list)
{
    block("blocklist:jti:not-mine");
    block("other:jti:early");
    options.prefix = SLICE("other:");
    start_store();
    RUN_UNTIL(is_live());
    ck_assert(may_have("blocklist:jti:early"));
    ck_assert(!may_have("blocklist:jti:not-mine"));
    block("other:before:sub:x");
    RUN_UNTIL(may_have("blocklist:before:sub:x"));
    ck_assert_uint_eq(atomic_load(&filter->kinds), 1u << REVOCATION_SUB);
    ck_assert_uint_eq(bloom_count(filter->bloom), 2);
}
END_TEST

START_TEST(what_any_client_writes_arrives)
{
    start_store();
    RUN_UNTIL(is_live());
    for (unsigned i = 0; i < 50; i++) {
        char key[48];
        snprintf(key, sizeof(key), "blocklist:jti:later-%u", i);
        ck_assert(!may_have(key));
        block(key);
        uint64_t begin = clock_precise_ns();
        RUN_UNTIL(may_have(key));
        ck_assert_uint_lt((clock_precise_ns() - begin) / 1000000, options.max_staleness_ms);
        ck_assert(is_live());
    }
    ck_assert_uint_eq(seen.generations, 1);
}
END_TEST

START_TEST(the_lease_runs_on_for_as_long_as_heartbeats_come_back)
{
    start_store();
    RUN_UNTIL(is_live());
    uint64_t end = clock_precise_ns() + UINT64_C(5000000000);
    while (clock_precise_ns() < end) {
        turn();
        ck_assert(is_live());
    }
    ck_assert_uint_eq(seen.generations, 1);
}
END_TEST

START_TEST(a_lost_connection_is_doubt_until_the_next_synchronisation)
{
    start_store();
    RUN_UNTIL(is_live());
    for (unsigned i = 0; i < 3; i++) {
        char key[48];
        unsigned generation = seen.generations;
        command("CLIENT", "KILL", "TYPE", i % 2 == 0 ? "pubsub" : "normal", NULL);
        snprintf(key, sizeof(key), "blocklist:jti:gap-%u", i);
        RUN_UNTIL(!is_live());
        block(key);
        RUN_UNTIL(is_live());
        ck_assert(may_have(key));
        ck_assert_uint_gt(seen.generations, generation);
    }
    ck_assert_uint_eq(seen.synced[REDIS_STORE_GAP], 3);
}
END_TEST

START_TEST(a_flush_is_doubt)
{
    block("blocklist:jti:a");
    start_store();
    RUN_UNTIL(is_live());
    command("FLUSHALL", NULL, NULL, NULL, NULL);
    RUN_UNTIL(!is_live());
    RUN_UNTIL(is_live());
    ck_assert(!may_have("blocklist:jti:a"));
}
END_TEST

START_TEST(a_stopped_server_ends_the_lease_in_time)
{
    start_store();
    RUN_UNTIL(is_live());
    kill(server.pid, SIGSTOP);
    uint64_t begin = clock_precise_ns();
    RUN_UNTIL(!is_live());
    ck_assert_uint_le((clock_precise_ns() - begin) / 1000000, options.max_staleness_ms + 1000);
    kill(server.pid, SIGCONT);
    RUN_UNTIL(is_live());
}
END_TEST

START_TEST(another_server_is_noticed)
{
    block("blocklist:jti:a");
    start_store();
    RUN_UNTIL(is_live());
    uint64_t number = filter->server;
    redis_server_kill(&server);
    RUN_UNTIL(!is_live());
    ck_assert(redis_server_again(&server, ""));
    block("blocklist:jti:b");
    RUN_UNTIL(is_live());
    ck_assert(may_have("blocklist:jti:b"));
    ck_assert_uint_ne(filter->server, number);
    ck_assert_uint_eq(seen.synced[REDIS_STORE_SERVER_CHANGED], 1);
}
END_TEST

START_TEST(a_server_that_takes_no_writes_is_not_followed)
{
    start_store();
    RUN_UNTIL(is_live());
    command("REPLICAOF", "127.0.0.1", "1", NULL, NULL);
    RUN_UNTIL(!is_live());
    command("REPLICAOF", "NO", "ONE", NULL, NULL);
    RUN_UNTIL(is_live());
    ck_assert_uint_ge(seen.synced[REDIS_STORE_SERVER_CHANGED], 1);
}
END_TEST

START_TEST(expired_names_leave_with_the_next_generation)
{
    options.resync_interval_ms = 300;
    start_store();
    RUN_UNTIL(is_live());
    command("SET", "blocklist:jti:short", "1", "PX", "50");
    RUN_UNTIL(may_have("blocklist:jti:short"));
    RUN_UNTIL(!may_have("blocklist:jti:short"));
    ck_assert(is_live());
    ck_assert_uint_ge(seen.synced[REDIS_STORE_INTERVAL], 1);
}
END_TEST

/* What a worker holds that has not heard of the last generations. */
START_TEST(an_old_generation_is_fed_and_then_not_believed)
{
    options.resync_interval_ms = 1000;
    options.max_staleness_ms = 60000; /* its lease would run on */
    start_store();
    RUN_UNTIL(is_live());
    struct revocation_filter *old = filter;
    (void)gw_shared_ref(&old->shared);
    RUN_UNTIL(seen.generations == 2);
    ck_assert(revocation_filter_is_live(old));
    block("blocklist:jti:late");
    RUN_UNTIL(may_have("blocklist:jti:late"));
    ck_assert(bloom_may_have(old->bloom, SLICE("blocklist:jti:late")));
    ck_assert(revocation_filter_is_live(old));
    RUN_UNTIL(seen.generations == 3);
    ck_assert(!revocation_filter_is_live(old));
    ck_assert(is_live());
    revocation_filter_unref(old);
}
END_TEST

START_TEST(a_name_that_this_gateway_wrote_is_in_all_filters_at_once)
{
    options.resync_interval_ms = 1000;
    options.max_staleness_ms = 60000;
    start_store();
    RUN_UNTIL(is_live());
    struct revocation_filter *old = filter;
    (void)gw_shared_ref(&old->shared);
    RUN_UNTIL(seen.generations == 2);
    redis_store_add(store, SLICE("blocklist:jti:ours"));
    ck_assert(bloom_may_have(old->bloom, SLICE("blocklist:jti:ours")));
    ck_assert(may_have("blocklist:jti:ours"));
    revocation_filter_unref(old);
}
END_TEST

/* The scan is long and begins again with more room; what is written meanwhile must not fall between. */
START_TEST(what_is_written_during_a_scan_is_found)
{
    char key[48];

    options.expected_items = 1000;
    command("EVAL", "for i = 1, 20000 do redis.call('SET', 'blocklist:jti:n' .. i, '1') end", "0",
            NULL, NULL);
    ck_assert(!seen.failed);
    start_store();
    for (unsigned i = 0; seen.generations == 0 || i < 100; i++) {
        ck_assert_uint_lt(i, 5000);
        snprintf(key, sizeof(key), "blocklist:jti:meanwhile-%u", i);
        block(key);
        if (seen.generations > 0) {
            RUN_UNTIL(may_have(key));
        }
    }
    RUN_UNTIL(is_live());
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "blocklist:jti:meanwhile-%u", i);
        ck_assert_msg(may_have(key), "%s", key);
    }
    for (unsigned i = 1; i <= 20000; i++) {
        snprintf(key, sizeof(key), "blocklist:jti:n%u", i);
        ck_assert_msg(may_have(key), "%s", key);
    }
}
END_TEST

/* Whatever has happened so far: no timer, no answer comes for it. */
START_TEST(it_may_end_in_each_state)
{
    command("EVAL", "for i = 1, 20000 do redis.call('SET', 'blocklist:jti:n' .. i, '1') end", "0",
            NULL, NULL);
    start_store();
    for (int i = 0; i < 3 * _i; i++) {
        turn();
    }
    redis_store_free(store);
    store = NULL;
    for (unsigned i = 0; i < 100; i++) {
        turn();
    }
    ck_assert(!is_live());
}
END_TEST

#define KEPT 2500u

static unsigned kept_answers;

static void on_kept(void *arg, int err)
{
    ck_assert_int_eq(err, 0);
    kept_answers++;
}

static struct local_store *keep_many(struct offload *offload)
{
    struct local_store_options local = { .map_bytes = 1 << 20,
                                         .max_map_bytes = 16 << 20,
                                         .purge_interval_ms = 3600000 };
    char error[LOCAL_STORE_ERROR_BYTES];
    struct local_store *kept = NULL;

    kept_answers = 0;
    ck_assert_int_eq(local_store_open(&local, loop, offload, &kept, error), 0);
    for (unsigned i = 0; i < KEPT; i++) {
        char key[48];
        snprintf(key, sizeof(key), "blocklist:jti:kept-%u", i);
        struct local_entry entry = { slice_str(key), 1, INT64_MAX };
        if (i % 500 == 0) {
            RUN_UNTIL(kept_answers == i);
        }
        ck_assert_int_eq(local_store_put(kept, &entry, 1, on_kept, NULL), 0);
    }
    RUN_UNTIL(kept_answers == KEPT);
    return kept;
}

static long long keys_in_redis(void)
{
    command("DBSIZE", NULL, NULL, NULL, NULL);
    return seen.integer;
}

START_TEST(what_is_kept_here_is_in_each_filter_and_written_again)
{
    struct offload *offload = offload_new(1, 16);
    struct local_store *kept = keep_many(offload);

    options.kept = kept;
    options.expected_items = 10000;
    start_store();
    for (unsigned round = 0; round < 2; round++) {
        RUN_UNTIL(is_live() && (round == 0 || seen.generations > 1));
        for (unsigned i = 0; i < KEPT; i++) {
            char key[48];
            snprintf(key, sizeof(key), "blocklist:jti:kept-%u", i);
            ck_assert(may_have(key));
        }
        ck_assert(!may_have("blocklist:jti:kept-none"));
        RUN_UNTIL(keys_in_redis() >= KEPT);
        command("FLUSHALL", NULL, NULL, NULL, NULL);
        RUN_UNTIL(!is_live() || seen.generations > 1);
    }
    redis_store_free(store);
    store = NULL;
    offload_free(offload);
    local_store_close(kept);
    loop_turn(loop, false);
}
END_TEST

START_TEST(more_entries_than_expected_make_a_larger_filter)
{
    options.expected_items = 100;
    command("EVAL", "for i = 1, 5000 do redis.call('SET', 'blocklist:jti:n' .. i, '1') end", "0",
            NULL, NULL);
    ck_assert(!seen.failed);
    start_store();
    RUN_UNTIL(is_live());
    ck_assert_uint_ge(bloom_room(filter->bloom), 5000);
    ck_assert(may_have("blocklist:jti:n1"));
    ck_assert(may_have("blocklist:jti:n5000"));
    ck_assert(!may_have("blocklist:jti:n5001"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/redis_store");
    TCase *tcase = tcase_create("redis_store");

    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_there_before_the_start_is_found);
    tcase_add_test(tcase, another_prefix_is_another_list);
    tcase_add_test(tcase, what_any_client_writes_arrives);
    tcase_add_test(tcase, the_lease_runs_on_for_as_long_as_heartbeats_come_back);
    tcase_add_test(tcase, a_lost_connection_is_doubt_until_the_next_synchronisation);
    tcase_add_test(tcase, a_flush_is_doubt);
    tcase_add_test(tcase, a_stopped_server_ends_the_lease_in_time);
    tcase_add_test(tcase, another_server_is_noticed);
    tcase_add_test(tcase, a_server_that_takes_no_writes_is_not_followed);
    tcase_add_test(tcase, expired_names_leave_with_the_next_generation);
    tcase_add_test(tcase, an_old_generation_is_fed_and_then_not_believed);
    tcase_add_test(tcase, a_name_that_this_gateway_wrote_is_in_all_filters_at_once);
    tcase_add_test(tcase, what_is_written_during_a_scan_is_found);
    tcase_add_loop_test(tcase, it_may_end_in_each_state, 0, 20);
    tcase_add_test(tcase, what_is_kept_here_is_in_each_filter_and_written_again);
    tcase_add_test(tcase, more_entries_than_expected_make_a_larger_filter);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
