/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asked, what is believed, and what happens when nobody can tell. */
#include "core/redis.h"
#include "plugins/revocation/lookup.h"

#include <check.h>

#include <signal.h>
#include <stdlib.h>

#include "tests/support/revocation_fixture.h"

#define ISSUED 1764000000

static struct revocation_worker *worker;
static struct revocation_filter *filter; /* as the control thread holds it */
static struct revocation_lookup *lookup; /* memory of its own: it may be gone */
static struct revocation_names names;

static void setup(void)
{
    revocation_setup();
    names = (struct revocation_names){ .jti = SLICE("a"), .issued_at = ISSUED };
    lookup = NULL;
    filter = NULL;
    worker = NULL;
}

static void publish(uint64_t server_number)
{
    revocation_filter_unref(filter);
    filter = revocation_filter_new(1000, 0.0001, server_number);
    ck_assert_ptr_nonnull(filter);
    atomic_store(&filter->lease_ns, revocation_boot_ns() + UINT64_C(60000000000));
    revocation_worker_take_filter(worker, &filter->shared);
}

static void free_local(struct gw_shared *shared)
{
    free(shared);
}

static void publish_local(struct local_store *store)
{
    struct revocation_local *local = calloc(1, sizeof(*local));

    ck_assert_ptr_nonnull(local);
    local->shared = (struct gw_shared){ .refs = 1, .free = free_local };
    local->store = store;
    revocation_worker_take_local(worker, &local->shared);
    gw_shared_unref(&local->shared);
}

/* A worker that is connected, with a live filter, and keeps nothing itself. */
static void start(void)
{
    ck_assert_int_eq(revocation_worker_new(gw_process_worker(&process), NULL, &settings, &worker),
                     0);
    publish_local(NULL);
    if (worker->redis != NULL) {
        publish(1);
        RUN_UNTIL(redis_is_ready(worker->redis));
    }
}

static void drop_lookup(void)
{
    if (lookup != NULL) {
        revocation_lookup_end(lookup);
        free(lookup);
        lookup = NULL;
    }
}

static void teardown(void)
{
    drop_lookup();
    revocation_worker_free(worker);
    revocation_filter_unref(filter);
    revocation_teardown();
}

static enum revocation_answer start_lookup(bool trusts_filter)
{
    drop_lookup();
    lookup = calloc(1, sizeof(*lookup));
    ck_assert_ptr_nonnull(lookup);
    return revocation_lookup_start(lookup, worker, &names, trusts_filter);
}

static enum revocation_answer answer_of(bool trusts_filter)
{
    unsigned woken = fake_host_woken;
    enum revocation_answer answer = start_lookup(trusts_filter);

    if (answer == REVOCATION_LATER) {
        RUN_UNTIL(fake_host_woken > woken);
        answer = revocation_lookup_answer(lookup);
        ck_assert_int_eq(revocation_lookup_answer(lookup), answer); /* counted once */
    }
    return answer;
}

static void expect_counts(int64_t miss, int64_t local, int64_t hit, int64_t store_miss, int64_t err)
{
    static const char family[] = "jwtgate_revocation_lookups_total";

    ck_assert_int_eq(fake_process_number(family, "result=\"filter_miss\""), miss);
    ck_assert_int_eq(fake_process_number(family, "result=\"local_hit\""), local);
    ck_assert_int_eq(fake_process_number(family, "result=\"store_hit\""), hit);
    ck_assert_int_eq(fake_process_number(family, "result=\"store_miss\""), store_miss);
    ck_assert_int_eq(fake_process_number(family, "result=\"error\""), err);
}

static void set(const char *key, const char *value)
{
    ck_assert_int_eq(redis_command("SET", key, value, "EX", "600"), -1);
}

/* ---- the filter ---- */

START_TEST(the_filters_no_needs_no_redis)
{
    start();
    uint64_t asked = redis_command_count(worker->redis);
    ck_assert_int_eq(answer_of(true), REVOCATION_NO);
    ck_assert_uint_eq(redis_command_count(worker->redis), asked);
    expect_counts(1, 0, 0, 0, 0);
}
END_TEST

START_TEST(the_filters_maybe_is_confirmed)
{
    start();
    revocation_filter_add(filter, SLICE("blocklist:jti:a"));
    ck_assert_int_eq(answer_of(true), REVOCATION_NO); /* a false positive refuses nobody */
    expect_counts(0, 0, 0, 1, 0);
    set("blocklist:jti:a", "1");
    ck_assert_int_eq(answer_of(true), REVOCATION_YES);
    expect_counts(0, 0, 1, 1, 0);
}
END_TEST

