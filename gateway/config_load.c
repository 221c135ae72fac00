/* SPDX-License-Identifier: Apache-2.0 */
/* From a file's name to a snapshot: files, top-level keys, plugins, routes, router. */
#include "gateway/admin.h"
#include "gateway/admin_guard.h"
#include "gateway/config_build.h"
#include "gateway/config_change.h"
#include "gateway/echo.h"
#include "gateway/registry.h"
#include "gateway/router.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_MEMORY ((size_t)2 << 30)
#define FNV_BASIS     0xcbf29ce484222325u

static const char *const default_paths[] = { "./jwtgate.jsonc", "/etc/jwtgate/jwtgate.jsonc" };

static const char *find_file(const char *path)
{
    if (path != NULL) {
        return path;
    }
    return access(default_paths[0], F_OK) == 0 ? default_paths[0] : default_paths[1];
}

static int init_plugins(struct config_loader *loader)
{
    struct config *config = loader->config;
    size_t count;
    const struct gw_plugin *const *plugins = registry_plugins(&count);

    config->plugins = arena_calloc(&config->arena, count + 3, sizeof(*config->plugins));
    config->tops = arena_calloc(&config->arena, count + 3, sizeof(*config->tops));
    config->top_owners = arena_calloc(&config->arena, count + 3, sizeof(struct config *));
    if (config->plugins == NULL || config->tops == NULL || config->top_owners == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        config->plugins[i] = plugins[i];
    }
    loader->builtin_count = count;
    /* Those behind the gateway's own listeners. */
    loader->service_plugins[CONFIG_ADMIN] = (unsigned)count;
    config->plugins[count++] = &admin_plugin;
    loader->guard_plugin = (unsigned)count;
    config->plugins[count++] = &admin_guard_plugin;
    loader->service_plugins[CONFIG_ECHO] = (unsigned)count;
    config->plugins[count++] = &echo_plugin;
    config->plugin_count = count;
    return 0;
}

static int loader_init(struct config_loader *loader, struct diag *diag, const char *path)
{
    struct config *config = calloc(1, sizeof(*config));

    *loader = (struct config_loader){ .config = config, .diag = diag, .hash = FNV_BASIS };
    if (config == NULL) {
        return ERR_NO_MEMORY;
    }
    atomic_init(&config->refs, 1);
    arena_init(&config->arena, NULL, 0, CONFIG_MEMORY);
    loader->ctx = (struct option_context){
        .diag = diag,
        .arena = &config->arena,
        .file_dir = loader->file_dirs,
        .files = &config->files,
    };
    config->file = arena_strdup(&config->arena, slice_str(path));
    return config->file == NULL ? ERR_NO_MEMORY : init_plugins(loader);
}

/* What a plugin returned without a message of its own. */
static void check_result(struct config_loader *loader, const struct gw_plugin *plugin, int err,
                         unsigned errors_before)
{
    if (err < 0 && loader->diag->errors == errors_before) {
        diag_at(loader->diag, DIAG_ERROR, loader->root, plugin->name, NULL, "%s", err_text(err));
    }
}

const void *gw_top(const struct option_context *ctx, const struct gw_plugin *plugin)
{
    const struct config_loader *loader =
        (const struct config_loader *)(const void *)((const char *)ctx -
                                                     offsetof(struct config_loader, ctx));

    for (size_t i = 0; i < loader->config->plugin_count; i++) {
        if (loader->config->plugins[i] == plugin) {
            return loader->config->tops[i];
        }
    }
    return NULL;
}

