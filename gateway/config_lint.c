/* SPDX-License-Identifier: Apache-2.0 */
/* Shows the routes to the plugins that know what is dangerous about them. */
#include "gateway/config_build.h"

static const void *config_of(const struct config_route *route, const struct gw_plugin *plugin)
{
    for (unsigned i = 0; i < route->chain_length; i++) {
        if (route->chain[i].plugin == plugin) {
            return route->chain[i].config;
        }
    }
    return NULL;
}

static void describe_route(struct config_loader *loader, const struct config_route *route,
                           struct gw_lint_route *ret)
{
    const struct config_match *match = &route->match;

    *ret = (struct gw_lint_route){
        .name = route->element.name,
        .path = options_join(&loader->ctx, "routes", route->element.name),
        .json = route->element.where,
        .match = slice_is_absent(match->exact) ? match->path_prefix : match->exact,
        .is_prefix = slice_is_absent(match->exact),
        .upstream = route->upstream == NULL ? SLICE_ABSENT : route->upstream->element.name,
    };
}

void config_lint(struct config_loader *loader)
{
    const struct config *config = loader->config;
    struct gw_lint_route *routes =
        arena_calloc(loader->ctx.arena, config->route_count + 1, sizeof(*routes));

    if (routes == NULL) {
        return;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        describe_route(loader, &config->routes[i], &routes[i]);
    }
    for (size_t p = 0; p < loader->builtin_count; p++) {
        const struct gw_plugin *plugin = config->plugins[p];

        if (plugin->lint == NULL) {
            continue;
        }
        for (size_t i = 0; i < config->route_count; i++) {
            routes[i].config = config_of(&config->routes[i], plugin);
        }
        plugin->lint(config->tops[p], &loader->ctx, routes, config->route_count);
    }
}
