/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one worker (SO_REUSEPORT): accepts, checks limits, makes a conn. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

#include <stdint.h>

struct listener;
struct worker;

/* Bind all sockets of a snapshot for one worker.  With port 0 the first worker's choice is written to
 * *port by listener (the gateway hands it to the others). */
int listeners_open(struct worker *worker, uint16_t *ports) MUST_CHECK;
/* Stop accepting and close the sockets. */
void listeners_close(struct worker *worker);
/* Again after a pause or below the connection limit. */
void listeners_resume(struct worker *worker);
/* A connection from `peer` (as in struct conn) has gone: forget it for connections_per_ip. Called
 * by worker_conn_gone()'s caller, before it. */
void listeners_forget_peer(struct worker *worker, const uint8_t peer[16]);
/* Free what is left after listeners_close(); no connection is left either. */
void listeners_done(struct worker *worker);
