/* SPDX-License-Identifier: Apache-2.0 */
/* A try is one to three transfers (metadata of two kinds, then the keys); store->fetch is the one under
 * way, store->timer the next try.  Everything that ends a try goes through store_succeeded() or
 * store_failed(). */
#include "plugins/jwks/jwks.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/jwks/discovery.h"
#include "plugins/jwks/disk.h"
#include "plugins/jwks/freshness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define DISCOVERY_AGAIN_MS 3600000u
#define MAX_LABELS         300u
#define ACCEPT             "application/jwk-set+json, application/json"

enum stage { STAGE_OPENID, STAGE_OAUTH, STAGE_KEYS };

struct jwks_store {
    struct jwks_store_setup setup;
    struct loop *loop;
    struct loop_timer timer;       /* the next try */
    struct loop_timer stale_timer; /* the end of the last good set */
    struct gw_check *check;
    char *file; /* on disk; NULL: none */

    struct fetch *fetch; /* NULL: no try under way */
    enum stage stage;
    char *uri; /* of the keys; NULL: not discovered yet */
    uint64_t discovered_ms;

    struct jwks_set *set;  /* in use; NULL: none */
    struct jwks_set *held; /* suspicious, until the next fetch confirms it */
    char *etag, *last_modified;
    bool etag_sent; /* with the try under way: 304 means something */
    bool is_current;
    unsigned failures; /* in a row */
    uint64_t next_ask_ms;

    uint64_t *keys, *skipped, *last_success; /* gauges */
};

static struct slice name_of(const struct jwks_store *store)
{
    return store->setup.provider;
}

static uint64_t random_number(void)
{
    uint64_t value = 0;

    return getrandom(&value, sizeof(value), GRND_NONBLOCK) == sizeof(value) ? value : clock_ms();
}

/* ---- metrics ---- */

/* `label` NULL: the provider is the only one. */
static void write_labels(const struct jwks_store *store, const char *label, const char *value,
                         char ret_labels[MAX_LABELS])
{
    struct slice name = name_of(store);

    name.len = name.len < 128 ? name.len : 128;
    if (label == NULL) {
        snprintf(ret_labels, MAX_LABELS, "provider=\"%.*s\"", SLICE_FMT(name));
    } else {
        snprintf(ret_labels, MAX_LABELS, "provider=\"%.*s\",%s=\"%s\"", SLICE_FMT(name), label,
                 value);
    }
}

static uint64_t *number(const struct jwks_store *store, const char *family, const char *label,
                        const char *value)
{
    char labels[MAX_LABELS];

    write_labels(store, label, value, labels);
    return gw_counter(gw_process_worker(store->setup.process), family, labels);
}

static void count(const struct jwks_store *store, const char *family, const char *label,
                  const char *value)
{
    uint64_t *counter = number(store, family, label, value);

    if (counter != NULL) {
        (*counter)++;
    }
}

static void set_gauge(uint64_t *gauge, uint64_t value)
{
    if (gauge != NULL) {
        *gauge = value;
    }
}

static void count_fetch(const struct jwks_store *store, const char *result, uint64_t duration_ms)
{
    char labels[MAX_LABELS];
    struct gw_histogram *durations;

    write_labels(store, "result", result, labels);
    count(store, "jwtgate_jwks_fetches_total", "result", result);
    durations = gw_histogram(gw_process_worker(store->setup.process),
                             "jwtgate_jwks_fetch_duration_seconds", labels);
    if (durations != NULL) {
        gw_histogram_add_us(durations, duration_ms * 1000u);
    }
}

/* ---- the set in use ---- */

