/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share about one store: store.c fetches, hub.c finds the store of a source,
 * watch.c tells its watches. */
#pragma once

#include "core/fetch.h"
#include "plugins/jwks/jwks.h"

/* What is fetched and how. Texts are the store's own. */
struct jwks_source {
    struct jwks_options options;
    struct slice issuer;       /* absent without discovery */
    struct slice cache_folder; /* for the copy on disk; NUL-terminated; absent: none */
};

enum store_stage { STORE_OPENID, STORE_OAUTH, STORE_KEYS };

struct jwks_store {
    struct jwks_hub *hub;
    struct jwks_store *next;    /* in the hub's list */
    struct jwks_watch *watches; /* with the last one it goes */
    struct jwks_source source;
    char *names; /* of its providers, for the log */
    struct loop *loop;
    struct loop_timer timer;       /* the next try */
    struct loop_timer stale_timer; /* the end of the last good set */
    char *file;                    /* on disk; NULL: none */

    struct fetch *fetch; /* NULL: no try under way */
    enum store_stage stage;
    char *uri; /* of the keys; NULL: not discovered yet */
    uint64_t discovered_ms;

    struct jwks_set *set;  /* in use; NULL: none */
    struct jwks_set *held; /* suspicious, until the next fetch confirms it */
    unsigned skipped;      /* keys of the newest set */
    int64_t success_unix;  /* of the last confirmation; 0: none */
    char *etag, *last_modified;
    bool is_conditional; /* the try under way: 304 means something */
    bool is_current;
    unsigned failures; /* in a row */
    uint64_t next_ask_ms;
};

enum watch_gauge { WATCH_KEYS, WATCH_SKIPPED, WATCH_LAST_SUCCESS, WATCH_GAUGES };

struct jwks_watch {
    struct jwks_watch *next; /* of the store */
    struct jwks_store *store;
    struct jwks_watch_setup setup;
    struct gw_check *check;         /* NULL: no room for it */
    uint64_t *gauges[WATCH_GAUGES]; /* NULL: no memory */
};

/* ---- store.c ---- */

/* Begin: the first try comes with the next turn. `store->source` is there. ERR_NO_MEMORY. */
int store_start(struct jwks_store *store) MUST_CHECK;
/* End what is under way and free all but the source. */
void store_stop(struct jwks_store *store);
void store_ask(struct jwks_store *store);
/* store->file by the folder of the source; what is there is left alone. ERR_NO_MEMORY: there is none. */
int store_find_file(struct jwks_store *store) MUST_CHECK;

/* ---- hub.c ---- */

struct fetcher *hub_fetcher(struct jwks_hub *hub);
/* For the copies on disk: one thread; NULL: there is none. */
struct offload *hub_offload(struct jwks_hub *hub);
/* Make the watch one of its source's store. ERR_NO_MEMORY. */
int hub_join(struct jwks_hub *hub, struct jwks_watch *watch) MUST_CHECK;
void hub_leave(struct jwks_watch *watch);
/* Does any watch have this name?  A reload has two of one provider for a while, maybe of two stores. */
bool hub_has_provider(const struct jwks_hub *hub, struct slice provider);

/* ---- watch.c: all watches of a store ---- */

void watches_count_fetch(const struct jwks_store *store, const char *result, uint64_t duration_ms);
void watches_count_suspicious(const struct jwks_store *store, const char *reason);
/* Gauges and readiness are as the store is. */
void watches_show(const struct jwks_store *store);
void watches_tell(const struct jwks_store *store);
/* store->names anew; without memory it stays as it was. */
void watches_name(struct jwks_store *store);
