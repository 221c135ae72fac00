/* SPDX-License-Identifier: Apache-2.0 */
/* Layout: the table of families; a worker's series; the memo that finds the series of a request by
 * numbers; the copies and the text of a scrape. */
#include "gateway/metrics.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/map.h"
#include "gateway/config.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/request.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "version.h"

#ifndef JWTGATE_COMMIT
#define JWTGATE_COMMIT "unknown"
#endif

#define METRICS_MAX_SERIES      100000u /* of one worker; more is not counted */
#define METRICS_COLLECT_MS      2000u
#define METRICS_MAX_BUCKETS     14u
#define METRICS_US_PER_S        UINT64_C(1000000)
#define METRICS_DETAIL_OF_ROUTE UINT64_MAX /* memo: the series that need no more than the object */

/* ---- families ---- */

struct metrics_bound {
    uint64_t us;
    const char *le;
};

/* The bounds of OpenTelemetry's semantic conventions for durations. */
static const struct metrics_bound bounds_http[] = {
    { 5000, "0.005" },  { 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },
    { 75000, "0.075" }, { 100000, "0.1" },  { 250000, "0.25" }, { 500000, "0.5" },
    { 750000, "0.75" }, { 1000000, "1" },   { 2500000, "2.5" }, { 5000000, "5" },
    { 7500000, "7.5" }, { 10000000, "10" }, { 0, NULL },
};
static const struct metrics_bound bounds_us[] = {
    { 10, "1e-05" },    { 25, "2.5e-05" }, { 50, "5e-05" },    { 100, "0.0001" },
    { 250, "0.00025" }, { 500, "0.0005" }, { 1000, "0.001" },  { 2500, "0.0025" },
    { 5000, "0.005" },  { 10000, "0.01" }, { 25000, "0.025" }, { 100000, "0.1" },
    { 0, NULL },
};

enum metrics_merge { SUM, MAX, MIN };
enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics_family {
    const char *name;
    enum metrics_type type;
    const struct metrics_bound *bounds; /* histograms */
    enum metrics_merge merge;           /* of the workers' values */
    bool is_us;                         /* microseconds, shown in seconds */
    const char *help;
};

