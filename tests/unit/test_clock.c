/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

START_TEST(times_are_formatted_as_rfc3339)
{
    static const struct {
        uint64_t us;
        const char *text;
    } vectors[] = {
        { 0, "1970-01-01T00:00:00.000000Z" },
        { 1, "1970-01-01T00:00:00.000001Z" },
        { UINT64_C(951782400000000), "2000-02-29T00:00:00.000000Z" },
        { UINT64_C(951868799999999), "2000-02-29T23:59:59.999999Z" },
        { UINT64_C(951868800000000), "2000-03-01T00:00:00.000000Z" },
        { UINT64_C(1795515072123456), "2026-11-24T10:11:12.123456Z" },
        { UINT64_C(4107542400000000), "2100-03-01T00:00:00.000000Z" },
        { UINT64_C(4107456000000000), "2100-02-28T00:00:00.000000Z" },
        { UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
        { UINT64_MAX, "9999-12-31T23:59:59.999999Z" },
    };
    char text[CLOCK_RFC3339_BYTES];

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ck_assert_uint_eq(clock_format_rfc3339(vectors[i].us, text), strlen(vectors[i].text));
        ck_assert_str_eq(text, vectors[i].text);
    }
}
END_TEST

START_TEST(dates_agree_with_the_system)
{
    char text[CLOCK_RFC3339_BYTES], expected[CLOCK_RFC3339_BYTES];

    for (int64_t day = 0; day < 150000; day += 11) {
        time_t seconds = (time_t)(day * 86400 + 3661);
        struct tm tm;
        ck_assert_ptr_nonnull(gmtime_r(&seconds, &tm));
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
        clock_format_rfc3339((uint64_t)seconds * 1000000u, text);
        ck_assert_str_eq(text, expected);
    }
}
END_TEST

START_TEST(set_clocks_stay_until_unset)
{
    clock_set(5000, 7000000);
    clock_update();
    ck_assert_uint_eq(clock_ms(), 5000);
    ck_assert_uint_eq(clock_unix_us(), 7000000);
    ck_assert_int_eq(clock_unix(), 7);
    clock_unset();
    ck_assert_int_ge(clock_unix(), 1700000000);
}
END_TEST

START_TEST(cached_time_moves_only_with_update)
{
    clock_update();
    uint64_t before = clock_ms();
    uint64_t start = clock_precise_ns();
    while (clock_precise_ns() - start < 3000000) {
    }
    ck_assert_uint_eq(clock_ms(), before);
    clock_update();
    ck_assert_uint_gt(clock_ms(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tc = tcase_create("clock");

    tcase_add_test(tc, times_are_formatted_as_rfc3339);
    tcase_add_test(tc, dates_agree_with_the_system);
    tcase_add_test(tc, set_clocks_stay_until_unset);
    tcase_add_test(tc, cached_time_moves_only_with_update);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
