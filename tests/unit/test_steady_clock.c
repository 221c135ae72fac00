/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/steady_clock.h"

#include <check.h>

#define HOLD_MS 10000u
#define BEGIN_S INT64_C(1764000000)

static struct steady_clock watched;
static uint64_t monotonic_ms;

static void setup(void)
{
    watched = (struct steady_clock){ 0 };
    monotonic_ms = 5000;
}

/* For so many seconds, one look in each, while the wall clock is `wrong_s` ahead; the last answer. */
static int64_t watch(unsigned seconds, int64_t wrong_s)
{
    int64_t earliest = INT64_MIN;

    for (unsigned i = 0; i < seconds; i++) {
        monotonic_ms += 1000;
        earliest = steady_clock_earliest(&watched, HOLD_MS, monotonic_ms,
                                         BEGIN_S + (int64_t)(monotonic_ms / 1000) + wrong_s);
    }
    return earliest;
}

static int64_t now(void)
{
    return BEGIN_S + (int64_t)(monotonic_ms / 1000);
}

START_TEST(nothing_is_known_before_it_was_watched)
{
    ck_assert_int_eq(watch(1, 0), INT64_MIN);
    ck_assert_int_eq(watch(9, 0), INT64_MIN);
    ck_assert_int_eq(watch(1, 0), now());
}
END_TEST

START_TEST(a_clock_that_goes_on_is_believed)
{
    ck_assert_int_eq(watch(60, 0), now());
}
END_TEST

START_TEST(a_jump_forward_that_is_taken_back_never_counts)
{
    watch(30, 0);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(watch(9, 3600), now());
        ck_assert_int_eq(watch(3, 0), now());
    }
}
END_TEST

START_TEST(a_jump_forward_that_stays_counts_after_the_hold)
{
    watch(30, 0);
    ck_assert_int_eq(watch(9, 3600), now());
    ck_assert_int_eq(watch(12, 3600), now() + 3600);
}
END_TEST

START_TEST(a_jump_back_counts_at_once)
{
    watch(30, 0);
    ck_assert_int_eq(watch(1, -3600), now() - 3600);
}
END_TEST

START_TEST(a_clock_that_was_wrong_from_the_start_is_right_later)
{
    watch(30, -86400);
    ck_assert_int_eq(watch(25, 0), now());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/steady_clock");
    TCase *tcase = tcase_create("steady_clock");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, nothing_is_known_before_it_was_watched);
    tcase_add_test(tcase, a_clock_that_goes_on_is_believed);
    tcase_add_test(tcase, a_jump_forward_that_is_taken_back_never_counts);
    tcase_add_test(tcase, a_jump_forward_that_stays_counts_after_the_hold);
    tcase_add_test(tcase, a_jump_back_counts_at_once);
    tcase_add_test(tcase, a_clock_that_was_wrong_from_the_start_is_right_later);
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