#define C METRICS_COUNTER, NULL
#define G METRICS_GAUGE, NULL
#define H METRICS_HISTOGRAM
/* name, type and bounds, merge, us, help */
#define METRICS_TABLE(X)                                                                           \
    X(BUILD_INFO, "jwtgate_build_info", G, MAX, false,                                             \
      "Always 1; the labels say what was built and what it runs on.")                              \
    X(REQUESTS, "jwtgate_http_requests_total", C, SUM, false,                                      \
      "Requests that ended, also those that could not be parsed (route \"-\").")                   \
    X(DURATION, "jwtgate_http_request_duration_seconds", H, bounds_http, SUM, false,               \
      "Time from the head of a request to the end of its response.")                               \
    X(OVERHEAD, "jwtgate_gateway_overhead_seconds", H, bounds_us, SUM, false,                      \
      "Time of a request in the gateway: all of it without the wait for the upstream.")            \
    X(REQUEST_BYTES, "jwtgate_http_request_bytes_total", C, SUM, false,                            \
      "Bytes of request bodies received.")                                                         \
    X(RESPONSE_BYTES, "jwtgate_http_response_bytes_total", C, SUM, false,                          \
      "Bytes of response bodies sent.")                                                            \
    X(IN_FLIGHT, "jwtgate_http_requests_in_flight", G, SUM, false,                                 \
      "Requests that are being handled now.")                                                      \
    X(CONNECTIONS, "jwtgate_connections", G, SUM, false, "Client connections that are open now.")  \
    X(ACCEPTED, "jwtgate_connections_accepted_total", C, SUM, false,                               \
      "Client connections that were accepted.")                                                    \
    X(CLOSED, "jwtgate_connections_closed_total", C, SUM, false,                                   \
      "Client connections that ended, by reason.")                                                 \
    X(TLS_HANDSHAKES, "jwtgate_tls_handshakes_total", C, SUM, false,                               \
      "Handshakes of TLS with clients that ended, by result.")                                     \
    X(TLS_DURATION, "jwtgate_tls_handshake_duration_seconds", H, bounds_http, SUM, false,          \
      "Time from a client's connection to the end of its TLS handshake.")                          \
    X(CERTIFICATE, "jwtgate_certificate_not_after_timestamp_seconds", G, MAX, true,                \
      "When a certificate of a listener expires, as Unix time.")                                   \
    X(PARSE_ERRORS, "jwtgate_http_parse_errors_total", C, SUM, false,                              \
      "Requests that were refused for their form, by reason.")                                     \
    X(AUTH_DECISIONS, "jwtgate_auth_decisions_total", C, SUM, false,                               \
      "Decisions about tokens, by reason (\"ok\": let through).")                                  \
    X(AUTH_DURATION, "jwtgate_auth_duration_seconds", H, bounds_us, SUM, false,                    \
      "Time to verify a token that is not in the cache; hits are only counted.")                   \
    X(CACHE_ENTRIES, "jwtgate_token_cache_entries", G, SUM, false,                                 \
      "Verified tokens that are remembered now.")                                                  \
    X(CACHE_LOOKUPS, "jwtgate_token_cache_lookups_total", C, SUM, false,                           \
      "Look-ups of the cache of verified tokens, by result.")                                      \
    X(JWKS_KEYS, "jwtgate_jwks_keys", G, MAX, false,                                               \
      "Keys of the provider that were fetched and are in use.")                                    \
    X(JWKS_KEYS_SKIPPED, "jwtgate_jwks_keys_skipped", G, MAX, false,                               \
      "Keys of the provider's set in use that cannot be used.")                                    \
    X(JWKS_LAST_SUCCESS, "jwtgate_jwks_last_success_timestamp_seconds", G, MAX, false,             \
      "When the provider's keys were last fetched or confirmed, as Unix time.")                    \
    X(JWKS_FETCHES, "jwtgate_jwks_fetches_total", C, SUM, false,                                   \
      "Attempts to fetch keys, by result.")                                                        \
    X(JWKS_FETCH_DURATION, "jwtgate_jwks_fetch_duration_seconds", H, bounds_http, SUM, false,      \
      "Time of a transfer of keys.")                                                               \
    X(JWKS_SUSPICIOUS, "jwtgate_jwks_suspicious_total", C, SUM, false,                             \
      "Sets that replaced all keys or changed one, by reason.")                                    \
    X(REVOCATION_STATE, "jwtgate_revocation_state", G, MAX, false,                                 \
      "1 for the state in which the knowledge of revocations is: cold, live or stale.")            \
    X(REVOCATION_AGE, "jwtgate_revocation_sync_age_seconds", G, MAX, false,                        \
      "Time since all revocations were read from redis.")                                          \
    X(REVOCATION_ENTRIES, "jwtgate_revocation_entries", G, MAX, false,                             \
      "Revocations that are known, with those that expired since the last reading.")               \
    X(REVOCATION_BYTES, "jwtgate_revocation_filter_bytes", G, MAX, false,                          \
      "Memory of the filter over revocations.")                                                    \
    X(REVOCATION_LOOKUPS, "jwtgate_revocation_lookups_total", C, SUM, false,                       \
      "Questions whether a token is revoked, by what answered them.")                              \
    X(REVOCATION_RESYNCS, "jwtgate_revocation_resyncs_total", C, SUM, false,                       \
      "Times that all revocations were read from redis, by cause.")                                \
    X(REDIS_UP, "jwtgate_redis_up", G, MIN, false,                                                 \
      "1 while the connections that follow redis are up, else 0.")                                 \
    X(UPSTREAM_REQUESTS, "jwtgate_upstream_requests_total", C, SUM, false,                         \
      "Tries at upstream targets, by status or error.")                                            \
    X(UPSTREAM_DURATION, "jwtgate_upstream_request_duration_seconds", H, bounds_http, SUM, false,  \
      "Time from the head sent to an upstream to the head of its response.")                       \
    X(UPSTREAM_CONNECTIONS, "jwtgate_upstream_connections", G, SUM, false,                         \
      "Connections to upstream targets that are open now, by state.")                              \
    X(UPSTREAM_UP, "jwtgate_upstream_target_up", G, MIN, false,                                    \
      "1 while the target is thought to work, else 0.")                                            \
    X(UPSTREAM_RETRIES, "jwtgate_upstream_retries_total", C, SUM, false,                           \
      "Tries at an upstream after the first one of a request.")                                    \
    X(CONFIG_INFO, "jwtgate_config_info", G, MAX, false,                                           \
      "Always 1; the label is the hash of the configuration in use.")                              \
    X(RELOADS, "jwtgate_config_reloads_total", C, SUM, false,                                      \
      "Attempts to load the configuration again, by result.")                                      \
    X(RELOAD_OK, "jwtgate_config_last_reload_successful", G, MAX, false,                           \
      "1 when the last attempt to load the configuration succeeded, else 0.")                      \
    X(RELOAD_TIME, "jwtgate_config_last_reload_timestamp_seconds", G, MAX, true,                   \
      "When the configuration in use was loaded, as Unix time.")                                   \
    X(LOG_DROPPED, "jwtgate_log_dropped_total", C, SUM, false,                                     \
      "Access log lines that were dropped because their reader was too slow.")                     \
    X(LOOP_LAG, "jwtgate_event_loop_lag_seconds", H, bounds_us, SUM, false,                        \
      "How late the event loop of a worker was, sampled once a second.")                           \
    X(CPU, "process_cpu_seconds_total", C, MAX, true,                                              \
      "Total user and system CPU time spent in seconds.")                                          \
    X(RSS, "process_resident_memory_bytes", G, MAX, false, "Resident memory size in bytes.")       \
    X(OPEN_FDS, "process_open_fds", G, MAX, false, "Number of open file descriptors.")             \
    X(MAX_FDS, "process_max_fds", G, MAX, false, "Maximum number of open file descriptors.")       \
    X(START_TIME, "process_start_time_seconds", G, MAX, true,                                      \
      "Start time of the process since unix epoch in seconds.")

/* C, G and H hold a comma each: one more expansion makes them arguments. */
#define ENUM_ROW(id, ...) METRICS_##id,
enum metrics_family_id { METRICS_TABLE(ENUM_ROW) METRICS_FAMILIES };
#define FAMILY_ROW(id, ...) { __VA_ARGS__ },
static const struct metrics_family families[METRICS_FAMILIES] = { METRICS_TABLE(FAMILY_ROW) };
#undef C
#undef G
#undef H
#undef ENUM_ROW
#undef FAMILY_ROW

/* ---- series ---- */

struct gw_histogram {
    const struct metrics_bound *bounds;
    uint64_t sum_us;
    uint64_t
        buckets[METRICS_MAX_BUCKETS + 1]; /* not cumulated; the one behind the last bound: +Inf */
};

struct metrics_series {
    struct metrics_series *next;
    uint8_t family; /* enum metrics_family_id */
    bool hidden;    /* a gauge of what is not there any more */
    union {
        uint64_t number;
        struct gw_histogram histogram;
    };
    size_t key_len;
    char key[]; /* one byte for the family, then the labels; NUL-terminated */
};

struct metrics_memo {
    const void *object;
    uint64_t detail;
    void *value; /* NULL: free */
};

/* All that a request counts whatever its status was. */
struct metrics_route {
    struct gw_histogram *duration, *overhead;
    uint64_t *request_bytes, *response_bytes;
    struct metrics_auth *auth; /* most recently used first */
    struct metrics_route *next;
    struct slice name; /* borrowed: a label of `duration`'s key would be escaped */
};

struct metrics_auth {
    struct metrics_auth *next;
    const char *reason;
    uint64_t *number;
    size_t provider_len;
    char provider[];
};

