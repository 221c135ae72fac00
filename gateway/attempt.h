/* SPDX-License-Identifier: Apache-2.0 */
/* One try of a request at one target: connect, send head and body, read the response.  Lives in the
 * request's arena; owned by the request (request->attempt).
 *
 * States: RESOLVE -> CONNECT -> HEAD -> BODY -> DONE | FAILED.  The request's body is sent in HEAD
 * and BODY (relay.c): a server may answer before it has all of it. */
#pragma once

#include "core/h1_body.h"
#include "core/sm.h"
#include "gateway/request.h"
#include "gateway/upstream.h"

struct upstream_conn;

enum attempt_state {
    ATTEMPT_RESOLVE, /* the target's name is being resolved */
    ATTEMPT_CONNECT,
    ATTEMPT_HEAD, /* the request is on its way; waits for the response head */
    ATTEMPT_BODY, /* response head read */
    ATTEMPT_DONE, /* response complete */
    ATTEMPT_FAILED,
};

struct attempt {
    struct sm sm;
    struct request *req;
    struct upstream_target *target;
    struct upstream_conn *conn; /* leased; NULL: none yet, or given back */
    struct attempt *wait_next;  /* of the target's waiting list */
    struct h1_scan scan;
    struct h1_body body; /* of the response */
    bool reused;         /* the connection had served before */
    bool request_sent;   /* all of the request is with the socket's buffer */
    bool send_failed;    /* the server takes no more; it may still answer */
    bool body_spent;     /* bytes of the request's body have left: no retry */
    bool response_seen;  /* bytes of an answer arrived: no retry */
    uint8_t interim_count;
    uint8_t addresses_failed; /* of the target's name */
    int end;                  /* BODY: the server has closed, by this ERR_* */
    enum outcome failure;     /* FAILED: why */
    const char *reason;
};

/* Start a try at the next target.  False: the outcome is set (no target, no memory, over a limit). */
bool attempt_start(struct request *req);
/* Move to FAILED and let the request go on.  Nothing when the attempt is over. */
void attempt_fail(struct attempt *attempt, enum outcome outcome, const char *reason);
/* Give the connection back when it is clean, else close it.  The attempt is over. */
void attempt_end(struct attempt *attempt);
/* FAILED: may the request be tried again (RFC 9110 section 9.2.2)? */
bool attempt_may_retry(const struct attempt *attempt);

/* From upstream_pool.c and upstream.c. */
void attempt_connected(struct attempt *attempt);
void attempt_readable(struct attempt *attempt);
void attempt_writable(struct attempt *attempt);
void attempt_gone(struct attempt *attempt, int err);
void attempt_late(struct attempt *attempt);
void attempts_resolved(struct upstream_target *target, int err);
