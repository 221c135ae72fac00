/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mailbox.h"
#include "core/timer_heap.h"

#include <event2/event.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LOOP_KEEP_BLOCKS 256u /* 4 MiB of free blocks stay with the thread */
#define LOOP_CALL_ROUNDS 8u   /* calls that defer calls: this often in one turn */

struct loop_signal {
    struct loop_signal *next;
    struct event *event;
    struct loop *loop;
    void (*fn)(int signo, void *arg);
    void *arg;
};

struct loop {
    struct event_base *base;
    struct block_pool *pool;

    /* the turn */
    bool turn_begun; /* the clock is that of this turn */
    uint64_t turn_start_ns;
    uint64_t lag_us;
    atomic_bool stop;

    /* timers, and one event for the earliest */
    struct timer_heap timers;
    struct event *timer_event;
    uint64_t timer_event_ms; /* what timer_event is set to; 0: not set */
    bool timers_running;

    /* end of the turn */
    struct loop_call *first_call, *last_call;
    struct loop_grave *graves;

    struct mailbox mailbox;
    struct loop_watch mailbox_watch;
    bool in_turn;
    struct loop_signal *signals;
};

void loop_turn_begin(struct loop *loop)
{
    if (loop->turn_begun) {
        return;
    }
    loop->turn_begun = true;
    clock_update();
    loop->turn_start_ns = clock_precise_ns();
}

/* --- mailbox --- */

static void mailbox_on_readable(struct loop_watch *watch)
{
    mailbox_run(&watch->loop->mailbox);
}

bool loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    return mailbox_post(&loop->mailbox, fn, arg);
}

/* --- timers --- */

int loop_timer_reserve(struct loop *loop, struct loop_timer *timer)
{
    return timer->armed_ms != 0 ? 0 : timer_heap_add(&loop->timers, timer, UINT64_MAX);
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms)
{
    /* A timer that sets itself to the past while timers run must not keep the turn from ending. */
    if (loop->timers_running && deadline_ms <= clock_ms()) {
        deadline_ms = clock_ms() + 1;
    } else if (deadline_ms == 0) {
        deadline_ms = 1;
    }

    int err = loop_timer_reserve(loop, timer);
    if (err < 0) {
        return err;
    }
    timer->deadline_ms = deadline_ms;
    if (deadline_ms < timer->armed_ms) {
        timer_heap_move(&loop->timers, timer, deadline_ms);
    }
    return 0;
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
    timer->deadline_ms = 0;
    if (timer->armed_ms != 0) {
        timer_heap_remove(&loop->timers, timer);
    }
}

static void loop_note_lag(struct loop *loop, uint64_t us)
{
    if (us > loop->lag_us) {
        loop->lag_us = us;
    }
}

/* The top of the heap is due: run it, or put it where it belongs by now. */
static void timer_fire(struct loop *loop, struct loop_timer *timer, uint64_t now_ms)
{
    if (timer->deadline_ms > now_ms) {
        timer_heap_move(&loop->timers, timer, timer->deadline_ms);
        return;
    }

    uint64_t deadline_ms = timer->deadline_ms;
    loop_timer_remove(loop, timer);
    if (deadline_ms != 0) {
        loop_note_lag(loop, (now_ms - deadline_ms) * 1000u);
        timer->fn(timer);
    }
}

static void timers_run(struct loop *loop)
{
    uint64_t now_ms = clock_ms();
    struct loop_timer *timer;

    loop->timers_running = true;
    while ((timer = timer_heap_top(&loop->timers)) != NULL && timer->armed_ms <= now_ms) {
        timer_fire(loop, timer, now_ms);
    }
    loop->timers_running = false;
}

/* Only wakes the loop: the turn runs the timers. */
static void timers_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = (struct loop *)arg;

    loop->timer_event_ms = 0;
    loop_turn_begin(loop);
}

