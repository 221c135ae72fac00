/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are published at an address: fetched, refreshed ahead, kept over failures for a while.  A source
 * (the address, or the issuer whose metadata name it, with all options) has one store, whatever
 * number of providers watch it; equal addresses with other options have stores of their own.  Stores
 * live as long as somebody watches: over a reload, the new snapshot's watches come before the old
 * one's go.  Everything is the control thread's. */
#pragma once

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
    struct slice ca;     /* what was in it when the configuration was read */
    struct slice proxy;  /* NUL-terminated; absent: none */
    uint64_t timeout_ms, max_bytes;
    struct jwks_cache cache;
    int on_suspicious;
};
extern const struct option jwks_option_table[];

struct jwks_hub; /* the stores of the process */

/* With one reference. NULL: no memory. */
struct jwks_hub *jwks_hub_new(struct gw_process *process);
struct jwks_hub *jwks_hub_ref(struct jwks_hub *hub);
void jwks_hub_unref(struct jwks_hub *hub); /* NULL is fine; nobody watches any more */

struct jwks_watch; /* what one provider has of a store */

struct jwks_watch_setup { /* `process` and `provider` are borrowed for the watch's life */
    struct gw_process *process;
    const struct jwks_options *options;
    struct slice provider, issuer;
    /* The set, the outcome of the last try or the time of the next one have changed.  Not from inside
     * jwks_watch_new(). */
    void (*on_change)(void *arg);
    void *arg;
};

/* In process_init().  The first watch of a source takes what is on disk and starts fetching.  NULL: no
 * memory. */
struct jwks_watch *jwks_watch_new(struct jwks_hub *hub, const struct jwks_watch_setup *setup);
void jwks_watch_free(struct jwks_watch *watch); /* NULL is fine */
/* A token names a key that the set does not have: fetch, unless a fetch is under way or the last one
 * began within min_refresh.  Either way on_change() follows. */
void jwks_watch_ask(const struct jwks_watch *watch);

/* The set that is to be used, borrowed; NULL: none (never fetched, or failed for too long). */
struct jwks_set *jwks_watch_set(const struct jwks_watch *watch);
/* Did the last try get the keys? */
bool jwks_watch_is_current(const struct jwks_watch *watch);
/* Is another one under way? */
bool jwks_watch_is_asking(const struct jwks_watch *watch);
/* Before this time jwks_watch_ask() does not fetch. */
uint64_t jwks_watch_next_ask_ms(const struct jwks_watch *watch);