static void log_keys(const struct jwks_store *store, const struct jwks_set *from,
                     const struct jwks_set *without, const char *what)
{
    char kid[2 * JWS_MAX_KID_BYTES];

    for (size_t i = 0; from != NULL && i < from->count; i++) {
        const struct jwk *key = &from->keys[i];

        if (without == NULL || !jwks_set_has(without, key)) {
            log_info("jwks", "key %s provider=%.*s kid=%s", what, SLICE_FMT(name_of(store)),
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
    set_gauge(store->keys, set == NULL ? 0 : set->count);
    set_gauge(store->skipped, set == NULL ? 0 : set->skipped);
}

static void store_on_stale(struct loop_timer *timer)
{
    struct jwks_store *store =
        (struct jwks_store *)(void *)((char *)timer - offsetof(struct jwks_store, stale_timer));

    log_error("jwks", "the last good keys are too old to be used provider=%.*s",
              SLICE_FMT(name_of(store)));
    store_use(store, NULL);
    free(store->etag);
    free(store->last_modified);
    store->etag = store->last_modified = NULL;
    store->is_current = false;
    store->setup.on_change(store->setup.arg);
}

static void set_timer(struct jwks_store *store, struct loop_timer *timer, uint64_t in_ms)
{
    /* Both timers have their place since jwks_store_new(). */
    if (loop_timer_set(store->loop, timer, clock_ms() + in_ms) != 0) {
        log_error("jwks", "out of memory: keys are not refreshed any more provider=%.*s",
                  SLICE_FMT(name_of(store)));
    }
}

/* The set in use is confirmed as of `age_ms` ago and fresh for lifetime_ms from then. */
static void store_confirm(struct jwks_store *store, uint64_t lifetime_ms, uint64_t age_ms)
{
    uint64_t usable_ms = lifetime_ms + store->setup.options->cache.stale_if_error_ms;

    set_timer(store, &store->stale_timer, usable_ms > age_ms ? usable_ms - age_ms : 0);
    if (store->check != NULL) {
        gw_check_set(store->check, true, NULL);
    }
}

static void log_skipped(void *arg, struct slice kid, const char *why)
{
    const struct jwks_store *store = arg;
    char text[2 * JWS_MAX_KID_BYTES];

    log_warning("jwks", "key skipped provider=%.*s kid=%s why=\"%s\"", SLICE_FMT(name_of(store)),
                slice_is_absent(kid) ? "-" : log_quote(kid, text, sizeof(text)), why);
}

/* ---- the end of a try ---- */

static void store_failed(struct jwks_store *store, const char *result, const char *detail)
{
    char text[200];

    store->failures++;
    store->is_current = false;
    if (store->setup.options->discovery && store->failures > 1) {
        store->discovered_ms = 0; /* perhaps the keys have moved */
    }
    log_warning("jwks", "fetch failed provider=%.*s result=%s failures=%u detail=%s",
                SLICE_FMT(name_of(store)), result, store->failures,
                log_quote(slice_str(detail), text, sizeof(text)));
    set_timer(store, &store->timer, freshness_backoff_ms(store->failures, random_number()));
    store->setup.on_change(store->setup.arg);
}

static uint64_t lifetime_of(const struct jwks_store *store, const struct fetch_answer *answer)
{
    const struct jwks_cache *cache = &store->setup.options->cache;
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
    set_gauge(store->last_success, (uint64_t)clock_unix());
    store_confirm(store, lifetime_ms, 0);
    set_timer(store, &store->timer, freshness_refresh_ms(lifetime_ms, random_number()));
    store->setup.on_change(store->setup.arg);
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
    count(store, "jwtgate_jwks_suspicious_total", "reason", jwks_suspicion_name(suspicion));
    log_warning("jwks", "the new set is suspicious provider=%.*s reason=%s action=%s",
                SLICE_FMT(name_of(store)), jwks_suspicion_name(suspicion),
                store->setup.options->on_suspicious == JWKS_HOLD ? "hold" : "accept");
    return store->setup.options->on_suspicious != JWKS_HOLD;
}

static void store_hold(struct jwks_store *store, struct jwks_set *set)
{
    jwks_set_unref(store->held);
    store->held = set;
    store->is_current = false;
    set_timer(store, &store->timer, store->setup.options->cache.min_refresh_ms);
    store->setup.on_change(store->setup.arg);
}

static void store_save(const struct jwks_store *store, struct slice text)
{
    if (store->file != NULL && disk_save(store->file, text) < 0) {
        log_warning("jwks", "cannot keep the keys on disk provider=%.*s file=%s",
                    SLICE_FMT(name_of(store)), store->file);
    }
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
    store_save(store, answer->body);
    if (store->set != NULL && jwks_set_is_same(store->set, set)) {
        set_gauge(store->skipped,
                  set->skipped); /* what cannot be used may be other keys than before */
        jwks_set_unref(set);     /* workers keep what they know about the old one */
    } else {
        store_use(store, set);
    }
    store_succeeded(store, answer);
}

static bool type_may_be_json(struct slice type)
{
    static const struct slice plain[] = { { "text/plain", 10 },
                                          { "application/octet-stream", 24 },
                                          { "binary/octet-stream", 19 } };

    if (slice_is_absent(type)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (type.len >= plain[i].len &&
            slice_eq_nocase(slice_of(type.ptr, plain[i].len), plain[i])) {
            return true;
        }
    }
    return memmem(type.ptr, type.len, "json", 4) != NULL;
}

const char *jwks_answer_fault(const struct fetch_answer *answer, const char **ret_detail)
{
    *ret_detail = answer->detail;
    switch (answer->err) {
    case 0: break;
    case ERR_TIMEOUT: return "timeout";
    case ERR_CRYPTO: return "tls";
    case ERR_TOO_BIG: return "too_large";
    default: return "connect";
    }
    *ret_detail = "the status is not 200";
    if (answer->status != 200) {
        return "http_error";
    }
    *ret_detail = "the content type is not JSON";
    return type_may_be_json(answer->content_type) ? NULL : "parse";
}

static void store_on_keys(struct jwks_store *store, const struct fetch_answer *answer)
{
    struct jwks_set *set = NULL;
    const char *detail = NULL;
    const char *fault;

    if (answer->err == 0 && answer->status == 304 && store->set != NULL && store->etag_sent) {
        count_fetch(store, "not_modified", answer->duration_ms);
        if (store->file != NULL) {
            disk_touch(store->file);
        }
        store_succeeded(store, answer);
        return;
    }
    fault = jwks_answer_fault(answer, &detail);
    if (fault == NULL && jwks_set_read(answer->body, store->setup.options->max_bytes, log_skipped,
                                       store, &set, &detail) < 0) {
        fault = "parse";
    }
    count_fetch(store, fault == NULL ? "ok" : fault, answer->duration_ms);
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
    const struct jwks_options *options = store->setup.options;
    bool is_conditional = store->stage == STAGE_KEYS && store->set != NULL && store->held == NULL;
    struct fetch_options fetch = {
        .url = url,
        .allow_http = options->allow_http,
        .ca_file = options->ca_file,
        .connect_timeout_ms = options->timeout_ms,
        .timeout_ms = options->timeout_ms,
        .max_bytes = options->max_bytes,
        .accept = ACCEPT,
        .etag = is_conditional ? store->etag : NULL,
        .last_modified = is_conditional ? store->last_modified : NULL,
    };

    store->etag_sent = fetch.etag != NULL || fetch.last_modified != NULL;
    store->fetch =
        url == NULL ? NULL : fetch_start(store->setup.fetcher, &fetch, store_on_answer, store);
    if (store->fetch == NULL) {
        store_failed(store, "connect", "out of memory, or no address to ask");
    }
}

static void store_discover(struct jwks_store *store, enum stage stage)
{
    char *url = discovery_url(store->setup.issuer,
                              stage == STAGE_OPENID ? DISCOVERY_OPENID : DISCOVERY_OAUTH);

    store->stage = stage;
    store_fetch(store, url);
    free(url);
}

static void store_fetch_keys(struct jwks_store *store)
{
    store->stage = STAGE_KEYS;
    store_fetch(store, store->uri);
}

static void store_on_metadata(struct jwks_store *store, const struct fetch_answer *answer)
{
    const char *detail = NULL;
    const char *fault = jwks_answer_fault(answer, &detail);
    char *uri = NULL;

    if (fault != NULL && store->stage == STAGE_OPENID && answer->err == 0) {
        store_discover(store, STAGE_OAUTH);
        return;
    }
    if (fault == NULL && discovery_read(answer->body, store->setup.options->max_bytes,
                                        store->setup.issuer, &uri, &detail) < 0) {
        fault = "parse";
    }
    if (fault == NULL && !fetch_url_is_valid(uri, store->setup.options->allow_http)) {
        fault = "parse";
        detail = "the metadata's jwks_uri is no https address";
    }
    if (fault != NULL) {
        free(uri);
        count_fetch(store, fault, answer->duration_ms);
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
    if (store->stage == STAGE_KEYS) {
        store_on_keys(store, answer);
        return;
    }
    store_on_metadata(store, answer);
}

static void store_try(struct jwks_store *store)
{
    const struct jwks_options *options = store->setup.options;
    uint64_t now = clock_ms();
    bool is_known = !options->discovery || (store->uri != NULL && store->discovered_ms != 0 &&
                                            now - store->discovered_ms < DISCOVERY_AGAIN_MS);

    store->next_ask_ms = now + options->cache.min_refresh_ms;
    loop_timer_clear(&store->timer);
    if (is_known) {
        store_fetch_keys(store);
        return;
    }
    store_discover(store, STAGE_OPENID);
}

static void store_on_timer(struct loop_timer *timer)
{
    struct jwks_store *store =
        (struct jwks_store *)(void *)((char *)timer - offsetof(struct jwks_store, timer));

    if (store->fetch == NULL) {
        store_try(store);
    }
}

void jwks_store_ask(struct jwks_store *store)
{
    if (store->fetch != NULL) {
        return; /* its end answers */
    }
    if (clock_ms() < store->next_ask_ms) {
        store->setup.on_change(store->setup.arg);
        return;
    }
    store_try(store);
}

/* ---- life ---- */

static void store_load(struct jwks_store *store)
{
    const struct jwks_options *options = store->setup.options;
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
        log_warning("jwks", "the keys on disk are not used provider=%.*s file=%s why=\"%s\"",
                    SLICE_FMT(name_of(store)), store->file, why);
        return;
    }
    age_ms = text.unix_time >= clock_unix() ? 0 : (uint64_t)(clock_unix() - text.unix_time) * 1000u;
    if (age_ms >= options->cache.ttl_ms + options->cache.stale_if_error_ms) {
        jwks_set_unref(set);
        return;
    }
    log_info("jwks", "using the keys on disk until they are fetched provider=%.*s age_s=%llu",
             SLICE_FMT(name_of(store)), (unsigned long long)age_ms / 1000u);
    set_gauge(store->last_success, (uint64_t)text.unix_time);
    store_use(store, set);
    store_confirm(store, options->cache.ttl_ms, age_ms);
}

static int store_find_file(struct jwks_store *store)
{
    const char *folder = gw_folder(store->setup.process, GW_CACHE_DIR);
    char *source = NULL;
    int len;

    if (folder == NULL) {
        return 0;
    }
    len = asprintf(&source, "%.*s %.*s", SLICE_FMT(store->setup.issuer),
                   SLICE_FMT(store->setup.options->uri));
    if (len < 0) {
        return ERR_NO_MEMORY;
    }
    store->file = disk_path(folder, slice_of(source, (size_t)len));
    free(source);
    return store->file == NULL ? ERR_NO_MEMORY : 0;
}

static int store_init(struct jwks_store *store)
{
    const struct jwks_options *options = store->setup.options;
    char name[128];
    int err;

    snprintf(name, sizeof(name), "jwks/%.*s", SLICE_FMT(name_of(store)));
    store->check = gw_check_new(store->setup.process, name);
    if (store->check != NULL) {
        gw_check_set(store->check, false, "its keys have not been fetched");
    }
    store->keys = number(store, "jwtgate_jwks_keys", NULL, NULL);
    store->skipped = number(store, "jwtgate_jwks_keys_skipped", NULL, NULL);
    store->last_success = number(store, "jwtgate_jwks_last_success_timestamp_seconds", NULL, NULL);
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

struct jwks_store *jwks_store_new(const struct jwks_store_setup *setup)
{
    struct jwks_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    store->setup = *setup;
    store->loop = gw_loop(gw_process_worker(setup->process));
    store->timer.fn = store_on_timer;
    store->stale_timer.fn = store_on_stale;
    if (store_init(store) != 0) {
        jwks_store_free(store);
        return NULL;
    }
    return store;
}

void jwks_store_free(struct jwks_store *store)
{
    if (store == NULL) {
        return;
    }
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
    free(store);
}

struct jwks_set *jwks_store_set(const struct jwks_store *store)
{
    return store->set;
}

bool jwks_store_is_current(const struct jwks_store *store)
{
    return store->is_current;
}

uint64_t jwks_store_next_ask_ms(const struct jwks_store *store)
{
    return store->next_ask_ms;
}
