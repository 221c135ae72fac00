/* SPDX-License-Identifier: Apache-2.0 */
/* What one worker's thread has of revocations: the current filter and a connection of its own to Redis,
 * or the local store. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/entry.h"
#include "plugins/revocation/filter.h"
#include "plugins/revocation/local_store.h"
#include "plugins/revocation/numbers.h"

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

/* How workers learn of the local store; it outlives them.  With Redis it holds what this gateway itself has
 * revoked. */
struct revocation_local {
    struct gw_shared shared;   /* first */
    struct local_store *store; /* NULL, with Redis only: there is no place to keep anything */
};

/* A request waits until something is revoked: embedded in its state, zeroed. */
struct revocation_ticket {
    struct gw_waitlist waiters;
    struct revocation_ticket *next, **at; /* at NULL: not under way */
    uint64_t id;
    uint64_t start_ns;
    unsigned count; /* of entries */
    int err;        /* 0: it is revoked */
};

struct revocation_worker {
    const struct revocation_settings *settings;
    struct gw_worker *gw;
    struct gw_process *process;        /* of the control thread; NULL: nothing runs there */
    struct revocation_ticket *tickets; /* under way */
    uint64_t last_id;
    struct resolver *resolver;
    struct redis *redis;
    struct revocation_filter *filter; /* a reference; NULL: none yet */
    struct revocation_local *local;   /* a reference; NULL: not yet */
    uint64_t *results[REVOCATION_RESULTS];
    uint64_t *revoked, *failed;        /* entries of orders */
    struct gw_histogram *delay;        /* of orders */
    struct revocation_numbers numbers; /* Redis */
};

/* In worker_init(); `settings` outlive it. ERR_NO_MEMORY. */
int revocation_worker_new(struct gw_worker *gw, const void *top,
                          const struct revocation_settings *settings,
                          struct revocation_worker **ret) MUST_CHECK;
void revocation_worker_free(struct revocation_worker *worker); /* NULL is fine */

/* Order what is revoked; ticket->waiters are woken when it is, or is not. ERR_*: it was not ordered. */
int revocation_worker_order(struct revocation_worker *worker, struct revocation_ticket *ticket,
                            const struct revocation_entry *entries, unsigned count,
                            unsigned replicas) MUST_CHECK;
/* Before its memory is freed; also when it was never used. */
void revocation_ticket_end(struct revocation_ticket *ticket);

/* For gw_publish(): a struct revocation_filter, revocation_local, revocation_done. */
void revocation_worker_take_filter(void *worker, struct gw_shared *object);
void revocation_worker_take_local(void *worker, struct gw_shared *object);
void revocation_worker_take_done(void *worker, struct gw_shared *object);
