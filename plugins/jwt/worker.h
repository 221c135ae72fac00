/* SPDX-License-Identifier: Apache-2.0 */
/* What one thread knows about the providers of one snapshot.  A reload changes little: what is known about
 * a provider that stays (its keys, the tokens that they vouched for) is shared by the states of both
 * snapshots. */
#pragma once

#include "plugins/jwt/jwt_auth.h"
#include "plugins/jwt/remote.h"

struct jwt_issuer {
    unsigned users;            /* struct jwt_worker */
    struct provider *provider; /* a reference */
    struct jwt_cache *cache;   /* a reference; with the issuer go its tokens */
    struct verify_keys keys;
    struct remote remote;
    struct gw_histogram *durations;
};

struct jwt_cache {
    unsigned users;
    struct token_cache tokens;
};

struct jwt_worker {
    struct gw_process *process; /* of the snapshot; NULL: keys are never fetched */
    struct jwt_cache *cache;
    struct jwt_issuer **issuers; /* by the index of the provider */
    size_t count;
    uint64_t *hits, *misses;
};

/* The plugin's worker_init() and worker_done(). */
int jwt_worker_init(struct gw_worker *gw, const void *top, void **ret_worker) MUST_CHECK;
void jwt_worker_done(void *worker);
/* The revocation_namespace of the provider with this issuer; absent: none, or no such provider. */
struct slice jwt_worker_namespace(const void *worker, struct slice issuer);
/* A remote_find_fn. */
struct remote *jwt_worker_remote(void *worker, unsigned provider_index);
