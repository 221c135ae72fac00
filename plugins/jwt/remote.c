/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/remote.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
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
    bool is_asking;       /* another one is under way: it answers those who wait */
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
    if (remote->keys->remote != news->set) {
        memset(remote->misses, 0, sizeof(remote->misses));
        if (verify_keys_set_remote(remote->keys, news->set) < 0) {
            log_error("jwks", "out of memory: a worker is without the new keys");
        }
    }
    if (!news->is_asking) {
        remote->news_count++;
        remote->asked_ms = 0;
        gw_waitlist_wake(&remote->waiters);
    }
}

/* ---- the control thread ---- */

struct remote_watch {
    struct remote_process *owner;
    unsigned provider_index;
    struct jwks_watch *watch; /* NULL: the provider has no jwks */
    struct loop_timer again;  /* when not all workers got the news */
};

struct remote_process {
    struct gw_process *process;
    struct loop *loop;
    struct jwks_hub *hub; /* a reference */
    remote_find_fn *find;
    struct remote_watch *watches; /* by provider index */
    size_t count;
};

static int publish(const struct remote_watch *own)
{
    struct remote_process *owner = own->owner;
    struct remote_news *news = calloc(1, sizeof(*news));
    struct jwks_set *set = jwks_watch_set(own->watch);
    int err;

    if (news == NULL) {
        return ERR_NO_MEMORY;
    }
    *news = (struct remote_news){
        .shared = { .refs = 1, .free = news_free },
        .find = owner->find,
        .provider_index = own->provider_index,
        .set = set == NULL ? NULL : jwks_set_ref(set),
        .is_current = jwks_watch_is_current(own->watch),
        .is_asking = jwks_watch_is_asking(own->watch),
        .next_ask_ms = jwks_watch_next_ask_ms(own->watch),
    };
    err = gw_publish(owner->process, news_arrive, &news->shared);
    news_unref(news);
    return err;
}

static void on_change(void *arg)
{
    struct remote_watch *own = arg;

    if (publish(own) == 0) {
        loop_timer_clear(&own->again);
        return;
    }
    log_error("jwks", "out of memory: not all workers have the news yet");
    if (loop_timer_set(own->owner->loop, &own->again, clock_ms() + PUBLISH_AGAIN_MS) != 0) {
        log_error("jwks", "out of memory: some workers keep the old keys");
    }
}

static void on_again(struct loop_timer *timer)
{
    on_change(
        (struct remote_watch *)(void *)((char *)timer - offsetof(struct remote_watch, again)));
}

static int start_watch(struct remote_process *remote, unsigned index,
                       const struct provider *provider)
{
    struct remote_watch *own = &remote->watches[index];

    *own = (struct remote_watch){ .owner = remote, .provider_index = index };
    own->again.fn = on_again;
    own->watch = jwks_watch_new(remote->hub, &(struct jwks_watch_setup){
                                                 .process = remote->process,
                                                 .options = &provider->jwks,
                                                 .provider = provider->element.name,
                                                 .issuer = provider->issuer,
                                                 .on_change = on_change,
                                                 .arg = own,
                                             });
    if (own->watch == NULL) {
        return ERR_NO_MEMORY;
    }
    if (jwks_watch_set(own->watch) != NULL) { /* from the disk, or of the snapshot before */
        return publish(own);
    }
    return 0;
}

static struct remote_process *process_new(struct gw_process *process, size_t count,
                                          remote_find_fn *find)
{
    const struct remote_process *previous = gw_process_previous(process);
    struct remote_process *remote = calloc(1, sizeof(*remote));

    if (remote == NULL) {
        return NULL;
    }
    remote->process = process;
    remote->find = find;
    remote->loop = gw_loop(gw_process_worker(process));
    remote->hub = previous == NULL ? jwks_hub_new(process) : jwks_hub_ref(previous->hub);
    remote->watches = calloc(count, sizeof(*remote->watches));
    remote->count = remote->watches == NULL ? 0 : count;
    if (remote->hub == NULL || remote->watches == NULL) {
        remote_process_free(remote);
        return NULL;
    }
    return remote;
}

int remote_process_new(struct gw_process *process, const struct provider_list *providers,
                       remote_find_fn *find, struct remote_process **ret)
{
    struct remote_process *remote = NULL;
    int err = 0;

    *ret = NULL;
    for (unsigned i = 0; i < providers->count && err == 0; i++) {
        if (!providers->items[i]->has_jwks) {
            continue;
        }
        if (remote == NULL) {
            remote = process_new(process, providers->count, find);
        }
        err = remote == NULL ? ERR_NO_MEMORY : start_watch(remote, i, providers->items[i]);
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
    for (size_t i = 0; i < remote->count; i++) {
        jwks_watch_free(remote->watches[i].watch);
        loop_timer_remove(remote->loop, &remote->watches[i].again);
    }
    jwks_hub_unref(remote->hub);
    free(remote->watches);
    free(remote);
}

/* A worker asks; `state` is the plugin's, which is this process. */
static void on_ask(void *state, const void *data)
{
    const struct remote_process *remote = state;
    unsigned index;

    memcpy(&index, data, sizeof(index));
    jwks_watch_ask(remote->watches[index].watch);
}

/* ---- a worker ---- */

void remote_init(struct remote *remote, struct verify_keys *keys, const struct provider *provider)
{
    remote->keys = keys;
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
static int ask(struct remote *remote, const struct remote_question *question)
{
    uint64_t now = clock_ms();
    int err;

    if (remote->asked_ms != 0 && now - remote->asked_ms < REMOTE_WAIT_MS) {
        return 0;
    }
    err = gw_process_post(question->process, on_ask, &question->provider_index,
                          sizeof(question->provider_index));
    if (err == 0) {
        remote->asked_ms = now;
    }
    return err;
}

/* JWT_OK: asking may help. */
static enum jwt_reason reason_now(const struct remote *remote,
                                  const struct remote_question *question)
{
    const struct remote_news *news = remote->news;
    bool has_keys = news != NULL && news->set != NULL;

    if (question->process == NULL || !question->may_be_newer) {
        return has_keys ? JWT_KID_UNKNOWN : JWT_JWKS_UNAVAILABLE;
    }
    if (has_keys && is_missing(remote, question->kid)) {
        return JWT_KID_UNKNOWN;
    }
    if (news != NULL && clock_ms() < news->next_ask_ms) {
        return has_keys && news->is_current ? JWT_KID_UNKNOWN : JWT_JWKS_UNAVAILABLE;
    }
    return remote->waiting < REMOTE_MAX_WAITING ? JWT_OK : JWT_JWKS_UNAVAILABLE;
}

enum gw_verdict remote_wait_begin(struct gw_call *call, struct remote *remote,
                                  const struct remote_question *question, struct remote_wait *wait,
                                  gw_hook_fn *fn, enum jwt_reason *ret_reason)
{
    *ret_reason = reason_now(remote, question);
    if (*ret_reason != JWT_OK) {
        return GW_REPLY;
    }
    *ret_reason = JWT_JWKS_UNAVAILABLE;
    if (ask(remote, question) < 0 || gw_waitlist_join(call, &remote->waiters, fn) == GW_FAIL ||
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
