/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timer_heap.h"

#include <check.h>

#include <stdlib.h>

#define COUNT 500u

static struct timer_heap heap;
static struct loop_timer timers[COUNT];

static void setup(void)
{
    memset(timers, 0, sizeof(timers));
    srandom(7);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_int_eq(timer_heap_add(&heap, &timers[i], 1 + (uint64_t)random() % 100), 0);
    }
}

static void teardown(void)
{
    timer_heap_done(&heap);
}

/* Take all out: they come in order of time. */
static void assert_order(size_t count)
{
    uint64_t before = 0;

    for (; count > 0; count--) {
        struct loop_timer *top = timer_heap_top(&heap);
        ck_assert_ptr_nonnull(top);
        ck_assert_uint_ge(top->armed_ms, before);
        before = top->armed_ms;
        timer_heap_remove(&heap, top);
        ck_assert_uint_eq(top->armed_ms, 0);
    }
    ck_assert_ptr_null(timer_heap_top(&heap));
}

START_TEST(the_earliest_is_on_top)
{
    assert_order(COUNT);
}
END_TEST

START_TEST(moved_ones_find_their_place)
{
    for (size_t i = 0; i < COUNT; i += 3) {
        timer_heap_move(&heap, &timers[i], 1 + (uint64_t)random() % 200);
    }
    timer_heap_move(&heap, &timers[COUNT - 1], UINT64_MAX); /* has a place, and no time */
    assert_order(COUNT);
}
END_TEST

START_TEST(any_of_them_can_be_removed)
{
    size_t left = COUNT;

    for (size_t i = 0; i < COUNT; i += 2) {
        timer_heap_remove(&heap, &timers[i]);
        left--;
    }
    assert_order(left);
    ck_assert_int_eq(timer_heap_add(&heap, &timers[0], 5), 0); /* and be put back */
    ck_assert_ptr_eq(timer_heap_top(&heap), &timers[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timer_heap");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_earliest_is_on_top);
    tcase_add_test(tc, moved_ones_find_their_place);
    tcase_add_test(tc, any_of_them_can_be_removed);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
