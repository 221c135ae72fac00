/* SPDX-License-Identifier: Apache-2.0 */
/* The plugins of this binary, in chain order: the list of built-ins (plugins/builtin.c), checked for
 * ABI and size. */
#pragma once

#include "plugins/plugin.h"

/* NULL-terminated; static. */
const struct gw_plugin *const *registry_plugins(size_t *ret_count);
/* True when ABI and size fit this gateway. */
bool registry_plugin_is_valid(const struct gw_plugin *plugin);
