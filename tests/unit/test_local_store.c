/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "plugins/revocation/local_store.h"

#include <check.h>

#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "tests/support/local_store_fixture.h"

START_TEST(an_entry_is_found_once_it_was_acknowledged)
{
    int64_t value = 0;

    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(find("jti:a", &value), ERR_NOT_FOUND);
    ck_assert_int_eq(put("jti:a", 1, in_an_hour()), 0);
    ck_assert_int_eq(find("jti:a", &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_int_eq(find("jti:b", &value), ERR_NOT_FOUND);
    ck_assert_uint_eq(local_store_count(store), 1);
}
END_TEST

static bool keep_end(void *arg, const struct local_entry *entry)
{
    *(int64_t *)arg = entry->expires_at;
    return true;
}

START_TEST(an_entry_is_never_shortened)
{
    int64_t value = 0, end = 0, later = in_an_hour();

    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(put("k", 5, later), 0);
    ck_assert_int_eq(put("k", 3, later - 1000), 0);
    ck_assert_int_eq(find("k", &value), 0);
    ck_assert_int_eq(value, 5);
    ck_assert_int_eq(local_store_visit(store, SLICE(""), keep_end, &end), 0);
    ck_assert_int_eq(end, later);
    ck_assert_int_eq(put("k", 4, later + 1000), 0);
    ck_assert_int_eq(local_store_visit(store, SLICE(""), keep_end, &end), 0);
    ck_assert_int_eq(end, later + 1000);
    ck_assert_int_eq(find("k", &value), 0);
    ck_assert_int_eq(value, 5);
}
END_TEST

START_TEST(bad_keys_are_refused)
{
    char key[LOCAL_STORE_MAX_KEY + 2];
    int64_t value;

    ck_assert_int_eq(open_store(), 0);
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    ck_assert_int_eq(put("", 1, in_an_hour()), ERR_BAD_INPUT);
    ck_assert_int_eq(put(key, 1, in_an_hour()), ERR_BAD_INPUT);
    ck_assert_int_eq(find(key, &value), ERR_BAD_INPUT);
    key[LOCAL_STORE_MAX_KEY] = '\0';
    ck_assert_int_eq(put(key, 1, in_an_hour()), 0);
    ck_assert_int_eq(find(key, &value), 0);
}
END_TEST

START_TEST(the_map_grows_while_others_read)
{
    int64_t value;

    ck_assert_int_eq(open_store(), 0);
    for (unsigned i = 0; i < 40; i++) {
        put_many(i * 500, 500, in_an_hour());
        ck_assert(run_until(i + 1));
        ck_assert_int_eq(answer.err, 0);
        ck_assert_int_eq(find("jti:00000499-00000000", &value), 0);
    }
    ck_assert_uint_eq(local_store_count(store), 20000);
    stop();
    start();
    ck_assert_int_eq(open_store(), 0); /* with the first, small size */
    ck_assert_int_eq(find("jti:00000499-00000000", &value), 0);
    ck_assert_int_eq(put("one more", 1, in_an_hour()), 0);
}
END_TEST

START_TEST(a_cancelled_put_is_kept_and_says_nothing)
{
    struct local_entry first = { SLICE("jti:a"), 1, in_an_hour() };
    struct local_entry second = { SLICE("jti:b"), 1, in_an_hour() };
    int64_t value;

    ck_assert_int_eq(open_store(), 0);
    /* The first is being written already, the second waits for the next commit. */
    ck_assert_int_eq(local_store_put(store, &first, 1, on_put, &first), 0);
    ck_assert_int_eq(local_store_put(store, &second, 1, on_put, &second), 0);
    local_store_cancel(store, &first);
    local_store_cancel(store, &second);
    ck_assert_int_eq(put("jti:c", 1, in_an_hour()), 0);
    ck_assert_uint_eq(answer.count, 1);
    ck_assert_int_eq(find("jti:a", &value), 0);
    ck_assert_int_eq(find("jti:b", &value), 0);
}
END_TEST

START_TEST(a_full_store_says_so_and_keeps_what_it_has)
{
    int64_t value;
    unsigned i = 0;

    options.max_map_bytes = options.map_bytes;
    ck_assert_int_eq(open_store(), 0);
    do {
        put_many(i * 500, 500, in_an_hour());
        ck_assert(run_until(++i));
    } while (answer.err == 0 && i < 100);
    ck_assert_int_eq(answer.err, ERR_TOO_BIG);
    ck_assert_int_eq(find("jti:00000499-00000000", &value), 0);
    ck_assert_uint_eq(local_store_count(store), (i - 1) * 500);
}
END_TEST

START_TEST(expired_entries_leave_by_themselves)
{
    int64_t value;

    options.purge_interval_ms = 20;
    ck_assert_int_eq(open_store(), 0);
    put_many(0, 500, (int64_t)time(NULL) - 1);
    ck_assert_int_eq(put("stays", 1, in_an_hour()), 0);
    for (unsigned i = 0; i < 20000 && local_store_count(store) > 1; i++) {
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    ck_assert_uint_eq(local_store_count(store), 1);
    ck_assert_int_eq(find("stays", &value), 0);
}
END_TEST

/* Both clocks go on together. */
static void pass_time(uint64_t *monotonic_ms, int64_t wall_s, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 50) {
        *monotonic_ms += 50;
        clock_set(*monotonic_ms, ((uint64_t)wall_s * 1000 + i) * 1000);
        for (unsigned turn = 0; turn < 5; turn++) {
            loop_turn(loop, false);
            poll(NULL, 0, 1);
        }
    }
}

/* What runs on the pool has its own pace. */
static bool comes_to_count(uint64_t count)
{
    for (unsigned i = 0; i < 20000 && local_store_count(store) != count; i++) {
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    return local_store_count(store) == count;
}

START_TEST(a_clock_that_jumps_does_not_make_entries_leave)
{
    uint64_t monotonic_ms = 1000000;
    int64_t wall_s = 1764000000;

    options.purge_interval_ms = 50;
    options.clock_hold_ms = 1000;
    clock_set(monotonic_ms, (uint64_t)wall_s * 1000000);
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(put("a", 1, wall_s + 3600), 0);
    ck_assert_int_eq(put("over", 1, wall_s - 10), 0);
    pass_time(&monotonic_ms, wall_s, 500);
    ck_assert_uint_eq(local_store_count(store), 2); /* nobody knows yet how steady it is */
    pass_time(&monotonic_ms, wall_s, 2000);
    ck_assert(comes_to_count(1));
    for (unsigned i = 0; i < 3; i++) {
        pass_time(&monotonic_ms, wall_s + 7200, 800);
        pass_time(&monotonic_ms, wall_s, 2000);
        ck_assert_uint_eq(local_store_count(store), 1);
    }
    pass_time(&monotonic_ms, wall_s + 7200, 2500);
    ck_assert(comes_to_count(0));
    clock_unset();
}
END_TEST

START_TEST(many_puts_of_one_moment_share_commits)
{
    ck_assert_int_eq(open_store(), 0);
    uint64_t begin = clock_precise_ns();
    for (unsigned i = 0; i < 1000; i++) {
        put_many(i, 1, in_an_hour());
    }
    ck_assert(run_until(1000));
    ck_assert_int_eq(answer.err, 0);
    ck_assert_uint_lt((clock_precise_ns() - begin) / 1000000, 20000);
    ck_assert_uint_eq(local_store_count(store), 1000);
}
END_TEST

START_TEST(closing_with_puts_that_wait_is_quiet)
{
    ck_assert_int_eq(open_store(), 0);
    for (unsigned i = 0; i < 10; i++) {
        put_many(i, 1, in_an_hour());
    }
    stop();
    ck_assert_uint_eq(answer.count, 0);
    start();
}
END_TEST

static bool count_behind(void *arg, const struct local_entry *entry)
{
    (*(unsigned *)arg)++;
    return true;
}

START_TEST(entries_behind_a_key_are_visited)
{
    static const char *const keys[] = { "a", "b", "b1", "c" };
    static const struct {
        const char *after;
        unsigned count;
    } rows[] = { { "", 4 }, { "a", 3 }, { "b", 2 }, { "b0", 2 }, { "c", 0 }, { "d", 0 } };

    ck_assert_int_eq(open_store(), 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(put(keys[i], 1, in_an_hour()), 0);
    }
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned count = 0;
        ck_assert_int_eq(local_store_visit(store, slice_str(rows[i].after), count_behind, &count),
                         0);
        ck_assert_uint_eq(count, rows[i].count);
    }
}
END_TEST

START_TEST(a_store_without_a_folder_lasts_as_long_as_it_is_open)
{
    int64_t value = 0;

    options.folder = NULL;
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(put("a", 7, in_an_hour()), 0);
    ck_assert_int_eq(find("a", &value), 0);
    ck_assert_int_eq(value, 7);
    stop();
    start();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(find("a", &value), ERR_NOT_FOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/local_store");
    TCase *tcase = tcase_create("local_store");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_entry_is_found_once_it_was_acknowledged);
    tcase_add_test(tcase, an_entry_is_never_shortened);
    tcase_add_test(tcase, bad_keys_are_refused);
    tcase_add_test(tcase, the_map_grows_while_others_read);
    tcase_add_test(tcase, a_cancelled_put_is_kept_and_says_nothing);
    tcase_add_test(tcase, a_full_store_says_so_and_keeps_what_it_has);
    tcase_add_test(tcase, expired_entries_leave_by_themselves);
    tcase_add_test(tcase, a_clock_that_jumps_does_not_make_entries_leave);
    tcase_add_test(tcase, many_puts_of_one_moment_share_commits);
    tcase_add_test(tcase, closing_with_puts_that_wait_is_quiet);
    tcase_add_test(tcase, entries_behind_a_key_are_visited);
    tcase_add_test(tcase, a_store_without_a_folder_lasts_as_long_as_it_is_open);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