struct metrics_listener {
    struct slice name;
    uint64_t *accepted;
    uint64_t *closed[CONN_ENDS];
    uint64_t *connections, *in_flight; /* set at a scrape */
};

struct metrics_listeners {
    size_t count;
    struct metrics_listener items[]; /* by index in the snapshot */
};

struct metrics {
    struct map series; /* by key */
    struct metrics_series *first, **last;
    size_t series_count;
    struct metrics_memo *memo;
    size_t memo_size, memo_used; /* size: a power of two or 0 */
    struct metrics_route *routes;
    struct metrics_listeners *listeners;
};

static int metrics_find_family(const char *name)
{
    for (int i = 0; i < METRICS_FAMILIES; i++) {
        if (strcmp(families[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static struct metrics_series *series_new(struct metrics *metrics, struct slice key)
{
    size_t bytes = offsetof(struct metrics_series, key) + key.len + 1;
    struct metrics_series *series;

    if (metrics->series_count >= METRICS_MAX_SERIES) {
        return NULL;
    }
    series = calloc(1, bytes);
    if (series == NULL) {
        return NULL;
    }
    memcpy(series->key, key.ptr, key.len);
    series->key_len = key.len;
    series->family = (uint8_t)((uint8_t)key.ptr[0] - 1u);
    if (families[series->family].type == METRICS_HISTOGRAM) {
        series->histogram.bounds = families[series->family].bounds;
    }
    if (map_set(&metrics->series, slice_of(series->key, key.len), series) != 0) {
        free(series);
        return NULL;
    }
    metrics->series_count++;
    *metrics->last = series;
    metrics->last = &series->next;
    return series;
}

static struct metrics_series *series_get(struct metrics *metrics, unsigned family,
                                         const char *labels)
{
    char key[METRICS_LABELS_BYTES + 1];
    size_t len = strlen(labels);
    struct metrics_series *series;

    if (len >= METRICS_LABELS_BYTES) {
        return NULL;
    }
    key[0] = (char)(family + 1);
    memcpy(key + 1, labels, len);
    series = map_get(&metrics->series, slice_of(key, len + 1));
    return series != NULL ? series : series_new(metrics, slice_of(key, len + 1));
}

static uint64_t *series_number(struct metrics *metrics, unsigned family, const char *labels)
{
    struct metrics_series *series = series_get(metrics, family, labels);

    return series == NULL ? NULL : &series->number;
}

static struct gw_histogram *series_histogram(struct metrics *metrics, unsigned family,
                                             const char *labels)
{
    struct metrics_series *series = series_get(metrics, family, labels);

    return series == NULL ? NULL : &series->histogram;
}

uint64_t *metrics_number(struct metrics *metrics, const char *family, const char *labels)
{
    int found = metrics_find_family(family);

    if (found < 0 || families[found].type == METRICS_HISTOGRAM) {
        return NULL;
    }
    return series_number(metrics, (unsigned)found, labels);
}

struct gw_histogram *metrics_histogram(struct metrics *metrics, const char *family,
                                       const char *labels)
{
    int found = metrics_find_family(family);

    if (found < 0 || families[found].type != METRICS_HISTOGRAM) {
        return NULL;
    }
    return series_histogram(metrics, (unsigned)found, labels);
}

void metrics_histogram_add_us(struct gw_histogram *histogram, uint64_t us)
{
    const struct metrics_bound *bounds = histogram->bounds;
    unsigned i = 0;

    while (bounds[i].le != NULL && us > bounds[i].us) {
        i++;
    }
    histogram->buckets[i]++;
    histogram->sum_us += us;
}

void metrics_label_add(char labels[METRICS_LABELS_BYTES], size_t *len, const char *name,
                       struct slice value)
{
    size_t end = METRICS_LABELS_BYTES - 3; /* room for an escape's second byte, quote and NUL */
    size_t at = *len;
    int written =
        snprintf(labels + at, METRICS_LABELS_BYTES - at, "%s%s=\"", at > 0 ? "," : "", name);

    if (written < 0 || at + (size_t)written >= end) {
        labels[at] = '\0'; /* no room: the label is left out, the text stays well formed */
        return;
    }
    at += (size_t)written;
    for (size_t i = 0; i < value.len && at < end; i++) {
        char c = value.ptr[i];

        if (c == '"' || c == '\\' || c == '\n') {
            if (at + 2 > end) {
                break;
            }
            labels[at++] = '\\';
            c = c == '\n' ? 'n' : c;
        }
        labels[at++] = c;
    }
    labels[at++] = '"';
    labels[at] = '\0';
    *len = at;
}

/* ---- made at the start, so that what has not happened yet reads 0 ---- */

static int metrics_init_listener(struct metrics *metrics, struct metrics_listener *listener)
{
    static const char *const ends[CONN_ENDS] = {
#define X(name, word) word,
        CONN_END_TABLE(X)
#undef X
    };
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    metrics_label_add(labels, &len, "listener", listener->name);
    listener->accepted = series_number(metrics, METRICS_ACCEPTED, labels);
    listener->connections = series_number(metrics, METRICS_CONNECTIONS, labels);
    listener->in_flight = series_number(metrics, METRICS_IN_FLIGHT, labels);
    if (listener->accepted == NULL || listener->connections == NULL ||
        listener->in_flight == NULL) {
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < CONN_ENDS; i++) {
        size_t end = len;

        metrics_label_add(labels, &end, "reason", slice_str(ends[i]));
        listener->closed[i] = series_number(metrics, METRICS_CLOSED, labels);
        if (listener->closed[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int metrics_init_upstream(struct metrics *metrics, const struct config_upstream *upstream)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    metrics_label_add(labels, &len, "upstream", upstream->element.name);
    if (series_number(metrics, METRICS_UPSTREAM_RETRIES, labels) == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < upstream->target_count; i++) {
        size_t end = len;
        uint64_t *up;

        metrics_label_add(labels, &end, "target", upstream->targets[i].label);
        up = series_number(metrics, METRICS_UPSTREAM_UP, labels);
        if (up == NULL) {
            return ERR_NO_MEMORY;
        }
        *up = 1;
    }
    return 0;
}

int metrics_prepare(struct metrics *metrics, const struct config *config,
                    struct metrics_listeners **ret)
{
    struct metrics_listeners *table =
        calloc(1, sizeof(*table) + config->listener_count * sizeof(table->items[0]));

    if (table == NULL) {
        return ERR_NO_MEMORY;
    }
    table->count = config->listener_count;
    for (size_t i = 0; i < config->listener_count; i++) {
        table->items[i].name = config->listeners[i].element.name;
        if (metrics_init_listener(metrics, &table->items[i]) != 0) {
            free(table);
            return ERR_NO_MEMORY;
        }
    }
    for (size_t i = 0; i < config->upstream_count; i++) {
        if (metrics_init_upstream(metrics, &config->upstreams[i]) != 0) {
            free(table);
            return ERR_NO_MEMORY;
        }
    }
    *ret = table;
    return 0;
}

static void metrics_free_routes(struct metrics *metrics);

/* What was found by addresses in a snapshot is found by text the next time. */
void metrics_forget(struct metrics *metrics)
{
    metrics_free_routes(metrics);
    if (metrics->memo_size > 0) {
        memset(metrics->memo, 0, metrics->memo_size * sizeof(*metrics->memo));
    }
    metrics->memo_used = 0;
}

void metrics_switch(struct metrics *metrics, struct metrics_listeners *table)
{
    free(metrics->listeners);
    metrics->listeners = table;
    metrics_forget(metrics);
}

void metrics_listeners_free(struct metrics_listeners *table)
{
    free(table);
}

static int metrics_init(struct metrics *metrics, const struct config *config)
{
    metrics->last = &metrics->first;
    return metrics_prepare(metrics, config, &metrics->listeners);
}

struct metrics *metrics_new(const struct config *config)
{
    struct metrics *metrics = calloc(1, sizeof(*metrics));

    if (metrics != NULL && metrics_init(metrics, config) != 0) {
        metrics_free(metrics);
        return NULL;
    }
    return metrics;
}

static void metrics_free_route(struct metrics_route *route)
{
    struct metrics_auth *next;

    for (struct metrics_auth *auth = route->auth; auth != NULL; auth = next) {
        next = auth->next;
        free(auth);
    }
    free(route);
}

static void metrics_free_routes(struct metrics *metrics)
{
    struct metrics_route *next;

    for (struct metrics_route *route = metrics->routes; route != NULL; route = next) {
        next = route->next;
        metrics_free_route(route);
    }
    metrics->routes = NULL;
}

void metrics_free(struct metrics *metrics)
{
    struct metrics_series *next_series;

    if (metrics == NULL) {
        return;
    }
    map_done(&metrics->series);
    for (struct metrics_series *series = metrics->first; series != NULL; series = next_series) {
        next_series = series->next;
        free(series);
    }
    metrics_free_routes(metrics);
    free(metrics->memo);
    free(metrics->listeners);
    free(metrics);
}

/* ---- the request path ---- */

static size_t memo_hash(const void *object, uint64_t detail)
{
    uint64_t h = ((uint64_t)(uintptr_t)object ^ (detail * UINT64_C(0x9E3779B97F4A7C15))) *
                 UINT64_C(0xD6E8FEB86659FD93);

    return (size_t)(h ^ (h >> 32));
}

static struct metrics_memo *memo_probe(struct metrics_memo *memo, size_t size, const void *object,
                                       uint64_t detail)
{
    size_t at = memo_hash(object, detail) & (size - 1);

    while (memo[at].value != NULL && (memo[at].object != object || memo[at].detail != detail)) {
        at = (at + 1) & (size - 1);
    }
    return &memo[at];
}

static void *memo_get(const struct metrics *metrics, const void *object, uint64_t detail)
{
    if (metrics->memo_size == 0) {
        return NULL;
    }
    return memo_probe(metrics->memo, metrics->memo_size, object, detail)->value;
}

static bool memo_grow(struct metrics *metrics)
{
    size_t size = metrics->memo_size == 0 ? 64 : metrics->memo_size * 2;
    struct metrics_memo *memo = calloc(size, sizeof(*memo));

    if (memo == NULL) {
        return false;
    }
    for (size_t i = 0; i < metrics->memo_size; i++) {
        const struct metrics_memo *old = &metrics->memo[i];

        if (old->value != NULL) {
            *memo_probe(memo, size, old->object, old->detail) = *old;
        }
    }
    free(metrics->memo);
    metrics->memo = memo;
    metrics->memo_size = size;
    return true;
}

/* Remember; without memory it is only looked up by text again the next time. */
static void memo_put(struct metrics *metrics, const void *object, uint64_t detail, void *value)
{
    if (value == NULL || (metrics->memo_used * 2 >= metrics->memo_size && !memo_grow(metrics))) {
        return;
    }
    *memo_probe(metrics->memo, metrics->memo_size, object, detail) =
        (struct metrics_memo){ .object = object, .detail = detail, .value = value };
    metrics->memo_used++;
}

static struct slice metrics_route_name(const struct config_route *route)
{
    return route == NULL ? SLICE("-") : route->element.name;
}

static struct slice metrics_listener_name(const struct metrics *metrics, unsigned index)
{
    return index < metrics->listeners->count ? metrics->listeners->items[index].name : SLICE("-");
}

static struct metrics_route *metrics_make_route(struct metrics *metrics,
                                                const struct config_route *route)
{
    struct metrics_route *made = calloc(1, sizeof(*made));
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    if (made == NULL) {
        return NULL;
    }
    metrics_label_add(labels, &len, "route", metrics_route_name(route));
    made->duration = series_histogram(metrics, METRICS_DURATION, labels);
    made->overhead = series_histogram(metrics, METRICS_OVERHEAD, labels);
    made->request_bytes = series_number(metrics, METRICS_REQUEST_BYTES, labels);
    made->response_bytes = series_number(metrics, METRICS_RESPONSE_BYTES, labels);
    if (made->duration == NULL || made->overhead == NULL || made->request_bytes == NULL ||
        made->response_bytes == NULL) {
        free(made);
        return NULL;
    }
    made->name = metrics_route_name(route);
    made->next = metrics->routes;
    metrics->routes = made;
    memo_put(metrics, route, METRICS_DETAIL_OF_ROUTE, made);
    return made;
}

static uint64_t *metrics_make_request(struct metrics *metrics, const struct request *req,
                                      unsigned listener, uint64_t detail)
{
    char labels[METRICS_LABELS_BYTES];
    char code[16];
    size_t len = 0;
    uint64_t *number;

    snprintf(code, sizeof(code), "%u", req->status);
    metrics_label_add(labels, &len, "listener", metrics_listener_name(metrics, listener));
    metrics_label_add(labels, &len, "route", metrics_route_name(req->route));
    metrics_label_add(labels, &len, "method", http_method_name(req->head.method));
    metrics_label_add(labels, &len, "code", slice_str(code));
    number = series_number(metrics, METRICS_REQUESTS, labels);
    memo_put(metrics, req->route, detail, number);
    return number;
}

static struct metrics_auth *metrics_make_auth(struct metrics *metrics, struct metrics_route *route,
                                              const char *reason, struct slice provider)
{
    struct metrics_auth *auth = malloc(sizeof(*auth) + provider.len);
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    if (auth == NULL) {
        return NULL;
    }
    metrics_label_add(labels, &len, "route", route->name);
    metrics_label_add(labels, &len, "provider", provider);
    metrics_label_add(labels, &len, "reason", slice_str(reason));
    auth->number = series_number(metrics, METRICS_AUTH_DECISIONS, labels);
    if (auth->number == NULL) {
        free(auth);
        return NULL;
    }
    auth->reason = reason;
    auth->provider_len = provider.len;
    memcpy(auth->provider, provider.ptr, provider.len);
    auth->next = route->auth;
    route->auth = auth;
    return auth;
}

static void metrics_count_auth(struct metrics *metrics, struct metrics_route *route,
                               const struct request *req)
{
    struct slice provider = req->attrs[GW_ATTR_PROVIDER];
    struct metrics_auth **link = &route->auth;
    struct metrics_auth *auth;

    if (provider.len == 0) {
        provider = SLICE("-");
    }
    for (auth = *link; auth != NULL; link = &auth->next, auth = *link) {
        if (auth->reason == req->auth_reason &&
            slice_eq(slice_of(auth->provider, auth->provider_len), provider)) {
            break;
        }
    }
    if (auth == NULL) {
        auth = metrics_make_auth(metrics, route, req->auth_reason, provider);
    } else if (auth != route->auth) {
        *link = auth->next;
        auth->next = route->auth;
        route->auth = auth;
    }
    if (auth != NULL) {
        (*auth->number)++;
    }
}

static uint64_t metrics_overhead_us(const struct request *req)
{
    if (req->sent_ns == 0) {
        return (req->end_ns - req->start_ns) / 1000u;
    }
    if (req->response_ns == 0) {
        return (req->sent_ns - req->start_ns) / 1000u;
    }
    return ((req->sent_ns - req->start_ns) + (req->end_ns - req->response_ns)) / 1000u;
}

void metrics_count_request(struct metrics *metrics, const struct request *req)
{
    unsigned listener = req->listener_index;
    uint64_t detail =
        ((uint64_t)listener << 32) | ((uint64_t)req->head.method << 16) | (req->status & 0xffffu);
    struct metrics_route *route = memo_get(metrics, req->route, METRICS_DETAIL_OF_ROUTE);
    uint64_t *number = memo_get(metrics, req->route, detail);

    if (route == NULL) {
        route = metrics_make_route(metrics, req->route);
    }
    if (number == NULL) {
        number = metrics_make_request(metrics, req, listener, detail);
    }
    if (number != NULL) {
        (*number)++;
    }
    if (route == NULL) {
        return;
    }
    metrics_histogram_add_us(route->duration, (req->end_ns - req->start_ns) / 1000u);
    metrics_histogram_add_us(route->overhead, metrics_overhead_us(req));
    *route->request_bytes += req->request_bytes;
    *route->response_bytes += req->response_bytes;
    if (req->auth_reason != NULL) {
        metrics_count_auth(metrics, route, req);
    }
}

/* All that is counted for an upstream whichever target it was. */
struct metrics_upstream {
    struct gw_histogram *duration;
    uint64_t *retries;
};

static uint64_t *metrics_make_attempt(struct metrics *metrics, const struct request *req,
                                      const char *result)
{
    char labels[METRICS_LABELS_BYTES];
    char code[16];
    size_t len = 0;
    uint64_t *number;

    snprintf(code, sizeof(code), "%u", req->upstream_status);
    metrics_label_add(labels, &len, "upstream", req->route->upstream->element.name);
    metrics_label_add(labels, &len, "target", req->target->label);
    metrics_label_add(labels, &len, "code", slice_str(result != NULL ? result : code));
    number = series_number(metrics, METRICS_UPSTREAM_REQUESTS, labels);
    memo_put(metrics, req->target,
             result != NULL ? (uint64_t)(uintptr_t)result : req->upstream_status, number);
    return number;
}

static struct gw_histogram *metrics_upstream_duration(struct metrics *metrics,
                                                      const struct config_upstream *upstream)
{
    struct gw_histogram *histogram = memo_get(metrics, upstream, METRICS_DETAIL_OF_ROUTE);
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;

    if (histogram == NULL) {
        metrics_label_add(labels, &len, "upstream", upstream->element.name);
        histogram = series_histogram(metrics, METRICS_UPSTREAM_DURATION, labels);
        memo_put(metrics, upstream, METRICS_DETAIL_OF_ROUTE, histogram);
    }
    return histogram;
}

static void metrics_count_retry(struct metrics *metrics, const struct config_upstream *upstream)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;
    uint64_t *number;

    metrics_label_add(labels, &len, "upstream", upstream->element.name);
    number = series_number(metrics, METRICS_UPSTREAM_RETRIES, labels);
    if (number != NULL) {
        (*number)++;
    }
}

void metrics_count_attempt(struct metrics *metrics, const struct request *req, const char *result)
{
    struct gw_histogram *duration;
    uint64_t *number;

    if (req->target == NULL || req->route == NULL || req->route->upstream == NULL) {
        return;
    }
    number = memo_get(metrics, req->target,
                      result != NULL ? (uint64_t)(uintptr_t)result : req->upstream_status);
    if (number == NULL) {
        number = metrics_make_attempt(metrics, req, result);
    }
    if (number != NULL) {
        (*number)++;
    }
    duration = metrics_upstream_duration(metrics, req->route->upstream);
    if (duration != NULL && req->sent_ns != 0 && req->response_ns > req->sent_ns) {
        metrics_histogram_add_us(duration, (req->response_ns - req->sent_ns) / 1000u);
    }
    if (req->tries > 1) {
        metrics_count_retry(metrics, req->route->upstream);
    }
}

void metrics_count_accepted(struct metrics *metrics, unsigned listener_index)
{
    if (listener_index < metrics->listeners->count) {
        (*metrics->listeners->items[listener_index].accepted)++;
    }
}

void metrics_count_closed(struct metrics *metrics, unsigned listener_index, enum conn_end why)
{
    if (listener_index < metrics->listeners->count) {
        (*metrics->listeners->items[listener_index].closed[why])++;
    }
}

/* ---- what is read at a scrape ---- */

static void metrics_sample_conns(const struct worker *worker)
{
    struct metrics *metrics = worker->metrics;

    struct metrics_listener *listeners = metrics->listeners->items;

    for (size_t i = 0; i < metrics->listeners->count; i++) {
        *listeners[i].connections = 0;
        *listeners[i].in_flight = 0;
    }
    for (const struct conn *conn = worker->conns; conn != NULL; conn = conn->next) {
        if (conn->listener_index < metrics->listeners->count) {
            (*listeners[conn->listener_index].connections)++;
            *listeners[conn->listener_index].in_flight += conn->request != NULL;
        }
    }
}

/* The series of the family are not shown until they are set again. */
static void metrics_hide(struct metrics *metrics, unsigned family)
{
    for (struct metrics_series *s = metrics->first; s != NULL; s = s->next) {
        s->hidden = s->hidden || s->family == family;
    }
}

static void metrics_set(struct metrics *metrics, unsigned family, const char *labels,
                        uint64_t value)
{
    struct metrics_series *series = series_get(metrics, family, labels);

    if (series != NULL) {
        series->number = value;
        series->hidden = false;
    }
}

static void metrics_sample_target(struct metrics *metrics, struct slice upstream,
                                  const struct upstream_target *target)
{
    char labels[METRICS_LABELS_BYTES];
    size_t len = 0;
    size_t end;

    metrics_label_add(labels, &len, "upstream", upstream);
    metrics_label_add(labels, &len, "target", target->config->label);
    metrics_set(metrics, METRICS_UPSTREAM_UP, labels, upstream_target_is_up(target));
    end = len;
    metrics_label_add(labels, &end, "state", SLICE("active"));
    metrics_set(metrics, METRICS_UPSTREAM_CONNECTIONS, labels, target->active);
    end = len;
    metrics_label_add(labels, &end, "state", SLICE("idle"));
    metrics_set(metrics, METRICS_UPSTREAM_CONNECTIONS, labels, target->idle_count);
}

static void metrics_sample_worker(const struct worker *worker)
{
    size_t count = worker->view->config->upstream_count;

    metrics_sample_conns(worker);
    metrics_hide(worker->metrics, METRICS_UPSTREAM_UP);
    metrics_hide(worker->metrics, METRICS_UPSTREAM_CONNECTIONS);
    for (size_t i = 0; i < count; i++) {
        const struct upstream *upstream = worker->view->upstreams[i];

        for (unsigned j = 0; j < upstream->target_count; j++) {
            metrics_sample_target(worker->metrics, upstream->config->element.name,
                                  &upstream->targets[j]);
        }
    }
}

static uint64_t metrics_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (dir == NULL) {
        return 0;
    }
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the folder itself */
}

static uint64_t metrics_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long size = 0, resident = 0;

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &size, &resident) != 2) {
        resident = 0;
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t metrics_us(struct timeval time)
{
    return (uint64_t)time.tv_sec * METRICS_US_PER_S + (uint64_t)time.tv_usec;
}

static void metrics_sample_certificates(const struct gateway *gateway)
{
    const struct config *config = gateway->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];

        for (size_t k = 0; k < listener->certificate_count; k++) {
            const struct config_certificate *certificate = &listener->certificates[k];
            char labels[METRICS_LABELS_BYTES] = "";
            size_t len = 0;

            metrics_label_add(labels, &len, "listener", listener->element.name);
            metrics_label_add(labels, &len, "host", certificate->host);
            metrics_set(gateway->control->metrics, METRICS_CERTIFICATE, labels,
                        (uint64_t)certificate->not_after * METRICS_US_PER_S);
        }
    }
}

static void metrics_sample_process(const struct gateway *gateway)
{
    struct metrics *metrics = gateway->control->metrics;
    char labels[METRICS_LABELS_BYTES];
    struct rusage usage;
    struct rlimit limit;
    size_t len = 0;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        metrics_set(metrics, METRICS_CPU, "",
                    metrics_us(usage.ru_utime) + metrics_us(usage.ru_stime));
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        metrics_set(metrics, METRICS_MAX_FDS, "", limit.rlim_cur);
    }
    metrics_set(metrics, METRICS_RSS, "", metrics_resident_bytes());
    metrics_set(metrics, METRICS_OPEN_FDS, "", metrics_count_fds());
    metrics_set(metrics, METRICS_START_TIME, "", gateway->start_unix_us);
    metrics_set(metrics, METRICS_RELOAD_OK, "", gateway->reload_failed ? 0 : 1);
    metrics_set(metrics, METRICS_RELOAD_TIME, "", gateway->config_unix_us);
    metrics_set(metrics, METRICS_RELOADS, "result=\"success\"", gateway->reloads_done);
    metrics_set(metrics, METRICS_RELOADS, "result=\"failure\"", gateway->reloads_failed);

    metrics_sample_certificates(gateway);
    metrics_hide(metrics, METRICS_CONFIG_INFO);
    metrics_label_add(labels, &len, "hash", slice_str(gateway->config->hash));
    metrics_set(metrics, METRICS_CONFIG_INFO, labels, 1);
    len = 0;
    metrics_label_add(labels, &len, "version", slice_str(JWTGATE_VERSION));
    metrics_label_add(labels, &len, "commit", slice_str(JWTGATE_COMMIT));
    metrics_label_add(labels, &len, "openssl", slice_str(JWTGATE_OPENSSL));
    metrics_label_add(labels, &len, "libevent", slice_str(JWTGATE_LIBEVENT));
    metrics_set(metrics, METRICS_BUILD_INFO, labels, 1);
}

/* ---- copies and text ---- */

struct metrics_value {
    const struct metrics_series *series; /* key and family: never change; values are the copy's */
    union {
        uint64_t number;
        struct gw_histogram histogram;
    };
};

struct metrics_copy {
    struct metrics_job *job;
    struct worker *worker;
    struct metrics_value *values; /* NULL: no memory */
    size_t count;
};

static void metrics_copy_from(struct metrics_copy *copy, const struct metrics *metrics)
{
    copy->values = calloc(metrics->series_count + 1, sizeof(*copy->values));
    if (copy->values == NULL) {
        return;
    }
    for (const struct metrics_series *s = metrics->first; s != NULL; s = s->next) {
        struct metrics_value *value = &copy->values[copy->count];

        if (s->hidden) {
            continue;
        }
        copy->count++;
        value->series = s;
        if (families[s->family].type == METRICS_HISTOGRAM) {
            value->histogram = s->histogram;
        } else {
            value->number = s->number;
        }
    }
}

static void metrics_merge_value(struct metrics_value *to, const struct metrics_value *from)
{
    const struct metrics_family *family = &families[to->series->family];

    if (family->type == METRICS_HISTOGRAM) {
        to->histogram.sum_us += from->histogram.sum_us;
        for (unsigned i = 0; i <= METRICS_MAX_BUCKETS; i++) {
            to->histogram.buckets[i] += from->histogram.buckets[i];
        }
        return;
    }
    switch (family->merge) {
    case SUM: to->number += from->number; break;
    case MAX: to->number = from->number > to->number ? from->number : to->number; break;
    case MIN: to->number = from->number < to->number ? from->number : to->number; break;
    }
}

/* Add `from` to what is in `merged` (values of the first copies, by key). */
static int metrics_merge_copy(struct map *merged, struct metrics_copy *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct metrics_value *value = &from->values[i];
        struct slice key = slice_of(value->series->key, value->series->key_len);
        struct metrics_value *known = map_get(merged, key);

        if (known != NULL) {
            metrics_merge_value(known, value);
            value->series = NULL; /* counted with the other */
        } else if (map_set(merged, key, value) != 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

struct metrics_text {
    char *ptr;
    size_t len, size;
    bool failed;
};

static void text_add(struct metrics_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void text_add(struct metrics_text *text, const char *format, ...)
{
    va_list args;
    int written;

    if (text->failed) {
        return;
    }
    if (text->size - text->len < 2048) { /* more than the longest line */
        size_t size = text->size * 2 + 8192;
        char *ptr = realloc(text->ptr, size);

        if (ptr == NULL) {
            text->failed = true;
            return;
        }
        text->ptr = ptr;
        text->size = size;
    }
    va_start(args, format);
    written = vsnprintf(text->ptr + text->len, text->size - text->len, format, args);
    va_end(args);
    if (written < 0 || (size_t)written >= text->size - text->len) {
        text->failed = true;
        return;
    }
    text->len += (size_t)written;
}

static void text_add_seconds(struct metrics_text *text, uint64_t us)
{
    text_add(text, "%" PRIu64 ".%06" PRIu64 "\n", us / METRICS_US_PER_S, us % METRICS_US_PER_S);
}

static void text_add_histogram(struct metrics_text *text, const char *name, const char *labels,
                               const struct gw_histogram *histogram)
{
    const char *comma = labels[0] != '\0' ? "," : "";
    const char *open = labels[0] != '\0' ? "{" : "";
    const char *close = labels[0] != '\0' ? "}" : "";
    uint64_t count = 0;
    unsigned i = 0;

    for (; histogram->bounds[i].le != NULL; i++) {
        count += histogram->buckets[i];
        text_add(text, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma,
                 histogram->bounds[i].le, count);
    }
    count += histogram->buckets[i];
    text_add(text, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    text_add(text, "%s_sum%s%s%s ", name, open, labels, close);
    text_add_seconds(text, histogram->sum_us);
    text_add(text, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

static void text_add_value(struct metrics_text *text, const struct metrics_value *value)
{
    const struct metrics_family *family = &families[value->series->family];
    const char *labels = value->series->key + 1;
    bool has_labels = labels[0] != '\0';

    if (family->type == METRICS_HISTOGRAM) {
        text_add_histogram(text, family->name, labels, &value->histogram);
        return;
    }
    text_add(text, "%s%s%s%s ", family->name, has_labels ? "{" : "", labels, has_labels ? "}" : "");
    if (family->is_us) {
        text_add_seconds(text, value->number);
    } else {
        text_add(text, "%" PRIu64 "\n", value->number);
    }
}

static void text_add_family(struct metrics_text *text, unsigned family,
                            const struct metrics_copy *copies, unsigned count)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    bool is_first = true;

    for (unsigned i = 0; i < count; i++) {
        for (size_t j = 0; j < copies[i].count; j++) {
            const struct metrics_value *value = &copies[i].values[j];

            if (value->series == NULL || value->series->family != family) {
                continue;
            }
            if (is_first) {
                text_add(text, "# HELP %s %s\n# TYPE %s %s\n", families[family].name,
                         families[family].help, families[family].name,
                         types[families[family].type]);
                is_first = false;
            }
            text_add_value(text, value);
        }
    }
}

/* Sum the copies and write them by family; the copies are used up. */
static char *metrics_print(struct metrics_copy *copies, unsigned count, size_t *ret_len)
{
    struct metrics_text text = { 0 };
    struct map merged = { 0 };
    int err = 0;

    for (unsigned i = 0; i < count && err == 0; i++) {
        err = copies[i].values == NULL ? ERR_NO_MEMORY : metrics_merge_copy(&merged, &copies[i]);
    }
    map_done(&merged);
    if (err != 0) {
        return NULL;
    }
    for (unsigned family = 0; family < METRICS_FAMILIES; family++) {
        text_add_family(&text, family, copies, count);
    }
    if (text.failed) {
        free(text.ptr);
        return NULL;
    }
    *ret_len = text.len;
    return text.ptr;
}

char *metrics_format(struct metrics *const *all, unsigned count, size_t *ret_len)
{
    struct metrics_copy *copies = calloc(count + 1u, sizeof(*copies));
    char *text;

    if (copies == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        metrics_copy_from(&copies[i], all[i]);
    }
    text = metrics_print(copies, count, ret_len);
    for (unsigned i = 0; i < count; i++) {
        free(copies[i].values);
    }
    free(copies);
    return text;
}

/* ---- a scrape: a copy of every worker's numbers ---- */

struct metrics_job {
    struct gateway *gateway;
    struct metrics_job *next, *prev;               /* in gateway->metrics_jobs */
    void (*fn)(void *arg, char *text, size_t len); /* NULL: was called */
    void *arg;
    struct loop_timer timer;
    unsigned pending; /* workers that have not answered */
    unsigned count;
    struct metrics_copy copies[]; /* by worker */
};

static void job_free(struct metrics_job *job)
{
    if (job->prev != NULL) {
        job->prev->next = job->next;
    } else {
        job->gateway->metrics_jobs = job->next;
    }
    if (job->next != NULL) {
        job->next->prev = job->prev;
    }
    loop_timer_remove(job->gateway->control->loop, &job->timer);
    for (unsigned i = 0; i < job->count; i++) {
        free(job->copies[i].values);
    }
    free(job);
}

static void job_answer(struct metrics_job *job, char *text, size_t len)
{
    void (*fn)(void *arg, char *text, size_t len) = job->fn;

    job->fn = NULL;
    if (fn != NULL) {
        fn(job->arg, text, len);
    }
}

/* A worker is stuck: answer without it; the job waits for its copy, which may be written to. */
static void job_on_timer(struct loop_timer *timer)
{
    struct metrics_job *job =
        (struct metrics_job *)(void *)((char *)timer - offsetof(struct metrics_job, timer));

    log_warning("metrics", "workers did not answer in time workers=%u", job->pending);
    job_answer(job, NULL, 0);
}

static void job_on_copy(void *arg)
{
    struct metrics_job *job = arg;
    size_t len = 0;
    char *text;

    job->pending--;
    if (job->pending > 0) {
        return;
    }
    if (job->fn != NULL) {
        text = metrics_print(job->copies, job->count, &len);
        job_answer(job, text, len);
    }
    job_free(job);
}

/* On the worker's thread. */
static void job_copy(void *arg)
{
    struct metrics_copy *copy = arg;

    metrics_sample_worker(copy->worker);
    metrics_copy_from(copy, copy->worker->metrics);
    if (!loop_post(copy->job->gateway->control->loop, job_on_copy, copy->job)) {
        return; /* no memory: the timer answers, metrics_collect_abort() frees */
    }
}

static void job_start(struct metrics_job *job)
{
    struct gateway *gateway = job->gateway;

    job->pending = job->count;
    for (unsigned i = 0; i < job->count; i++) {
        struct metrics_copy *copy = &job->copies[i];

        copy->job = job;
        copy->worker = gateway->workers[i];
        /* The control thread itself, and one whose thread has ended: nobody else touches it. */
        if (i == 0 || copy->worker->has_ended) {
            job_copy(copy);
        } else if (!loop_post(copy->worker->loop, job_copy, copy)) {
            log_warning("metrics", "cannot ask a worker: out of memory worker=%u", i);
        }
    }
}

void metrics_collect(struct gateway *gateway, void (*fn)(void *arg, char *text, size_t len),
                     void *arg)
{
    size_t bytes = gateway->worker_count * sizeof(struct metrics_copy);
    struct metrics_job *job = calloc(1, sizeof(*job) + bytes);

    if (job == NULL) {
        fn(arg, NULL, 0);
        return;
    }
    job->gateway = gateway;
    job->count = gateway->worker_count;
    job->fn = fn;
    job->arg = arg;
    job->timer.fn = job_on_timer;
    if (loop_timer_set(gateway->control->loop, &job->timer, clock_ms() + METRICS_COLLECT_MS) != 0) {
        free(job);
        fn(arg, NULL, 0);
        return;
    }
    job->next = gateway->metrics_jobs;
    if (job->next != NULL) {
        job->next->prev = job;
    }
    gateway->metrics_jobs = job;
    metrics_sample_process(gateway);
    job_start(job);
}

void metrics_collect_abort(struct gateway *gateway)
{
    while (gateway->metrics_jobs != NULL) {
        job_free(gateway->metrics_jobs);
    }
}
