/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <stdbool.h>
#include <time.h>

static _Thread_local struct {
    uint64_t monotonic_ms;
    uint64_t unix_us;
    bool read;  /* the values are there */
    bool fixed; /* clock_set() */
} cache;

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
    struct timespec now = { 0 };

    (void)clock_gettime(id, &now); /* cannot fail for these clocks */
    return (uint64_t)now.tv_sec * per_second +
           (uint64_t)now.tv_nsec / (UINT64_C(1000000000) / per_second);
}

void clock_update(void)
{
    if (cache.fixed) {
        return;
    }
    cache.monotonic_ms = read_clock(CLOCK_MONOTONIC, 1000);
    cache.unix_us = read_clock(CLOCK_REALTIME, 1000000);
    cache.read = true;
}

uint64_t clock_ms(void)
{
    if (!cache.read) {
        clock_update();
    }
    return cache.monotonic_ms;
}

uint64_t clock_unix_us(void)
{
    if (!cache.read) {
        clock_update();
    }
    return cache.unix_us;
}

uint64_t clock_precise_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, UINT64_C(1000000000));
}

void clock_set(uint64_t monotonic_ms, uint64_t unix_us)
{
    cache.monotonic_ms = monotonic_ms;
    cache.unix_us = unix_us;
    cache.read = true;
    cache.fixed = true;
}

void clock_unset(void)
{
    cache.fixed = false;
    clock_update();
}

/* Days since 1970 to a date.  Years are counted from March, so that the leap day comes last; 400
 * years ("era") have 146097 days. */
static void split_days(uint64_t days, unsigned *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    uint64_t shifted = days + 719468; /* since 0000-03-01 */
    uint64_t era = shifted / 146097;
    unsigned day_of_era = (unsigned)(shifted % 146097);
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */

    *ret_day = day_of_year - (153 * month + 2) / 5 + 1;
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (unsigned)(era * 400) + year_of_era + (*ret_month <= 2 ? 1 : 0);
}

static char *put_digits(char *at, unsigned value, unsigned count, char behind)
{
    for (unsigned i = count; i > 0; i--) {
        at[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    at[count] = behind;
    return at + count + 1;
}

unsigned clock_format_rfc3339(uint64_t unix_us, char ret_text[CLOCK_RFC3339_BYTES])
{
    const uint64_t last_us = UINT64_C(253402300799999999); /* 9999-12-31T23:59:59.999999Z */
    unsigned year, month, day;

    if (unix_us > last_us) {
        unix_us = last_us;
    }
    uint64_t seconds = unix_us / 1000000;
    unsigned of_day = (unsigned)(seconds % 86400);
    split_days(seconds / 86400, &year, &month, &day);

    char *at = ret_text;
    at = put_digits(at, year, 4, '-');
    at = put_digits(at, month, 2, '-');
    at = put_digits(at, day, 2, 'T');
    at = put_digits(at, of_day / 3600, 2, ':');
    at = put_digits(at, of_day / 60 % 60, 2, ':');
    at = put_digits(at, of_day % 60, 2, '.');
    at = put_digits(at, (unsigned)(unix_us % 1000000), 6, 'Z');
    *at = '\0';
    return CLOCK_RFC3339_BYTES - 1;
}
