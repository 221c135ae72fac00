/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/freshness.h"

#include <check.h>

#define NOW 1764000000 /* Mon, 24 Nov 2025 16:00:00 GMT */

static const struct {
    const char *cache_control, *expires, *date, *age;
    uint64_t ms;
} lifetimes[] = {
    { NULL, NULL, NULL, NULL, 600000 },
    { "max-age=120", NULL, NULL, NULL, 120000 },
    { "public, MAX-AGE=120, must-revalidate", NULL, NULL, NULL, 120000 },
    { "max-age=\"120\"", NULL, NULL, NULL, 120000 },
    { "max-age=120", NULL, NULL, "20", 100000 },
    { "max-age=120", NULL, NULL, "200", 30000 },
    { "max-age=0", NULL, NULL, NULL, 30000 },
    { "max-age=1", NULL, NULL, NULL, 30000 },
    { "max-age=99999999999999999999", NULL, NULL, NULL, 600000 },
    { "max-age=-5", NULL, NULL, NULL, 600000 },
    { "max-age=x", NULL, NULL, NULL, 600000 },
    { "no-store", NULL, NULL, NULL, 30000 },
    { "no-cache, max-age=500", NULL, NULL, NULL, 30000 },
    { "private", NULL, NULL, NULL, 600000 },
    { ",,", NULL, NULL, NULL, 600000 },
    { NULL, "Mon, 24 Nov 2025 16:01:40 GMT", NULL, NULL, 100000 },
    { NULL, "Mon, 24 Nov 2025 15:01:40 GMT", "Mon, 24 Nov 2025 15:00:00 GMT", NULL, 100000 },
    { NULL, "Mon, 24 Nov 2025 15:00:00 GMT", NULL, NULL, 30000 },
    { NULL, "0", NULL, NULL, 30000 },
    { "max-age=60", "Mon, 24 Nov 2025 16:05:00 GMT", NULL, NULL, 60000 },
};

START_TEST(the_life_of_a_set_is_clamped)
{
    struct freshness_fields fields = { .cache_control = slice_str(lifetimes[_i].cache_control),
                                       .expires = slice_str(lifetimes[_i].expires),
                                       .date = slice_str(lifetimes[_i].date),
                                       .age = slice_str(lifetimes[_i].age) };

    ck_assert_uint_eq(freshness_lifetime_ms(&fields, 30000, 600000, NOW), lifetimes[_i].ms);
}
END_TEST

START_TEST(refreshes_are_ahead_and_spread)
{
    for (uint64_t random = 0; random < 100; random++) {
        uint64_t ms = freshness_refresh_ms(100000, random);

        ck_assert(ms >= 75000 && ms <= 85000);
    }
    ck_assert(freshness_refresh_ms(100000, 1) != freshness_refresh_ms(100000, 2));
}
END_TEST

START_TEST(pauses_double_up_to_a_minute)
{
    uint64_t full = 1000;

    for (unsigned failures = 1; failures < 100; failures++) {
        ck_assert_uint_eq(freshness_backoff_ms(failures, 0), full / 2);
        ck_assert(freshness_backoff_ms(failures, UINT64_MAX) <= full);
        full = full * 2 > 60000 ? 60000 : full * 2;
    }
}
END_TEST

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("freshness");
    TCase *tcase = tcase_create("freshness");

    tcase_add_loop_test(tcase, the_life_of_a_set_is_clamped, 0, COUNT(lifetimes));
    tcase_add_test(tcase, refreshes_are_ahead_and_spread);
    tcase_add_test(tcase, pauses_double_up_to_a_minute);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
