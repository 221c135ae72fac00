/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/loop.h"

#include <check.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static struct loop *loop;
static char trace[64]; /* what ran, one letter each */
static size_t trace_len;

static void note(char c)
{
    if (trace_len + 1 < sizeof(trace)) {
        trace[trace_len++] = c;
        trace[trace_len] = '\0';
    }
}

static void setup(void)
{
    trace_len = 0;
    trace[0] = '\0';
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
    loop_free(loop);
    clock_unset();
}

struct named_timer {
    struct loop_timer timer;
    char name;
};

static void on_timer(struct loop_timer *timer)
{
    note(((struct named_timer *)timer)->name);
}

static void on_timer_again(struct loop_timer *timer)
{
    note('a');
    ck_assert_int_eq(loop_timer_set(loop, timer, clock_ms()), 0);
}

static void advance_to(uint64_t ms)
{
    clock_set(ms, ms * 1000u);
    loop_turn(loop, false);
}

START_TEST(timers_run_in_the_order_of_their_deadlines)
{
    struct named_timer t[] = { { { .fn = on_timer }, 'c' },
                               { { .fn = on_timer }, 'a' },
                               { { .fn = on_timer }, 'b' } };

    clock_set(1000, 0);
    ck_assert_int_eq(loop_timer_set(loop, &t[0].timer, 1300), 0);
    ck_assert_int_eq(loop_timer_set(loop, &t[1].timer, 1100), 0);
    ck_assert_int_eq(loop_timer_set(loop, &t[2].timer, 1200), 0);
    advance_to(1099);
    ck_assert_str_eq(trace, "");
    advance_to(1100);
    ck_assert_str_eq(trace, "a");
    advance_to(5000);
    ck_assert_str_eq(trace, "abc");
    advance_to(9000);
    ck_assert_str_eq(trace, "abc");
    ck_assert_uint_ge(loop_take_lag_us(loop), 3800000);
}
END_TEST

START_TEST(a_timer_can_be_moved_to_later_and_to_earlier)
{
    struct named_timer t = { { .fn = on_timer }, 'x' };

    clock_set(1000, 0);
    ck_assert_int_eq(loop_timer_set(loop, &t.timer, 1100), 0);
    ck_assert_int_eq(loop_timer_set(loop, &t.timer, 1500), 0);
    advance_to(1200);
    ck_assert_str_eq(trace, "");
    ck_assert_int_eq(loop_timer_set(loop, &t.timer, 1300), 0);
    advance_to(1299);
    ck_assert_str_eq(trace, "");
    advance_to(1300);
    ck_assert_str_eq(trace, "x");
}
END_TEST

START_TEST(a_cleared_or_removed_timer_does_not_run)
{
    struct named_timer t[] = { { { .fn = on_timer }, 'x' }, { { .fn = on_timer }, 'y' } };

    clock_set(1000, 0);
    ck_assert_int_eq(loop_timer_set(loop, &t[0].timer, 1100), 0);
    ck_assert_int_eq(loop_timer_set(loop, &t[1].timer, 1100), 0);
    loop_timer_clear(&t[0].timer);
    loop_timer_remove(loop, &t[1].timer);
    loop_timer_remove(loop, &t[1].timer);
    advance_to(2000);
    ck_assert_str_eq(trace, "");
    ck_assert_uint_eq(t[0].timer.armed_ms, 0);
}
END_TEST

START_TEST(a_timer_that_sets_itself_to_now_lets_the_turn_end)
{
    struct loop_timer timer = { .fn = on_timer_again };

    clock_set(1000, 0);
    ck_assert_int_eq(loop_timer_set(loop, &timer, 500), 0);
    advance_to(1000);
    ck_assert_str_eq(trace, "a");
    advance_to(1001);
    ck_assert_str_eq(trace, "aa");
    loop_timer_remove(loop, &timer);
}
END_TEST

START_TEST(many_timers_keep_their_order)
{
    enum { COUNT = 1000 };
    struct named_timer *t = (struct named_timer *)calloc(COUNT, sizeof(*t));
    ck_assert_ptr_nonnull(t);

    clock_set(1, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        t[i].timer.fn = on_timer;
        t[i].name = '.';
        ck_assert_int_eq(loop_timer_set(loop, &t[i].timer, 10 + i * 7919u % COUNT), 0);
    }
    for (unsigned i = 0; i < COUNT; i += 3) {
        loop_timer_remove(loop, &t[i].timer);
    }
    for (unsigned now = 10; now < 10 + COUNT; now++) {
        trace_len = 0;
        advance_to(now);
        ck_assert_uint_le(trace_len, 1);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(t[i].timer.armed_ms, 0);
    }
    free(t);
}
END_TEST

START_TEST(a_real_timer_wakes_the_loop)
{
    struct named_timer t = { { .fn = on_timer }, 'x' };
    uint64_t start_ms = clock_ms();

    ck_assert_int_eq(loop_timer_set(loop, &t.timer, start_ms + 20), 0);
    while (trace_len == 0) {
        loop_turn(loop, true);
    }
    ck_assert_uint_ge(clock_ms(), start_ms + 20);
    ck_assert_uint_lt(clock_ms(), start_ms + 20000);
}
END_TEST

struct named_call {
    struct loop_call call;
    struct loop_grave grave;
    unsigned again;
    char name;
};

static void on_call(struct loop_call *call)
{
    struct named_call *named = (struct named_call *)call;

    note(named->name);
    if (named->again > 0) {
        named->again--;
        loop_defer(loop, call);
    }
}

static void bury(void *ptr)
{
    note('+');
    free(ptr);
}

