/* SPDX-License-Identifier: Apache-2.0 */
#include "core/offload.h"

#include <check.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

struct counted {
    struct offload_job job;
    pthread_t worked_on; /* written before the loop is posted to */
    unsigned order;      /* in which `done` ran, from 1; 0: it has not */
};

static struct loop *loop;
static unsigned done_count;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint started;

static void setup(void)
{
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    done_count = 0;
    atomic_store(&started, 0);
}

static void teardown(void)
{
    loop_free(loop);
}

static void work(struct offload_job *job)
{
    ((struct counted *)(void *)job)->worked_on = pthread_self();
}

static void work_behind_the_gate(struct offload_job *job)
{
    atomic_fetch_add(&started, 1);
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    work(job);
}

static void done(struct offload_job *job)
{
    ((struct counted *)(void *)job)->order = ++done_count;
}

static void wait_for(unsigned count)
{
    while (done_count < count) {
        loop_turn(loop, true);
    }
}

START_TEST(a_job_is_worked_on_elsewhere_and_handed_back_here)
{
    struct offload *offload = offload_new(2, 100);
    struct counted jobs[50] = { 0 };

    ck_assert_ptr_nonnull(offload);
    for (unsigned i = 0; i < 50; i++) {
        jobs[i].job = (struct offload_job){ .work = work, .done = done };
        ck_assert_int_eq(offload_submit(offload, loop, &jobs[i].job), 0);
    }
    ck_assert_uint_eq(done_count, 0); /* never inside the call */
    wait_for(50);
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_uint_ge(jobs[i].order, 1);
        ck_assert(!pthread_equal(jobs[i].worked_on, pthread_self()));
    }
    offload_free(offload);
}
END_TEST

START_TEST(one_thread_keeps_the_order)
{
    struct offload *offload = offload_new(1, 100);
    struct counted jobs[20] = { 0 };

    for (unsigned i = 0; i < 20; i++) {
        jobs[i].job = (struct offload_job){ .work = work, .done = done };
        ck_assert_int_eq(offload_submit(offload, loop, &jobs[i].job), 0);
    }
    wait_for(20);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_uint_eq(jobs[i].order, i + 1);
    }
    offload_free(offload);
}
END_TEST

START_TEST(a_full_queue_is_an_error_and_takes_again_later)
{
    struct offload *offload = offload_new(1, 2);
    struct counted jobs[4] = { 0 };

    for (unsigned i = 0; i < 4; i++) {
        jobs[i].job = (struct offload_job){ .work = work_behind_the_gate, .done = done };
    }
    pthread_mutex_lock(&gate);
    ck_assert_int_eq(offload_submit(offload, loop, &jobs[0].job), 0);
    while (atomic_load(&started) == 0) { /* it waits no longer: the thread has it */
    }
    ck_assert_int_eq(offload_submit(offload, loop, &jobs[1].job), 0);
    ck_assert_int_eq(offload_submit(offload, loop, &jobs[2].job), 0);
    ck_assert_int_eq(offload_submit(offload, loop, &jobs[3].job), ERR_BUSY);
    pthread_mutex_unlock(&gate);
    wait_for(3);
    ck_assert_uint_eq(jobs[3].order, 0);
    ck_assert_int_eq(offload_submit(offload, loop, &jobs[3].job), 0);
    wait_for(4);
    offload_free(offload);
}
END_TEST

START_TEST(what_was_submitted_ends_before_the_threads_do)
{
    struct offload *offload = offload_new(2, 100);
    struct counted jobs[30] = { 0 };

    for (unsigned i = 0; i < 30; i++) {
        jobs[i].job = (struct offload_job){ .work = work, .done = done };
        ck_assert_int_eq(offload_submit(offload, loop, &jobs[i].job), 0);
    }
    offload_free(offload);
    ck_assert_uint_eq(done_count, 0);
    wait_for(30); /* in later turns of the loop */
    offload_free(NULL);
}
END_TEST

static int job_nice;

static void look_at_priority(struct offload_job *job)
{
    job_nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    work(job);
}

START_TEST(background_threads_give_way_to_the_loop)
{
    struct offload *(*const makers[])(unsigned threads,
                                      unsigned max_jobs) = { offload_new, offload_new_background };
    int nice[2];

    for (unsigned i = 0; i < 2; i++) {
        struct offload *offload = makers[i](1, 1);
        struct counted one = { .job = { .work = look_at_priority, .done = done } };

        ck_assert_int_eq(offload_submit(offload, loop, &one.job), 0);
        wait_for(i + 1);
        nice[i] = job_nice;
        offload_free(offload);
    }
    ck_assert_int_eq(nice[0], getpriority(PRIO_PROCESS, (id_t)gettid()));
    ck_assert_int_gt(nice[1], nice[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("offload");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_job_is_worked_on_elsewhere_and_handed_back_here);
    tcase_add_test(tc, one_thread_keeps_the_order);
    tcase_add_test(tc, a_full_queue_is_an_error_and_takes_again_later);
    tcase_add_test(tc, what_was_submitted_ends_before_the_threads_do);
    tcase_add_test(tc, background_threads_give_way_to_the_loop);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
