/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/steady_clock.h"

int64_t steady_clock_earliest(struct steady_clock *clock, unsigned hold_ms, uint64_t monotonic_ms,
                              int64_t unix_s)
{
    int64_t monotonic_s = (int64_t)(monotonic_ms / 1000), ahead = unix_s - monotonic_s;

    if (!clock->has_begun || monotonic_ms - clock->since_ms >= hold_ms) {
        clock->has_previous = clock->has_begun;
        clock->previous = clock->lowest;
        clock->has_begun = true;
        clock->since_ms = monotonic_ms;
        clock->lowest = ahead;
    }
    clock->lowest = ahead < clock->lowest ? ahead : clock->lowest;
    if (!clock->has_previous) {
        return INT64_MIN;
    }
    return monotonic_s + (clock->lowest < clock->previous ? clock->lowest : clock->previous);
}
