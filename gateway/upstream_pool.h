/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to a target: leased to one attempt at a time, idle ones kept for the next.  A
 * connection is owned by the pool while idle and by its attempt while leased. */
#pragma once

#include "core/loop.h"
#include "core/stream.h"
#include "gateway/upstream.h"

struct attempt;

struct upstream_conn {
    struct stream stream;
    struct upstream_target *target;
    struct attempt *attempt;           /* leased to; NULL: idle */
    struct upstream_conn *next, *prev; /* idle list */
    struct loop_timer timer;           /* connect, response or idle deadline */
    struct loop_grave grave;
    uint32_t requests; /* sent on it */
};

/* An idle connection of the target, newest first; NULL: none. */
struct upstream_conn *upstream_pool_lease(struct upstream_target *target, struct attempt *attempt);
/* A new connection that starts connecting to `addr`.  NULL with *ret_err: ERR_BUSY over
 * max_connections, ERR_CONNECT, ERR_NO_MEMORY. */
struct upstream_conn *upstream_pool_open(struct upstream_target *target, struct attempt *attempt,
                                         const struct sockaddr_storage *addr, socklen_t len,
                                         int *ret_err);
/* Back, clean, for the next; closes it when the gateway drains. */
void upstream_pool_return(struct upstream_conn *conn);
/* Close now; freed at the end of the turn. */
void upstream_conn_close(struct upstream_conn *conn);
/* Close all idle connections. */
void upstream_pool_clear(struct upstream_target *target);
int upstream_conn_set_deadline(struct upstream_conn *conn, uint64_t ms) MUST_CHECK;
