/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/offload.h"
#include "plugins/jwks/store.h"

#include <stdlib.h>

#define MAX_SAVES 64u /* that wait for the disk */

struct jwks_hub {
    unsigned refs;
    struct loop *loop;
    struct fetcher *fetcher;
    struct offload *offload; /* NULL until the first copy is kept */
    struct jwks_store *stores;
};

/* ---- sources ---- */

static bool same_bytes(struct slice a, struct slice b)
{
    return slice_is_absent(a) == slice_is_absent(b) && slice_eq(a, b);
}

/* The options are all that decides what a store fetches.  ca_file counts by what was in it, and where the
 * copy is kept does not. */
static bool is_same_source(const struct jwks_source *a, const struct jwks_source *b)
{
    const struct jwks_options *x = &a->options, *y = &b->options;

    return same_bytes(x->uri, y->uri) && x->discovery == y->discovery &&
           x->allow_http == y->allow_http && same_bytes(x->ca, y->ca) &&
           same_bytes(x->proxy, y->proxy) && x->timeout_ms == y->timeout_ms &&
           x->max_bytes == y->max_bytes && x->cache.ttl_ms == y->cache.ttl_ms &&
           x->cache.min_refresh_ms == y->cache.min_refresh_ms &&
           x->cache.stale_if_error_ms == y->cache.stale_if_error_ms &&
           x->on_suspicious == y->on_suspicious && same_bytes(a->issuer, b->issuer);
}

static struct jwks_source source_of(const struct jwks_watch_setup *setup)
{
    const char *folder = gw_folder(setup->process, GW_CACHE_DIR);

    return (struct jwks_source){
        .options = *setup->options,
        .issuer = setup->options->discovery ? setup->issuer : SLICE_ABSENT,
        .cache_folder = slice_str(folder),
    };
}

/* The source's texts, each of its own. */
static void list_texts(struct jwks_source *source, struct slice *ret[5])
{
    ret[0] = &source->options.uri;
    ret[1] = &source->options.ca;
    ret[2] = &source->options.proxy;
    ret[3] = &source->issuer;
    ret[4] = &source->cache_folder;
}

static void source_done(struct jwks_source *source)
{
    struct slice *texts[5];

    list_texts(source, texts);
    for (size_t i = 0; i < 5; i++) {
        free((char *)(uintptr_t)texts[i]->ptr);
    }
}

/* Texts become copies of the source's own. */
static int source_own(struct jwks_source *source)
{
    struct slice *texts[5];
    int err = 0;

    source->options.ca_file = NULL; /* `ca` is what counts */
    list_texts(source, texts);
    for (size_t i = 0; i < 5; i++) {
        const char *text = texts[i]->ptr;
        char *copy = text == NULL ? NULL : calloc(1, texts[i]->len + 1);

        if (copy != NULL) {
            memcpy(copy, text, texts[i]->len);
        }
        texts[i]->ptr = copy;
        err = text != NULL && copy == NULL ? ERR_NO_MEMORY : err;
    }
    return err;
}

/* ---- stores ---- */

static void store_free(struct jwks_store *store)
{
    struct jwks_store **at = &store->hub->stores;

    while (*at != store) {
        at = &(*at)->next;
    }
    *at = store->next;
    store_stop(store);
    source_done(&store->source);
    free(store->names);
    free(store);
}

static struct jwks_store *find_store(struct jwks_hub *hub, const struct jwks_source *source)
{
    struct jwks_store *store = hub->stores;

    while (store != NULL && !is_same_source(&store->source, source)) {
        store = store->next;
    }
    return store;
}

static struct jwks_store *store_new(struct jwks_hub *hub, const struct jwks_source *source)
{
    struct jwks_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    store->hub = hub;
    store->loop = hub->loop;
    store->next = hub->stores;
    hub->stores = store;
    store->source = *source;
    store->names = strdup("-");
    if (source_own(&store->source) < 0 || store->names == NULL) {
        store_free(store);
        return NULL;
    }
    return store;
}

/* The newest snapshot says where the copy is kept. */
static int follow_folder(struct jwks_store *store, struct slice folder)
{
    struct slice *own = &store->source.cache_folder;
    char *copy = slice_is_absent(folder) ? NULL : strdup(folder.ptr);

    if (copy == NULL && !slice_is_absent(folder)) {
        return ERR_NO_MEMORY;
    }
    free((char *)(uintptr_t)own->ptr);
    *own = slice_str(copy);
    return store_find_file(store);
}

int hub_join(struct jwks_hub *hub, struct jwks_watch *watch)
{
    struct jwks_source source = source_of(&watch->setup);
    struct jwks_store *store = find_store(hub, &source);
    bool is_new = store == NULL;

    store = is_new ? store_new(hub, &source) : store;
    if (store == NULL) {
        return ERR_NO_MEMORY;
    }
    if (!is_new && !same_bytes(store->source.cache_folder, source.cache_folder) &&
        follow_folder(store, source.cache_folder) < 0) {
        return ERR_NO_MEMORY;
    }
    watch->store = store;
    watch->next = store->watches;
    store->watches = watch;
    watches_name(store);
    if (is_new && store_start(store) < 0) {
        hub_leave(watch);
        return ERR_NO_MEMORY;
    }
    return 0;
}

void hub_leave(struct jwks_watch *watch)
{
    struct jwks_store *store = watch->store;
    struct jwks_watch **at = &store->watches;

    while (*at != watch) {
        at = &(*at)->next;
    }
    *at = watch->next;

    struct jwks_hub *hub = store->hub;

    if (store->watches == NULL) {
        store_free(store);
    } else {
        watches_name(store);
    }
    for (store = hub->stores; store != NULL; store = store->next) {
        watches_show(store); /* a provider with another source now has the same gauges */
    }
}

bool hub_has_provider(const struct jwks_hub *hub, struct slice provider)
{
    for (const struct jwks_store *store = hub->stores; store != NULL; store = store->next) {
        for (const struct jwks_watch *at = store->watches; at != NULL; at = at->next) {
            if (slice_eq(at->setup.provider, provider)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- life ---- */

struct fetcher *hub_fetcher(struct jwks_hub *hub)
{
    return hub->fetcher;
}

struct offload *hub_offload(struct jwks_hub *hub)
{
    if (hub->offload == NULL) {
        hub->offload = offload_new(1, MAX_SAVES);
    }
    return hub->offload;
}

struct jwks_hub *jwks_hub_new(struct gw_process *process)
{
    struct jwks_hub *hub = calloc(1, sizeof(*hub));

    if (hub == NULL) {
        return NULL;
    }
    hub->refs = 1;
    hub->loop = gw_loop(gw_process_worker(process));
    hub->fetcher = fetcher_new(hub->loop);
    if (hub->fetcher == NULL) {
        free(hub);
        return NULL;
    }
    return hub;
}

struct jwks_hub *jwks_hub_ref(struct jwks_hub *hub)
{
    hub->refs++;
    return hub;
}

void jwks_hub_unref(struct jwks_hub *hub)
{
    if (hub == NULL || --hub->refs > 0) {
        return;
    }
    require(hub->stores == NULL);
    fetcher_free(hub->fetcher);
    if (hub->offload != NULL) {
        offload_free(hub->offload);
        loop_turn(hub->loop, false); /* the ends of the last copies; in a reload, they come later */
    }
    free(hub);
}
