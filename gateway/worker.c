/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/worker.h"

#include "core/clock.h"
#include "core/log.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
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
    worker->view = config_view_new(config, (struct gw_worker *)(void *)worker);
    worker->resolver = resolver_new(worker->loop);
    if (worker->view == NULL || worker->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    if (worker->gateway->access_log != NULL) {
        worker->access_log = sink_writer_new(worker->gateway->access_log, WORKER_LOG_RING_BYTES);
        if (worker->access_log == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    worker->lag_timer.fn = worker_on_lag_timer;
    err = loop_timer_set(worker->loop, &worker->lag_timer, clock_ms() + WORKER_LAG_MS);
    if (err != 0) {
        return err;
    }
    return upstreams_init(worker);
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
    if (worker->upstreams != NULL) {
        upstreams_done(worker);
    }
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
    request_pool_clear(worker);
    metrics_free(worker->metrics);
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

void worker_drain(struct worker *worker)
{
    struct conn *next;

    if (worker->state != WORKER_RUNNING) {
        return;
    }
    worker->state = WORKER_DRAINING;
    listeners_close(worker);
    for (struct conn *conn = worker->conns; conn != NULL; conn = next) {
        next = conn->next; /* draining an idle connection takes it off the list */
        conn_drain(conn);
    }
    if (worker->state == WORKER_DRAINING && worker->conn_count == 0) {
        worker_finish(worker);
    }
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
    switch (worker->state) {
    case WORKER_RUNNING:
        if (worker->accept_paused) {
            listeners_resume(worker);
        }
        break;
    case WORKER_DRAINING:
        if (worker->conn_count == 0) {
            worker_finish(worker);
        }
        break;
    case WORKER_STOPPED: break;
    }
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
