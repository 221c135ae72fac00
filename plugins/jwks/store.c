/* SPDX-License-Identifier: Apache-2.0 */
/* A try is one to three transfers (metadata of two kinds, then the keys); store->fetch is the one under
 * way, store->timer the next try.  Everything that ends a try goes through store_succeeded() or
 * store_failed(). */
#include "plugins/jwks/store.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/jwks/answer.h"
#include "plugins/jwks/discovery.h"
#include "plugins/jwks/disk.h"
#include "plugins/jwks/freshness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define DISCOVERY_AGAIN_MS 3600000u

static uint64_t random_number(void)
{
    uint64_t value = 0;

    return getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value) ? value : clock_ms();
}

/* ---- the set in use ---- */

static void log_keys(const struct jwks_store *store, const struct jwks_set *from,
                     const struct jwks_set *without, const char *what)
{
    char kid[2 * JWS_MAX_KID_BYTES];

    for (size_t i = 0; from != NULL && i < from->count; i++) {
        const struct jwk *key = &from->keys[i];

        if (without == NULL || !jwks_set_has(without, key)) {
            log_info("jwks", "key %s provider=%s kid=%s", what, store->names,
                     slice_is_absent(key->kid) ? "-" : log_quote(key->kid, kid, sizeof(kid)));
        }
    }
}

/* Takes over `set`; NULL: there is none to use any more. */
static void store_use(struct jwks_store *store, struct jwks_set *set)
{
    log_keys(store, set, store->set, "added");
    if (set != NULL) {
        log_keys(store, store->set, set, "removed");
    }
    jwks_set_unref(store->set);
    store->set = set;
    store->skipped = set == NULL ? 0 : set->skipped;
    watches_show(store);
}

static void store_on_stale(struct loop_timer *timer)
{
    struct jwks_store *store =
        (struct jwks_store *)(void *)((char *)timer - offsetof(struct jwks_store, stale_timer));

    log_error("jwks", "the last good keys are too old to be used provider=%s", store->names);
    store_use(store, NULL);
    free(store->etag);
    free(store->last_modified);
    store->etag = store->last_modified = NULL;
    store->is_current = false;
    watches_tell(store);
}

static void set_timer(struct jwks_store *store, struct loop_timer *timer, uint64_t in_ms)
{
    /* Both timers have their place since store_start(). */
    if (loop_timer_set(store->loop, timer, clock_ms() + in_ms) != 0) {
        log_error("jwks", "out of memory: keys are not refreshed any more provider=%s",
                  store->names);
    }
}

/* The set in use is confirmed as of `age_ms` ago and fresh for lifetime_ms from then. */
static void store_confirm(struct jwks_store *store, uint64_t lifetime_ms, uint64_t age_ms)
{
    uint64_t usable_ms = lifetime_ms + store->source.options.cache.stale_if_error_ms;

    set_timer(store, &store->stale_timer, usable_ms > age_ms ? usable_ms - age_ms : 0);
}

static void log_skipped(void *arg, struct slice kid, const char *why)
{
    const struct jwks_store *store = arg;
    char text[2 * JWS_MAX_KID_BYTES];

    log_warning("jwks", "key skipped provider=%s kid=%s why=\"%s\"", store->names,
                slice_is_absent(kid) ? "-" : log_quote(kid, text, sizeof(text)), why);
}

/* ---- the end of a try ---- */

static void store_failed(struct jwks_store *store, const char *result, const char *detail)
{
    char text[200];

    store->failures++;
    store->is_current = false;
    if (store->source.options.discovery && store->failures > 1) {
        store->discovered_ms = 0; /* perhaps the keys have moved */
    }
    log_warning("jwks", "fetch failed provider=%s result=%s failures=%u detail=%s", store->names,
                result, store->failures, log_quote(slice_str(detail), text, sizeof(text)));
    set_timer(store, &store->timer, freshness_backoff_ms(store->failures, random_number()));
    watches_tell(store);
}

static uint64_t lifetime_of(const struct jwks_store *store, const struct fetch_answer *answer)
{
    const struct jwks_cache *cache = &store->source.options.cache;
    struct freshness_fields fields = { .cache_control = answer->cache_control,
                                       .expires = answer->expires,
                                       .date = answer->date,
                                       .age = answer->age };

    return freshness_lifetime_ms(&fields, cache->min_refresh_ms, cache->ttl_ms, clock_unix());
}

static void store_succeeded(struct jwks_store *store, const struct fetch_answer *answer)
{
    uint64_t lifetime_ms = lifetime_of(store, answer);

    store->failures = 0;
    store->is_current = true;
    store->success_unix = clock_unix();
    store_confirm(store, lifetime_ms, 0);
    watches_show(store);
    set_timer(store, &store->timer, freshness_refresh_ms(lifetime_ms, random_number()));
    watches_tell(store);
}

/* ---- the keys ---- */

static void keep_field(char **field, struct slice value)
{
    free(*field);
    *field = slice_is_absent(value) ? NULL : strndup(value.ptr, value.len);
}

