/* SPDX-License-Identifier: Apache-2.0 */
/* What gateway.c (start, end of the process) and gateway_stop.c (signals, drain, stop) share. */
#pragma once

#include "core/loop.h"
#include "gateway/certificates.h"
#include "gateway/gateway.h"
#include "gateway/inherit.h"

#include <pthread.h>

struct watchdog;

enum gateway_phase {
    PHASE_SERVING,
    PHASE_DRAINING, /* workers finish their requests; the control thread serves admin */
    PHASE_STOPPING, /* the grace is over: connections are closed */
    PHASE_ENDING,   /* workers are done, the control thread closes its own connections */
    PHASE_ABANDONED,
};

/* The private side of struct gateway; made and freed by gateway_serve(). */
struct gateway_run {
    struct gateway gateway; /* first: the control thread gets from one to the other */
    enum gateway_phase phase;
    struct loop_timer grace_timer;
    struct loop_timer startup_timer;
    struct certificates certificates;
    pthread_t *threads; /* by worker index; [0] unused */
    unsigned started;   /* threads */
    unsigned running;   /* threads that have not reported their end */
    uint16_t *ports;
    struct inherit inherit; /* until all listeners are open */
    struct watchdog *watchdog;
};

/* gateway_stop.c; all on the control thread. */
void gateway_stop_init(struct gateway_run *run); /* its timer; nothing to free but that */
int gateway_watch_signals(struct gateway_run *run) MUST_CHECK;
/* A worker's thread has ended. */
void gateway_worker_ended(struct gateway_run *run, struct worker *worker);
/* upgrade_fn: another process serves. */
void gateway_hand_over(void *run);
/* Have all workers close their connections and end. */
void gateway_stop_workers(struct gateway_run *run);
