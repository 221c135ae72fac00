/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: the match, the upstream, and the chain of plugins. */
#include "core/map.h"
#include "core/uri.h"
#include "gateway/config_build.h"
#include "gateway/registry.h"

#define MAX_NAMES_IN_MESSAGE 10
#define MAX_PATH_BYTES       2048
#define STATE_ALIGN          16

/* A route as written. */
struct route_text {
    struct {
        struct slice exact, path_prefix;
        struct option_strings hosts, methods;
    } match;
    struct slice upstream;
    struct {
        struct slice strip_prefix;
    } rewrite;
    struct {
        uint64_t response;
    } timeouts;
};

#define MATCH(field) (offsetof(struct route_text, match.field) - offsetof(struct route_text, match))

static const struct option match_table[] = {
    { "exact", OPT_STRING, MATCH(exact), .min = 1, .max = MAX_PATH_BYTES, .help = "The whole path.",
      .schema = "{\"pattern\":\"^/\"}" },
    { "path_prefix", OPT_STRING, MATCH(path_prefix), .min = 1, .max = MAX_PATH_BYTES,
      .help = "The path's first segments.", .schema = "{\"pattern\":\"^/\"}" },
    { "hosts", OPT_STRINGS, MATCH(hosts), .min = 1, .max = 1000,
      .help = "Host names; \"*.example.com\": all below it." },
    { "methods", OPT_STRINGS, MATCH(methods), .min = 1, .max = HTTP_METHODS,
      .help = "Methods; without: all.",
      .schema = "{\"enum\":[\"GET\",\"HEAD\",\"POST\",\"PUT\",\"DELETE\",\"PATCH\",\"OPTIONS\","
                "\"TRACE\",\"CONNECT\"]}" },
    { .name = NULL },
};

static const struct option rewrite_table[] = {
    { "strip_prefix", OPT_STRING, 0, .min = 1, .max = MAX_PATH_BYTES,
      .help = "What is cut from the front of the path.", .schema = "{\"pattern\":\"^/\"}" },
    { .name = NULL },
};

static const struct option route_timeouts_table[] = {
    { "response", OPT_DURATION, 0, .min = 1, .max = 86400000,
      .help = "Until the response's head, instead of the upstream's." },
    { .name = NULL },
};

static const struct option route_table[] = {
    { "match", OPT_OBJECT, offsetof(struct route_text, match), .def = "{\"path_prefix\": \"/\"}",
      .required = true, .sub = match_table, .help = "Which requests.",
      .schema = "{\"oneOf\":[{\"required\":[\"exact\"]},{\"required\":[\"path_prefix\"]}]}" },
    { "upstream", OPT_STRING, offsetof(struct route_text, upstream), .min = 1, .max = 64,
      .help = "Name of the upstream that answers." },
    { "rewrite", OPT_OBJECT, offsetof(struct route_text, rewrite), .sub = rewrite_table,
      .help = "What the upstream sees." },
    { "timeouts", OPT_OBJECT, offsetof(struct route_text, timeouts), .sub = route_timeouts_table,
      .help = "Timeouts of this route." },
    { .name = NULL },
};

/* One route being built. */
struct route_builder {
    struct config_loader *loader;
    struct config_route *route;
    const struct json *json;
    const char *path;
    struct route_text text;
};

static void report(const struct route_builder *b, const struct json *where, const char *key,
                   const char *remedy, const char *message)
{
    const struct option_context *ctx = &b->loader->ctx;
    const char *path = key == NULL ? b->path : options_join(ctx, b->path, slice_str(key));

    diag_at(ctx->diag, DIAG_ERROR, where, path, remedy, "%s", message);
}

/* Paths */

/* The path as requests are compared with it, without "/" at the end when `is_prefix`. */
static bool check_path(const struct route_builder *b, const struct json *where, const char *key,
                       struct slice path, bool is_prefix, struct slice *ret)
{
    struct arena *arena = b->loader->ctx.arena;
    const char *reason = "";
    struct uri uri;

    if (path.ptr[0] != '/') {
        report(b, where, key, arena_printf(arena, "write \"/%.*s\"", SLICE_FMT(path)),
               "must start with \"/\"");
        return false;
    }
    char *copy = arena_strdup(arena, path);

