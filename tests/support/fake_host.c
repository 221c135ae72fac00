/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/fake_host.h"

#include "core/clock.h"

#include <stdio.h>
#include <stdlib.h>

bool fake_host_pool_is_full, fake_host_pool_fails;
bool fake_host_lets_wait;
unsigned fake_host_sleep_ms, fake_host_woken;
static struct fake_host *current;
static void *states[FAKE_HOST_PLUGINS];
static struct gw_call calls[FAKE_HOST_PLUGINS];
static size_t ran;

static void *zeroed(struct fake_host *host, size_t size)
{
    return size == 0 ? NULL : arena_calloc(&host->arena, 1, size);
}

static void load_route(struct fake_host *host, const struct option_context *ctx,
                       const struct json *route)
{
    size_t r = host->route_count++;
    const char *path = arena_printf(&host->arena, "routes.%.*s", SLICE_FMT(route->key));

    host->routes[r].name = route->key;
    for (size_t i = 0; i < host->plugin_count; i++) {
        const struct gw_plugin *plugin = host->plugins[i];
        int err = 0;
        host->routes[r].configs[i] = zeroed(host, plugin->config_size);
        if (plugin->route_options != NULL) {
            options_read(ctx, plugin->route_options, route, path, options_any_key,
                         host->routes[r].configs[i]);
        }
        if (plugin->config_init != NULL) {
            err = plugin->config_init(host->routes[r].configs[i], host->tops[i], ctx, route, path);
        }
        host->routes[r].on_route[i] = err == 0;
    }
}

static void load(struct fake_host *host, const struct option_context *ctx, const struct json *root)
{
    for (size_t i = 0; i < host->plugin_count; i++) {
        const struct gw_plugin *plugin = host->plugins[i];
        host->tops[i] = zeroed(host, plugin->top_size);
        if (plugin->top_options != NULL) {
            options_read(ctx, plugin->top_options, root, "", options_any_key, host->tops[i]);
        }
        if (plugin->top_init != NULL) {
            (void)!plugin->top_init(host->tops[i], ctx);
        }
    }
    const struct json *routes = json_get(root, SLICE("routes"));
    for (const struct json *route = routes == NULL ? NULL : routes->child; route != NULL;
         route = route->next) {
        load_route(host, ctx, route);
    }
}

unsigned fake_host_load(struct fake_host *host, const struct gw_plugin *const *plugins,
                        const char *text)
{
    static const char *const dirs[] = { ".", ".", "." };
    struct json_error error;

    *host = (struct fake_host){ 0 };
    current = host;
    arena_init(&host->arena, NULL, 0, 16u << 20);
    diag_init(&host->diag);
    (void)!diag_add_file(&host->diag, "test.jsonc", slice_str(text));
    while (plugins[host->plugin_count] != NULL) {
        require(host->plugin_count < FAKE_HOST_PLUGINS);
        host->plugins[host->plugin_count] = plugins[host->plugin_count];
        host->plugin_count++;
    }
    struct json *root = json_parse(&host->arena, slice_str(text), &json_limits_config, &error);
    if (root == NULL) {
        fprintf(stderr, "%u:%u: %s\n", error.line, error.column, error.text);
        return 1;
    }
    struct option_context ctx = { .diag = &host->diag, .arena = &host->arena, .file_dir = dirs };
    load(host, &ctx, root);
    for (size_t i = 0; i < host->plugin_count && host->diag.errors == 0; i++) {
        if (host->plugins[i]->worker_init != NULL &&
            host->plugins[i]->worker_init(NULL, host->tops[i], &host->workers[i]) < 0) {
            return 1;
        }
    }
    return host->diag.errors;
}

void fake_host_done(struct fake_host *host)
{
    for (size_t i = 0; i < host->plugin_count; i++) {
        if (host->plugins[i]->worker_done != NULL && host->workers[i] != NULL) {
            host->plugins[i]->worker_done(host->workers[i]);
        }
    }
    for (size_t i = 0; i < host->plugin_count; i++) {
        if (host->plugins[i]->top_done != NULL) {
            host->plugins[i]->top_done(host->tops[i]);
        }
    }
    diag_done(&host->diag);
    arena_done(&host->arena);
}

bool fake_host_complains(const struct fake_host *host, const char *text)
{
    for (unsigned i = 0; i < host->diag.count; i++) {
        const struct diag_entry *entry = &host->diag.entries[i];
        if (strstr(entry->message, text) != NULL ||
            (entry->remedy != NULL && strstr(entry->remedy, text) != NULL)) {
            return true;
        }
    }
    return false;
}

static void add_line(struct gw_request *req, struct headers *headers, const char *line)
{
    const char *colon = strchr(line, ':');
    char *name = arena_strdup(&req->arena, slice_of(line, (size_t)(colon - line)));
    for (char *c = name; *c != '\0'; c++) {
        *c = ascii_lower(*c);
    }
    const char *value = colon + 1 + strspn(colon + 1, " ");
    (void)!headers_add(headers, slice_str(name), arena_copy(&req->arena, slice_str(value)));
}

