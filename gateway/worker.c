/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/worker.h"

#include "core/clock.h"
#include "core/log.h"
#include "gateway/chain.h"
#include "gateway/conn.h"
#include "gateway/decisions.h"
#include "gateway/gateway.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/process.h"
#include "gateway/request.h"
#include "gateway/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define WORKER_LOG_RING_BYTES ((size_t)1 << 20)
#define WORKER_LAG_MS         1000u

static void worker_on_lag_timer(struct loop_timer *timer)
{
    struct worker *worker =
        (struct worker *)(void *)((char *)timer - offsetof(struct worker, lag_timer));
    struct gw_histogram *lag;
    char labels[32];

    snprintf(labels, sizeof(labels), "worker=\"%u\"", worker->index);
    lag = metrics_histogram(worker->metrics, "jwtgate_event_loop_lag_seconds", labels);
    if (lag != NULL) {
        metrics_histogram_add_us(lag, loop_take_lag_us(worker->loop));
    }
    if (loop_timer_set(worker->loop, timer, clock_ms() + WORKER_LAG_MS) != 0) {
        log_warning("worker", "the loop's lag is not measured any more worker=%u", worker->index);
    }
}

static int worker_init_random(struct worker *worker)
{
    if (getrandom(worker->random, sizeof(worker->random), 0) != (ssize_t)sizeof(worker->random)) {
        return ERR_IO;
    }
    worker->random[0] |= 1; /* all zero is the one state that never leaves itself */
    return 0;
}

/* ---- views ---- */

/* No request of this worker has it any more. */
static void view_on_end(struct config_view *view)
{
    struct worker *worker = view->worker;

    metrics_forget(worker->metrics);
    upstreams_done(view);
    if (view->next != NULL) {
        view->next->prev = view->prev;
    }
    if (view->prev != NULL) {
        view->prev->next = view->next;
    } else {
        worker->views = view->next;
    }
    if (view->processes != NULL) {
        processes_release_later(view->processes);
    }
}

/* What the snapshot before has and this one did not change is shared with its view. */
static int make_view(struct worker *worker, struct config *config, struct processes *processes,
                     struct config_view **ret)
{
    struct config_view *view;
    int err;

    worker->starting = processes;
    view = config_view_after(config, (struct gw_worker *)(void *)worker, worker->view);
    worker->starting = NULL;
    if (view == NULL) {
        return ERR_NO_MEMORY;
    }
    view->worker = worker;
    view->on_end = view_on_end;
    view->next = worker->views;
    if (view->next != NULL) {
        view->next->prev = view;
    }
    worker->views = view;
    err = upstreams_init(view, worker->view);
    if (err != 0) {
        config_view_unref(view);
        return err;
    }
    view->processes = processes;
    *ret = view;
    return 0;
}

/* ---- life ---- */