    if (copy == NULL || uri_parse(copy, path.len, &uri, &reason) < 0 || uri.query.ptr != NULL) {
        report(b, where, key, NULL, "is not a path");
        return false;
    }
    if (!slice_eq(uri.path, path)) {
        report(b, where, key, arena_printf(arena, "write \"%.*s\"", SLICE_FMT(uri.path)),
               "would never match, because paths are normalised first");
        return false;
    }
    if (is_prefix && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    *ret = path;
    return true;
}

static void build_path(struct route_builder *b, const struct json *match)
{
    const struct json *exact = json_get(match, SLICE("exact"));
    const struct json *prefix = json_get(match, SLICE("path_prefix"));
    struct config_match *to = &b->route->match;

    if (exact != NULL && prefix != NULL) {
        report(b, exact, "match", "leave out one of them",
               "\"exact\" and \"path_prefix\" exclude each other");
        return;
    }
    if (exact == NULL && prefix == NULL) {
        report(b, match, "match", "write \"path_prefix\": \"/\" for all paths",
               "\"path_prefix\" or \"exact\" is missing");
        return;
    }
    if (b->text.match.exact.len > 0) {
        (void)check_path(b, exact, "match.exact", b->text.match.exact, false, &to->exact);
    } else if (b->text.match.path_prefix.len > 0) {
        (void)check_path(b, prefix, "match.path_prefix", b->text.match.path_prefix, true,
                         &to->path_prefix);
    }
}

static void build_rewrite(struct route_builder *b)
{
    const struct json *rewrite = json_get(b->json, SLICE("rewrite"));
    const struct json *where = json_get(rewrite, SLICE("strip_prefix"));
    const struct config_match *match = &b->route->match;
    struct slice path = slice_is_absent(match->exact) ? match->path_prefix : match->exact;
    struct slice strip = SLICE_ABSENT;

    if (b->text.rewrite.strip_prefix.len == 0 || slice_is_absent(path) ||
        !check_path(b, where, "rewrite.strip_prefix", b->text.rewrite.strip_prefix, true, &strip)) {
        return;
    }
    if (!slice_starts_with(path, strip) || (path.len > strip.len && path.ptr[strip.len] != '/')) {
        report(b, where, "rewrite.strip_prefix",
               "write the path of \"match\" or its first segments",
               "is not a prefix of the path that is matched");
        return;
    }
    b->route->strip_prefix = strip;
}

/* Hosts and methods */

static bool host_is_valid(struct slice host)
{
    if (host.len == 0 || host.len > 253) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool is_label = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

        if (!is_label && !(c == '.' && i > 0 && host.ptr[i - 1] != '.')) {
            return false;
        }
    }
    return true;
}

static bool host_is_ipv6(struct slice host)
{
    return host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']' &&
           uri_authority_is_valid(host);
}

static void build_host(struct route_builder *b, const struct json *item, struct slice *ret)
{
    struct option_context *ctx = &b->loader->ctx;
    char *lower = arena_strdup(ctx->arena, item->text);

    if (lower == NULL) {
        report(b, item, "match.hosts", NULL, "out of memory");
        return;
    }
    for (size_t i = 0; i < item->text.len; i++) {
        lower[i] = ascii_lower(lower[i]);
    }
    struct slice host = slice_of(lower, item->text.len);
    host.len -= host.len > 1 && lower[host.len - 1] == '.' ? 1 : 0;
    struct slice name = slice_starts_with(host, SLICE("*.")) ? slice_skip(host, 2) : host;

    if (!host_is_ipv6(host) && !host_is_valid(name)) {
        diag_at(ctx->diag, DIAG_ERROR, item, options_join(ctx, b->path, SLICE("match.hosts")),
                "write \"api.example.com\" or \"*.example.com\", without a port",
                "\"%.*s\" is not a host", SLICE_FMT(item->text));
        return;
    }
    *ret = host;
}

static void build_hosts(struct route_builder *b, const struct json *hosts)
{
    struct config_match *match = &b->route->match;

    if (b->text.match.hosts.count == 0 || !json_is(hosts, JSON_ARRAY)) {
        return;
    }
    match->hosts = b->text.match.hosts.items;
    for (const struct json *item = hosts->child; item != NULL; item = item->next) {
        if (json_is(item, JSON_STRING)) {
            build_host(b, item, &match->hosts[match->host_count++]);
        }
    }
}

