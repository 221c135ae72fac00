/* SPDX-License-Identifier: Apache-2.0 */
/* What one thread knows about the providers of one snapshot: their keys, ready to verify, and the tokens
 * that were verified. */
#pragma once

#include "plugins/jwt/jwt_auth.h"
#include "plugins/jwt/remote.h"

struct jwt_worker {
    const struct option_list *providers;
    struct token_cache cache;
    struct verify_keys *keys;        /* by provider */
    struct remote *remotes;          /* by provider */
    struct gw_histogram **durations; /* by provider */
    uint64_t *hits, *misses;
};

/* The plugin's worker_init() and worker_done(). */
int jwt_worker_init(struct gw_worker *gw, const void *top, void **ret_worker) MUST_CHECK;
void jwt_worker_done(void *worker);
/* A remote_find_fn. */
struct remote *jwt_worker_remote(void *worker, unsigned provider_index);