static void run_hook(size_t i, gw_hook_fn *hook)
{
    struct gw_request *req = calls[i].req;

    req->verdict = hook(&calls[i]);
    while (req->verdict == GW_WAIT && req->pending != NULL) {
        gw_hook_fn *fn = req->pending;
        req->pending = NULL;
        req->verdict = fn(&calls[i]);
    }
}

static void run_plugin(struct fake_host *host, size_t i, struct gw_request *req, const void *config)
{
    const struct gw_plugin *plugin = host->plugins[i];

    states[i] = plugin->state_size == 0 ? NULL : arena_calloc(&req->arena, 1, plugin->state_size);
    calls[i] = (struct gw_call){ .req = req,
                                 .config = config,
                                 .top = host->tops[i],
                                 .worker = host->workers[i],
                                 .state = states[i] };
    ran |= (size_t)1 << i;
    run_hook(i, plugin->on_request);
}

static void run_chain(struct fake_host *host, size_t route, struct gw_request *req)
{
    req->verdict = GW_NEXT;
    for (size_t i = 0; i < host->plugin_count && req->verdict == GW_NEXT; i++) {
        const struct gw_plugin *plugin = host->plugins[i];
        if (!host->routes[route].on_route[i] || plugin->on_request == NULL) {
            continue;
        }
        run_plugin(host, i, req, host->routes[route].configs[i]);
    }
}

static struct gw_request *new_request(struct fake_host *host, const char *const *lines,
                                      const char *query)
{
    struct gw_request *req = calloc(1, sizeof(*req));

    require(req != NULL);
    arena_init(&req->arena, NULL, 0, 1u << 20);
    (void)!headers_init(&req->headers, &req->arena, 16);
    (void)!headers_init(&req->response_headers, &req->arena, 16);
    req->query = slice_str(query);
    req->attrs[GW_ATTR_CERT_SUBJECT] = host->cert_subject;
    req->attrs[GW_ATTR_CERT_THUMBPRINT] = host->cert_thumbprint;
    for (; lines != NULL && *lines != NULL; lines++) {
        add_line(req, &req->headers, *lines);
    }
    current = host;
    ran = 0;
    return req;
}

struct gw_request *fake_host_run(struct fake_host *host, const char *route,
                                 const char *const *lines, const char *query)
{
    struct gw_request *req = new_request(host, lines, query);

    for (size_t r = 0; r < host->route_count; r++) {
        if (slice_eq(host->routes[r].name, slice_str(route))) {
            run_chain(host, r, req);
            return req;
        }
    }
    require(!"no such route");
    return NULL;
}

static bool has_endpoint(const struct fake_host *host, size_t i, struct slice path)
{
    size_t count = 0;
    const struct gw_endpoint *endpoints = host->plugins[i]->endpoints == NULL
                                              ? NULL
                                              : host->plugins[i]->endpoints(host->tops[i], &count);

    for (size_t e = 0; e < count; e++) {
        if (slice_eq(endpoints[e].path, path)) {
            return true;
        }
    }
    return false;
}

struct gw_request *fake_host_ask(struct fake_host *host, const char *path, const char *const *lines,
                                 const char *body)
{
    struct gw_request *req = new_request(host, lines, NULL);

    const char *query = strchr(path, '?');

    req->path = slice_of(path, query == NULL ? strlen(path) : (size_t)(query - path));
    req->query = slice_str(query == NULL ? NULL : query + 1);
    req->to_read = slice_str(body);
    for (size_t i = 0; i < host->plugin_count; i++) {
        if (has_endpoint(host, i, req->path)) {
            run_plugin(host, i, req, NULL);
            return req;
        }
    }
    require(!"no such endpoint");
    return NULL;
}

void fake_host_respond(struct gw_request *req, unsigned status, const char *const *lines,
                       const char *body)
{
    req->response_status = status;
    req->response_to_read = slice_str(body);
    for (; lines != NULL && *lines != NULL; lines++) {
        add_line(req, &req->response_headers, *lines);
    }
    for (size_t i = current->plugin_count; i > 0 && req->verdict == GW_NEXT; i--) {
        if ((ran & ((size_t)1 << (i - 1))) != 0 && current->plugins[i - 1]->on_response != NULL) {
            run_hook(i - 1, current->plugins[i - 1]->on_response);
        }
    }
}

void fake_host_end(struct gw_request *req)
{
    for (size_t i = 0; i < current->plugin_count; i++) {
        if ((ran & ((size_t)1 << i)) != 0 && current->plugins[i]->on_end != NULL) {
            current->plugins[i]->on_end(&calls[i]);
        }
    }
    arena_done(&req->arena);
    free(req);
}

/* ---- plugin.h ---- */

