/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock, as long as it runs steadily.  A clock that was set forward, and is set right later, must not
 * make a revocation end: time has passed only when both clocks say so for a while.  Pure; owned by whoever
 * embeds it, on that one's thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How far the wall clock is before the monotonic one: when it is set, that jumps.  Zeroed: nothing is known. */
struct steady_clock {
    bool has_begun, has_previous;
    uint64_t since_ms;        /* `lowest` is of the time since then */
    int64_t lowest, previous; /* seconds; `previous`: of the hold_ms before */
};

/* To be called often.  The earliest Unix time that it can be now, by the least that the wall clock was before the
 * monotonic one within the last one to two `hold_ms`; INT64_MIN: it has not been watched for so long. */
int64_t steady_clock_earliest(struct steady_clock *clock, unsigned hold_ms, uint64_t monotonic_ms,
                              int64_t unix_s);
