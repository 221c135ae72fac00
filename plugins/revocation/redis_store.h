/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a filter in step with the revocations in Redis, whoever writes them.  Two connections: one is
 * subscribed to the names of changed keys, the other one has that tracking switched on, reads all
 * names once into a new filter, and once a second writes a heartbeat.  When the heartbeat's name comes
 * back, all that was written before it was sent has come too: the filter's lease then runs until
 * max_staleness after the sending.
 *
 * Doubt (a connection lost, a flush, another server, a heartbeat that does not come back) ends the
 * lease at once and starts a new synchronisation with new connections.  Thread: the loop's. */
#pragma once

#include "core/redis.h"
#include "plugins/revocation/filter.h"
#include "plugins/revocation/keys.h"
#include "plugins/revocation/local_store.h"

enum redis_store_cause { /* of a synchronisation */
                         REDIS_STORE_START,
                         REDIS_STORE_GAP,
                         REDIS_STORE_SERVER_CHANGED,
                         REDIS_STORE_INTERVAL,
                         REDIS_STORE_CAUSES,
};
extern const char *const redis_store_cause_names[];

struct redis_store;

struct redis_store_options {
    struct redis_options redis;
    struct slice prefix; /* of all keys, borrowed; at most REVOCATION_MAX_PREFIX bytes */
    uint64_t expected_items;
    double false_positive_rate;
    uint64_t max_staleness_ms;
    uint64_t resync_interval_ms; /* so that expired names leave */
    struct local_store *kept;    /* what this gateway has revoked, borrowed; NULL: not known */
};

struct redis_store_ops {
    /* A new generation, borrowed: publish it. */
    void (*filter)(void *arg, struct revocation_filter *filter);
    void (*synced)(void *arg, enum redis_store_cause cause);
    /* Something of the numbers below may have changed; at least once a heartbeat. */
    void (*tick)(void *arg);
    /* A heartbeat was back after `us`: what was written before it has come too. */
    void (*echoed)(void *arg, uint64_t us);
    /* As redis_ops.served(). */
    void (*served)(void *arg, unsigned count, int err, uint64_t us);
};

/* Starts by itself.  NULL: no memory. */
struct redis_store *redis_store_new(struct loop *loop, struct resolver *resolver,
                                    const struct redis_store_options *options,
                                    const struct redis_store_ops *ops, void *arg);
void redis_store_free(struct redis_store *store); /* NULL is fine */

/* This gateway has written `key`: it need not wait until redis says so. */
void redis_store_add(struct redis_store *store, struct slice key);
/* The generation in use, borrowed; NULL: none yet. */
struct revocation_filter *redis_store_filter(const struct redis_store *store);
bool redis_store_is_live(const struct redis_store *store);
bool redis_store_is_connected(const struct redis_store *store);
uint64_t redis_store_sync_age_ms(const struct redis_store *store); /* 0: never synchronised */
