/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/remote.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/map.h"

#include <stdlib.h>

#define PUBLISH_AGAIN_MS 500u

/* ---- what goes to the workers ---- */

struct remote_news {
    struct gw_shared shared; /* first */
    remote_find_fn *find;
    unsigned provider_index;
    struct jwks_set *set; /* a reference; NULL: none */
    bool is_current;      /* the last try got the keys */
    uint64_t next_ask_ms; /* asking before this time is of no use */
};

static void news_free(struct gw_shared *shared)
{
    struct remote_news *news = (struct remote_news *)(void *)shared;

    jwks_set_unref(news->set);
    free(news);
}

static void news_unref(struct remote_news *news)
{
    if (news != NULL) {
        gw_shared_unref(&news->shared);
    }
}

/* On a worker's thread. */
static void news_arrive(void *worker, struct gw_shared *shared)
{
    struct remote_news *news = (struct remote_news *)(void *)shared;
    struct remote *remote = news->find(worker, news->provider_index);

    news_unref(remote->news);
    gw_shared_ref(shared);
    remote->news = news;
    remote->news_count++;
    remote->asked_ms = 0;
    if (remote->keys->remote != news->set) {
        memset(remote->misses, 0, sizeof(remote->misses));
        if (verify_keys_set_remote(remote->keys, news->set) < 0) {
            log_error("jwks", "out of memory: a worker is without the new keys");
        }
    }
    gw_waitlist_wake(&remote->waiters);
}

/* ---- the control thread ---- */

struct remote_store {
    struct remote_process *owner;
    const struct provider *provider;
    struct jwks_store *store;
    struct loop_timer again; /* when not all workers got the news */
};

struct remote_process {
    struct gw_process *process;
    struct loop *loop;
    struct fetcher *fetcher;
    remote_find_fn *find;
    struct remote_store *stores; /* by provider index */
    size_t count;
};

static int publish(struct remote_store *store)
{
    struct remote_process *owner = store->owner;
    struct remote_news *news = calloc(1, sizeof(*news));
    struct jwks_set *set = jwks_store_set(store->store);
    int err;

    if (news == NULL) {
        return ERR_NO_MEMORY;
    }
    *news = (struct remote_news){
        .shared = { .refs = 1, .free = news_free },
        .find = owner->find,
        .provider_index = store->provider->index,
        .set = set == NULL ? NULL : jwks_set_ref(set),
        .is_current = jwks_store_is_current(store->store),
        .next_ask_ms = jwks_store_next_ask_ms(store->store),
    };
    err = gw_publish(owner->process, news_arrive, &news->shared);
    news_unref(news);
    return err;
}

static void on_change(void *arg)
{
    struct remote_store *store = arg;

    if (publish(store) == 0) {
        loop_timer_clear(&store->again);
        return;
    }
    log_error("jwks", "out of memory: not all workers have the news yet");
    if (loop_timer_set(store->owner->loop, &store->again, clock_ms() + PUBLISH_AGAIN_MS) != 0) {
        log_error("jwks", "out of memory: some workers keep the old keys");
    }
}

static void on_again(struct loop_timer *timer)
{
    on_change(
        (struct remote_store *)(void *)((char *)timer - offsetof(struct remote_store, again)));
}

static int start_store(struct remote_process *remote, const struct provider *provider)
{
    struct remote_store *store = &remote->stores[provider->index];

    *store = (struct remote_store){ .owner = remote, .provider = provider };
    store->again.fn = on_again;
    store->store = jwks_store_new(&(struct jwks_store_setup){
        .process = remote->process,
        .fetcher = remote->fetcher,
        .options = &provider->jwks,
        .provider = provider->element.name,
        .issuer = provider->issuer,
        .on_change = on_change,
        .arg = store,
    });
    if (store->store == NULL) {
        return ERR_NO_MEMORY;
    }
    if (jwks_store_set(store->store) != NULL) { /* from the disk */
        return publish(store);
    }
    return 0;
}

int remote_process_new(struct gw_process *process, const struct provider *providers, size_t count,
                       remote_find_fn *find, struct remote_process **ret)
{
    struct remote_process *remote = NULL;
    int err = 0;

    *ret = NULL;
    for (size_t i = 0; i < count && err == 0; i++) {
        if (!providers[i].has_jwks) {
            continue;
        }
        if (remote == NULL) {
            remote = calloc(1, sizeof(*remote));
            if (remote == NULL) {
                return ERR_NO_MEMORY;
            }
            remote->process = process;
            remote->find = find;
            remote->loop = gw_loop(gw_process_worker(process));
            remote->fetcher = fetcher_new(remote->loop);
            remote->stores = calloc(count, sizeof(*remote->stores));
            remote->count = count;
            err = remote->fetcher == NULL || remote->stores == NULL ? ERR_NO_MEMORY : 0;
        }
        if (err == 0) {
            err = start_store(remote, &providers[i]);
        }
    }
    if (err < 0) {
        remote_process_free(remote);
        return err;
    }
    *ret = remote;
    return 0;
}

