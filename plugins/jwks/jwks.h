/* SPDX-License-Identifier: Apache-2.0 */
/* The keys behind one address: fetched, refreshed ahead, kept over failures for a while.  One store per
 * provider, on the control thread. */
#pragma once

#include "core/fetch.h"
#include "core/options.h"
#include "plugins/jwks/set.h"

struct jwks_cache {
    uint64_t ttl_ms, min_refresh_ms, stale_if_error_ms;
};

enum jwks_on_suspicious { JWKS_ACCEPT, JWKS_HOLD };

struct jwks_options {
    struct slice uri; /* NUL-terminated; absent with discovery */
    bool discovery, allow_http;
    const char *ca_file; /* NULL: the system's */
    uint64_t timeout_ms, max_bytes;
    struct jwks_cache cache;
    int on_suspicious;
};
extern const struct option jwks_option_table[];

struct jwks_store;

struct jwks_store_setup { /* borrowed for the store's life */
    struct gw_process *process;
    struct fetcher *fetcher;
    const struct jwks_options *options;
    struct slice provider, issuer;
    /* The set, the outcome of the last try or the time of the next one have changed. Not from inside
     * jwks_store_new(). */
    void (*on_change)(void *arg);
    void *arg;
};

/* Takes what is on disk and starts fetching. NULL: no memory. */
struct jwks_store *jwks_store_new(const struct jwks_store_setup *setup);
void jwks_store_free(struct jwks_store *store); /* NULL is fine */
/* A token names a key that the set does not have: fetch, unless a fetch is under way or the last one
 * began within min_refresh.  Either way on_change() follows. */
void jwks_store_ask(struct jwks_store *store);

/* The set that is to be used, borrowed; NULL: none (never fetched, or failed for too long). */
struct jwks_set *jwks_store_set(const struct jwks_store *store);
/* Did the last try get the keys? */
bool jwks_store_is_current(const struct jwks_store *store);
/* Before this time jwks_store_ask() does not fetch. */
uint64_t jwks_store_next_ask_ms(const struct jwks_store *store);

/* The metric's word and *ret_detail for an answer that is of no use; NULL: its body can be read. */
const char *jwks_answer_fault(const struct fetch_answer *answer, const char **ret_detail);
