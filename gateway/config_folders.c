/* SPDX-License-Identifier: Apache-2.0 */
/* The folders that the server works in: those that a plugin uses must be there. */
#include "gateway/config_build.h"

#include <errno.h>
#include <sys/stat.h>

struct folder {
    enum gw_folder folder;
    const char *key, *example;
};

static const struct folder folders[] = {
    { GW_STATE_DIR, "state_dir", "/var/lib/jwtgate" },
    { GW_CACHE_DIR, "cache_dir", "/var/cache/jwtgate" },
};

/* What is asked of the folder, and by whom. */
static enum gw_folder_use find_use(const struct config *config, enum gw_folder folder,
                                   const char **ret_name)
{
    enum gw_folder_use most = GW_FOLDER_UNUSED;

    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct gw_plugin *plugin = config->plugins[i];
        enum gw_folder_use use = plugin->uses_folder == NULL
                                     ? GW_FOLDER_UNUSED
                                     : plugin->uses_folder(config->tops[i], folder);

        if (use > most) {
            most = use;
            *ret_name = plugin->name;
        }
    }
    return most;
}

/* NULL: it is there, or we are not allowed to see it: the server may be. */
static const char *fault_of(const char *path)
{
    struct stat about;

    if (stat(path, &about) != 0) {
        return errno == ENOENT || errno == ENOTDIR ? "does not exist" : NULL;
    }
    return S_ISDIR(about.st_mode) ? NULL : "is no folder";
}

static void check_folder(struct config_loader *loader, const struct folder *folder)
{
    const char *name = NULL;
    enum gw_folder_use use = find_use(loader->config, folder->folder, &name);
    const char *path = config_folder(&loader->config->server, folder->folder);
    const char *at = options_join(&loader->ctx, "server", slice_str(folder->key));
    const struct json *server = json_get(loader->root, SLICE("server"));

    if (use == GW_FOLDER_NEEDED && path == NULL) {
        diag_at(loader->diag, DIAG_ERROR, json_get(loader->root, slice_str(name)), name,
                arena_printf(loader->ctx.arena, "write \"server\": {\"%s\": \"%s\"}", folder->key,
                             folder->example),
                "needs a place: %s is missing", at);
    }
    if (use == GW_FOLDER_UNUSED || path == NULL || fault_of(path) == NULL) {
        return;
    }
    diag_at(loader->diag, use == GW_FOLDER_WISHED ? DIAG_WARNING : DIAG_ERROR,
            json_get(server, slice_str(folder->key)), at, "make it",
            "%s %s; %s keeps its state there", path, fault_of(path), name);
}

void config_check_folders(struct config_loader *loader)
{
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        check_folder(loader, &folders[i]);
    }
}