/* Takes over `set`. True: use it; false: it waits for the next fetch to say the same. */
static bool store_is_plausible(struct jwks_store *store, struct jwks_set *set)
{
    enum jwks_suspicion suspicion;

    if (store->set == NULL) {
        return true;
    }
    suspicion = jwks_set_suspicion(store->set, set);
    if (suspicion == JWKS_PLAUSIBLE) {
        return true;
    }
    if (store->held != NULL && jwks_set_is_same(store->held, set)) {
        return true; /* confirmed, and counted the first time */
    }
    watches_count_suspicious(store, jwks_suspicion_name(suspicion));
    log_warning("jwks", "the new set is suspicious provider=%s reason=%s action=%s", store->names,
                jwks_suspicion_name(suspicion),
                store->source.options.on_suspicious == JWKS_HOLD ? "hold" : "accept");
    return store->source.options.on_suspicious != JWKS_HOLD;
}

static void store_hold(struct jwks_store *store, struct jwks_set *set)
{
    jwks_set_unref(store->held);
    store->held = set;
    store->is_current = false;
    set_timer(store, &store->timer, store->source.options.cache.min_refresh_ms);
    watches_tell(store);
}

/* What has not changed is not written again. */
static void store_save(const struct jwks_store *store, struct slice text, bool has_changed)
{
    struct offload *offload;

    if (store->file == NULL) {
        return;
    }
    if (!has_changed && disk_touch(store->file)) {
        return;
    }
    offload = hub_offload(store->hub);
    if (offload == NULL) {
        log_warning("jwks", "no thread: the keys are not kept on disk provider=%s", store->names);
        return;
    }
    disk_save_later(offload, store->loop, store->file, text, store->names);
}

/* Takes over `set`. */
static void store_take(struct jwks_store *store, struct jwks_set *set,
                       const struct fetch_answer *answer)
{
    if (!store_is_plausible(store, set)) {
        store_hold(store, set);
        return;
    }
    jwks_set_unref(store->held);
    store->held = NULL;
    keep_field(&store->etag, answer->etag);
    keep_field(&store->last_modified, answer->last_modified);
    bool has_changed = store->set == NULL || !jwks_set_is_same(store->set, set);

    store_save(store, answer->body, has_changed);
    if (!has_changed) {
        store->skipped = set->skipped; /* what cannot be used may be other keys than before */
        jwks_set_unref(set);           /* workers keep what they know about the old one */
    } else {
        store_use(store, set);
    }
    store_succeeded(store, answer);
}

static void store_on_keys(struct jwks_store *store, const struct fetch_answer *answer)
{
    struct jwks_set *set = NULL;
    const char *detail = NULL;
    const char *fault;

    if (answer->err == 0 && answer->status == 304 && store->set != NULL && store->is_conditional) {
        watches_count_fetch(store, "not_modified", answer->duration_ms);
        if (store->file != NULL) {
            (void)disk_touch(store->file);
        }
        store_succeeded(store, answer);
        return;
    }
    fault = jwks_answer_fault(answer, &detail);
    if (fault == NULL && jwks_set_read(answer->body, store->source.options.max_bytes, log_skipped,
                                       store, &set, &detail) < 0) {
        fault = "parse";
    }
    watches_count_fetch(store, fault == NULL ? "ok" : fault, answer->duration_ms);
    if (fault != NULL) {
        store_failed(store, fault, detail);
        return;
    }
    store_take(store, set, answer);
}

/* ---- a try ---- */

static void store_on_answer(void *arg, const struct fetch_answer *answer);

static void store_fetch(struct jwks_store *store, const char *url)
{
    struct fetch_options fetch = jwks_question(&store->source.options, url);

    if (store->stage == STORE_KEYS && store->set != NULL && store->held == NULL) {
        fetch.etag = store->etag;
        fetch.last_modified = store->last_modified;
    }
    store->is_conditional = fetch.etag != NULL || fetch.last_modified != NULL;
    store->fetch =
        url == NULL ? NULL : fetch_start(hub_fetcher(store->hub), &fetch, store_on_answer, store);
    if (store->fetch == NULL) {
        store_failed(store, "connect", "out of memory, or no address to ask");
    }
}

static void store_discover(struct jwks_store *store, enum store_stage stage)
{
    char *url = discovery_url(store->source.issuer,
                              stage == STORE_OPENID ? DISCOVERY_OPENID : DISCOVERY_OAUTH);

    store->stage = stage;
    store_fetch(store, url);
    free(url);
}

static void store_fetch_keys(struct jwks_store *store)
{
    store->stage = STORE_KEYS;
    store_fetch(store, store->uri);
}