/* Counters come before the view: plugins ask for theirs when the view is made. */
static int worker_init(struct worker *worker, struct config *config)
{
    int err = worker_init_random(worker);

    if (err != 0) {
        return err;
    }
    worker->loop = loop_new();
    worker->metrics = metrics_new(config);
    if (worker->loop == NULL || worker->metrics == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->resolver = resolver_new(worker->loop);
    if (worker->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    err = make_view(worker, config, worker->gateway->processes, &worker->view);
    if (err != 0) {
        return err;
    }
    if (worker->gateway->access_log != NULL) {
        worker->access_log = sink_writer_new(worker->gateway->access_log, WORKER_LOG_RING_BYTES);
        if (worker->access_log == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    worker->lag_timer.fn = worker_on_lag_timer;
    return loop_timer_set(worker->loop, &worker->lag_timer, clock_ms() + WORKER_LAG_MS);
}

struct worker *worker_new(struct gateway *gateway, struct config *config, unsigned index)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    int err = ERR_NO_MEMORY;

    if (worker != NULL) {
        worker->gateway = gateway;
        worker->index = index;
        err = worker_init(worker, config);
    }
    if (err != 0) {
        log_error("worker", "cannot start worker=%u error=\"%s\"", index, err_text(err));
        worker_free(worker);
        return NULL;
    }
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    listeners_close(worker);
    listeners_done(worker);
    if (worker->view != NULL) {
        config_view_unref(worker->view);
    }
    if (worker->resolver != NULL) {
        resolver_free(worker->resolver);
    }
    if (worker->loop != NULL) {
        loop_timer_remove(worker->loop, &worker->lag_timer);
        loop_free(worker->loop); /* also ends what was closed in its last turn */
    }
    chain_jobs_done(worker);
    request_pool_clear(worker);
    metrics_free(worker->metrics);
    decisions_free(worker->decisions);
    free(worker);
}

void worker_run(struct worker *worker)
{
    loop_run(worker->loop);
}

static void worker_finish(struct worker *worker)
{
    worker->state = WORKER_STOPPED;
    loop_stop(worker->loop);
}

static void worker_finish_drained(struct worker *worker)
{
    if (worker->state == WORKER_DRAINING && worker->conn_count == 0 && worker->listeners == NULL) {
        worker_finish(worker);
    }
}

void worker_drain(struct worker *worker)
{
    struct conn *next;

    if (worker->state != WORKER_RUNNING) {
        return;
    }
    listeners_leave(worker);
    worker->state = WORKER_DRAINING;
    for (struct conn *conn = worker->conns; conn != NULL; conn = next) {
        next = conn->next; /* draining an idle connection takes it off the list */
        conn_drain(conn);
    }
    worker_finish_drained(worker);
}

void worker_stop(struct worker *worker)
{
    if (worker->state == WORKER_STOPPED) {
        return;
    }
    worker->state = WORKER_STOPPED;
    listeners_close(worker);
    while (worker->conns != NULL) {
        conn_close(worker->conns, CONN_END_DRAIN);
    }
    loop_stop(worker->loop);
}

void worker_conn_gone(struct worker *worker)
{
    if (worker->accept_paused) {
        listeners_resume(worker);
    }
    worker_finish_drained(worker);
}

void worker_listener_gone(struct worker *worker)
{
    worker_finish_drained(worker);
}

/* xorshift128+: fast and even, not for secrets. */
uint64_t worker_random(struct worker *worker)
{
    uint64_t a = worker->random[0];
    uint64_t b = worker->random[1];

    worker->random[0] = b;
    a ^= a << 23;
    worker->random[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return worker->random[1] + b;
}

/* ---- a reload ---- */

int worker_prepare(struct worker *worker, struct worker_change *change)
{
    int err = metrics_prepare(worker->metrics, change->config, &change->metrics);

    if (err == 0) {
        err = listeners_prepare(worker, change->config, change->fds, &change->listeners);
    }
    if (err == 0 && change->new_log && change->access_log != NULL) {
        change->writer = sink_writer_new(change->access_log, WORKER_LOG_RING_BYTES);
        err = change->writer == NULL ? ERR_NO_MEMORY : 0;
    }
    if (err == 0) {
        err = make_view(worker, change->config, change->processes, &change->view);
    }
    if (err == 0) {
        change->processes = NULL; /* the view gives it back */
    }
    return err;
}

void worker_switch(struct worker *worker, struct worker_change *change)
{
    struct config_view *before = worker->view;

    if (worker->state != WORKER_RUNNING || change->view == NULL) {
        return;
    }
    worker->view = change->view;
    change->view = NULL;
    upstreams_adopt(worker->view);
    metrics_switch(worker->metrics, change->metrics);
    change->metrics = NULL;
    if (change->new_log) {
        worker->access_log = change->writer;
    }
    listeners_switch(worker, before->config, worker->view->config, change->listeners);
    change->listeners = NULL;
    config_view_unref(before);
    if (worker->accept_paused) {
        listeners_resume(worker); /* the limit may be another one */
    }
}

void worker_change_done(struct worker_change *change)
{
    config_view_unref(change->view);
    change->view = NULL;
    listeners_drop(change->listeners);
    change->listeners = NULL;
    metrics_listeners_free(change->metrics);
    change->metrics = NULL;
    if (change->processes != NULL) {
        processes_release_later(change->processes);
        change->processes = NULL;
    }
}