START_TEST(without_a_lease_redis_is_asked)
{
    start();
    set("blocklist:jti:a", "1"); /* nobody has told the filter */
    ck_assert_int_eq(answer_of(true), REVOCATION_NO);
    atomic_store(&filter->lease_ns, 0);
    ck_assert_int_eq(answer_of(true), REVOCATION_YES);
    names.jti = SLICE("b");
    ck_assert_int_eq(answer_of(true), REVOCATION_NO);
    expect_counts(1, 0, 1, 1, 0);
}
END_TEST

START_TEST(without_a_filter_redis_is_asked)
{
    ck_assert_int_eq(revocation_worker_new(gw_process_worker(&process), NULL, &settings, &worker),
                     0);
    publish_local(NULL);
    set("blocklist:jti:a", "1");
    ck_assert_int_eq(answer_of(true), REVOCATION_YES);
}
END_TEST

START_TEST(who_does_not_trust_the_filter_asks_redis)
{
    start();
    set("blocklist:jti:a", "1");
    ck_assert_int_eq(answer_of(false), REVOCATION_YES);
    names.jti = SLICE("b");
    ck_assert_int_eq(answer_of(false), REVOCATION_NO);
    expect_counts(0, 0, 1, 1, 0);
}
END_TEST

START_TEST(the_filter_of_another_server_ends_what_the_old_one_was_asked)
{
    start();
    kill(server.pid, SIGSTOP);
    ck_assert_int_eq(start_lookup(false), REVOCATION_LATER);
    publish(2);
    RUN_UNTIL(fake_host_woken > 0);
    kill(server.pid, SIGCONT);
    ck_assert_int_eq(revocation_lookup_answer(lookup), REVOCATION_UNKNOWN);
    RUN_UNTIL(redis_is_ready(worker->redis));
    ck_assert_int_eq(answer_of(false), REVOCATION_NO);
}
END_TEST

/* ---- watermarks ---- */

static const struct {
    const char *value;
    int64_t issued_at;
    enum revocation_answer answer;
} watermarks[] = {
    { "1763999999", ISSUED, REVOCATION_NO },
    { "1764000000", ISSUED, REVOCATION_YES }, /* the same second: nobody can tell */
    { "1764000001", ISSUED, REVOCATION_YES },
    { "1", REVOCATION_NO_IAT, REVOCATION_YES }, /* the token does not say */
    { "", ISSUED, REVOCATION_UNKNOWN },
    { "soon", ISSUED, REVOCATION_UNKNOWN },
    { "1763999999 ", ISSUED, REVOCATION_UNKNOWN },
    { "-1", ISSUED, REVOCATION_UNKNOWN },
    { "99999999999999999999", ISSUED, REVOCATION_UNKNOWN },
};

START_TEST(a_watermark_revokes_what_was_issued_by_then)
{
    names.kinds[REVOCATION_SUB] = SLICE("alice");
    names.issued_at = watermarks[_i].issued_at;
    start();
    set("blocklist:before:sub:alice", watermarks[_i].value);
    ck_assert_int_eq(answer_of(false), watermarks[_i].answer);
    ck_assert_int_eq(answer_of(true), REVOCATION_NO); /* nobody has told the filter */
    revocation_filter_add(filter, SLICE("blocklist:before:sub:alice"));
    ck_assert_int_eq(answer_of(true), watermarks[_i].answer);
}
END_TEST

START_TEST(each_kind_of_watermark_is_looked_for)
{
    static const char *const keys[] = { "blocklist:before:sub:v", "blocklist:before:client:v",
                                        "blocklist:before:kid:v", "blocklist:before:iss:v" };

    start();
    set(keys[_i], "1764000000");
    for (unsigned kind = 0; kind < REVOCATION_KINDS; kind++) {
        memset(names.kinds, 0, sizeof(names.kinds));
        names.kinds[kind] = SLICE("v");
        ck_assert_int_eq(answer_of(false), kind == (unsigned)_i ? REVOCATION_YES : REVOCATION_NO);
    }
    for (unsigned kind = 0; kind < REVOCATION_KINDS; kind++) {
        names.kinds[kind] = SLICE("v");
    }
    ck_assert_int_eq(answer_of(false), REVOCATION_YES);
}
END_TEST