/* Folders are where the process's part of a plugin works. */
static bool same_folder(const struct config *x, const struct config *y, enum gw_folder folder)
{
    const char *a = config_folder(&x->server, folder), *b = config_folder(&y->server, folder);

    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool keeps_top(const struct config_loader *loader, size_t i)
{
    const struct config *config = loader->config;
    const struct config *previous = loader->previous;
    const struct gw_plugin *plugin = config->plugins[i];

    return plugin->top_is_same != NULL && same_folder(previous, config, GW_STATE_DIR) &&
           same_folder(previous, config, GW_CACHE_DIR) &&
           config_same_top_text(plugin, previous->root, loader->root) &&
           plugin->top_is_same(previous->tops[i], config->tops[i]);
}

/* A reload: what the plugin made of the same text and files goes on instead of the new top. */
static void share_top(struct config_loader *loader, size_t i)
{
    struct config *config = loader->config;
    struct config *previous = loader->previous;
    const struct gw_plugin *plugin = config->plugins[i];

    if (previous == NULL || i >= previous->plugin_count || previous->plugins[i] != plugin) {
        return;
    }
    if (!keeps_top(loader, i)) {
        if (plugin->top_adopt != NULL) {
            plugin->top_adopt(config->tops[i], previous->tops[i]);
        }
        return;
    }
    if (plugin->top_done != NULL) {
        plugin->top_done(config->tops[i]);
    }
    config->tops[i] = previous->tops[i];
    config->top_owners[i] =
        config_ref(previous->top_owners[i] == NULL ? previous : previous->top_owners[i]);
}

static void read_top(struct config_loader *loader, size_t i)
{
    struct config *config = loader->config;
    const struct gw_plugin *plugin = config->plugins[i];
    unsigned errors = loader->diag->errors;

    if (plugin->top_size > 0) {
        config->tops[i] = arena_calloc(&config->arena, 1, plugin->top_size);
        if (config->tops[i] == NULL) {
            check_result(loader, plugin, ERR_NO_MEMORY, errors);
            return;
        }
    }
    if (plugin->top_options != NULL && config->tops[i] != NULL) {
        options_read(&loader->ctx, plugin->top_options, loader->root, "", options_any_key,
                     config->tops[i]);
    }
    if (plugin->top_init != NULL) {
        check_result(loader, plugin, plugin->top_init(config->tops[i], &loader->ctx), errors);
    }
    if (config->tops[i] != NULL && loader->diag->errors == errors) {
        share_top(loader, i);
    }
}

static void read_tops(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->config->plugin_count; i++) {
        read_top(loader, i);
    }
}

static void make_tops_ready(struct config_loader *loader)
{
    struct config *config = loader->config;

    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct gw_plugin *plugin = config->plugins[i];
        unsigned errors = loader->diag->errors;

        if (plugin->top_ready != NULL && config->top_owners[i] == NULL) {
            check_result(loader, plugin, plugin->top_ready(config->tops[i], &loader->ctx), errors);
        }
    }
}

static void adopt_listeners(struct config_loader *loader)
{
    int err = config_adopt_listeners(loader->config, loader->previous);

    if (err == ERR_TOO_BIG) {
        diag_at(loader->diag, DIAG_ERROR, NULL, "listeners", "restart the gateway",
                "too many have come and gone since the start");
    } else if (err < 0) {
        diag_at(loader->diag, DIAG_ERROR, NULL, "listeners", NULL, "%s", err_text(err));
    }
}

static void build(struct config_loader *loader, const char *path,
                  const struct config_load_options *options)
{
    struct diag *diag = loader->diag;
    struct config *config = loader->config;

    config_read_files(loader, path);
    if (loader->root == NULL) {
        return;
    }
    config->root = loader->root;
    config_read_top(loader, options->echo_address);
    read_tops(loader);
    config_read_routes(loader);
    if (diag->errors == 0) {
        make_tops_ready(loader);
    }
    int err = config_build_service_routes(loader);

    if (err == 0 && diag->errors == 0) {
        err = config_build_endpoints(loader);
    }
    if (err < 0) {
        if (err != ERR_CONFIG) { /* which was reported */
            diag_at(diag, DIAG_ERROR, NULL, NULL, NULL, "%s", err_text(err));
        }
        return;
    }
    if (diag->errors == 0 && loader->previous != NULL) {
        adopt_listeners(loader);
    }
    unsigned errors = diag->errors;

    config->router = router_new(config, diag);
    if (config->router == NULL && diag->errors == errors) {
        diag_at(diag, DIAG_ERROR, NULL, NULL, NULL, "out of memory");
    }
    if (options->serves && diag->errors == 0) {
        config_check_folders(loader);
    }
    if (options->lint && diag->errors == 0) {
        config_lint(loader);
    }
    snprintf(config->hash, sizeof(config->hash), "%016llx", (unsigned long long)loader->hash);
}

