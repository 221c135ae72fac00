/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap of timers by the time that they are armed for, the earliest on top.  Timers are borrowed:
 * out of the heap before their memory is freed.  Of one loop, whose file is the only user. */
#pragma once

#include "core/loop.h"

struct timer_heap { /* zeroed is empty */
    struct loop_timer **timers;
    size_t count, capacity;
};

static inline struct loop_timer *timer_heap_top(const struct timer_heap *heap) /* NULL: empty */
{
    return heap->count == 0 ? NULL : heap->timers[0];
}
/* One that is not in a heap (its armed_ms is 0). `armed_ms`: not 0.  ERR_NO_MEMORY. */
int timer_heap_add(struct timer_heap *heap, struct loop_timer *timer, uint64_t armed_ms) MUST_CHECK;
/* One that is in this heap: to another time; out of it. */
void timer_heap_move(struct timer_heap *heap, struct loop_timer *timer, uint64_t armed_ms);
void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer);
void timer_heap_done(struct timer_heap *heap);
