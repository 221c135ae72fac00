/* SPDX-License-Identifier: Apache-2.0 */
/* Revoking from a command: to Redis, to the local store, and what is said when that fails. */
#include "plugins/revocation/writer.h"

#include <check.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/revocation_fixture.h"

#define MANY 1700u /* more than three pages */

static struct revocation_writer *writer;
static char error[REVOCATION_ERROR_BYTES];

static void setup(void)
{
    revocation_setup();
    writer = NULL;
    error[0] = '\0';
}

static void teardown(void)
{
    revocation_writer_close(writer);
    revocation_teardown();
}

static int open_writer(void)
{
    return revocation_writer_open(&settings, process.state_dir, &writer, error);
}

/* _i of the tests that both stores must pass: 0 Redis, 1 the local store. */
static void open_either(int which)
{
    if (which == 1) {
        revocation_without_redis();
    }
    ck_assert_int_eq(open_writer(), 0);
}

static int put(const char *jti, int64_t expires_at)
{
    struct revocation_entry entry = entry_of(jti, expires_at);

    return revocation_writer_put(writer, &entry);
}

static struct found {
    unsigned count, stop_at;
    int64_t value, expires_at; /* of "blocklist:jti:a" */
    bool has_other;
} found;

static bool on_entry(void *arg, const struct local_entry *entry)
{
    found.count++;
    if (slice_eq(entry->key, SLICE("blocklist:jti:a"))) {
        found.value = entry->value;
        found.expires_at = entry->expires_at;
    }
    found.has_other = found.has_other || !slice_starts_with(entry->key, SLICE("blocklist:jti:"));
    return found.count != found.stop_at;
}

static void visit(unsigned stop_at)
{
    found = (struct found){ .stop_at = stop_at };
    ck_assert_int_eq(revocation_writer_visit(writer, on_entry, NULL), 0);
}

START_TEST(what_was_put_is_found)
{
    open_either(_i);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:a")), ERR_NOT_FOUND);
    ck_assert_int_eq(put("a", in_seconds(600)), 0);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:a")), 0);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:b")), ERR_NOT_FOUND);
}
END_TEST