/* A key of a type that is none of ours: nobody can say what it means. */
START_TEST(a_watermark_of_another_type_is_no_answer)
{
    names.kinds[REVOCATION_SUB] = SLICE("alice");
    start();
    ck_assert_int_eq(redis_command("HSET", "blocklist:before:sub:alice", "f", "v", NULL), 1);
    ck_assert_int_eq(answer_of(false), REVOCATION_UNKNOWN);
    expect_counts(0, 0, 0, 0, 1);
}
END_TEST

START_TEST(a_revoked_jti_counts_beside_a_watermark_that_is_no_answer)
{
    names.kinds[REVOCATION_SUB] = SLICE("alice");
    start();
    set("blocklist:before:sub:alice", "soon");
    set("blocklist:jti:a", "anything");
    ck_assert_int_eq(answer_of(false), REVOCATION_YES);
}
END_TEST

/* ---- nobody can tell ---- */

START_TEST(a_redis_that_stands_still_is_no_answer)
{
    settings.client.command_timeout_ms = 100;
    start();
    kill(server.pid, SIGSTOP);
    ck_assert_int_eq(answer_of(false), REVOCATION_UNKNOWN);
    kill(server.pid, SIGCONT);
    expect_counts(0, 0, 0, 0, 1);
}
END_TEST

START_TEST(a_redis_that_is_gone_is_no_answer)
{
    start();
    redis_server_kill(&server);
    ck_assert_int_eq(answer_of(false), REVOCATION_UNKNOWN);
    RUN_UNTIL(!redis_is_ready(worker->redis));
    ck_assert_int_eq(answer_of(false), REVOCATION_UNKNOWN);
    ck_assert_int_eq(answer_of(true), REVOCATION_NO); /* while the lease runs */
    atomic_store(&filter->lease_ns, 0);
    ck_assert_int_eq(answer_of(true), REVOCATION_UNKNOWN);
    expect_counts(1, 0, 0, 0, 3);
}
END_TEST

START_TEST(more_questions_than_the_queue_has_place_for_are_no_answer)
{
    struct revocation_lookup many[8] = { 0 };

    settings.client.max_queue = 4;
    start();
    kill(server.pid, SIGSTOP);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_int_eq(revocation_lookup_start(&many[i], worker, &names, false),
                         i < 4 ? REVOCATION_LATER : REVOCATION_UNKNOWN);
    }
    kill(server.pid, SIGCONT);
    RUN_UNTIL(fake_host_woken == 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(revocation_lookup_answer(&many[i]), REVOCATION_NO);
        revocation_lookup_end(&many[i]);
    }
    expect_counts(0, 0, 0, 4, 4);
}
END_TEST

/* ---- who asked has gone ---- */

START_TEST(a_lookup_may_end_in_each_state)
{
    names.kinds[REVOCATION_SUB] = SLICE("alice");
    start();
    set("blocklist:before:sub:alice", "1764000000"); /* two rounds of questions */
    ck_assert_int_eq(start_lookup(false), REVOCATION_LATER);
    for (int i = 0; i < _i; i++) {
        turn();
    }
    unsigned woken = fake_host_woken;
    drop_lookup();
    for (unsigned i = 0; i < 30; i++) {
        turn();
    }
    ck_assert_uint_eq(fake_host_woken, woken);
    ck_assert_int_eq(answer_of(false), REVOCATION_YES);
}
END_TEST

START_TEST(one_that_was_never_started_may_end)
{
    struct revocation_lookup none = { 0 };

    revocation_lookup_end(&none);
}
END_TEST

/* ---- the local store ---- */

static struct offload *offload;
static struct local_store *store;
static unsigned kept;

static void on_kept(void *arg, int err)
{
    ck_assert_int_eq(err, 0);
    kept++;
}

static void open_local(void)
{
    struct local_store_options options = { .map_bytes = 1 << 20,
                                           .max_map_bytes = 1 << 20,
                                           .purge_interval_ms = 3600000 };
    char error[LOCAL_STORE_ERROR_BYTES];

    offload = offload_new(1, 4);
    ck_assert_int_eq(local_store_open(&options, loop, offload, &store, error), 0);
    kept = 0;
}

