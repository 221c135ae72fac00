/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_LABELS 200u

void jwt_worker_done(void *arg)
{
    struct jwt_worker *worker = arg;

    if (worker == NULL) {
        return;
    }
    if (worker->cache.buckets != NULL) {
        token_cache_done(&worker->cache);
    }
    for (size_t i = 0; worker->keys != NULL && i < worker->providers->count; i++) {
        verify_keys_done(&worker->keys[i]);
        if (worker->remotes != NULL) {
            remote_done(&worker->remotes[i]);
        }
    }
    free(worker->keys);
    free(worker->remotes);
    free(worker->durations);
    free(worker);
}

static int init_provider(struct jwt_worker *worker, struct gw_worker *gw, const void *top,
                         size_t index)
{
    const struct provider *provider = (const struct provider *)worker->providers->items + index;
    char labels[MAX_LABELS];

    /* Only misses are measured: on a hit, two readings of the clock would cost more than the rest. */
    snprintf(labels, sizeof(labels), "provider=\"%.*s\",cache=\"miss\"",
             (int)(provider->element.name.len < 128 ? provider->element.name.len : 128),
             provider->element.name.ptr);
    worker->durations[index] = gw_histogram(gw, "jwtgate_auth_duration_seconds", labels);
    remote_init(&worker->remotes[index], gw_process_of(gw, top), &worker->keys[index], provider);
    return verify_keys_init(&worker->keys[index], provider);
}

static int fill_worker(struct jwt_worker *worker, struct gw_worker *gw, const void *top)
{
    size_t count = worker->providers->count;

    worker->hits = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"hit\"");
    worker->misses = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"miss\"");
    worker->keys = calloc(count + 1, sizeof(*worker->keys));
    worker->remotes = calloc(count + 1, sizeof(*worker->remotes));
    worker->durations = calloc(count + 1, sizeof(struct gw_histogram *));
    if (worker->hits == NULL || worker->misses == NULL || worker->keys == NULL ||
        worker->remotes == NULL || worker->durations == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        int err = init_provider(worker, gw, top, i);
        if (err < 0) {
            return err;
        }
    }
    return token_cache_init(&worker->cache, TOKEN_CACHE_MAX_ENTRIES, TOKEN_CACHE_MAX_BYTES,
                            gw_counter(gw, "jwtgate_token_cache_entries", ""));
}

int jwt_worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    struct jwt_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->providers = jwt_providers(top);
    int err = fill_worker(worker, gw, top);
    if (err < 0) {
        jwt_worker_done(worker);
        return err;
    }
    *ret_worker = worker;
    return 0;
}

int jwt_set_keys(void *worker_arg, struct jwks_set *set)
{
    struct jwt_worker *worker = worker_arg;
    const struct provider *providers = worker->providers->items;
    int err = 0;

    for (size_t i = 0; i < worker->providers->count && err == 0; i++) {
        if (providers[i].has_jwks) {
            err = verify_keys_set_remote(&worker->keys[i], set);
        }
    }
    return err;
}

struct remote *jwt_worker_remote(void *worker, unsigned provider_index)
{
    return &((struct jwt_worker *)worker)->remotes[provider_index];
}