/* Make the loop wake up for the earliest timer.  True: one is due already. */
static bool timers_arm(struct loop *loop)
{
    const struct loop_timer *next = timer_heap_top(&loop->timers);
    uint64_t next_ms = next == NULL ? UINT64_MAX : next->armed_ms;

    if (next_ms == UINT64_MAX) {
        return false; /* at worst one idle wake-up */
    }
    if (loop->timer_event_ms == next_ms) {
        return false;
    }
    clock_update();
    if (next_ms <= clock_ms()) {
        return true;
    }

    uint64_t wait_ms = next_ms - clock_ms();
    struct timeval wait = { .tv_sec = (time_t)(wait_ms / 1000u),
                            .tv_usec = (suseconds_t)(wait_ms % 1000u * 1000u) };
    if (event_add(loop->timer_event, &wait) != 0) {
        return true; /* no memory: poll rather than sleep past it */
    }
    loop->timer_event_ms = next_ms;
    return false;
}

/* --- end of the turn --- */

void loop_defer(struct loop *loop, struct loop_call *call)
{
    call->cancelled = false;
    if (call->queued) {
        return;
    }
    call->queued = true;
    call->next = NULL;
    if (loop->first_call == NULL) {
        loop->first_call = call;
    } else {
        loop->last_call->next = call;
    }
    loop->last_call = call;
}

void loop_call_cancel(struct loop_call *call)
{
    call->cancelled = call->queued;
}

/* Take all queued calls out and do `with` to each that was not cancelled. */
static void calls_take(struct loop *loop, void (*with)(struct loop *loop, struct loop_call *call))
{
    struct loop_call *call = loop->first_call;

    loop->first_call = loop->last_call = NULL;
    while (call != NULL) {
        struct loop_call *next = call->next;
        bool cancelled = call->cancelled;
        call->queued = false;
        call->cancelled = false;
        if (!cancelled) {
            with(loop, call);
        }
        call = next;
    }
}

static void call_run(struct loop *loop, struct loop_call *call)
{
    call->fn(call);
}

static void calls_run(struct loop *loop)
{
    calls_take(loop, call_run);
}

/* Calls that wait for the next turn: the memory of the cancelled ones may go with this turn. */
static void calls_drop_cancelled(struct loop *loop)
{
    calls_take(loop, loop_defer);
}

void loop_free_later(struct loop *loop, struct loop_grave *link, void *ptr,
                     void (*free_fn)(void *ptr))
{
    *link = (struct loop_grave){ .next = loop->graves, .ptr = ptr, .free_fn = free_fn };
    loop->graves = link;
}

static void graves_free(struct loop *loop)
{
    while (loop->graves != NULL) {
        struct loop_grave *grave = loop->graves;
        loop->graves = grave->next;
        grave->free_fn(grave->ptr);
    }
}

/* --- the loop --- */

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL) {
        return NULL;
    }

    event_config_avoid_method(config, "select");
    event_config_avoid_method(config, "poll");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

/* What libevent and evdns have to say would go to stderr. */
static void libevent_on_log(int severity, const char *message)
{
    char text[200];

    log_debug("libevent", "message severity=%d text=%s", severity,
              log_quote(slice_str(message), text, sizeof(text)));
}

static void libevent_init(void)
{
    event_set_log_callback(libevent_on_log);
}

struct loop *loop_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, libevent_init);
    struct loop *loop = (struct loop *)calloc(1, sizeof(*loop));
    if (loop == NULL) {
        return NULL;
    }

    int err = mailbox_open(&loop->mailbox);
    loop->mailbox_watch.fn = mailbox_on_readable;
    loop->base = base_new();
    loop->pool = block_pool_new(LOOP_KEEP_BLOCKS);
    if (err < 0 || loop->base == NULL || loop->pool == NULL ||
        loop_watch_start(loop, &loop->mailbox_watch, loop->mailbox.fd) < 0) {
        loop_free(loop);
        return NULL;
    }
    loop->timer_event = event_new(loop->base, -1, 0, timers_on_event, loop);
    if (loop->timer_event == NULL) {
        loop_free(loop);
        return NULL;
    }
    clock_update();
    return loop;
}

