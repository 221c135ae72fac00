/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/registry.h"

#include "core/err.h"
#include "plugins/builtin.h"

bool registry_plugin_is_valid(const struct gw_plugin *plugin)
{
    return plugin != NULL && plugin->abi == GW_PLUGIN_ABI &&
           plugin->size >= sizeof(struct gw_plugin) && plugin->name != NULL;
}

const struct gw_plugin *const *registry_plugins(size_t *ret_count)
{
    size_t count = 0;

    while (builtin_plugins[count] != NULL) {
        require(registry_plugin_is_valid(builtin_plugins[count])); /* built with this gateway */
        count++;
    }
    *ret_count = count;
    return builtin_plugins;
}
