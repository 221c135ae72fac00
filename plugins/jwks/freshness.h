/* SPDX-License-Identifier: Apache-2.0 */
/* How long a fetched set is fresh (RFC 9111 section 4.2) and when to try again.  Pure. */
#pragma once

#include "core/slice.h"

#include <stdint.h>

struct freshness_fields { /* absent: not sent */
    struct slice cache_control, expires, date, age;
};

/* Milliseconds from now, in [min_ms, max_ms]; max_ms when the server does not say. */
uint64_t freshness_lifetime_ms(const struct freshness_fields *fields, uint64_t min_ms,
                               uint64_t max_ms, int64_t unix_now);
/* When to refresh a set of this lifetime: at about 80 % of it, spread by `random`. */
uint64_t freshness_refresh_ms(uint64_t lifetime_ms, uint64_t random);
/* The pause after `failures` (1: the first) in a row: doubles from 1 s to 60 s, spread by `random`. */
uint64_t freshness_backoff_ms(unsigned failures, uint64_t random);
