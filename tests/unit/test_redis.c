/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a real server. */
#include "core/clock.h"
#include "core/redis.h"

#include <check.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/redis_client_fixture.h"

START_TEST(commands_are_answered_in_order)
{
    struct answer answers[3] = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answers[0], "SET", "a", "1"), 0);
    ck_assert_int_eq(ask(&answers[1], "EXISTS", "a", NULL), 0);
    ck_assert_int_eq(ask(&answers[2], "GET", "b", NULL), 0);
    ck_assert_uint_eq(answers[0].count, 0);
    ck_assert(run_until(&answers[2].count, 1));
    ck_assert_int_eq(answers[0].type, REDIS_IS_STATUS);
    ck_assert_str_eq(answers[0].text, "OK");
    ck_assert_int_eq(answers[1].integer, 1);
    ck_assert_int_eq(answers[2].type, REDIS_IS_NIL);
}
END_TEST

START_TEST(commands_of_one_turn_leave_in_one_write)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    run_for(5);
    uint64_t before = redis_write_count(redis);
    for (unsigned i = 0; i < options.max_queue; i++) {
        ck_assert_int_eq(ask(&answer, "EXISTS", "a", NULL), 0);
    }
    ck_assert(run_until(&answer.count, options.max_queue));
    ck_assert_uint_eq(redis_write_count(redis), before + 1);
}
END_TEST

START_TEST(a_command_waits_for_the_first_connection)
{
    struct answer answer = { 0 };

    with_server("");
    while (ask(&answer, "PING", NULL, NULL) == ERR_CONNECT) {
        loop_turn(loop, false);
    }
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_str_eq(answer.text, "PONG");
}
END_TEST

START_TEST(password_and_database_are_used)
{
    struct answer answer = { 0 };

    ck_assert(redis_server_start(&server, "long-secret"));
    options.password = SLICE("long-secret");
    options.username = SLICE("default");
    ck_assert_int_eq(redis_read_url(slice_str(server.url), &options.address), 0);
    options.address.database = 3;
    redis = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answer, "CLIENT", "LIST", NULL), 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_eq(answer.type, REDIS_IS_STRING);
}
END_TEST

START_TEST(a_wrong_password_never_becomes_ready)
{
    struct answer answer = { 0 };

    options.password = SLICE("wrong");
    with_server("long-secret");
    ck_assert(run_until(&seen.lost, 2));
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_CONNECT);
}
END_TEST

START_TEST(a_full_queue_is_busy)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    for (unsigned i = 0; i < options.max_queue; i++) {
        ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    }
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_BUSY);
    ck_assert(run_until(&answer.count, options.max_queue));
}
END_TEST

START_TEST(a_cancelled_command_does_not_call_back)
{
    struct answer first = { 0 }, second = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&first, "PING", NULL, NULL), 0);
    ck_assert_int_eq(ask(&second, "PING", NULL, NULL), 0);
    redis_cancel(redis, &first);
    ck_assert(run_until(&second.count, 1));
    ck_assert_uint_eq(first.count, 0);
}
END_TEST

START_TEST(the_client_may_be_freed_in_a_callback)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    free_in_callback = true;
    ck_assert(run_until(&answer.count, 1));
    run_for(20);
    ck_assert_uint_eq(answer.count, 1);
}
END_TEST

