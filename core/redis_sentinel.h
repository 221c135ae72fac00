/* SPDX-License-Identifier: Apache-2.0 */
/* What sentinels say of a master, and a watch over what they say.
 *
 * Epoch: each fail-over gives the master's configuration a higher number.  A sentinel hears of a fail-over
 * up to seconds after another one: what it says under a lower epoch than one that was seen is old, and
 * nobody connects by it.  Thread: the loop's; the number is shared by all threads. */
#pragma once

#include "core/redis.h"

/* From the answer to SENTINEL MASTER. ERR_BAD_INPUT. */
int redis_sentinel_read_epoch(const struct redis_reply *reply, uint64_t *ret) MUST_CHECK;
/* From the answer to SENTINEL GET-MASTER-ADDR-BY-NAME: the host is copied to `host`. ERR_BAD_INPUT. */
int redis_sentinel_read_master(const struct redis_reply *reply, char *host, size_t host_size,
                               struct redis_address *ret) MUST_CHECK;
/* Is `epoch` as high as all that were seen?  Then it is remembered. */
bool redis_sentinel_take_epoch(_Atomic uint64_t *seen, uint64_t epoch);

/* Asks all sentinels, each time that it is told to, whether there was a fail-over: then redis_is_outdated()
 * of the clients with the same `options.master_epoch`. */
struct redis_watch;
typedef void redis_watch_fn(void *arg); /* one has answered */

/* `options` as for redis_new(), with sentinels.  NULL: no memory. */
struct redis_watch *redis_watch_new(struct loop *loop, struct resolver *resolver,
                                    const struct redis_options *options, redis_watch_fn *fn,
                                    void *arg);
void redis_watch_free(struct redis_watch *watch); /* NULL is fine */
/* Ask now those that are not being asked. */
void redis_watch_ask(struct redis_watch *watch);