static void signals_free(struct loop *loop)
{
    while (loop->signals != NULL) {
        struct loop_signal *signal = loop->signals;
        loop->signals = signal->next;
        event_free(signal->event);
        free(signal);
    }
}

void loop_free(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }

    signals_free(loop);
    if (loop->timer_event != NULL) {
        event_free(loop->timer_event);
    }
    loop_watch_done(&loop->mailbox_watch);
    mailbox_close(&loop->mailbox);
    graves_free(loop);
    if (loop->base != NULL) {
        /* What libevent still has queued for itself (answers of evdns) frees its memory. */
        event_base_loop(loop->base, EVLOOP_NONBLOCK);
        event_base_free(loop->base);
    }
    block_pool_free(loop->pool);
    timer_heap_done(&loop->timers);
    free(loop);
}

void loop_turn(struct loop *loop, bool wait)
{
    if (loop->in_turn) {
        return; /* what waits for a turn has one under way */
    }
    loop->in_turn = true;
    bool due = timers_arm(loop);
    bool busy = due || !wait || loop->first_call != NULL;

    loop->turn_begun = false;
    event_base_loop(loop->base, busy ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
    loop_turn_begin(loop);
    timers_run(loop);
    for (unsigned i = 0; i < LOOP_CALL_ROUNDS && loop->first_call != NULL; i++) {
        calls_run(loop);
    }
    calls_drop_cancelled(loop);
    graves_free(loop);
    loop_note_lag(loop, (clock_precise_ns() - loop->turn_start_ns) / 1000u);
    loop->in_turn = false;
}

void loop_run(struct loop *loop)
{
    do {
        loop_turn(loop, true);
    } while (!atomic_load_explicit(&loop->stop, memory_order_acquire));
    atomic_store(&loop->stop, false);
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    mailbox_wake(&loop->mailbox);
}

struct event_base *loop_base(struct loop *loop)
{
    return loop->base;
}

struct block_pool *loop_pool(struct loop *loop)
{
    return loop->pool;
}

static void watch_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop_watch *watch = (struct loop_watch *)arg;

    loop_turn_begin(watch->loop);
    watch->fn(watch);
}

int loop_watch_start(struct loop *loop, struct loop_watch *watch, int fd)
{
    if (watch->event == NULL) {
        watch->loop = loop;
        watch->fd = fd;
        watch->event = event_new(loop->base, fd, EV_READ | EV_PERSIST, watch_on_event, watch);
    }
    if (watch->event == NULL || event_add(watch->event, NULL) != 0) {
        return ERR_NO_MEMORY;
    }
    return 0;
}

void loop_watch_stop(struct loop_watch *watch)
{
    if (watch->event != NULL) {
        event_del(watch->event);
    }
}

void loop_watch_done(struct loop_watch *watch)
{
    if (watch->event != NULL) {
        event_free(watch->event);
        watch->event = NULL;
    }
}

static void signal_on_event(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *signal = (struct loop_signal *)arg;

    loop_turn_begin(signal->loop);
    signal->fn((int)signo, signal->arg);
}

int loop_on_signal(struct loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg)
{
    struct loop_signal *signal = (struct loop_signal *)malloc(sizeof(*signal));
    if (signal == NULL) {
        return ERR_NO_MEMORY;
    }

    *signal = (struct loop_signal){ .loop = loop, .fn = fn, .arg = arg };
    signal->event = evsignal_new(loop->base, signo, signal_on_event, signal);
    if (signal->event == NULL || event_add(signal->event, NULL) != 0) {
        if (signal->event != NULL) {
            event_free(signal->event);
        }
        free(signal);
        return ERR_NO_MEMORY;
    }
    signal->next = loop->signals;
    loop->signals = signal;
    return 0;
}

uint64_t loop_take_lag_us(struct loop *loop)
{
    uint64_t lag_us = loop->lag_us;

    loop->lag_us = 0;
    return lag_us;
}
