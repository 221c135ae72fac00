/* SPDX-License-Identifier: Apache-2.0 */
/* How often somebody has failed lately.  One table for all threads, of a fixed size: an entry is a keyed
 * hash of a name and a time (the "generic cell rate algorithm": each failure pushes the time on by a
 * fixed step, and the clock catches up).  Where room is short the entry that would be forgotten first
 * gives way, so that failing under many names does not clear the one that is over its limit. */
#pragma once

#include "core/slice.h"

#include <stdint.h>

struct failure_limit;

/* So many failures at once are the limit; one is forgiven every per_ms / failures. */
struct failure_rate {
    uint64_t failures, per_ms;
};

struct failure_limit *failure_limit_new(void);        /* NULL: no memory */
void failure_limit_free(struct failure_limit *limit); /* NULL is fine */

/* Names of different `kind` are different.  What is refused because of the limit is not added to it.  Any
 * thread. */
void failure_limit_add(struct failure_limit *limit, char kind, struct slice name,
                       const struct failure_rate *rate, uint64_t now_ms);
/* 0: under the limit; else the milliseconds until it is. */
uint64_t failure_limit_wait_ms(struct failure_limit *limit, char kind, struct slice name,
                               const struct failure_rate *rate, uint64_t now_ms);
