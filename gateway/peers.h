/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections each address has with one worker (connections_per_ip). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEERS_KEY_BYTES 16u /* an address, as in struct conn */

struct worker;

/* One more connection of this address; false: over the limit (or no memory to know). */
bool peers_enter(struct worker *worker, const struct sockaddr *addr);
/* A connection of `peer` (as in struct conn) has gone. */
void peers_leave(struct worker *worker, const uint8_t peer[PEERS_KEY_BYTES]);
void peers_key_of(const struct sockaddr *addr, uint8_t ret[PEERS_KEY_BYTES]);
/* The limit has come or gone with a reload: count who is there, or forget them. */
void peers_recount(struct worker *worker);
void peers_done(struct worker *worker);
