/* SPDX-License-Identifier: Apache-2.0 */
/* The gw_* functions of plugins/plugin.h; the operations are in chain.c. */
#include "gateway/host.h"

#include "core/clock.h"
#include "gateway/identify.h"
#include "gateway/metrics.h"

enum http_method gw_method(const struct gw_request *req)
{
    return request_of_const(req)->head.method;
}

struct slice gw_method_name(const struct gw_request *req)
{
    return request_of_const(req)->head.method_name;
}

struct slice gw_host(const struct gw_request *req)
{
    return request_of_const(req)->head.authority;
}

struct slice gw_path(const struct gw_request *req)
{
    return request_of_const(req)->head.path;
}

struct slice gw_query(const struct gw_request *req)
{
    return request_of_const(req)->head.query;
}

int gw_query_set(struct gw_request *gw_req, struct slice query)
{
    struct request *req = request_of(gw_req);
    struct slice copy = arena_copy(&req->arena, query);

    if (slice_is_absent(copy) && !slice_is_absent(query)) {
        return ERR_NO_MEMORY;
    }
    req->head.query = copy;
    return 0;
}

struct slice gw_client_ip(const struct gw_request *req)
{
    return request_of_const(req)->client_ip;
}

struct slice gw_request_id(struct gw_request *req)
{
    return identify_request_id(request_of(req));
}

struct slice gw_route_name(const struct gw_request *req)
{
    const struct config_route *route = request_of_const(req)->route;

    return route == NULL ? SLICE_ABSENT : route->element.name;
}

struct headers *gw_headers(struct gw_request *req)
{
    return &request_of(req)->head.headers;
}

static int set_copied(struct arena *arena, struct headers *headers, struct slice name,
                      struct slice value)
{
    struct slice name_copy = arena_copy(arena, name);
    struct slice value_copy = arena_copy(arena, value);

    if (slice_is_absent(name_copy) || slice_is_absent(value_copy)) {
        return ERR_NO_MEMORY;
    }
    return headers_set(headers, name_copy, value_copy);
}

int gw_header_set(struct gw_request *gw_req, struct slice name, struct slice value)
{
    struct request *req = request_of(gw_req);

    headers_remove_folded(&req->head.headers, name);
    return set_copied(&req->arena, &req->added_headers, name, value);
}

unsigned gw_response_status(const struct gw_request *req)
{
    return request_of_const(req)->response.status;
}

struct headers *gw_response_headers(struct gw_request *req)
{
    return &request_of(req)->response.headers;
}

int gw_response_header_set(struct gw_request *gw_req, struct slice name, struct slice value)
{
    struct request *req = request_of(gw_req);

    return set_copied(&req->arena, &req->response.headers, name, value);
}

struct arena *gw_arena(struct gw_request *req)
{
    return &request_of(req)->arena;
}

uint64_t gw_now_ms(void)
{
    return clock_ms();
}

int64_t gw_unix_time(void)
{
    return clock_unix();
}

void gw_attr_set(struct gw_request *req, enum gw_attr attr, struct slice value)
{
    request_of(req)->attrs[attr] = value;
}

struct slice gw_attr_get(const struct gw_request *req, enum gw_attr attr)
{
    return request_of_const(req)->attrs[attr];
}

void gw_auth_decision(struct gw_request *req, const char *reason)
{
    request_of(req)->auth_reason = reason;
}

int gw_slot_set(struct gw_request *gw_req, const void *key, void *value)
{
    struct request *req = request_of(gw_req);

    for (unsigned i = 0; i < REQUEST_SLOTS; i++) {
        struct request_slot *slot = &req->slots[i];

        if (slot->key == NULL || slot->key == key) {
            *slot = (struct request_slot){ .key = key, .value = value };
            return 0;
        }
    }
    return ERR_TOO_BIG;
}

void *gw_slot_get(const struct gw_request *gw_req, const void *key)
{
    const struct request *req = request_of_const(gw_req);

    for (unsigned i = 0; i < REQUEST_SLOTS && req->slots[i].key != NULL; i++) {
        if (req->slots[i].key == key) {
            return req->slots[i].value;
        }
    }
    return NULL;
}

void *gw_worker_state(const struct gw_request *gw_req, const struct gw_plugin *plugin)
{
    const struct config_view *view = request_of_const(gw_req)->view;

    for (size_t i = 0; i < view->config->plugin_count; i++) {
        if (view->config->plugins[i] == plugin) {
            return view->plugin_workers[i];
        }
    }
    return NULL;
}

/* A refusal carries a reason, 502 blames the upstream; everything else that a plugin answers is content. */
static enum outcome outcome_of(const struct gw_reply *reply)
{
    if (reply->status == 502) {
        return OUTCOME_UPSTREAM_PROTOCOL_ERROR;
    }
    return reply->reason != NULL && reply->status >= 400 ? OUTCOME_DENIED : OUTCOME_LOCAL;
}

enum gw_verdict gw_reply(struct gw_call *call, const struct gw_reply *reply)
{
    struct request *req = request_of(call->req);
    struct gw_reply *kept = arena_alloc(&req->arena, sizeof(*kept));

    if (kept == NULL) {
        return GW_FAIL;
    }
    *kept = *reply;
    kept->www_authenticate = arena_copy(&req->arena, reply->www_authenticate);
    kept->content_type = arena_copy(&req->arena, reply->content_type);
    kept->cache_control = arena_copy(&req->arena, reply->cache_control);
    kept->etag = arena_copy(&req->arena, reply->etag);
    kept->body = SLICE_ABSENT;
    if (reply->body.len > 0 && buf_append(&req->reply_body, reply->body) != 0) {
        return GW_FAIL;
    }
    req->reply = kept;
    request_fail(req, outcome_of(reply), reply->reason);
    return GW_REPLY;
}

uint64_t *gw_counter(struct gw_worker *worker, const char *family, const char *labels)
{
    return metrics_number(worker_of(worker)->metrics, family, labels);
}

void gw_gauge_hide(struct gw_worker *worker, const char *family, const char *labels)
{
    metrics_hide_gauge(worker_of(worker)->metrics, family, labels);
}

struct gw_histogram *gw_histogram(struct gw_worker *worker, const char *family, const char *labels)
{
    return metrics_histogram(worker_of(worker)->metrics, family, labels);
}

void gw_histogram_add_us(struct gw_histogram *histogram, uint64_t us)
{
    metrics_histogram_add_us(histogram, us);
}

void gw_worker_post(struct gw_worker *worker, void (*fn)(void *arg), void *arg)
{
    (void)loop_post(worker_of(worker)->loop, fn, arg);
}