START_TEST(a_killed_server_fails_what_is_pending_and_comes_back)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    kill(server.pid, SIGSTOP);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    run_for(10);
    redis_server_kill(&server);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_lt(answer.err, 0);
    ck_assert(run_until(&seen.lost, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_CONNECT);
    ck_assert(redis_server_again(&server, ""));
    ck_assert(run_until(&seen.ready, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert(run_until(&answer.count, 2));
    ck_assert_int_eq(answer.err, 0);
}
END_TEST

START_TEST(a_stopped_server_misses_the_deadline_and_the_connection_is_gone)
{
    struct answer answer = { 0 };

    options.command_timeout_ms = 100;
    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    kill(server.pid, SIGSTOP);
    uint64_t start = clock_precise_ns();
    ck_assert_int_eq(ask(&answer, "SET", "a", "1"), 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_eq(answer.err, ERR_TIMEOUT);
    ck_assert_uint_lt((clock_precise_ns() - start) / 1000000, 10000);
    ck_assert_uint_eq(seen.lost, 1);
    kill(server.pid, SIGCONT);
    ck_assert(run_until(&seen.ready, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert(run_until(&answer.count, 2));
    ck_assert_str_eq(answer.text, "PONG"); /* not the late answer of SET */
}
END_TEST

START_TEST(what_is_answered_waits_for_the_slowest_of_its_write)
{
    struct answer quick = { 0 }, slow = { 0 };
    struct slice set[3] = { SLICE("SET"), SLICE("a"), SLICE("1") };
    struct slice wait[3] = { SLICE("WAIT"), SLICE("1"), SLICE("300") }; /* there is no replica */

    options.command_timeout_ms = 100;
    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(redis_send(redis, 3, set, on_answer, &quick), 0);
    ck_assert_int_eq(redis_send_within(redis, 20000, 3, wait, on_answer, &slow), 0);
    ck_assert(run_until(&slow.count, 1));
    ck_assert_uint_eq(seen.lost, 0);
    ck_assert_int_eq(quick.err, 0);
    ck_assert_int_eq(slow.err, 0);
    ck_assert_int_eq(slow.integer, 0);
}
END_TEST

START_TEST(a_reconnect_is_at_once_and_commands_wait_for_it)
{
    struct answer before = { 0 }, after = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&before, "PING", NULL, NULL), 0);
    redis_reconnect(redis);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(before.count, 1);
    ck_assert_int_eq(before.err, ERR_RESET);
    ck_assert_int_eq(ask(&after, "PING", NULL, NULL), 0);
    ck_assert(run_until(&after.count, 1));
    ck_assert_int_eq(after.err, 0);
    ck_assert_uint_eq(seen.ready, 2);
}
END_TEST

START_TEST(messages_of_a_subscription_are_pushed)
{
    struct answer subscribed = { 0 }, published = { 0 };
    struct redis *other;

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    redis_expect_messages(redis);
    ck_assert_int_eq(ask(&subscribed, "SUBSCRIBE", "news", NULL), 0);
    ck_assert(run_until(&subscribed.count, 1));
    ck_assert_int_eq(subscribed.type, REDIS_IS_ARRAY);
    other = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert(run_until(&seen.ready, 2));
    struct slice argv[3] = { SLICE("PUBLISH"), SLICE("news"), SLICE("hello") };
    ck_assert_int_eq(redis_send(other, 3, argv, on_answer, &published), 0);
    ck_assert(run_until(&seen.pushed, 1));
    ck_assert_str_eq(seen.message, "hello");
    ck_assert_uint_eq(subscribed.count, 1);
    ck_assert(run_until(&published.count, 1));
    redis_free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/redis");
    TCase *real = tcase_create("a real server");

    tcase_add_checked_fixture(real, setup, teardown);
    tcase_set_timeout(real, 120);
    tcase_add_test(real, commands_are_answered_in_order);
    tcase_add_test(real, commands_of_one_turn_leave_in_one_write);
    tcase_add_test(real, a_command_waits_for_the_first_connection);
    tcase_add_test(real, password_and_database_are_used);
    tcase_add_test(real, a_wrong_password_never_becomes_ready);
    tcase_add_test(real, a_full_queue_is_busy);
    tcase_add_test(real, a_cancelled_command_does_not_call_back);
    tcase_add_test(real, the_client_may_be_freed_in_a_callback);
    tcase_add_test(real, a_killed_server_fails_what_is_pending_and_comes_back);
    tcase_add_test(real, a_stopped_server_misses_the_deadline_and_the_connection_is_gone);
    tcase_add_test(real, what_is_answered_waits_for_the_slowest_of_its_write);
    tcase_add_test(real, a_reconnect_is_at_once_and_commands_wait_for_it);
    tcase_add_test(real, messages_of_a_subscription_are_pushed);
    suite_add_tcase(suite, real);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
