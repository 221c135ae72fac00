/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange: a request, its way through the gateway, its response, its end.  Start reading in
 * request.c: one function per state, one driver.  Owned by its connection; it and all its small data
 * live in one arena, freed at the end of the turn in which it ended. */
#pragma once

#include "core/arena.h"
#include "core/buf.h"
#include "core/http.h"
#include "core/loop.h"
#include "core/sm.h"
#include "gateway/config.h"
#include "gateway/outcome.h"

#include <stdint.h>

struct attempt;
struct conn;
struct gw_op;
struct worker;

enum request_state {
    REQ_ROUTE,    /* head complete; choose the route */
    REQ_ACCESS,   /* plugins' on_request, in order */
    REQ_CONNECT,  /* choose a target, lease or open a connection */
    REQ_AWAIT,    /* head sent, body flowing up; wait for the response head */
    REQ_RESPONSE, /* plugins' on_response, in reverse order; the body may be read for one */
    REQ_RELAY,    /* response body flowing down */
    REQ_REPLY,    /* our own response is being written */
    REQ_END,      /* logged; freed at the end of this loop turn */
};

struct request_slot {
    const void *key;
    void *value;
};
#define REQUEST_SLOTS 8

struct request_body {   /* the client's body on its way up */
    struct buf pending; /* received, not yet sent on */
    uint64_t received;  /* payload bytes */
    bool complete;      /* all of it is in pending or sent */
    bool wanted;        /* the codec may read it from the client */
};

struct response_body { /* of the upstream's response, kept back for a plugin */
    struct buf data;
    size_t max_bytes;
    struct gw_op *op; /* waits for all of it; NULL: no longer */
    struct slice text;
    bool complete;
};

struct request {
    struct sm sm;
    bool running, again; /* request_run() is on the stack; was called again meanwhile */
    uint8_t listener_index;
    struct conn *conn; /* NULL when the client has gone, or has all of its answer */
    struct worker *worker;
    struct config_view *view; /* a reference */
    struct arena arena;

    struct http_request head;
    const char *parse_detail; /* static text: more about a refused head, or NULL */
    struct request_body body;
    const struct config_route *route; /* NULL: none matched */
    uint32_t allowed_methods;         /* for 405 */

    /* The chain (chain.c). */
    uint8_t chain;          /* enum chain_state */
    uint8_t verdict;        /* enum gw_verdict of a callback, when CHAIN_ANSWERED */
    uint16_t link;          /* position */
    uint16_t links_entered; /* on_end() runs for these */
    struct gw_op *ops;      /* pending operations */
    struct gw_op *body_op;  /* the one of gw_read_body(); NULL: none */
    struct slice body_text; /* of gw_body() */
    char *chain_state;      /* state bytes of all links */
    struct request_slot slots[REQUEST_SLOTS];
    struct slice attrs[GW_ATTRS];
    const char *auth_reason; /* last auth decision; NULL: none was made */

    /* Upstream. */
    struct attempt *attempt; /* NULL: none */
    unsigned tries;
    const struct config_target *target; /* of the last attempt */
    uint64_t tried_targets;             /* bits of targets that refused a connection */
    struct headers added_headers;       /* set by plugins: added after hop-by-hop removal */
    bool forwarded;                     /* head.headers is what goes upstream (forward.c) */

    /* Response. */
    struct http_response response;
    struct response_body *kept_body; /* of gw_read_response_body(), in the arena; NULL: none */
    const struct gw_reply *reply;    /* our own answer, in the arena; NULL: by outcome */
    struct buf reply_body;
    bool response_started; /* bytes of a final response went to the codec */
    bool response_ended;   /* all of it did */
    bool sent;             /* and all of it is with the socket */
    void *codec;           /* the codec's state of this exchange */

    /* For the log. */
    enum outcome outcome;
    const char *reason;      /* static word; NULL: none */
    unsigned status;         /* sent to the client (or 499) */
    const char *tls_version; /* static; NULL: the connection is plain */
    struct slice id;
    struct slice trace_id;  /* 32 hex digits */
    struct slice client_ip; /* believed: X-Forwarded-For of trusted proxies */
    struct slice peer_ip;
    uint64_t start_unix_us;
    uint64_t start_ns, sent_ns, response_ns, end_ns; /* monotonic; 0: not reached */
    uint64_t request_bytes, response_bytes;          /* bodies */
    unsigned upstream_status;                        /* 0: none */

    struct loop_timer timer; /* chain or response deadline, body progress */
    struct loop_grave grave;
};

/* A new request on `conn`, whose `request` it becomes.  NULL: no memory.  The codec fills `head`, then
 * calls request_run() or request_refuse(). */
struct request *request_new(struct conn *conn);
/* Drive: run states until one waits or the request ends.  Events record what happened, then call
 * this; a call from inside is remembered. */
void request_run(struct request *req);
/* For `explain`: run one state of those before an upstream is asked.  False: it is decided (an outcome, or
 * REQ_CONNECT), or a plugin waits.  request_client_gone() ends such a request. */
bool request_decide(struct request *req);
/* Free the worker's spare blocks. */
void request_pool_clear(struct worker *worker);

/* From the codec. */
void request_refuse(struct request *req, enum outcome outcome,
                    const char *reason);        /* bad head or body */
void request_body_arrived(struct request *req); /* body.pending has grown or is complete */
void request_writable(struct request *req);     /* the client takes bytes again */
void request_client_gone(struct request *req);
void request_response_sent(struct request *req); /* all of the answer is with the socket */

/* Set the outcome, unless one is set, and go to REPLY (or end, when a response has begun). */
void request_fail(struct request *req, enum outcome outcome, const char *reason);