START_TEST(nothing_is_shortened)
{
    open_either(_i);
    ck_assert_int_eq(put("a", in_seconds(5000)), 0);
    ck_assert_int_eq(put("a", in_seconds(100)), 0);
    visit(0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_int_eq(found.value, 1);
    ck_assert_int_ge(found.expires_at, in_seconds(5000 + REVOCATION_SKEW_S - 5));
    ck_assert_int_eq(put("a", in_seconds(9000)), 0);
    visit(0);
    ck_assert_int_ge(found.expires_at, in_seconds(9000 + REVOCATION_SKEW_S - 5));
}
END_TEST

START_TEST(all_entries_are_visited_until_it_is_enough)
{
    open_either(_i);
    for (unsigned i = 0; i < 20; i++) {
        char jti[16];
        snprintf(jti, sizeof(jti), "n%u", i);
        ck_assert_int_eq(put(jti, in_seconds(600)), 0);
    }
    visit(0);
    ck_assert_uint_eq(found.count, 20);
    visit(7);
    ck_assert_uint_eq(found.count, 7);
}
END_TEST

START_TEST(all_pages_of_redis_are_visited_and_nothing_of_others)
{
    ck_assert_int_eq(redis_command("EVAL",
                                   "for i = 1, 1700 do "
                                   "redis.call('SET', 'blocklist:jti:n' .. i, '1', 'EX', 600) "
                                   "redis.call('SET', 'other:n' .. i, '1') "
                                   "redis.call('SET', 'blocklist:heartbeat:x:' .. i, '1') end "
                                   "return 1",
                                   "0", NULL, NULL),
                     1);
    open_either(0);
    visit(0);
    /* SCAN may say a name twice; it must not leave one out. */
    ck_assert_uint_ge(found.count, MANY);
    ck_assert_uint_le(found.count, MANY + MANY / 10);
    ck_assert(!found.has_other);
}
END_TEST

START_TEST(what_another_writer_has_written_is_shown)
{
    ck_assert_int_eq(redis_command("SET", "blocklist:jti:a", "yes", NULL, NULL), -1);
    open_either(0);
    visit(0);
    ck_assert_int_eq(found.value, 0);
    ck_assert_int_eq(found.expires_at, REVOCATION_FOR_EVER);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:a")), 0);
}
END_TEST

START_TEST(a_prefix_is_of_redis_and_not_of_the_names)
{
    settings.redis.prefix = SLICE("app:");
    open_either(0);
    ck_assert_int_eq(put("a", in_seconds(600)), 0);
    ck_assert_int_eq(redis_command("EXISTS", "app:jti:a", NULL, NULL, NULL), 1);
    visit(0);
    ck_assert_uint_eq(found.count, 1);
    ck_assert_int_eq(found.value, 1); /* as blocklist:jti:a */
}
END_TEST

/* The gateway of this machine keeps it, whatever redis loses. */
START_TEST(with_a_state_folder_both_have_it)
{
    struct slice url = settings.redis.url;

    revocation_without_redis(); /* makes the folder */
    settings.redis.url = url;
    ck_assert_int_eq(open_writer(), 0);
    ck_assert_int_eq(put("a", in_seconds(600)), 0);
    ck_assert_int_eq(redis_command("EXISTS", "blocklist:jti:a", NULL, NULL, NULL), 1);
    revocation_writer_close(writer);
    writer = NULL;
    settings.redis.url = SLICE_ABSENT;
    ck_assert_int_eq(open_writer(), 0);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:a")), 0);
}
END_TEST

START_TEST(it_is_there_after_the_end)
{
    open_either(1);
    ck_assert_int_eq(put("a", in_seconds(600)), 0);
    revocation_writer_close(writer);
    writer = NULL;
    ck_assert_int_eq(open_writer(), 0);
    ck_assert_int_eq(revocation_writer_find(writer, SLICE("blocklist:jti:a")), 0);
}
END_TEST

/* ---- mistakes ---- */

START_TEST(without_any_place_it_is_an_error)
{
    settings.redis.url = SLICE_ABSENT;
    ck_assert_int_eq(open_writer(), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(error, "neither server.state_dir nor revocation.redis"));
}
END_TEST

START_TEST(a_redis_that_is_not_there_is_told)
{
    settings.client.connect_timeout_ms = settings.client.command_timeout_ms = 100;
    redis_server_kill(&server);
    ck_assert_int_lt(open_writer(), 0);
    ck_assert_ptr_nonnull(strstr(error, "redis does not let us in: "));
}
END_TEST

START_TEST(a_redis_that_wants_a_password_is_told)
{
    settings.client.connect_timeout_ms = settings.client.command_timeout_ms = 100;
    redis_server_kill(&server);
    ck_assert(redis_server_again(&server, "secret"));
    /* Its time may be over in the middle of an attempt, which has no reason yet. */
    for (unsigned i = 0; i < 3 && strstr(error, "NOAUTH") == NULL; i++) {
        ck_assert_int_lt(open_writer(), 0);
    }
    ck_assert_ptr_nonnull(strstr(error, "NOAUTH"));
}
END_TEST

START_TEST(a_redis_that_goes_is_an_error)
{
    settings.client.connect_timeout_ms = settings.client.command_timeout_ms = 100;
    open_either(0);
    redis_server_kill(&server);
    ck_assert_int_lt(put("a", in_seconds(600)), 0);
    ck_assert_str_ne(revocation_writer_error(writer), "");
    ck_assert_int_ne(revocation_writer_find(writer, SLICE("blocklist:jti:a")), ERR_NOT_FOUND);
    ck_assert_int_lt(revocation_writer_visit(writer, on_entry, NULL), 0);
}
END_TEST

START_TEST(a_redis_that_stands_still_is_an_error)
{
    settings.client.connect_timeout_ms = settings.client.command_timeout_ms = 100;
    open_either(0);
    kill(server.pid, SIGSTOP);
    ck_assert_int_lt(put("a", in_seconds(600)), 0);
    kill(server.pid, SIGCONT);
}
END_TEST

START_TEST(what_redis_refuses_is_told)
{
    ck_assert_int_eq(redis_command("HSET", "blocklist:jti:a", "f", "v", NULL), 1);
    open_either(0);
    ck_assert_int_lt(put("a", in_seconds(600)), 0);
    ck_assert_ptr_nonnull(strstr(revocation_writer_error(writer), "redis says: "));
    ck_assert_ptr_nonnull(strstr(revocation_writer_error(writer), "WRONGTYPE"));
}
END_TEST

START_TEST(a_folder_that_is_not_there_is_told)
{
    settings.redis.url = SLICE_ABSENT;
    process.state_dir = "/proc/nowhere";
    ck_assert_int_lt(open_writer(), 0);
    ck_assert_ptr_nonnull(strstr(error, "/proc/nowhere"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/writer");
    TCase *tcase = tcase_create("writer");

    tcase_set_timeout(tcase, 50);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_was_put_is_found, 0, 2);
    tcase_add_loop_test(tcase, nothing_is_shortened, 0, 2);
    tcase_add_loop_test(tcase, all_entries_are_visited_until_it_is_enough, 0, 2);
    tcase_add_test(tcase, all_pages_of_redis_are_visited_and_nothing_of_others);
    tcase_add_test(tcase, what_another_writer_has_written_is_shown);
    tcase_add_test(tcase, a_prefix_is_of_redis_and_not_of_the_names);
    tcase_add_test(tcase, with_a_state_folder_both_have_it);
    tcase_add_test(tcase, it_is_there_after_the_end);
    tcase_add_test(tcase, without_any_place_it_is_an_error);
    tcase_add_test(tcase, a_redis_that_is_not_there_is_told);
    tcase_add_test(tcase, a_redis_that_wants_a_password_is_told);
    tcase_add_test(tcase, a_redis_that_goes_is_an_error);
    tcase_add_test(tcase, a_redis_that_stands_still_is_an_error);
    tcase_add_test(tcase, what_redis_refuses_is_told);
    tcase_add_test(tcase, a_folder_that_is_not_there_is_told);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
