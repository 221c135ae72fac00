/* SPDX-License-Identifier: Apache-2.0 */
#include "core/loop.h"

#include "core/buf.h"
#include "core/clock.h"
#include "core/log.h"

#include <event2/event.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LOOP_KEEP_BLOCKS  256u /* 4 MiB of free blocks stay with the thread */
#define LOOP_CALL_ROUNDS  8u   /* calls that defer calls: this often in one turn */
#define TIMERS_FIRST_SIZE 64u

struct mail {
    struct mail *next;
    void (*fn)(void *arg);
    void *arg;
};

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, *last;
    struct event *event;
    int fd;
};

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

    /* timers: a binary heap by armed_ms, and one event for its top */
    struct loop_timer **timers;
    size_t timer_count, timer_capacity;
    struct event *timer_event;
    uint64_t timer_event_ms; /* what timer_event is set to; 0: not set */
    bool timers_running;

    /* end of the turn */
    struct loop_call *first_call, *last_call;
    struct loop_grave *graves;

    struct mailbox mailbox;
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

static void mailbox_wake(struct mailbox *box)
{
    uint64_t one = 1;

    /* EAGAIN means that the counter is full: it is readable, which is all we want. */
    while (write(box->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

static void mailbox_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = (struct loop *)arg;
    struct mailbox *box = &loop->mailbox;
    uint64_t count;

    loop_turn_begin(loop);
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }

    pthread_mutex_lock(&box->lock);
    struct mail *mail = box->first;
    box->first = box->last = NULL;
    pthread_mutex_unlock(&box->lock);

    while (mail != NULL) {
        struct mail *next = mail->next;
        mail->fn(mail->arg);
        free(mail);
        mail = next;
    }
}

static int mailbox_open(struct loop *loop)
{
    struct mailbox *box = &loop->mailbox;

    box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->fd < 0) {
        return ERR_IO;
    }
    box->event = event_new(loop->base, box->fd, EV_READ | EV_PERSIST, mailbox_on_event, loop);
    if (box->event == NULL || event_add(box->event, NULL) != 0) {
        return ERR_NO_MEMORY;
    }
    return 0;
}

static void mailbox_close(struct mailbox *box)
{
    if (box->event != NULL) {
        event_free(box->event);
    }
    if (box->fd >= 0) {
        close(box->fd);
    }
    while (box->first != NULL) {
        struct mail *next = box->first->next;
        free(box->first);
        box->first = next;
    }
    pthread_mutex_destroy(&box->lock);
}

bool loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct mailbox *box = &loop->mailbox;
    struct mail *mail = (struct mail *)malloc(sizeof(*mail));

    if (mail == NULL) {
        return false;
    }
    *mail = (struct mail){ .fn = fn, .arg = arg };

    pthread_mutex_lock(&box->lock);
    bool was_empty = box->first == NULL;
    if (was_empty) {
        box->first = mail;
    } else {
        box->last->next = mail;
    }
    box->last = mail;
    /* Inside the lock: the loop cannot have taken the mail, and be gone, before we wake it. */
    if (was_empty) {
        mailbox_wake(box);
    }
    pthread_mutex_unlock(&box->lock);
    return true;
}

/* --- timers --- */

static void timer_put(struct loop *loop, struct loop_timer *timer, size_t at)
{
    loop->timers[at] = timer;
    timer->heap_index = at;
}

static void timer_sift_up(struct loop *loop, struct loop_timer *timer, size_t at)
{
    while (at > 0) {
        size_t above = (at - 1) / 2;
        if (loop->timers[above]->armed_ms <= timer->armed_ms) {
            break;
        }
        timer_put(loop, loop->timers[above], at);
        at = above;
    }
    timer_put(loop, timer, at);
}

static void timer_sift_down(struct loop *loop, struct loop_timer *timer, size_t at)
{
    for (;;) {
        size_t below = 2 * at + 1;
        if (below >= loop->timer_count) {
            break;
        }
        if (below + 1 < loop->timer_count &&
            loop->timers[below + 1]->armed_ms < loop->timers[below]->armed_ms) {
            below++;
        }
        if (timer->armed_ms <= loop->timers[below]->armed_ms) {
            break;
        }
        timer_put(loop, loop->timers[below], at);
        at = below;
    }
    timer_put(loop, timer, at);
}

static int timers_reserve(struct loop *loop)
{
    if (loop->timer_count < loop->timer_capacity) {
        return 0;
    }

    size_t capacity = loop->timer_capacity == 0 ? TIMERS_FIRST_SIZE : 2 * loop->timer_capacity;
    struct loop_timer **timers =
        (struct loop_timer **)reallocarray(loop->timers, capacity, sizeof(*timers));
    if (timers == NULL) {
        return ERR_NO_MEMORY;
    }
    loop->timers = timers;
    loop->timer_capacity = capacity;
    return 0;
}

int loop_timer_reserve(struct loop *loop, struct loop_timer *timer)
{
    if (timer->armed_ms != 0) {
        return 0;
    }

    int err = timers_reserve(loop);
    if (err < 0) {
        return err;
    }
    timer->armed_ms = UINT64_MAX;
    timer_sift_up(loop, timer, loop->timer_count++);
    return 0;
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
        timer->armed_ms = deadline_ms;
        timer_sift_up(loop, timer, timer->heap_index);
    }
    return 0;
}

void loop_timer_remove(struct loop *loop, struct loop_timer *timer)
{
    timer->deadline_ms = 0;
    if (timer->armed_ms == 0) {
        return;
    }

    size_t at = timer->heap_index;
    struct loop_timer *last = loop->timers[--loop->timer_count];
    timer->armed_ms = 0;
    if (last == timer) {
        return;
    }
    timer_sift_down(loop, last, at);
    timer_sift_up(loop, last, last->heap_index);
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
        timer->armed_ms = timer->deadline_ms;
        timer_sift_down(loop, timer, 0);
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

    loop->timers_running = true;
    while (loop->timer_count > 0 && loop->timers[0]->armed_ms <= now_ms) {
        timer_fire(loop, loop->timers[0], now_ms);
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
    uint64_t next_ms = loop->timer_count == 0 ? UINT64_MAX : loop->timers[0]->armed_ms;

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

    loop->mailbox.fd = -1;
    pthread_mutex_init(&loop->mailbox.lock, NULL);
    loop->base = base_new();
    loop->pool = block_pool_new(LOOP_KEEP_BLOCKS);
    if (loop->base == NULL || loop->pool == NULL || mailbox_open(loop) < 0) {
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
    mailbox_close(&loop->mailbox);
    graves_free(loop);
    if (loop->base != NULL) {
        /* What libevent still has queued for itself (answers of evdns) frees its memory. */
        event_base_loop(loop->base, EVLOOP_NONBLOCK);
        event_base_free(loop->base);
    }
    block_pool_free(loop->pool);
    free(loop->timers);
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
