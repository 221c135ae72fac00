/* SPDX-License-Identifier: Apache-2.0 */
#include "core/priority.h"

#include <check.h>

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

struct run {
    void (*fn)(void);
    int before, after; /* nice */
};

static int nice_of_thread(void)
{
    errno = 0;
    int value = getpriority(PRIO_PROCESS, (id_t)gettid());

    ck_assert_int_eq(errno, 0);
    return value;
}

static void *in_thread(void *arg)
{
    struct run *run = arg;

    run->before = nice_of_thread();
    run->fn();
    run->after = nice_of_thread();
    return NULL;
}

static struct run run_in_thread(void (*fn)(void))
{
    struct run run = { .fn = fn };
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, in_thread, &run), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return run;
}

START_TEST(who_serves_keeps_its_weight)
{
    struct run run = run_in_thread(priority_serve);

    ck_assert_int_eq(run.after, run.before);
}
END_TEST

START_TEST(who_burns_has_less_weight_than_who_started_it)
{
    struct run run = run_in_thread(priority_give_way);

    ck_assert_int_eq(run.after, run.before + 15 < 19 ? run.before + 15 : 19);
    ck_assert_int_eq(nice_of_thread(), run.before); /* its own thread only */
}
END_TEST

static void give_way_twice(void)
{
    priority_give_way();
    priority_give_way();
    priority_let_others();
}

START_TEST(there_is_a_least_weight)
{
    ck_assert_int_eq(run_in_thread(give_way_twice).after, 19);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("priority");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, who_serves_keeps_its_weight);
    tcase_add_test(tc, who_burns_has_less_weight_than_who_started_it);
    tcase_add_test(tc, there_is_a_least_weight);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
