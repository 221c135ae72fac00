/* SPDX-License-Identifier: Apache-2.0 */
/* Layout: the numbers of a snapshot, made at the start; the memo that finds the series of a request
 * by numbers; what the request path counts.  The table of families is metrics_table.c. */
#include "gateway/metrics.h"

#include "core/map.h"
#include "gateway/config.h"
#include "gateway/conn.h"
#include "gateway/metrics_series.h"
#include "gateway/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_DETAIL_OF_ROUTE UINT64_MAX /* memo: the series that need no more than the object */

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
    listener->accepted = metrics_series_number(metrics, METRICS_ACCEPTED, labels);
    if (listener->accepted == NULL ||
        metrics_series_number(metrics, METRICS_CONNECTIONS, labels) == NULL ||
        metrics_series_number(metrics, METRICS_IN_FLIGHT, labels) == NULL) {
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < CONN_ENDS; i++) {
        size_t end = len;

        metrics_label_add(labels, &end, "reason", slice_str(ends[i]));
        listener->closed[i] = metrics_series_number(metrics, METRICS_CLOSED, labels);
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
    if (metrics_series_number(metrics, METRICS_UPSTREAM_RETRIES, labels) == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < upstream->target_count; i++) {
        size_t end = len;
        uint64_t *up;

        metrics_label_add(labels, &end, "target", upstream->targets[i].label);
        up = metrics_series_number(metrics, METRICS_UPSTREAM_UP, labels);
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
        table->items[i].is_gone = config->listeners[i].is_gone;
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
    made->duration = metrics_series_histogram(metrics, METRICS_DURATION, labels);
    made->overhead = metrics_series_histogram(metrics, METRICS_OVERHEAD, labels);
    made->request_bytes = metrics_series_number(metrics, METRICS_REQUEST_BYTES, labels);
    made->response_bytes = metrics_series_number(metrics, METRICS_RESPONSE_BYTES, labels);
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
    number = metrics_series_number(metrics, METRICS_REQUESTS, labels);
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
    auth->number = metrics_series_number(metrics, METRICS_AUTH_DECISIONS, labels);
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
    number = metrics_series_number(metrics, METRICS_UPSTREAM_REQUESTS, labels);
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
        histogram = metrics_series_histogram(metrics, METRICS_UPSTREAM_DURATION, labels);
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
    number = metrics_series_number(metrics, METRICS_UPSTREAM_RETRIES, labels);
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