static void keep(const char *key, int64_t value)
{
    struct local_entry entry = { slice_str(key), value, in_seconds(600) };
    unsigned before = kept;

    ck_assert_int_eq(local_store_put(store, &entry, 1, on_kept, NULL), 0);
    RUN_UNTIL(kept > before);
}

/* Before the store: it may not be asked any more. */
static void close_local(void)
{
    drop_lookup();
    revocation_worker_free(worker);
    worker = NULL;
    offload_free(offload);
    local_store_close(store);
    loop_turn(loop, false);
}

START_TEST(without_redis_the_local_store_answers_at_once)
{
    open_local();
    settings.redis.url = SLICE_ABSENT;
    names.kinds[REVOCATION_ISS] = SLICE("i");
    start();
    ck_assert_int_eq(start_lookup(true), REVOCATION_NO); /* it has none yet: nothing is revoked */
    publish_local(store);
    ck_assert_int_eq(start_lookup(true), REVOCATION_NO);
    keep("blocklist:before:iss:i", ISSUED - 1);
    ck_assert_int_eq(start_lookup(true), REVOCATION_NO);
    keep("blocklist:before:iss:i", ISSUED);
    ck_assert_int_eq(start_lookup(true), REVOCATION_YES);
    names.kinds[REVOCATION_ISS] = SLICE("j");
    ck_assert_int_eq(start_lookup(false), REVOCATION_NO);
    keep("blocklist:jti:a", 1);
    ck_assert_int_eq(start_lookup(false), REVOCATION_YES);
    expect_counts(4, 2, 0, 0, 0);
    close_local();
}
END_TEST

START_TEST(a_store_that_nobody_has_told_of_is_no_answer)
{
    settings.redis.url = SLICE_ABSENT;
    ck_assert_int_eq(revocation_worker_new(gw_process_worker(&process), NULL, &settings, &worker),
                     0);
    ck_assert_int_eq(start_lookup(true), REVOCATION_UNKNOWN);
    expect_counts(0, 0, 0, 0, 1);
}
END_TEST

/* Redis may have lost it. */
START_TEST(what_was_revoked_here_holds_whatever_redis_says)
{
    open_local();
    start();
    publish_local(store);
    keep("blocklist:jti:a", 1);
    revocation_filter_add(filter, SLICE("blocklist:jti:a"));
    ck_assert_int_eq(start_lookup(true), REVOCATION_YES);
    ck_assert_int_eq(start_lookup(false), REVOCATION_YES);
    atomic_store(&filter->lease_ns, 0);
    ck_assert_int_eq(start_lookup(true), REVOCATION_YES);
    redis_server_kill(&server);
    ck_assert_int_eq(start_lookup(false), REVOCATION_YES);
    expect_counts(0, 4, 0, 0, 0);
    close_local();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/lookup");
    TCase *tcase = tcase_create("lookup");

    tcase_set_timeout(tcase, 50);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_filters_no_needs_no_redis);
    tcase_add_test(tcase, the_filters_maybe_is_confirmed);
    tcase_add_test(tcase, without_a_lease_redis_is_asked);
    tcase_add_test(tcase, without_a_filter_redis_is_asked);
    tcase_add_test(tcase, who_does_not_trust_the_filter_asks_redis);
    tcase_add_test(tcase, the_filter_of_another_server_ends_what_the_old_one_was_asked);
    tcase_add_loop_test(tcase, a_watermark_revokes_what_was_issued_by_then, 0,
                        sizeof(watermarks) / sizeof(watermarks[0]));
    tcase_add_loop_test(tcase, each_kind_of_watermark_is_looked_for, 0, REVOCATION_KINDS);
    tcase_add_test(tcase, a_watermark_of_another_type_is_no_answer);
    tcase_add_test(tcase, a_revoked_jti_counts_beside_a_watermark_that_is_no_answer);
    tcase_add_test(tcase, a_redis_that_stands_still_is_no_answer);
    tcase_add_test(tcase, a_redis_that_is_gone_is_no_answer);
    tcase_add_test(tcase, more_questions_than_the_queue_has_place_for_are_no_answer);
    tcase_add_loop_test(tcase, a_lookup_may_end_in_each_state, 0, 6);
    tcase_add_test(tcase, one_that_was_never_started_may_end);
    tcase_add_test(tcase, without_redis_the_local_store_answers_at_once);
    tcase_add_test(tcase, a_store_that_nobody_has_told_of_is_no_answer);
    tcase_add_test(tcase, what_was_revoked_here_holds_whatever_redis_says);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
