/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/worker.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_LABELS 200u

/* ---- the tokens ---- */

static struct jwt_cache *cache_new(struct gw_worker *gw)
{
    struct jwt_cache *cache = calloc(1, sizeof(*cache));

    if (cache == NULL) {
        return NULL;
    }
    cache->users = 1;
    if (token_cache_init(&cache->tokens, TOKEN_CACHE_MAX_ENTRIES, TOKEN_CACHE_MAX_BYTES,
                         gw_counter(gw, "jwtgate_token_cache_entries", "")) < 0) {
        free(cache);
        return NULL;
    }
    return cache;
}

static struct jwt_cache *cache_ref(struct jwt_cache *cache)
{
    cache->users++;
    return cache;
}

static void cache_unref(struct jwt_cache *cache)
{
    if (cache == NULL || --cache->users > 0) {
        return;
    }
    token_cache_done(&cache->tokens);
    free(cache);
}

/* ---- one provider ---- */

static void issuer_unref(struct jwt_issuer *issuer)
{
    if (issuer == NULL || --issuer->users > 0) {
        return;
    }
    token_cache_drop(&issuer->cache->tokens, issuer->provider);
    cache_unref(issuer->cache);
    verify_keys_done(&issuer->keys);
    remote_done(&issuer->remote);
    provider_unref(issuer->provider);
    free(issuer);
}

static struct jwt_issuer *issuer_new(struct gw_worker *gw, struct provider *provider,
                                     struct jwt_cache *cache)
{
    struct jwt_issuer *issuer = calloc(1, sizeof(*issuer));
    struct slice name = provider->element.name;
    char labels[MAX_LABELS];

    if (issuer == NULL) {
        return NULL;
    }
    issuer->users = 1;
    issuer->provider = provider_ref(provider);
    issuer->cache = cache_ref(cache);
    /* Only misses are measured: on a hit, two readings of the clock would cost more than the rest. */
    snprintf(labels, sizeof(labels), "provider=\"%.*s\",cache=\"miss\"",
             (int)(name.len < 128 ? name.len : 128), name.ptr);
    issuer->durations = gw_histogram(gw, "jwtgate_auth_duration_seconds", labels);
    remote_init(&issuer->remote, &issuer->keys, provider);
    if (verify_keys_init(&issuer->keys, provider) < 0) {
        issuer_unref(issuer);
        return NULL;
    }
    return issuer;
}

/* That of the snapshot before, if it has the provider; NULL: it has not. */
static struct jwt_issuer *issuer_kept(const struct jwt_worker *previous,
                                      const struct provider *provider)
{
    for (size_t i = 0; previous != NULL && i < previous->count; i++) {
        if (previous->issuers[i]->provider == provider) {
            previous->issuers[i]->users++;
            return previous->issuers[i];
        }
    }
    return NULL;
}

/* ---- all ---- */

void jwt_worker_done(void *arg)
{
    struct jwt_worker *worker = arg;

    if (worker == NULL) {
        return;
    }
    for (size_t i = 0; i < worker->count; i++) {
        issuer_unref(worker->issuers[i]);
    }
    cache_unref(worker->cache);
    free(worker->issuers);
    free(worker);
}

static int fill_worker(struct jwt_worker *worker, struct gw_worker *gw, const void *top)
{
    const struct provider_list *providers = jwt_providers(top);
    const struct jwt_worker *previous = gw_worker_previous(gw, top);

    worker->process = gw_process_of(gw, top);
    worker->hits = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"hit\"");
    worker->misses = gw_counter(gw, "jwtgate_token_cache_lookups_total", "result=\"miss\"");
    worker->cache = previous == NULL ? cache_new(gw) : cache_ref(previous->cache);
    worker->issuers = calloc(providers->count + 1, sizeof(struct jwt_issuer *));
    if (worker->hits == NULL || worker->misses == NULL || worker->cache == NULL ||
        worker->issuers == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < providers->count; i++) {
        struct jwt_issuer *issuer = issuer_kept(previous, providers->items[i]);

        if (issuer == NULL) {
            issuer = issuer_new(gw, providers->items[i], worker->cache);
        }
        if (issuer == NULL) {
            return ERR_NO_MEMORY;
        }
        worker->issuers[worker->count++] = issuer;
    }
    return 0;
}

int jwt_worker_init(struct gw_worker *gw, const void *top, void **ret_worker)
{
    struct jwt_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
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
    int err = 0;

    for (size_t i = 0; i < worker->count && err == 0; i++) {
        if (worker->issuers[i]->provider->has_jwks) {
            err = verify_keys_set_remote(&worker->issuers[i]->keys, set);
        }
    }
    return err;
}

struct remote *jwt_worker_remote(void *worker, unsigned provider_index)
{
    return &((struct jwt_worker *)worker)->issuers[provider_index]->remote;
}

struct slice jwt_worker_namespace(const void *arg, struct slice issuer)
{
    const struct jwt_worker *worker = arg;

    for (size_t i = 0; worker != NULL && i < worker->count; i++) {
        if (slice_eq(worker->issuers[i]->provider->issuer, issuer)) {
            return worker->issuers[i]->provider->revocation_namespace;
        }
    }
    return SLICE_ABSENT;
}