START_TEST(deferred_calls_run_once_and_in_order)
{
    struct named_call a = { .call.fn = on_call, .name = 'a' };
    struct named_call b = { .call.fn = on_call, .name = 'b' };

    loop_defer(loop, &a.call);
    loop_defer(loop, &b.call);
    loop_defer(loop, &a.call);
    loop_turn(loop, true); /* does not block: there is something to do */
    ck_assert_str_eq(trace, "ab");
    loop_turn(loop, false);
    ck_assert_str_eq(trace, "ab");
}
END_TEST

START_TEST(a_call_that_defers_itself_for_ever_does_not_hold_the_turn)
{
    struct named_call a = { .call.fn = on_call, .name = 'a', .again = 1000000 };

    loop_defer(loop, &a.call);
    loop_turn(loop, true);
    ck_assert_uint_lt(trace_len, 20);
    a.again = 0;
    loop_turn(loop, true);
    ck_assert(!a.call.queued);
}
END_TEST

START_TEST(graves_are_freed_after_the_calls_and_cancelled_calls_do_not_run)
{
    struct named_call *dead = (struct named_call *)calloc(1, sizeof(*dead));
    struct named_call b = { .call.fn = on_call, .name = 'b' };

    ck_assert_ptr_nonnull(dead);
    dead->call.fn = on_call;
    dead->name = 'x';
    loop_defer(loop, &dead->call);
    loop_call_cancel(&dead->call);
    loop_free_later(loop, &dead->grave, dead, bury);
    loop_defer(loop, &b.call);
    loop_turn(loop, false);
    ck_assert_str_eq(trace, "b+");
}
END_TEST

START_TEST(a_cancelled_call_can_be_deferred_again)
{
    struct named_call a = { .call.fn = on_call, .name = 'a' };

    loop_defer(loop, &a.call);
    loop_call_cancel(&a.call);
    loop_defer(loop, &a.call);
    loop_turn(loop, false);
    ck_assert_str_eq(trace, "a");
}
END_TEST

static unsigned mails;

static void on_mail(void *arg)
{
    unsigned *expected = (unsigned *)arg;

    ck_assert_uint_eq(*expected, mails);
    free(expected);
    if (++mails == 1000) {
        loop_stop(loop);
    }
}

static void *post_many(void *arg)
{
    for (unsigned i = 0; i < 1000; i++) {
        unsigned *number = (unsigned *)malloc(sizeof(*number));
        if (number != NULL) {
            *number = i;
            (void)loop_post(loop, on_mail, number);
        }
    }
    return NULL;
}

START_TEST(mail_from_another_thread_arrives_in_order)
{
    pthread_t thread;

    mails = 0;
    ck_assert_int_eq(pthread_create(&thread, NULL, post_many, NULL), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(mails, 1000);
}
END_TEST

static void *stop_it(void *arg)
{
    loop_stop(loop);
    return NULL;
}

START_TEST(another_thread_stops_the_loop)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, stop_it, NULL), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
}
END_TEST

static void on_signal(int signo, void *arg)
{
    note(*(char *)arg);
    ck_assert_int_eq(signo, SIGUSR1);
}

START_TEST(a_signal_is_delivered_on_the_loop)
{
    char name = 's';

    ck_assert_int_eq(loop_on_signal(loop, SIGUSR1, on_signal, &name), 0);
    raise(SIGUSR1);
    for (unsigned i = 0; i < 5 && trace_len == 0; i++) {
        loop_turn(loop, false);
    }
    ck_assert_str_eq(trace, "s");
}
END_TEST

static void on_watch(struct loop_watch *watch)
{
    note('w');
}

START_TEST(a_watch_runs_while_the_descriptor_is_readable)
{
    struct loop_watch watch = { .fn = on_watch };
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_eq(loop_watch_start(loop, &watch, fds[0]), 0);
    loop_turn(loop, false);
    ck_assert_str_eq(trace, "");
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
    loop_turn(loop, true);
    loop_turn(loop, true);
    ck_assert_str_eq(trace, "ww");
    loop_watch_stop(&watch);
    loop_turn(loop, false);
    ck_assert_str_eq(trace, "ww");
    ck_assert_int_eq(loop_watch_start(loop, &watch, fds[0]), 0);
    loop_turn(loop, true);
    ck_assert_str_eq(trace, "www");
    loop_watch_done(&watch);
    loop_watch_done(&watch);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop");
    TCase *tc = tcase_create("loop");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, timers_run_in_the_order_of_their_deadlines);
    tcase_add_test(tc, a_timer_can_be_moved_to_later_and_to_earlier);
    tcase_add_test(tc, a_cleared_or_removed_timer_does_not_run);
    tcase_add_test(tc, a_timer_that_sets_itself_to_now_lets_the_turn_end);
    tcase_add_test(tc, many_timers_keep_their_order);
    tcase_add_test(tc, a_real_timer_wakes_the_loop);
    tcase_add_test(tc, deferred_calls_run_once_and_in_order);
    tcase_add_test(tc, a_call_that_defers_itself_for_ever_does_not_hold_the_turn);
    tcase_add_test(tc, graves_are_freed_after_the_calls_and_cancelled_calls_do_not_run);
    tcase_add_test(tc, a_cancelled_call_can_be_deferred_again);
    tcase_add_test(tc, mail_from_another_thread_arrives_in_order);
    tcase_add_test(tc, another_thread_stops_the_loop);
    tcase_add_test(tc, a_watch_runs_while_the_descriptor_is_readable);
    tcase_add_test(tc, a_signal_is_delivered_on_the_loop);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
