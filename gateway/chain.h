/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the plugins of a route on a request and keeps the promises of plugins/plugin.h.  An
 * operation (struct gw_op) is one pending thing of one request; dropping it is the cancellation. */
#pragma once

#include "gateway/host.h"

enum chain_state {
    CHAIN_HOOK,     /* the hook of the current link is to be called */
    CHAIN_WAITING,  /* it said GW_WAIT */
    CHAIN_ANSWERED, /* a callback gave its verdict */
};

struct chain_job;

struct gw_op {
    struct request *req;
    gw_hook_fn *fn;
    struct gw_op *next, *prev;          /* of the request */
    struct gw_waitlist *waitlist;       /* NULL: in none */
    struct gw_op *wait_next, **wait_at; /* in it */
    struct loop_timer timer;            /* of gw_sleep() */
    struct loop_call call;              /* to call back from the loop */
    size_t max_bytes;                   /* of gw_read_body() */
    struct chain_job *job;              /* of gw_offload() */
};

/* Room for the state of the route's plugins. */
int chain_begin(struct request *req) MUST_CHECK;
/* Run on_request() hooks from where the chain stands: NEXT at its end, else what the last one said. */
enum gw_verdict chain_advance(struct request *req);
/* on_response() of those that ran, in reverse order: the same, backwards. */
enum gw_verdict chain_respond(struct request *req);
/* Drop pending operations; then, chain_end(), on_end() of those that ran. */
void chain_cancel(struct request *req);
void chain_end(struct request *req);
/* Free the jobs of gw_offload() that were not handed back: the pool's threads and the loop have ended. */
void chain_jobs_done(struct worker *worker);
/* More of the body that gw_read_body() waits for. */
void chain_body_arrived(struct request *req);
/* All of the response's body is here, or too much of it. */
void chain_response_body_arrived(struct request *req);
/* The call of the current link. */
struct gw_call chain_call(struct request *req, unsigned link);
