/* SPDX-License-Identifier: Apache-2.0 */
/* A listening socket of one worker (SO_REUSEPORT): accepts, checks limits, makes a conn. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

#include <stdint.h>

struct inherit;
struct listener;
struct worker;

/* Bind all sockets of a snapshot for one worker, or take its part of those that were inherited.  With
 * port 0 the first worker's choice is written to *port by listener (the gateway hands it to the
 * others). */
int listeners_open(struct worker *worker, struct inherit *inherit, uint16_t *ports) MUST_CHECK;

/* A reload.  Sockets of the worker's listeners that `old` does not have, into ret_fds by listener
 * index (the others are left as they are).  Any thread. ERR_IO with errno and *ret_failed. */
int listeners_bind(unsigned worker_index, const struct config *old, const struct config *config,
                   uint16_t *ports, int *ret_fds,
                   const struct config_listener **ret_failed) MUST_CHECK;
/* Make listeners of them, which do not accept yet; takes the descriptors (-1 in fds).
 * ERR_NO_MEMORY. */
int listeners_prepare(struct worker *worker, const struct config *config, int *fds,
                      struct listener **ret) MUST_CHECK;
void listeners_drop(struct listener *list); /* they are not used after all; NULL is fine */
/* Keep what both snapshots have, have what is gone leave and drain its connections, add and accept. */
void listeners_switch(struct worker *worker, struct config *old, const struct config *config,
                      struct listener *added);

/* The worker's listeners that do not leave, one after the other; NULL: the first, and the end. */
const struct listener *listeners_next(const struct worker *worker, const struct listener *listener);
int listener_socket(const struct listener *listener, struct slice *ret_name);

/* Accept whom the kernel has let in already, for closing the sockets would reset them, then close
 * them: at once, or where limits make clients wait, one after the other within shutdown_grace.
 * worker_listener_gone() hears of each. */
void listeners_leave(struct worker *worker);
/* Close the sockets. */
void listeners_close(struct worker *worker);
/* Again after a pause or below the connection limit. */
void listeners_resume(struct worker *worker);
/* A handshake of TLS has ended: one that waits may begin. */
void listeners_handshake_ended(struct worker *worker);
/* Free what is left after listeners_close(); no connection is left either. */
void listeners_done(struct worker *worker);
