/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/freshness.h"

#include <stdio.h>
#include <time.h>

#define BACKOFF_FIRST_MS 1000u
#define BACKOFF_LAST_MS  60000u

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = slice_skip(text, 1);
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* Digits, also in quotes; what is larger than any lifetime here counts as that. */
static bool read_seconds(struct slice text, int64_t *ret)
{
    int64_t value = 0;

    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"') {
        text = slice_of(text.ptr + 1, text.len - 2);
    }
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value > INT32_MAX ? INT32_MAX : value * 10 + (text.ptr[i] - '0');
    }
    *ret = value;
    return true;
}

/* IMF-fixdate (RFC 9110 section 5.6.7). */
static bool read_date(struct slice text, int64_t *ret)
{
    char copy[64];
    struct tm tm = { 0 };
    const char *end;

    if (slice_is_absent(text) || text.len >= sizeof(copy)) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (end == NULL || *end != '\0') {
        return false;
    }
    *ret = (int64_t)timegm(&tm);
    return true;
}

/* Seconds by Cache-Control; false: it does not say. no-store and no-cache: 0. */
static bool cache_control_seconds(struct slice text, int64_t *ret)
{
    const struct slice max_age = SLICE("max-age=");
    bool found = false;

    while (!slice_is_absent(text) && text.len > 0) {
        const char *comma = memchr(text.ptr, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.ptr);
        struct slice word = trim(slice_of(text.ptr, len));

        text = slice_skip(text, len + 1);
        if (slice_eq_nocase(word, SLICE("no-store")) || slice_eq_nocase(word, SLICE("no-cache"))) {
            *ret = 0;
            return true;
        }
        if (word.len > max_age.len && slice_eq_nocase(slice_of(word.ptr, max_age.len), max_age)) {
            found = read_seconds(slice_skip(word, max_age.len), ret) || found;
        }
    }
    return found;
}

static int64_t expires_seconds(const struct freshness_fields *fields, int64_t unix_now)
{
    int64_t expires, date = unix_now;

    if (!read_date(fields->expires, &expires)) {
        return 0; /* "0" and other nonsense: expired already */
    }
    (void)!read_date(fields->date, &date);
    return expires - date;
}

uint64_t freshness_lifetime_ms(const struct freshness_fields *fields, uint64_t min_ms,
                               uint64_t max_ms, int64_t unix_now)
{
    int64_t seconds = 0, age = 0;
    uint64_t ms;

    if (!cache_control_seconds(fields->cache_control, &seconds)) {
        if (slice_is_absent(fields->expires)) {
            return max_ms;
        }
        seconds = expires_seconds(fields, unix_now);
    }
    if (!slice_is_absent(fields->age) && read_seconds(trim(fields->age), &age)) {
        seconds -= age;
    }
    ms = seconds <= 0 ? 0 : (uint64_t)seconds * 1000u;
    ms = ms < min_ms ? min_ms : ms;
    return ms > max_ms ? max_ms : ms;
}

uint64_t freshness_refresh_ms(uint64_t lifetime_ms, uint64_t random)
{
    uint64_t percent = 75u + random % 11u;

    return lifetime_ms * percent / 100u;
}

uint64_t freshness_backoff_ms(unsigned failures, uint64_t random)
{
    uint64_t pause = BACKOFF_FIRST_MS;

    for (unsigned i = 1; i < failures && pause < BACKOFF_LAST_MS; i++) {
        pause *= 2;
    }
    pause = pause > BACKOFF_LAST_MS ? BACKOFF_LAST_MS : pause;
    return pause / 2 + random % (pause / 2 + 1);
}
