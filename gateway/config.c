/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config.h"

#include "core/tls.h"
#include "gateway/router.h"

#include <netinet/in.h>
#include <stdlib.h>

struct config *config_ref(struct config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

static void route_done(const struct config_route *route)
{
    for (unsigned i = 0; i < route->chain_length; i++) {
        const struct config_link *link = &route->chain[i];

        if (link->plugin->config_done != NULL && link->config != NULL) {
            /* Read-only for everybody but its owner, who frees it now. */
            link->plugin->config_done((void *)(uintptr_t)link->config);
        }
    }
}

static void config_free(struct config *config)
{
    for (size_t i = 0; i < config->route_count; i++) {
        route_done(&config->routes[i]);
    }
    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct gw_plugin *plugin = config->plugins[i];

        if (config->top_owners != NULL && config->top_owners[i] != NULL) {
            config_unref(config->top_owners[i]);
        } else if (plugin->top_done != NULL && config->tops[i] != NULL) {
            plugin->top_done(config->tops[i]);
        }
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        tls_server_unref(config->listeners[i].tls);
    }
    for (size_t i = 0; i < config->upstream_count; i++) {
        tls_client_free(config->upstreams[i].tls);
    }
    router_free(config->router);
    arena_done(&config->arena);
    free(config);
}

void config_unref(struct config *config)
{
    if (config == NULL) {
        return;
    }
    if (atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) == 1) {
        config_free(config);
    }
}

/* Trusted proxies */

/* IPv4 becomes ::ffff:a.b.c.d; false for other families. */
static bool address_bytes(const struct sockaddr *addr, uint8_t ret[16])
{
    if (addr->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, 16);
        return true;
    }
    if (addr->sa_family != AF_INET) {
        return false;
    }
    memset(ret, 0, 10);
    memset(ret + 10, 0xff, 2);
    memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
    return true;
}

static bool cidr_holds(const struct config_cidr *cidr, const uint8_t address[16])
{
    unsigned bytes = cidr->bits / 8, rest = cidr->bits % 8;

    if (memcmp(cidr->address, address, bytes) != 0) {
        return false;
    }
    return rest == 0 || (cidr->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

const char *config_folder(const struct config_server *server, enum gw_folder folder)
{
    switch (folder) {
    case GW_STATE_DIR: return server->state_dir;
    case GW_CACHE_DIR: return server->cache_dir;
    }
    return NULL;
}

bool config_is_trusted(const struct config_server *server, const struct sockaddr *addr)
{
    uint8_t address[16];

    if (server->trusted_proxy_count == 0 || !address_bytes(addr, address)) {
        return false;
    }
    for (size_t i = 0; i < server->trusted_proxy_count; i++) {
        if (cidr_holds(&server->trusted_proxies[i], address)) {
            return true;
        }
    }
    return false;
}

/* Views */

static void stop_plugin(struct config_view *view, size_t i)
{
    const struct gw_plugin *plugin = view->config->plugins[i];

    if (view->plugin_users[i] == NULL || --*view->plugin_users[i] > 0) {
        return;
    }
    free(view->plugin_users[i]);
    if (plugin->worker_done != NULL && view->plugin_workers[i] != NULL) {
        plugin->worker_done(view->plugin_workers[i]);
    }
}

static void view_free(struct config_view *view)
{
    for (size_t i = view->config->plugin_count; view->plugin_users != NULL && i > 0; i--) {
        stop_plugin(view, i - 1);
    }
    config_unref(view->config);
    free(view->plugin_workers);
    free(view->plugin_users);
    free(view);
}

/* The state of a plugin depends on its top alone. */
static bool keeps_state(const struct config_view *view, const struct config_view *previous,
                        size_t i)
{
    const struct config *old = previous == NULL ? NULL : previous->config;

    return old != NULL && i < old->plugin_count && old->plugins[i] == view->config->plugins[i] &&
           old->tops[i] == view->config->tops[i];
}

static int start_plugin(struct config_view *view, struct gw_worker *worker,
                        const struct config_view *previous, size_t i)
{
    const struct gw_plugin *plugin = view->config->plugins[i];

    if (keeps_state(view, previous, i)) {
        view->plugin_workers[i] = previous->plugin_workers[i];
        view->plugin_users[i] = previous->plugin_users[i];
        ++*view->plugin_users[i];
        return 0;
    }
    view->plugin_users[i] = calloc(1, sizeof(unsigned));
    if (view->plugin_users[i] == NULL) {
        return ERR_NO_MEMORY;
    }
    *view->plugin_users[i] = 1;
    if (plugin->worker_init == NULL) {
        return 0;
    }
    int err = plugin->worker_init(worker, view->config->tops[i], &view->plugin_workers[i]);
    if (err < 0) {
        view->plugin_workers[i] = NULL; /* nothing to end */
    }
    return err;
}

struct config_view *config_view_after(struct config *config, struct gw_worker *worker,
                                      const struct config_view *previous)
{
    struct config_view *view = calloc(1, sizeof(*view));

    if (view == NULL) {
        return NULL;
    }
    view->users = 1;
    view->config = config_ref(config);
    view->plugin_workers = calloc(config->plugin_count + 1, sizeof(*view->plugin_workers));
    view->plugin_users = calloc(config->plugin_count + 1, sizeof(*view->plugin_users));
    if (view->plugin_workers == NULL || view->plugin_users == NULL) {
        view_free(view);
        return NULL;
    }
    for (size_t i = 0; i < config->plugin_count; i++) {
        if (start_plugin(view, worker, previous, i) < 0) {
            view_free(view);
            return NULL;
        }
    }
    return view;
}

struct config_view *config_view_new(struct config *config, struct gw_worker *worker)
{
    return config_view_after(config, worker, NULL);
}

void config_view_unref(struct config_view *view)
{
    if (view == NULL || --view->users > 0) {
        return;
    }
    if (view->on_end != NULL) {
        view->on_end(view);
    }
    view_free(view);
}
