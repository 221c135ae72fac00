/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/failure_limit.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

static const struct failure_rate rate = { .failures = 5, .per_ms = 10000 };
static struct failure_limit *limit;

static void setup(void)
{
    limit = failure_limit_new();
    ck_assert_ptr_nonnull(limit);
}

static void teardown(void)
{
    failure_limit_free(limit);
}

static uint64_t wait_of(const char *name, uint64_t now_ms)
{
    return failure_limit_wait_ms(limit, 'c', slice_str(name), &rate, now_ms);
}

static void add(const char *name, unsigned times, uint64_t now_ms)
{
    for (unsigned i = 0; i < times; i++) {
        failure_limit_add(limit, 'c', slice_str(name), &rate, now_ms);
    }
}

START_TEST(a_limit_is_reached_and_forgiven_step_by_step)
{
    ck_assert_uint_eq(wait_of("a", 1000), 0);
    add("a", 4, 1000);
    ck_assert_uint_eq(wait_of("a", 1000), 0);
    add("a", 1, 1000);
    ck_assert_uint_eq(wait_of("a", 1000), 2000);
    ck_assert_uint_eq(wait_of("a", 2999), 1);
    ck_assert_uint_eq(wait_of("a", 3000), 0);
    add("a", 1, 3000);
    ck_assert_uint_eq(wait_of("a", 3000), 2000);
    ck_assert_uint_eq(wait_of("a", 100000), 0);
    add("a", 4, 100000);
    ck_assert_uint_eq(wait_of("a", 100000), 0);
}
END_TEST

START_TEST(names_and_kinds_are_apart)
{
    add("a", 5, 1000);
    ck_assert_uint_gt(wait_of("a", 1000), 0);
    ck_assert_uint_eq(wait_of("b", 1000), 0);
    ck_assert_uint_eq(wait_of("", 1000), 0);
    ck_assert_uint_eq(failure_limit_wait_ms(limit, 'a', SLICE("a"), &rate, 1000), 0);
}
END_TEST

/* 100,000 other names, which is many times the table's size. */
START_TEST(failing_under_other_names_does_not_help)
{
    char name[32];

    add("victim", 5, 1000);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "other-%u", i);
        add(name, 1, 1000);
    }
    ck_assert_uint_eq(wait_of("victim", 1000), 2000);
}
END_TEST

START_TEST(a_rate_faster_than_the_clock_still_counts)
{
    const struct failure_rate fast = { .failures = 1000000, .per_ms = 1000 };

    failure_limit_add(limit, 'c', SLICE("a"), &fast, 1000);
    ck_assert_uint_eq(failure_limit_wait_ms(limit, 'c', SLICE("a"), &fast, 1000), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("failure_limit");
    TCase *cases = tcase_create("failure_limit");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_limit_is_reached_and_forgiven_step_by_step);
    tcase_add_test(cases, names_and_kinds_are_apart);
    tcase_add_test(cases, failing_under_other_names_does_not_help);
    tcase_add_test(cases, a_rate_faster_than_the_clock_still_counts);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