static void build_methods(struct route_builder *b, const struct json *methods)
{
    struct option_context *ctx = &b->loader->ctx;
    const struct json *item = json_is(methods, JSON_ARRAY) ? methods->child : NULL;

    for (; item != NULL; item = item->next) {
        enum http_method method =
            json_is(item, JSON_STRING) ? http_method_of(item->text) : HTTP_OTHER;

        if (method == HTTP_OTHER && json_is(item, JSON_STRING)) {
            diag_at(ctx->diag, DIAG_ERROR, item, options_join(ctx, b->path, SLICE("match.methods")),
                    "write them like \"GET\"", "\"%.*s\" is not a method that is known",
                    SLICE_FMT(item->text));
        }
        b->route->match.methods |= method == HTTP_OTHER ? 0 : UINT32_C(1) << method;
    }
}

/* Upstream */

const char *config_upstream_names(struct config_loader *loader)
{
    const struct config *config = loader->config;
    const char *names = "";

    for (size_t i = 0; i < config->upstream_count && i <= MAX_NAMES_IN_MESSAGE; i++) {
        struct slice name =
            i == MAX_NAMES_IN_MESSAGE ? SLICE("...") : config->upstreams[i].element.name;
        const char *longer = arena_printf(loader->ctx.arena, "%s%s%.*s", names,
                                          i == 0 ? "there are: " : ", ", SLICE_FMT(name));

        names = longer == NULL ? names : longer;
    }
    return names[0] == '\0' ? "\"upstreams\" has none" : names;
}

static void build_upstream(struct route_builder *b, struct map *upstreams)
{
    struct option_context *ctx = &b->loader->ctx;
    const struct json *where = json_get(b->json, SLICE("upstream"));

    if (where == NULL) {
        diag_at_key(ctx->diag, DIAG_ERROR, b->json, b->path, config_upstream_names(b->loader),
                    "\"upstream\" is missing");
        return;
    }
    if (b->text.upstream.len == 0) {
        return; /* reported as another type */
    }
    b->route->upstream = map_get(upstreams, b->text.upstream);
    if (b->route->upstream == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, where, options_join(ctx, b->path, SLICE("upstream")),
                config_upstream_names(b->loader), "no upstream \"%.*s\"",
                SLICE_FMT(b->text.upstream));
        return;
    }
    b->route->response_timeout_ms = b->text.timeouts.response != 0
                                        ? b->text.timeouts.response
                                        : b->route->upstream->timeouts.response;
}

/* Chain */

static size_t align_up(size_t size)
{
    return (size + STATE_ALIGN - 1) & ~(size_t)(STATE_ALIGN - 1);
}

void config_add_link(struct config_route *route, struct config_link *chain,
                     const struct config *config, unsigned plugin_index, const void *link_config)
{
    const struct gw_plugin *plugin = config->plugins[plugin_index];

    chain[route->chain_length++] = (struct config_link){
        .plugin = plugin,
        .plugin_index = plugin_index,
        .config = link_config,
        .top = config->tops[plugin_index],
        .state_offset = route->chain_state_bytes,
    };
    route->chain_state_bytes += align_up(plugin->state_size);
}

/* One plugin on one route: 0 linked, GW_NOT_ON_ROUTE, or negative when reported. */
static int configure_plugin(struct route_builder *b, const struct gw_plugin *plugin, void *top,
                            void **ret_config)
{
    struct option_context *ctx = &b->loader->ctx;
    void *plugin_config = NULL;

    if (plugin->config_size > 0) {
        plugin_config = arena_calloc(ctx->arena, 1, plugin->config_size);
        if (plugin_config == NULL) {
            report(b, b->json, NULL, NULL, "out of memory");
            return ERR_NO_MEMORY;
        }
        if (plugin->route_options != NULL) {
            options_read(ctx, plugin->route_options, b->json, b->path, options_any_key,
                         plugin_config);
        }
    }
    *ret_config = plugin_config;
    if (plugin->config_init == NULL) {
        return 0;
    }
    return plugin->config_init(plugin_config, top, ctx, b->json, b->path);
}

