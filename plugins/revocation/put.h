/* SPDX-License-Identifier: Apache-2.0 */
/* Write an entry to Redis in one step, so that nobody can shorten meanwhile what another one wrote. */
#pragma once

#include "core/redis.h"
#include "plugins/revocation/entry.h"

/* As redis_send_within(); `prefix` of keys in Redis. */
int revocation_put(struct redis *redis, struct slice prefix, unsigned timeout_ms,
                   const struct revocation_entry *entry, int64_t now, redis_fn *fn,
                   void *arg) MUST_CHECK;
/* Does the reply say that Redis has it? */
bool revocation_put_is_done(int err, const struct redis_reply *reply);
/* Of such a reply: did Redis not have all of it before? */
bool revocation_put_is_new(const struct redis_reply *reply);
