/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mailbox.h"

#include <check.h>

#include <poll.h>
#include <stdint.h>

#define THREADS 4u
#define MAILS   2000u

static struct mailbox box;
static unsigned ran;

static void setup(void)
{
    ran = 0;
    ck_assert_int_eq(mailbox_open(&box), 0);
}

static void teardown(void)
{
    mailbox_close(&box);
}

static bool is_readable(void)
{
    struct pollfd ready = { .fd = box.fd, .events = POLLIN };

    return poll(&ready, 1, 0) == 1;
}

static void count(void *arg)
{
    ck_assert_uint_eq((uintptr_t)arg, ran);
    ran++;
}

static void post_again(void *arg)
{
    ran++;
    ck_assert(mailbox_post(&box, post_again, NULL));
}

START_TEST(mail_runs_in_order_when_it_is_readable)
{
    ck_assert(!is_readable());
    for (uintptr_t i = 0; i < 10; i++) {
        ck_assert(mailbox_post(&box, count, (void *)i));
    }
    ck_assert(is_readable());
    ck_assert_uint_eq(ran, 0);
    mailbox_run(&box);
    ck_assert_uint_eq(ran, 10);
    ck_assert(!is_readable());
}
END_TEST

START_TEST(what_is_posted_meanwhile_runs_the_next_time)
{
    ck_assert(mailbox_post(&box, post_again, NULL));
    mailbox_run(&box);
    ck_assert_uint_eq(ran, 1);
    ck_assert(is_readable());
    mailbox_run(&box);
    ck_assert_uint_eq(ran, 2);
    /* What is left is dropped with it. */
}
END_TEST

START_TEST(it_can_be_woken_without_mail)
{
    mailbox_wake(&box);
    mailbox_wake(&box);
    ck_assert(is_readable());
    mailbox_run(&box);
    ck_assert(!is_readable());
}
END_TEST

static unsigned next_of[THREADS];

struct letter {
    unsigned thread, number;
};
static struct letter letters[THREADS][MAILS];

static void receive(void *arg)
{
    const struct letter *letter = arg;

    ck_assert_uint_eq(letter->number, next_of[letter->thread]++);
    ran++;
}

static void *write_letters(void *arg)
{
    struct letter *own = arg;

    for (unsigned i = 0; i < MAILS; i++) {
        own[i].number = i;
        if (!mailbox_post(&box, receive, &own[i])) {
            return arg;
        }
    }
    return NULL;
}

START_TEST(mail_of_many_threads_arrives_whole_and_each_in_order)
{
    struct pollfd ready = { .fd = box.fd, .events = POLLIN };
    pthread_t threads[THREADS];

    for (unsigned t = 0; t < THREADS; t++) {
        next_of[t] = 0;
        for (unsigned i = 0; i < MAILS; i++) {
            letters[t][i].thread = t;
        }
        ck_assert_int_eq(pthread_create(&threads[t], NULL, write_letters, letters[t]), 0);
    }
    while (ran < THREADS * MAILS) {
        ck_assert_int_eq(poll(&ready, 1, 10000), 1); /* no wake-up is lost */
        mailbox_run(&box);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[t], &failed), 0);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, mail_runs_in_order_when_it_is_readable);
    tcase_add_test(tc, what_is_posted_meanwhile_runs_the_next_time);
    tcase_add_test(tc, it_can_be_woken_without_mail);
    tcase_add_test(tc, mail_of_many_threads_arrives_whole_and_each_in_order);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
