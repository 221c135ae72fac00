/* SPDX-License-Identifier: Apache-2.0 */
/* What one worker's thread has of revocations: the current filter and a connection of its own to Redis,
 * or the local store. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/local_store.h"

/* Who answered a question, and how. */
#define REVOCATION_RESULT_TABLE(X)                                                                 \
    X(FILTER_MISS, "filter_miss")                                                                  \
    X(LOCAL_HIT, "local_hit")                                                                      \
    X(STORE_HIT, "store_hit")                                                                      \
    X(STORE_MISS, "store_miss") /* of the filter: a false positive */                              \
    X(ERROR, "error")

#define X(name, word) REVOCATION_##name,
enum revocation_result { REVOCATION_RESULT_TABLE(X) REVOCATION_RESULTS };
#undef X

/* How workers learn of the local store; it outlives them. */
struct revocation_local {
    struct gw_shared shared; /* first */
    struct local_store *store;
};

struct revocation_worker {
    const struct revocation_settings *settings;
    struct resolver *resolver;
    struct redis *redis;
    struct revocation_filter *filter; /* a reference; NULL: none yet */
    struct revocation_local *local;   /* a reference; NULL: not yet */
    uint64_t *results[REVOCATION_RESULTS];
};

/* In worker_init(); `settings` outlive it. ERR_NO_MEMORY. */
int revocation_worker_new(struct gw_worker *gw, const struct revocation_settings *settings,
                          struct revocation_worker **ret) MUST_CHECK;
void revocation_worker_free(struct revocation_worker *worker); /* NULL is fine */

/* For gw_publish(): a struct revocation_filter, a struct revocation_local. */
void revocation_worker_take_filter(void *worker, struct gw_shared *object);
void revocation_worker_take_local(void *worker, struct gw_shared *object);
