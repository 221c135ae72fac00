/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/watchdog.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "gateway/gateway.h"
#include "gateway/notify.h"
#include "gateway/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS_IN_TIME 4u /* of questions, before the manager's time is over */

struct watchdog_worker {
    struct watchdog *watchdog;
    unsigned answered; /* atomic: the round that its loop saw last */
};

struct watchdog {
    struct gateway *gateway;
    struct loop_timer timer;
    uint64_t interval_ms;
    unsigned round;      /* atomic: of the question that was asked last */
    bool asked_everyone; /* nobody was left out for want of memory */
    struct watchdog_worker workers[];
};

/* On the worker's thread. */
static void on_question(void *arg)
{
    struct watchdog_worker *worker = arg;
    unsigned round = __atomic_load_n(&worker->watchdog->round, __ATOMIC_RELAXED);

    __atomic_store_n(&worker->answered, round, __ATOMIC_RELAXED);
}

static bool all_have_answered(const struct watchdog *watchdog)
{
    const struct gateway *gateway = watchdog->gateway;
    bool all = watchdog->asked_everyone;

    for (unsigned i = 1; i < gateway->worker_count; i++) {
        if (!gateway->workers[i]->has_ended &&
            __atomic_load_n(&watchdog->workers[i].answered, __ATOMIC_RELAXED) != watchdog->round) {
            log_warning("watchdog", "no answer from worker=%u", i);
            all = false;
        }
    }
    return all;
}

static void ask_all(struct watchdog *watchdog)
{
    const struct gateway *gateway = watchdog->gateway;

    __atomic_store_n(&watchdog->round, watchdog->round + 1, __ATOMIC_RELAXED);
    watchdog->asked_everyone = true;
    for (unsigned i = 1; i < gateway->worker_count; i++) {
        const struct worker *worker = gateway->workers[i];

        if (!worker->has_ended && !loop_post(worker->loop, on_question, &watchdog->workers[i])) {
            watchdog->asked_everyone = false;
        }
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct watchdog *watchdog =
        (struct watchdog *)(void *)((char *)timer - offsetof(struct watchdog, timer));

    if (all_have_answered(watchdog)) {
        notify_send("WATCHDOG=1");
    }
    ask_all(watchdog);
    if (loop_timer_set(watchdog->gateway->control->loop, timer,
                       clock_ms() + watchdog->interval_ms) != 0) {
        log_error("watchdog", "the service manager will restart us: out of memory");
    }
}

/* In microseconds; 0: nobody watches us. */
static uint64_t watched_us(void)
{
    const char *text = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end = NULL;
    unsigned long long us;

    if (text == NULL || *text < '0' || *text > '9' ||
        (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) {
        return 0;
    }
    errno = 0;
    us = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' ? us : 0;
}

int watchdog_start(struct gateway *gateway, struct watchdog **ret)
{
    uint64_t us = watched_us();
    struct watchdog *watchdog;

    *ret = NULL;
    if (us == 0) {
        return 0;
    }
    watchdog = calloc(1, sizeof(*watchdog) + gateway->worker_count * sizeof(watchdog->workers[0]));
    if (watchdog == NULL) {
        return ERR_NO_MEMORY;
    }
    *ret = watchdog;
    watchdog->gateway = gateway;
    watchdog->interval_ms = us / 1000 / ROUNDS_IN_TIME + 1;
    watchdog->timer.fn = on_timer;
    for (unsigned i = 0; i < gateway->worker_count; i++) {
        watchdog->workers[i].watchdog = watchdog;
    }
    ask_all(watchdog);
    return loop_timer_set(gateway->control->loop, &watchdog->timer,
                          clock_ms() + watchdog->interval_ms);
}

void watchdog_free(struct watchdog *watchdog)
{
    if (watchdog != NULL) {
        loop_timer_remove(watchdog->gateway->control->loop, &watchdog->timer);
        free(watchdog);
    }
}
