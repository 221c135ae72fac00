/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one worker (SO_REUSEPORT): accepts, checks limits, makes a conn. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

struct listener;
struct worker;

/* Bind all sockets of a snapshot for one worker.  With port 0 the first worker's choice is written to
 * *port by listener (the gateway hands it to the others). */
int listeners_open(struct worker *worker, uint16_t *ports) MUST_CHECK;
/* Stop accepting and close the sockets. */
void listeners_close(struct worker *worker);
/* Again after a pause or below the connection limit. */
void listeners_resume(struct worker *worker);
