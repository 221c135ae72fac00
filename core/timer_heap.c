/* SPDX-License-Identifier: Apache-2.0 */
#include "core/timer_heap.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64u

static void put(struct timer_heap *heap, struct loop_timer *timer, size_t at)
{
    heap->timers[at] = timer;
    timer->heap_index = at;
}

static void sift_up(struct timer_heap *heap, struct loop_timer *timer, size_t at)
{
    while (at > 0) {
        size_t above = (at - 1) / 2;
        if (heap->timers[above]->armed_ms <= timer->armed_ms) {
            break;
        }
        put(heap, heap->timers[above], at);
        at = above;
    }
    put(heap, timer, at);
}

static void sift_down(struct timer_heap *heap, struct loop_timer *timer, size_t at)
{
    for (;;) {
        size_t below = 2 * at + 1;
        if (below >= heap->count) {
            break;
        }
        if (below + 1 < heap->count &&
            heap->timers[below + 1]->armed_ms < heap->timers[below]->armed_ms) {
            below++;
        }
        if (timer->armed_ms <= heap->timers[below]->armed_ms) {
            break;
        }
        put(heap, heap->timers[below], at);
        at = below;
    }
    put(heap, timer, at);
}

static int reserve(struct timer_heap *heap)
{
    if (heap->count < heap->capacity) {
        return 0;
    }

    size_t capacity = heap->capacity == 0 ? FIRST_CAPACITY : 2 * heap->capacity;
    struct loop_timer **timers =
        (struct loop_timer **)reallocarray(heap->timers, capacity, sizeof(*timers));
    if (timers == NULL) {
        return ERR_NO_MEMORY;
    }
    heap->timers = timers;
    heap->capacity = capacity;
    return 0;
}

int timer_heap_add(struct timer_heap *heap, struct loop_timer *timer, uint64_t armed_ms)
{
    int err = reserve(heap);

    if (err < 0) {
        return err;
    }
    timer->armed_ms = armed_ms;
    sift_up(heap, timer, heap->count++);
    return 0;
}

void timer_heap_move(struct timer_heap *heap, struct loop_timer *timer, uint64_t armed_ms)
{
    bool is_earlier = armed_ms < timer->armed_ms;

    timer->armed_ms = armed_ms;
    if (is_earlier) {
        sift_up(heap, timer, timer->heap_index);
    } else {
        sift_down(heap, timer, timer->heap_index);
    }
}

void timer_heap_remove(struct timer_heap *heap, struct loop_timer *timer)
{
    size_t at = timer->heap_index;
    struct loop_timer *last = heap->timers[--heap->count];

    timer->armed_ms = 0;
    if (last == timer) {
        return;
    }
    sift_down(heap, last, at);
    sift_up(heap, last, last->heap_index);
}

void timer_heap_done(struct timer_heap *heap)
{
    free(heap->timers);
    *heap = (struct timer_heap){ .timers = NULL };
}