static void build_chain(struct route_builder *b)
{
    struct config_loader *loader = b->loader;
    struct config *config = loader->config;
    struct config_link *chain =
        arena_calloc(&config->arena, loader->builtin_count + 1, sizeof(*chain));

    if (chain == NULL) {
        report(b, b->json, NULL, NULL, "out of memory");
        return;
    }
    b->route->chain = chain;
    for (unsigned i = 0; i < loader->builtin_count; i++) {
        void *plugin_config = NULL;
        unsigned errors = loader->diag->errors;
        int result = configure_plugin(b, config->plugins[i], config->tops[i], &plugin_config);

        if (result == 0) {
            config_add_link(b->route, chain, config, i, plugin_config);
            continue;
        }
        if (config->plugins[i]->config_done != NULL && plugin_config != NULL) {
            config->plugins[i]->config_done(plugin_config);
        }
        if (result < 0 && loader->diag->errors == errors) {
            report(b, b->json, config->plugins[i]->name, NULL, err_text(result));
        }
    }
}

/* All routes */

static size_t plugin_names(const struct config_loader *loader, const char **ret_names)
{
    size_t count = 0;

    for (size_t i = 0; i < loader->builtin_count; i++) {
        const struct option *option = loader->config->plugins[i]->route_options;

        for (; option != NULL && option->name != NULL && count < CONFIG_MAX_NAMES; option++) {
            ret_names[count++] = option->name;
        }
    }
    ret_names[count] = NULL;
    return count;
}

static void build_route(struct route_builder *b, const char *const *names, struct map *upstreams)
{
    struct option_context *ctx = &b->loader->ctx;
    const struct json *match = json_get(b->json, SLICE("match"));

    b->route->element = (struct option_element){ .name = b->json->key, .where = b->json };
    options_read(ctx, route_table, b->json, b->path, names, &b->text);
    if (!json_is(b->json, JSON_OBJECT)) {
        return;
    }
    if (json_is(match, JSON_OBJECT)) {
        build_path(b, match);
        build_hosts(b, json_get(match, SLICE("hosts")));
        build_methods(b, json_get(match, SLICE("methods")));
        build_rewrite(b);
    }
    build_upstream(b, upstreams);
    build_chain(b);
}

static int map_upstreams(struct config *config, struct map *upstreams)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        int err = map_set(upstreams, config->upstreams[i].element.name, &config->upstreams[i]);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

void config_read_routes(struct config_loader *loader)
{
    struct config *config = loader->config;
    const struct json *routes = json_get(loader->root, SLICE("routes"));
    const char *names[CONFIG_MAX_NAMES + 1];
    struct map upstreams = { 0 };

    if (routes == NULL || !options_expect(&loader->ctx, routes, JSON_OBJECT, "routes", NULL)) {
        return;
    }
    config->routes = arena_calloc(&config->arena, routes->count + 1, sizeof(*config->routes));
    if (config->routes == NULL || map_upstreams(config, &upstreams) < 0) {
        diag_at(loader->diag, DIAG_ERROR, routes, "routes", NULL, "out of memory");
        map_done(&upstreams);
        return;
    }
    plugin_names(loader, names);
    for (const struct json *json = routes->child; json != NULL; json = json->next) {
        unsigned index = (unsigned)config->route_count++;
        struct route_builder b = {
            .loader = loader,
            .route = &config->routes[index],
            .json = json,
            .path = options_join(&loader->ctx, "routes", json->key),
        };

        b.route->index = index;
        options_check_name(&loader->ctx, json, "routes");
        build_route(&b, names, &upstreams);
    }
    map_done(&upstreams);
}

const struct option *config_route_print_table(struct config_loader *loader)
{
    const struct option *tables[CONFIG_MAX_NAMES] = { route_table };
    size_t table_count = 1, count = 0;
    struct option *all =
        arena_calloc(loader->ctx.arena, CONFIG_MAX_NAMES + 1, sizeof(struct option));

    for (size_t i = 0; i < loader->builtin_count; i++) {
        tables[table_count++] = loader->config->plugins[i]->route_options;
    }
    for (size_t i = 0; all != NULL && i < table_count; i++) {
        for (const struct option *row = tables[i]; row != NULL && row->name != NULL; row++) {
            if (count < CONFIG_MAX_NAMES) {
                all[count++] = *row;
            }
        }
    }
    return all;
}
