/* SPDX-License-Identifier: Apache-2.0 */
/* What is answered by a plugin alone: the gateway's own listeners, and paths of plugins. */
#include "gateway/config_build.h"

/* Chains of the gateway's own listeners: one plugin that answers. */
int config_build_service_routes(struct config_loader *loader)
{
    static const char *const names[] = { "", "admin", "echo" };
    struct config *config = loader->config;

    for (int service = CONFIG_ADMIN; service <= CONFIG_ECHO; service++) {
        unsigned plugin_index = loader->service_plugins[service];
        struct config_route *route = &config->service_routes[service];
        struct config_link *chain = arena_calloc(&config->arena, 1, sizeof(*chain));

        if (chain == NULL) {
            return ERR_NO_MEMORY;
        }
        route->element.name = slice_str(names[service]);
        route->chain = chain;
        if (plugin_index != 0) {
            config_add_link(route, chain, config, plugin_index, NULL);
        }
    }
    return 0;
}

/* The listeners that an endpoint is for; 0: there is none, reported unless it is the admin listener. */
static uint64_t endpoint_listeners(struct config_loader *loader, const struct gw_plugin *plugin,
                                   const struct gw_endpoint *endpoint)
{
    const struct config *config = loader->config;
    uint64_t mask = 0;

    for (size_t i = 0; i < config->listener_count && i < 64; i++) {
        const struct config_listener *listener = &config->listeners[i];

        if (endpoint->on_admin ? listener->service == CONFIG_ADMIN
                               : listener->service == CONFIG_PUBLIC &&
                                     (slice_is_absent(endpoint->listener) ||
                                      slice_eq(endpoint->listener, listener->element.name))) {
            mask |= UINT64_C(1) << i;
        }
    }
    if (mask == 0 && !endpoint->on_admin) {
        diag_at(loader->diag, DIAG_ERROR, endpoint->where, plugin->name,
                "name one of \"listeners\"", "no listener \"%.*s\"", SLICE_FMT(endpoint->listener));
    }
    return mask;
}

static struct config_route *new_endpoint_route(struct config_loader *loader, unsigned plugin_index,
                                               bool on_admin)
{
    struct config *config = loader->config;
    struct config_route *route = arena_calloc(&config->arena, 1, sizeof(*route));
    struct config_link *chain = arena_calloc(&config->arena, 2, sizeof(*chain));

    if (route == NULL || chain == NULL) {
        return NULL;
    }
    route->element.name = slice_str(config->plugins[plugin_index]->name);
    route->chain = chain;
    if (on_admin && loader->guard_plugin != 0) {
        config_add_link(route, chain, config, loader->guard_plugin, NULL);
    }
    config_add_link(route, chain, config, plugin_index, NULL);
    return route;
}

static int build_endpoints_of(struct config_loader *loader, unsigned plugin_index)
{
    struct config *config = loader->config;
    const struct gw_plugin *plugin = config->plugins[plugin_index];
    size_t count = 0;
    const struct gw_endpoint *from = plugin->endpoints(config->tops[plugin_index], &count);

    if (count == 0) {
        return 0;
    }
    struct config_endpoint *all =
        arena_calloc(&config->arena, config->endpoint_count + count, sizeof(*all));
    const struct config_route *open = new_endpoint_route(loader, plugin_index, false);
    const struct config_route *guarded = new_endpoint_route(loader, plugin_index, true);

    if (all == NULL || open == NULL || guarded == NULL) {
        return ERR_NO_MEMORY;
    }
    if (config->endpoint_count > 0) {
        memcpy(all, config->endpoints, config->endpoint_count * sizeof(*all));
    }
    for (size_t i = 0; i < count; i++) {
        all[config->endpoint_count++] = (struct config_endpoint){
            .path = from[i].path,
            .is_prefix = from[i].is_prefix,
            .methods = from[i].methods,
            .listeners = endpoint_listeners(loader, plugin, &from[i]),
            .route = from[i].on_admin ? guarded : open,
        };
        if (loader->diag->errors > 0) {
            return ERR_CONFIG; /* one mistake is told once */
        }
    }
    config->endpoints = all;
    return 0;
}

int config_build_endpoints(struct config_loader *loader)
{
    int err = 0;

    for (unsigned i = 0; err == 0 && i < loader->builtin_count; i++) {
        if (loader->config->plugins[i]->endpoints != NULL) {
            err = build_endpoints_of(loader, i);
        }
    }
    return err;
}
