/* SPDX-License-Identifier: Apache-2.0 */
/* Writes again to Redis what this gateway has revoked and Redis has lost: by a flush, by a restart
 * without its data, by a fail-over to a replica that did not have it yet.  Goes through all that is kept,
 * some at a time.  Thread: the loop's. */
#pragma once

#include "core/redis.h"
#include "plugins/revocation/local_store.h"

struct revocation_restore;

/* All are borrowed.  NULL: no memory. */
struct revocation_restore *revocation_restore_new(struct redis *redis, struct slice prefix,
                                                  struct local_store *kept, unsigned timeout_ms);
/* Before the client. NULL is fine. */
void revocation_restore_free(struct revocation_restore *restore);
/* Go through all of it from the start, unless that is under way.  Ends by itself when the connection is
 * lost: begin again with the next one. */
void revocation_restore_begin(struct revocation_restore *restore);
