/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop of one thread, on libevent (event_base without locks).
 *
 * Turn: one round of event callbacks, then the deferred calls, then the deferred frees.
 * Timer: a deadline (monotonic ms) with a callback.  Setting a timer to a later time than it is
 * armed for costs two stores; it is re-armed lazily when it fires early.  Timers run after the
 * event callbacks of a turn, never early, on an idle loop a few ms late (libevent's coarse clock).
 * Mailbox: how another thread hands work to this one.
 *
 * Everything but loop_post() and loop_stop() must be called from the loop's own thread. */
#pragma once

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event;
struct event_base;
struct evdns_base;
struct block_pool;
struct loop;
struct loop_timer;
struct loop_call;

typedef void loop_timer_fn(struct loop_timer *timer);
typedef void loop_call_fn(struct loop_call *call);

struct loop_timer { /* embedded in its owner; zeroed is valid and unset */
    loop_timer_fn *fn;
    uint64_t deadline_ms; /* when fn shall run; 0: not set */
    uint64_t armed_ms;    /* position in the heap; 0: not in it */
    size_t heap_index;
};

struct loop_call { /* embedded in its owner; a call to be made at the end of this turn */
    loop_call_fn *fn;
    struct loop_call *next;
    bool queued;
    bool cancelled;
};

struct loop *loop_new(void); /* NULL: no memory */
void loop_free(struct loop *loop);
/* Run until loop_stop(); returns after the turn in which it was seen. */
void loop_run(struct loop *loop);
/* Run one turn; with `wait` block until something happens.  Nothing inside of a turn. */
void loop_turn(struct loop *loop, bool wait);
/* Each event callback calls this first: the first one of a turn updates the clock. */
void loop_turn_begin(struct loop *loop);
void loop_stop(struct loop *loop); /* any thread */

/* For core/stream.c, core/resolve.c, core/fetch.c: the libevent handles. */
struct event_base *loop_base(struct loop *loop);
/* The pool of 16 KiB blocks (core/buf.h) of this thread. */
struct block_pool *loop_pool(struct loop *loop);

/* (Re)set; `deadline_ms` in the past runs in the next turn.  ERR_NO_MEMORY only when the heap must
 * grow; loop_timer_reserve() makes room beforehand. */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms) MUST_CHECK;
/* Give it a place in the heap, so that the next loop_timer_set() cannot fail (until it has run). */
int loop_timer_reserve(struct loop *loop, struct loop_timer *timer) MUST_CHECK;
/* Does not run any more, stays cheap to set again. */
static inline void loop_timer_clear(struct loop_timer *timer)
{
    timer->deadline_ms = 0;
}
/* Take it out of the loop: before its memory is freed. */
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);

/* Call fn once, after the event callbacks of this turn; nothing if it is queued already. */
void loop_defer(struct loop *loop, struct loop_call *call);
/* A queued call does not run (its memory must live until the end of the turn: loop_free_later()). */
void loop_call_cancel(struct loop_call *call);

/* Free `ptr` with `free_fn` at the end of this turn, after the deferred calls.  `link` is memory
 * inside the object. */
struct loop_grave {
    struct loop_grave *next;
    void *ptr;
    void (*free_fn)(void *ptr);
};
void loop_free_later(struct loop *loop, struct loop_grave *link, void *ptr,
                     void (*free_fn)(void *ptr));

/* Any thread: run fn(arg) on the loop's thread in a later turn, in order.  False when the loop is
 * gone or memory is short: fn will not run. */
bool loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Call fn in each turn in which a descriptor that is no stream (a listener, a pipe) is readable.
 * Embedded in its owner; zeroed but for fn is valid and unset. */
struct loop_watch;
typedef void loop_watch_fn(struct loop_watch *watch);
struct loop_watch {
    loop_watch_fn *fn;
    struct loop *loop;
    struct event *event;
    int fd;
};
/* Start, or go on after loop_watch_stop() (then with the same fd). */
int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd) MUST_CHECK;
void loop_watch_stop(struct loop_watch *watch); /* may be started again */
void loop_watch_done(struct loop_watch *watch); /* before fd is closed or the memory freed */

/* Call fn on a signal (control thread only). */
int loop_on_signal(struct loop *loop, int signo, void (*fn)(int signo, void *arg),
                   void *arg) MUST_CHECK;

/* How late the last timer ran, in microseconds, and the longest turn since the last call. */
uint64_t loop_take_lag_us(struct loop *loop);
