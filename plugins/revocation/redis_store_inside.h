/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis store from the inside.  redis_store.c owns it, decides what happens next and is the only one that ends
 * a lease by doubt; redis_begin.c brings two fresh connections to the point where changes are announced;
 * redis_heartbeat.c makes the lease longer; redis_scan.c fills a new filter.
 *
 * Thread: the loop's.  Any of these functions may doubt: then the phase is PHASE_CONNECT when it returns. */
#pragma once

#include "core/redis_sentinel.h"
#include "plugins/revocation/identity.h"
#include "plugins/revocation/redis_store.h"
#include "plugins/revocation/restore.h"

#define REDIS_STORE_AREA      "revocation" /* of the log */
#define REDIS_STORE_HEARTBEAT "heartbeat:" /* behind the prefix */

enum redis_store_phase {
    PHASE_CONNECT,   /* until both connections are ready */
    PHASE_SUBSCRIBE, /* until changes are announced to us */
    PHASE_SCAN,      /* reading all names into `next` */
    PHASE_FOLLOW,    /* `current` is complete */
};

struct redis_store {
    struct redis_store_options options;
    const struct redis_store_ops *ops;
    void *arg;
    struct loop *loop;
    struct redis *data, *feed; /* the one that asks, the one that is told */
    struct redis_watch *watch; /* NULL: no sentinels */

    enum redis_store_phase phase;
    enum redis_store_cause cause; /* of the synchronisation under way */
    uint64_t phase_ms;            /* when it began */
    long long feed_id;            /* of that connection at the server */
    bool is_tracking;             /* heartbeats come back */
    bool is_scanning;             /* beside PHASE_FOLLOW: for a new generation */
    char cursor[24];
    uint64_t synced_ms;

    /* All are fed: workers may still look at `previous`. */
    struct revocation_filter *current, *previous, *next;
    uint64_t next_items;

    /* What this gateway has revoked: it goes into `next` after the scan, some of it in each turn. */
    struct revocation_restore *restore; /* NULL: nothing is kept */
    struct loop_timer kept_timer;
    char kept_after[LOCAL_STORE_MAX_KEY]; /* the last key that went in */
    size_t kept_after_len;
    unsigned kept_count; /* in this turn */

    /* The heartbeat: one is under way at most, each has a name of its own. */
    char instance[33];
    char heartbeat_key[REVOCATION_MAX_PREFIX + sizeof(REDIS_STORE_HEARTBEAT) + 64];
    struct slice heartbeat;
    uint64_t heartbeat_count;
    uint64_t sent_ns; /* 0: none under way */
    uint64_t lease_ns;
    struct loop_timer timer;

    struct redis_identity identity;
    uint64_t server; /* counts servers */
    bool was_warned;
};

static inline uint64_t redis_store_staleness_ns(const struct redis_store *store)
{
    return store->options.max_staleness_ms * UINT64_C(1000000);
}

/* ---- redis_store.c ---- */

/* No "no" is believed from here on. Both connections start anew: nothing of the old ones can be taken
 * for an answer to a new question. */
void redis_store_doubt(struct redis_store *store, enum redis_store_cause cause, const char *why);
/* Is this no answer of that type to `what`?  Then there is doubt, or (`err` < 0) the connection is being lost and
 * doubt follows. */
bool redis_store_is_wrong(struct redis_store *store, int err, const struct redis_reply *reply,
                          enum redis_reply_type type, const char *what);
/* redis_send(), or doubt. */
void redis_store_send(struct redis_store *store, struct redis *to, unsigned argc,
                      const struct slice *argv, redis_fn *fn);
void redis_store_set_lease(struct revocation_filter *filter, uint64_t lease_ns); /* NULL is fine */
/* Forget the filter that is being filled. */
void redis_store_drop_next(struct redis_store *store);
/* It is complete: hand it out. */
void redis_store_publish_next(struct redis_store *store);
/* The name of a key of Redis; absent: none of ours, or a heartbeat. */
struct slice redis_store_name_of(const struct redis_store *store, char buf[REVOCATION_KEY_BYTES],
                                 struct slice key);

/* ---- redis_begin.c ---- */

/* Both connections are ready: ask who the server is, subscribe, track; then the first heartbeat and the scan. */
void redis_store_begin(struct redis_store *store);

/* ---- redis_heartbeat.c ---- */

uint64_t redis_store_heartbeat_ms(const struct redis_store *store); /* between two */
/* No other gateway's heartbeats have this store's name. */
void redis_store_name_instance(struct redis_store *store);
/* None may be under way. */
void redis_store_send_heartbeat(struct redis_store *store);
/* Its name was announced; what came before it is in the filters already. */
void redis_store_heartbeat_is_back(struct redis_store *store);

/* ---- redis_scan.c ---- */

/* Read all names into a new filter with room for next_items, from the start.  False: no memory. */
bool redis_store_start_scan(struct redis_store *store);
/* Beside the filter in use, for one without what has expired. */
void redis_store_scan_again(struct redis_store *store);
/* What is kept here is read in turns of the loop. */
void redis_store_on_kept_timer(struct loop_timer *timer);
