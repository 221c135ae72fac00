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

        if (plugin->top_done != NULL && config->tops[i] != NULL) {
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

static void stop_plugins(struct config_view *view, size_t count)
{
    while (count-- > 0) {
        const struct gw_plugin *plugin = view->config->plugins[count];

        if (plugin->worker_done != NULL && view->plugin_workers[count] != NULL) {
            plugin->worker_done(view->plugin_workers[count]);
        }
    }
}

static void view_free(struct config_view *view)
{
    config_unref(view->config);
    free(view->plugin_workers);
    free(view);
}

struct config_view *config_view_new(struct config *config, struct gw_worker *worker)
{
    struct config_view *view = calloc(1, sizeof(*view));

    if (view == NULL) {
        return NULL;
    }
    view->users = 1;
    view->config = config_ref(config);
    view->plugin_workers = calloc(config->plugin_count + 1, sizeof(*view->plugin_workers));
    if (view->plugin_workers == NULL) {
        view_free(view);
        return NULL;
    }
    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct gw_plugin *plugin = config->plugins[i];

        if (plugin->worker_init != NULL &&
            plugin->worker_init(worker, config->tops[i], &view->plugin_workers[i]) < 0) {
            stop_plugins(view, i);
            view_free(view);
            return NULL;
        }
    }
    return view;
}

void config_view_unref(struct config_view *view)
{
    if (view == NULL || --view->users > 0) {
        return;
    }
    stop_plugins(view, view->config->plugin_count);
    view_free(view);
}
