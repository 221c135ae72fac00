/* SPDX-License-Identifier: Apache-2.0 */
/* One thread of the gateway: its loop, listeners, connections, upstream pools and counters.  The
 * control thread is a worker too: it serves the admin (and echo) listener and no public one.
 * Everything here belongs to its thread; worker_post() is the way in from others. */
#pragma once

#include "core/loop.h"
#include "core/map.h"
#include "core/resolve.h"
#include "core/sink.h"
#include "gateway/config.h"

#include <stdint.h>

struct chain_job;
struct conn;
struct decisions;
struct gateway;
struct listener;
struct metrics;
struct metrics_listeners;
struct processes;
struct request;

enum worker_state {
    WORKER_RUNNING,
    WORKER_DRAINING, /* listeners leave; ends when no connection is left */
    WORKER_STOPPED,
};

struct worker {
    enum worker_state state;
    unsigned index; /* 0: control, 1..n: workers */
    struct loop *loop;
    struct gateway *gateway;
    struct config_view *view;   /* the current one */
    struct config_view *views;  /* also those being made, and those only requests have */
    struct processes *starting; /* while plugins start: of their snapshot */
    struct resolver *resolver;
    struct metrics *metrics;
    struct sink_writer *access_log; /* NULL: off */
    struct decisions *decisions;    /* NULL: none yet */
    struct listener *listeners;     /* a list */
    struct map peers;               /* peers.c: connections by address */
    struct loop_timer accept_timer; /* listener.c: accept again after a lack of descriptors */
    int64_t max_descriptors;        /* listener.c: clients may have so many of the process's */
    bool accept_paused;
    bool handshakes_paused; /* listeners with TLS wait for a handshake to end */
    bool has_ended;         /* its thread is done; only the control thread reads and writes this */
    struct loop_timer lag_timer; /* samples the loop's lag for the metrics */

    struct conn *conns; /* doubly linked, newest first */
    unsigned conn_count;
    unsigned handshakes; /* of TLS, under way */
    unsigned requests_in_flight;
    struct chain_job *jobs; /* chain.c: handed to gateway->offload, not handed back */
    void *request_pool;     /* free request blocks (request.c) */
    unsigned request_pool_count;
    uint64_t random[2]; /* state of worker_random(): ids, not secrets */
};

/* Build everything but do not run; NULL: reported to the log. */
struct worker *worker_new(struct gateway *gateway, struct config *config, unsigned index);
void worker_free(struct worker *worker); /* after its loop has ended */
/* The thread's body: runs the loop until the drain is over or worker_stop(). */
void worker_run(struct worker *worker);
/* On its thread (by loop_post): no new clients, close idle connections, let requests finish. */
void worker_drain(struct worker *worker);
void worker_stop(struct worker *worker);
/* Called by conn.c when a connection has gone: ends the loop when draining and none is left. */
void worker_conn_gone(struct worker *worker);
void worker_listener_gone(struct worker *worker); /* the same, by listener.c */
uint64_t worker_random(struct worker *worker);

/* A reload, as one worker sees it. */
struct worker_change {
    struct config *config;       /* borrowed, until the view has a reference */
    struct processes *processes; /* held once for this worker, NULL: given to the view, or back */
    struct sink *access_log;     /* NULL: off */
    int *fds;                    /* by listener index; -1: nothing to open */

    struct config_view *view; /* made by worker_prepare() */
    struct metrics_listeners *metrics;
    struct listener *listeners;
    struct sink_writer *writer; /* of access_log, owned by it; NULL: worker's is right, or off */
    bool new_log;               /* the worker's access log changes */
};
/* On its thread: make all that may fail. ERR_*: nothing has changed. */
int worker_prepare(struct worker *worker, struct worker_change *change) MUST_CHECK;
/* On its thread, between two requests: use it from now on. */
void worker_switch(struct worker *worker, struct worker_change *change);
/* On its thread, or when that has ended: free what was not used. */
void worker_change_done(struct worker_change *change);