const void *gw_top(const struct option_context *ctx, const struct gw_plugin *plugin)
{
    for (size_t i = 0; i < current->plugin_count; i++) {
        if (current->plugins[i] == plugin) {
            return current->tops[i];
        }
    }
    return NULL;
}

struct slice gw_path(const struct gw_request *req)
{
    return req->path;
}

enum gw_verdict gw_read_body(struct gw_call *call, size_t max_bytes, gw_hook_fn *fn)
{
    if (call->req->to_read.len > max_bytes) {
        call->req->reply.status = 413;
        return GW_REPLY;
    }
    call->req->body = slice_is_absent(call->req->to_read) ? SLICE("") : call->req->to_read;
    call->req->pending = fn;
    return GW_WAIT;
}

struct slice gw_body(const struct gw_request *req)
{
    return req->body;
}

enum http_method gw_method(const struct gw_request *req)
{
    return req->method;
}

unsigned gw_response_status(const struct gw_request *req)
{
    return req->response_status;
}

struct headers *gw_response_headers(struct gw_request *req)
{
    return &req->response_headers;
}

enum gw_verdict gw_read_response_body(struct gw_call *call, size_t max_bytes, gw_hook_fn *fn)
{
    if (call->req->response_to_read.len > max_bytes) {
        call->req->reply.status = 502;
        return GW_REPLY;
    }
    call->req->response_body = call->req->response_to_read;
    call->req->pending = fn;
    return GW_WAIT;
}

struct slice gw_response_body(const struct gw_request *req)
{
    return req->response_body;
}

struct slice gw_query(const struct gw_request *req)
{
    return req->query;
}

int gw_query_set(struct gw_request *req, struct slice query)
{
    req->query = arena_copy(&req->arena, query);
    return 0;
}

struct slice gw_request_id(struct gw_request *req)
{
    return SLICE("01JD0000000000000000000000");
}

struct headers *gw_headers(struct gw_request *req)
{
    return &req->headers;
}

int gw_header_set(struct gw_request *req, struct slice name, struct slice value)
{
    return headers_set(&req->headers, name, arena_copy(&req->arena, value));
}

int gw_response_header_set(struct gw_request *req, struct slice name, struct slice value)
{
    return headers_set(&req->response_headers, name, arena_copy(&req->arena, value));
}

struct arena *gw_arena(struct gw_request *req)
{
    return &req->arena;
}

struct slice gw_client_ip(const struct gw_request *req)
{
    return SLICE("192.0.2.1");
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
    req->attrs[attr] = value;
}

struct slice gw_attr_get(const struct gw_request *req, enum gw_attr attr)
{
    return req->attrs[attr];
}

void gw_auth_decision(struct gw_request *req, const char *reason)
{
    req->decision = reason;
}

int gw_slot_set(struct gw_request *req, const void *key, void *value)
{
    if (req->slot_count == 8) {
        return ERR_TOO_BIG;
    }
    req->slots[req->slot_count].key = key;
    req->slots[req->slot_count++].value = value;
    return 0;
}

void *gw_slot_get(const struct gw_request *req, const void *key)
{
    for (size_t i = 0; i < req->slot_count; i++) {
        if (req->slots[i].key == key) {
            return req->slots[i].value;
        }
    }
    return NULL;
}

enum gw_verdict gw_reply(struct gw_call *call, const struct gw_reply *reply)
{
    call->req->reply = *reply;
    call->req->reply.body = arena_copy(&call->req->arena, reply->body);
    return GW_REPLY;
}

void *gw_worker_state(const struct gw_request *req, const struct gw_plugin *plugin)
{
    for (size_t i = 0; i < current->plugin_count; i++) {
        if (current->plugins[i] == plugin) {
            return current->workers[i];
        }
    }
    return NULL;
}

enum gw_verdict gw_sleep(struct gw_call *call, unsigned ms, gw_hook_fn *fn)
{
    fake_host_sleep_ms = ms;
    return fake_host_lets_wait ? GW_WAIT : GW_FAIL;
}

/* Done at once; fn is called by run_chain(). */
enum gw_verdict gw_offload(struct gw_call *call, gw_work_fn *work, struct gw_shared *arg,
                           gw_hook_fn *fn)
{
    if (fake_host_pool_is_full) {
        return GW_FAIL;
    }
    if (!fake_host_pool_fails) {
        work(arg);
    }
    call->req->pending = fn;
    return GW_WAIT;
}

void gw_waitlist_init(struct gw_waitlist *list)
{
    *list = (struct gw_waitlist){ .last = &list->first };
}

enum gw_verdict gw_waitlist_join(struct gw_call *call, struct gw_waitlist *list, gw_hook_fn *fn)
{
    return fake_host_lets_wait ? GW_WAIT : GW_FAIL;
}

void gw_waitlist_wake(struct gw_waitlist *list)
{
    fake_host_woken++;
}
