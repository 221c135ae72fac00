/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, and the ways to the end: drain, then stop, then leave what does not. */
#include "core/clock.h"
#include "core/log.h"
#include "core/sink.h"
#include "gateway/gateway_run.h"
#include "gateway/listener.h"
#include "gateway/notify.h"
#include "gateway/reload.h"
#include "gateway/upgrade.h"
#include "gateway/worker.h"

#include <signal.h>
#include <stddef.h>

#define GATEWAY_ABANDON_MS 1000u /* after the grace: a worker that does not even stop is left */

static void gateway_post_drain(void *arg)
{
    worker_drain(arg);
}

static void gateway_post_stop(void *arg)
{
    worker_stop(arg);
}

static void gateway_post_workers(struct gateway_run *run, void (*fn)(void *arg))
{
    for (unsigned i = 1; i <= run->started; i++) {
        struct worker *worker = run->gateway.workers[i];

        if (!worker->has_ended && !loop_post(worker->loop, fn, worker)) {
            loop_stop(worker->loop);
        }
    }
}

static void gateway_set_timer(struct gateway_run *run, uint64_t ms)
{
    if (loop_timer_set(run->gateway.control->loop, &run->grace_timer, clock_ms() + ms) != 0) {
        loop_stop(run->gateway.control->loop);
    }
}

/* All threads have ended: the control thread, which served /readyz until now, goes last. */
static void gateway_end_control(struct gateway_run *run)
{
    bool is_forced = run->phase == PHASE_STOPPING;

    run->phase = PHASE_ENDING;
    if (is_forced) {
        worker_stop(run->gateway.control);
        return;
    }
    worker_drain(run->gateway.control);
}

static void gateway_stop_now(struct gateway_run *run)
{
    run->phase = PHASE_STOPPING;
    log_info("gateway", "closing all connections");
    gateway_post_workers(run, gateway_post_stop);
    if (run->running == 0) {
        gateway_end_control(run);
        return;
    }
    gateway_set_timer(run, GATEWAY_ABANDON_MS);
}

static void gateway_on_grace_timer(struct loop_timer *timer)
{
    struct gateway_run *run =
        (struct gateway_run *)(void *)((char *)timer - offsetof(struct gateway_run, grace_timer));

    switch (run->phase) {
    case PHASE_SERVING: break;
    case PHASE_DRAINING: gateway_stop_now(run); break;
    case PHASE_STOPPING:
        log_error("gateway", "a worker does not stop: leaving it workers=%u", run->running);
        run->phase = PHASE_ABANDONED;
        worker_stop(run->gateway.control);
        break;
    case PHASE_ENDING: worker_stop(run->gateway.control); break;
    case PHASE_ABANDONED: break;
    }
}

static void gateway_drain(struct gateway_run *run)
{
    run->phase = PHASE_DRAINING;
    __atomic_store_n(&run->gateway.draining, true, __ATOMIC_RELAXED);
    log_info("gateway", "draining grace_ms=%llu",
             (unsigned long long)run->gateway.config->server.shutdown_grace_ms);
    gateway_set_timer(run, run->gateway.config->server.shutdown_grace_ms);
    gateway_post_workers(run, gateway_post_drain);
    if (run->running == 0) {
        gateway_end_control(run);
    }
}

/* Another process serves: who comes to the admin listener shall find that one. */
void gateway_hand_over(void *arg)
{
    struct gateway_run *run = arg;

    listeners_leave(run->gateway.control);
    gateway_drain(run);
}

static void gateway_begin_stop(struct gateway_run *run)
{
    upgrade_stop(run->gateway.upgrade);
    notify_send("STOPPING=1");
    gateway_drain(run);
}

void gateway_ask_to_stop(struct gateway *gateway)
{
    struct gateway_run *run = (struct gateway_run *)(void *)gateway;

    if (run->phase == PHASE_SERVING) {
        gateway_begin_stop(run);
    }
}

static void gateway_on_stop_signal(int signo, void *arg)
{
    struct gateway_run *run = arg;

    log_info("gateway", "signal received signal=%s", signo == SIGTERM ? "SIGTERM" : "SIGINT");
    switch (run->phase) {
    case PHASE_SERVING: gateway_begin_stop(run); break;
    case PHASE_DRAINING: gateway_stop_now(run); break;
    case PHASE_ENDING: worker_stop(run->gateway.control); break;
    case PHASE_STOPPING:
    case PHASE_ABANDONED: break;
    }
}

static void gateway_on_reload_signal(int signo, void *arg)
{
    struct gateway_run *run = arg;
    int err;

    if (upgrade_is_under_way(run->gateway.upgrade)) {
        upgrade_reload_later(run->gateway.upgrade);
        return;
    }
    err = reload_ask(run->gateway.reload, NULL, NULL);
    if (err < 0) {
        log_warning("gateway", "cannot reload error=\"%s\"", err_text(err));
    }
}

static void gateway_on_upgrade_signal(int signo, void *arg)
{
    struct gateway_run *run = arg;

    upgrade_ask(run->gateway.upgrade);
}

static void gateway_on_reopen_signal(int signo, void *arg)
{
    struct gateway_run *run = arg;

    if (run->gateway.access_log != NULL) {
        sink_reopen(run->gateway.access_log);
    }
    log_info("gateway", "access log reopened");
}

void gateway_worker_ended(struct gateway_run *run, struct worker *worker)
{
    worker->has_ended = true;
    run->running--;
    if (run->running == 0 && (run->phase == PHASE_DRAINING || run->phase == PHASE_STOPPING)) {
        gateway_end_control(run);
    }
}

void gateway_stop_workers(struct gateway_run *run)
{
    gateway_post_workers(run, gateway_post_stop);
}

void gateway_stop_init(struct gateway_run *run)
{
    run->grace_timer.fn = gateway_on_grace_timer;
}

int gateway_watch_signals(struct gateway_run *run)
{
    static const struct {
        int signo;
        void (*fn)(int signo, void *arg);
    } signals[] = {
        { SIGTERM, gateway_on_stop_signal },    { SIGINT, gateway_on_stop_signal },
        { SIGHUP, gateway_on_reload_signal },   { SIGUSR1, gateway_on_reopen_signal },
        { SIGUSR2, gateway_on_upgrade_signal },
    };
    int err = 0;

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && err == 0; i++) {
        err = loop_on_signal(run->gateway.control->loop, signals[i].signo, signals[i].fn, run);
    }
    return err;
}