/* The loader with a whole snapshot, or ERR_CONFIG with nothing to free. */
static int load(struct config_loader *loader, const char *path,
                const struct config_load_options *options, struct diag *diag)
{
    static const struct config_load_options none = { .echo_address = NULL };

    bool is_named = path != NULL;

    path = find_file(path);
    int err = loader_init(loader, diag, path);

    loader->previous = options == NULL ? NULL : options->previous;
    if (err < 0) {
        diag_at(diag, DIAG_ERROR, NULL, NULL, NULL, "out of memory");
    } else if (!is_named && access(path, F_OK) != 0) {
        loader->missing = true;
        diag_at(diag, DIAG_ERROR, NULL, NULL, "name a file with -c", "neither %s nor %s exists",
                default_paths[0], default_paths[1]);
    } else {
        build(loader, path, options == NULL ? &none : options);
    }
    if (diag->errors > 0) {
        config_unref(loader->config);
        loader->config = NULL;
        return ERR_CONFIG;
    }
    return 0;
}

struct config *config_load_with(const char *path, const struct config_load_options *options,
                                struct diag *diag, bool *ret_missing)
{
    struct config_loader loader;
    int err = load(&loader, path, options, diag);

    if (ret_missing != NULL) {
        *ret_missing = loader.missing;
    }
    return err < 0 ? NULL : loader.config;
}

struct config *config_load(const char *path, struct diag *diag, bool *ret_missing)
{
    return config_load_with(path, NULL, diag, ret_missing);
}

/* One path */

static const char *read_path_at(struct config_loader *loader, const char *section, const char *key)
{
    const struct json *object = json_get(loader->root, slice_str(section));
    const struct json *value = json_get(object, slice_str(key));
    const char *path = value == NULL ? NULL : options_join(&loader->ctx, section, slice_str(key));

    return path == NULL ? NULL : options_read_path(&loader->ctx, value, path);
}

char *config_find_path(const char *path, const char *section, const char *key, struct diag *diag,
                       bool *ret_missing)
{
    struct config_loader loader;
    const char *found = NULL;

    if (loader_init(&loader, diag, find_file(path)) < 0) {
        diag_at(diag, DIAG_ERROR, NULL, NULL, NULL, "out of memory");
    } else {
        config_read_files(&loader, find_file(path));
        found = read_path_at(&loader, section, key);
    }
    char *copy = found == NULL ? NULL : strdup(found);

    *ret_missing = loader.missing;
    config_unref(loader.config);
    return copy;
}

/* Print */

/* The top-level table with the plugins' keys, and the routes by their table. */
const struct option *config_print_table(struct config_loader *loader)
{
    struct arena *arena = &loader->config->arena;
    struct option *all = arena_calloc(arena, 2 * CONFIG_MAX_NAMES + 1, sizeof(*all));
    const struct option *routes = config_route_print_table(loader);
    size_t count = 0;

    if (all == NULL || routes == NULL) {
        return NULL;
    }
    for (const struct option *row = config_top_table; row->name != NULL; row++) {
        all[count] = *row;
        if (strcmp(row->name, "routes") == 0) {
            all[count].type = OPT_MAP;
            all[count].sub = routes;
        }
        count++;
    }
    for (size_t i = 0; i < loader->builtin_count; i++) {
        const struct option *row = loader->config->plugins[i]->top_options;

        for (; row != NULL && row->name != NULL && count < 2 * CONFIG_MAX_NAMES; row++) {
            all[count++] = *row;
        }
    }
    return all;
}

int config_print(const char *path, struct diag *diag, FILE *out)
{
    struct config_loader loader;
    int err = load(&loader, path, NULL, diag);

    if (err < 0) {
        return err;
    }
    const struct option *table = config_print_table(&loader);

    if (table == NULL) {
        err = ERR_NO_MEMORY;
    } else {
        options_print(table, loader.root, out, 0);
    }
    config_unref(loader.config);
    return err;
}
