/* SPDX-License-Identifier: Apache-2.0 */
/* Time.  Monotonic milliseconds for deadlines, wall time for tokens and logs.  Both are cached per
 * thread and refreshed once per loop turn by clock_update(), so reading them costs nothing. */
#pragma once

#include <stdint.h>

/* Read the system clocks into this thread's cache.  Called by the loop. */
void clock_update(void);

uint64_t clock_ms(void);      /* CLOCK_MONOTONIC, cached */
uint64_t clock_unix_us(void); /* CLOCK_REALTIME, microseconds, cached */
static inline int64_t clock_unix(void)
{
    return (int64_t)(clock_unix_us() / 1000000u);
}

/* Uncached monotonic nanoseconds, for durations. */
uint64_t clock_precise_ns(void);

/* Tests and `explain --at`: replace both clocks of this thread until clock_unset(). */
void clock_set(uint64_t monotonic_ms, uint64_t unix_us);
void clock_unset(void);

#define CLOCK_RFC3339_BYTES 28 /* "2026-11-24T10:11:12.123456Z" and NUL */
/* Write `unix_us` as RFC 3339 UTC with microseconds; the length without NUL. */
unsigned clock_format_rfc3339(uint64_t unix_us, char ret_text[CLOCK_RFC3339_BYTES]);
