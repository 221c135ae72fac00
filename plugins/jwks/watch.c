/* SPDX-License-Identifier: Apache-2.0 */
/* What the providers of a store show of it.  Each counts as if the store was its own: two providers of one
 * source count each fetch twice, so that each can be watched by its name. */
#include "core/clock.h"
#include "plugins/jwks/store.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_LABELS     300u
#define MAX_NAME_BYTES 128u

/* ---- metrics ---- */

/* `label` NULL: the provider is the only one. */
static void write_labels(const struct jwks_watch *watch, const char *label, const char *value,
                         char ret_labels[MAX_LABELS])
{
    struct slice name = watch->setup.provider;

    name.len = name.len < MAX_NAME_BYTES ? name.len : MAX_NAME_BYTES;
    if (label == NULL) {
        snprintf(ret_labels, MAX_LABELS, "provider=\"%.*s\"", SLICE_FMT(name));
    } else {
        snprintf(ret_labels, MAX_LABELS, "provider=\"%.*s\",%s=\"%s\"", SLICE_FMT(name), label,
                 value);
    }
}

static uint64_t *number(const struct jwks_watch *watch, const char *family, const char *label,
                        const char *value)
{
    char labels[MAX_LABELS];

    write_labels(watch, label, value, labels);
    return gw_counter(gw_process_worker(watch->setup.process), family, labels);
}

static void count(const struct jwks_watch *watch, const char *family, const char *label,
                  const char *value)
{
    uint64_t *counter = number(watch, family, label, value);

    if (counter != NULL) {
        (*counter)++;
    }
}

static void add_duration(const struct jwks_watch *watch, const char *result, uint64_t duration_ms)
{
    char labels[MAX_LABELS];
    struct gw_histogram *durations;

    write_labels(watch, "result", result, labels);
    durations = gw_histogram(gw_process_worker(watch->setup.process),
                             "jwtgate_jwks_fetch_duration_seconds", labels);
    if (durations != NULL) {
        gw_histogram_add_us(durations, duration_ms * 1000u);
    }
}

void watches_count_fetch(const struct jwks_store *store, const char *result, uint64_t duration_ms)
{
    for (const struct jwks_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        count(watch, "jwtgate_jwks_fetches_total", "result", result);
        add_duration(watch, result, duration_ms);
    }
}

void watches_count_suspicious(const struct jwks_store *store, const char *reason)
{
    for (const struct jwks_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        count(watch, "jwtgate_jwks_suspicious_total", "reason", reason);
    }
}

/* ---- what they show and hear ---- */

static const char *const gauge_names[WATCH_GAUGES] = {
    [WATCH_KEYS] = "jwtgate_jwks_keys",
    [WATCH_SKIPPED] = "jwtgate_jwks_keys_skipped",
    [WATCH_LAST_SUCCESS] = "jwtgate_jwks_last_success_timestamp_seconds",
};

static void watch_show(const struct jwks_watch *watch)
{
    const struct jwks_store *store = watch->store;
    const uint64_t values[WATCH_GAUGES] = {
        [WATCH_KEYS] = store->set == NULL ? 0 : store->set->count,
        [WATCH_SKIPPED] = store->skipped,
        [WATCH_LAST_SUCCESS] = (uint64_t)store->success_unix,
    };

    for (size_t i = 0; i < WATCH_GAUGES; i++) {
        if (watch->gauges[i] != NULL) {
            *watch->gauges[i] = values[i];
        }
    }
    if (watch->check != NULL && store->set != NULL) {
        gw_check_set(watch->check, true,
                     NULL); /* once ready, staleness is told by 503s and metrics */
    }
}

/* There is no such provider any more: its age would raise alarms for ever. */
static void watch_hide(const struct jwks_watch *watch)
{
    char labels[MAX_LABELS];

    write_labels(watch, NULL, NULL, labels);
    for (size_t i = 0; i < WATCH_GAUGES; i++) {
        gw_gauge_hide(gw_process_worker(watch->setup.process), gauge_names[i], labels);
    }
}

void watches_show(const struct jwks_store *store)
{
    for (const struct jwks_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        watch_show(watch);
    }
}

void watches_tell(const struct jwks_store *store)
{
    for (const struct jwks_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        watch->setup.on_change(watch->setup.arg);
    }
}

/* A reload has two watches of one provider for a while. */
static bool is_named_before(const struct jwks_store *store, const struct jwks_watch *watch)
{
    for (const struct jwks_watch *at = store->watches; at != watch; at = at->next) {
        if (slice_eq(at->setup.provider, watch->setup.provider)) {
            return true;
        }
    }
    return false;
}

void watches_name(struct jwks_store *store)
{
    char *names = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&names, &len);

    if (out == NULL) {
        return;
    }
    for (const struct jwks_watch *watch = store->watches; watch != NULL; watch = watch->next) {
        if (!is_named_before(store, watch)) {
            fprintf(out, "%s%.*s", watch == store->watches ? "" : ",",
                    SLICE_FMT(watch->setup.provider));
        }
    }
    if (fclose(out) != 0 || names == NULL) {
        free(names);
        return;
    }
    free(store->names);
    store->names = names;
}

/* ---- one ---- */

static void watch_init(struct jwks_watch *watch)
{
    char name[MAX_NAME_BYTES];

    snprintf(name, sizeof(name), "jwks/%.*s", SLICE_FMT(watch->setup.provider));
    watch->check = gw_check_new(watch->setup.process, name);
    if (watch->check != NULL) {
        gw_check_set(watch->check, false, "its keys have not been fetched");
    }
    for (size_t i = 0; i < WATCH_GAUGES; i++) {
        watch->gauges[i] = number(watch, gauge_names[i], NULL, NULL);
    }
}

struct jwks_watch *jwks_watch_new(struct jwks_hub *hub, const struct jwks_watch_setup *setup)
{
    struct jwks_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return NULL;
    }
    watch->setup = *setup;
    if (hub_join(hub, watch) < 0) {
        free(watch);
        return NULL;
    }
    watch_init(watch);
    watch_show(watch);
    return watch;
}

void jwks_watch_free(struct jwks_watch *watch)
{
    struct jwks_hub *hub;

    if (watch == NULL) {
        return;
    }
    hub = watch->store->hub;
    hub_leave(watch);
    if (!hub_has_provider(hub, watch->setup.provider)) {
        watch_hide(watch);
    }
    free(watch);
}

void jwks_watch_ask(const struct jwks_watch *watch)
{
    store_ask(watch->store);
}

struct jwks_set *jwks_watch_set(const struct jwks_watch *watch)
{
    return watch->store->set;
}

bool jwks_watch_is_current(const struct jwks_watch *watch)
{
    return watch->store->is_current;
}

bool jwks_watch_is_asking(const struct jwks_watch *watch)
{
    return watch->store->fetch != NULL;
}

uint64_t jwks_watch_next_ask_ms(const struct jwks_watch *watch)
{
    return watch->store->next_ask_ms;
}