static void store_on_metadata(struct jwks_store *store, const struct fetch_answer *answer)
{
    const char *detail = NULL;
    const char *fault = jwks_answer_fault(answer, &detail);
    char *uri = NULL;

    if (fault != NULL && store->stage == STORE_OPENID && answer->err == 0) {
        store_discover(store, STORE_OAUTH);
        return;
    }
    if (fault == NULL && discovery_read(answer->body, store->source.options.max_bytes,
                                        store->source.issuer, &uri, &detail) < 0) {
        fault = "parse";
    }
    if (fault == NULL && !fetch_url_is_valid(uri, store->source.options.allow_http)) {
        fault = "parse";
        detail = "the metadata's jwks_uri is no https address";
    }
    if (fault != NULL) {
        free(uri);
        watches_count_fetch(store, fault, answer->duration_ms);
        store_failed(store, fault, detail);
        return;
    }
    if (store->uri == NULL || strcmp(store->uri, uri) != 0) { /* other validators there */
        keep_field(&store->etag, SLICE_ABSENT);
        keep_field(&store->last_modified, SLICE_ABSENT);
    }
    free(store->uri);
    store->uri = uri;
    store->discovered_ms = clock_ms();
    store_fetch_keys(store);
}

static void store_on_answer(void *arg, const struct fetch_answer *answer)
{
    struct jwks_store *store = arg;

    store->fetch = NULL;
    if (store->stage == STORE_KEYS) {
        store_on_keys(store, answer);
        return;
    }
    store_on_metadata(store, answer);
}

static void store_try(struct jwks_store *store)
{
    const struct jwks_options *options = &store->source.options;
    uint64_t now = clock_ms();
    bool is_known = !options->discovery || (store->uri != NULL && store->discovered_ms != 0 &&
                                            now - store->discovered_ms < DISCOVERY_AGAIN_MS);

    store->next_ask_ms = now + options->cache.min_refresh_ms;
    loop_timer_clear(&store->timer);
    if (is_known) {
        store_fetch_keys(store);
        return;
    }
    store_discover(store, STORE_OPENID);
}

static void store_on_timer(struct loop_timer *timer)
{
    struct jwks_store *store =
        (struct jwks_store *)(void *)((char *)timer - offsetof(struct jwks_store, timer));

    if (store->fetch == NULL) {
        store_try(store);
    }
}

void store_ask(struct jwks_store *store)
{
    if (store->fetch != NULL) {
        return; /* its end answers */
    }
    if (clock_ms() < store->next_ask_ms) {
        watches_tell(store);
        return;
    }
    store_try(store);
}

/* ---- life ---- */

static void store_load(struct jwks_store *store)
{
    const struct jwks_options *options = &store->source.options;
    struct disk_text text = { 0 };
    struct jwks_set *set = NULL;
    const char *why = "it cannot be read";
    uint64_t age_ms;
    int err = disk_load(store->file, options->max_bytes, &text);

    if (err == ERR_NOT_FOUND) {
        return;
    }
    if (err == 0) {
        err = jwks_set_read(slice_of(text.ptr, text.len), options->max_bytes, log_skipped, store,
                            &set, &why);
        free(text.ptr);
    }
    if (err < 0) {
        log_warning("jwks", "the keys on disk are not used provider=%s file=%s why=\"%s\"",
                    store->names, store->file, why);
        return;
    }
    age_ms = text.unix_time >= clock_unix() ? 0 : (uint64_t)(clock_unix() - text.unix_time) * 1000u;
    if (age_ms >= options->cache.ttl_ms + options->cache.stale_if_error_ms) {
        jwks_set_unref(set);
        return;
    }
    log_info("jwks", "using the keys on disk until they are fetched provider=%s age_s=%llu",
             store->names, (unsigned long long)age_ms / 1000u);
    store->success_unix = text.unix_time;
    store_use(store, set);
    store_confirm(store, options->cache.ttl_ms, age_ms);
}

int store_find_file(struct jwks_store *store)
{
    const struct jwks_source *source = &store->source;

    free(store->file);
    store->file = NULL;
    if (slice_is_absent(source->cache_folder)) {
        return 0;
    }
    store->file = disk_path(source->cache_folder.ptr,
                            source->options.discovery ? source->issuer : source->options.uri);
    return store->file == NULL ? ERR_NO_MEMORY : 0;
}

int store_start(struct jwks_store *store)
{
    const struct jwks_options *options = &store->source.options;
    int err;

    store->timer.fn = store_on_timer;
    store->stale_timer.fn = store_on_stale;
    if (!options->discovery) {
        store->uri = strndup(options->uri.ptr, options->uri.len);
        if (store->uri == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    err = store_find_file(store);
    if (err == 0) {
        err = loop_timer_reserve(store->loop, &store->stale_timer);
    }
    if (err == 0) {
        err = loop_timer_set(store->loop, &store->timer, clock_ms()); /* the first try */
    }
    if (err == 0 && store->file != NULL) {
        store_load(store);
    }
    return err;
}

void store_stop(struct jwks_store *store)
{
    if (store->fetch != NULL) {
        fetch_cancel(store->fetch);
    }
    loop_timer_remove(store->loop, &store->timer);
    loop_timer_remove(store->loop, &store->stale_timer);
    jwks_set_unref(store->set);
    jwks_set_unref(store->held);
    free(store->uri);
    free(store->etag);
    free(store->last_modified);
    free(store->file);
}