void remote_process_free(struct remote_process *remote)
{
    if (remote == NULL) {
        return;
    }
    for (size_t i = 0; remote->stores != NULL && i < remote->count; i++) {
        if (remote->stores[i].owner != NULL) {
            jwks_store_free(remote->stores[i].store);
            loop_timer_remove(remote->loop, &remote->stores[i].again);
        }
    }
    fetcher_free(remote->fetcher);
    free(remote->stores);
    free(remote);
}

/* A worker asks; `state` is the plugin's, which is this process. */
static void on_ask(void *state, const void *data)
{
    struct remote_process *remote = state;
    unsigned index;

    memcpy(&index, data, sizeof(index));
    jwks_store_ask(remote->stores[index].store);
}

/* ---- a worker ---- */

void remote_init(struct remote *remote, struct gw_process *process, struct verify_keys *keys,
                 const struct provider *provider)
{
    remote->process = process;
    remote->keys = keys;
    remote->provider_index = provider->index;
    remote->miss_ms = 2u * provider->jwks.cache.min_refresh_ms;
    gw_waitlist_init(&remote->waiters);
}

void remote_done(struct remote *remote)
{
    news_unref(remote->news);
    remote->news = NULL;
}

static bool is_missing(const struct remote *remote, struct slice kid)
{
    uint64_t hash = map_hash(kid);

    return remote->misses[hash % REMOTE_MISSES].hash == hash &&
           clock_ms() < remote->misses[hash % REMOTE_MISSES].until_ms;
}

static void note_missing(struct remote *remote, struct slice kid)
{
    uint64_t hash = map_hash(kid);

    remote->misses[hash % REMOTE_MISSES].hash = hash;
    remote->misses[hash % REMOTE_MISSES].until_ms = clock_ms() + remote->miss_ms;
}

/* One question at a time; one that got no answer is asked again. */
static int ask(struct remote *remote)
{
    uint64_t now = clock_ms();
    int err;

    if (remote->asked_ms != 0 && now - remote->asked_ms < REMOTE_WAIT_MS) {
        return 0;
    }
    err = gw_process_post(remote->process, on_ask, &remote->provider_index,
                          sizeof(remote->provider_index));
    if (err == 0) {
        remote->asked_ms = now;
    }
    return err;
}

/* JWT_OK: asking may help. */
static enum jwt_reason reason_now(const struct remote *remote, struct slice kid, bool may_be_newer)
{
    const struct remote_news *news = remote->news;
    bool has_keys = news != NULL && news->set != NULL;

    if (remote->process == NULL || !may_be_newer) {
        return has_keys ? JWT_KID_UNKNOWN : JWT_JWKS_UNAVAILABLE;
    }
    if (has_keys && is_missing(remote, kid)) {
        return JWT_KID_UNKNOWN;
    }
    if (news != NULL && clock_ms() < news->next_ask_ms) {
        return has_keys && news->is_current ? JWT_KID_UNKNOWN : JWT_JWKS_UNAVAILABLE;
    }
    return remote->waiting < REMOTE_MAX_WAITING ? JWT_OK : JWT_JWKS_UNAVAILABLE;
}

enum gw_verdict remote_wait_begin(struct gw_call *call, struct remote *remote, struct slice kid,
                                  bool may_be_newer, struct remote_wait *wait, gw_hook_fn *fn,
                                  enum jwt_reason *ret_reason)
{
    *ret_reason = reason_now(remote, kid, may_be_newer);
    if (*ret_reason != JWT_OK) {
        return GW_REPLY;
    }
    *ret_reason = JWT_JWKS_UNAVAILABLE;
    if (ask(remote) < 0 || gw_waitlist_join(call, &remote->waiters, fn) == GW_FAIL ||
        gw_sleep(call, REMOTE_WAIT_MS, fn) == GW_FAIL) {
        return GW_REPLY;
    }
    *wait = (struct remote_wait){ .remote = remote, .news_count = remote->news_count };
    remote->waiting++;
    return GW_WAIT;
}

bool remote_wait_end(struct remote_wait *wait)
{
    struct remote *remote = wait->remote;

    if (remote == NULL) {
        return false;
    }
    wait->remote = NULL;
    remote->waiting--;
    return wait->news_count != remote->news_count;
}

enum jwt_reason remote_missed(struct remote *remote, struct slice kid, bool answered)
{
    if (!answered || remote->news == NULL || remote->news->set == NULL ||
        !remote->news->is_current) {
        return JWT_JWKS_UNAVAILABLE;
    }
    note_missing(remote, kid);
    return JWT_KID_UNKNOWN;
}
