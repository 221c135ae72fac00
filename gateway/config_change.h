/* SPDX-License-Identifier: Apache-2.0 */
/* What a new snapshot has in common with the one in use (reload).  Pure. */
#pragma once

#include "core/err.h"
#include "gateway/config.h"

/* Does the plugin find the same text at its top-level keys? */
bool config_same_top_text(const struct gw_plugin *plugin, const struct json *old,
                          const struct json *root);

/* Give the listeners of `config`, which nobody else has yet, the indices they have in `previous`:
 * by address, else by name; what is gone keeps its place.  ERR_TOO_BIG: no index is left. */
int config_adopt_listeners(struct config *config, const struct config *previous) MUST_CHECK;
/* Is listener `index` the same socket in both? */
bool config_keeps_listener(const struct config *old, const struct config *config, unsigned index);

/* "+route x, ~upstream y, -listener z, ~file /etc/key.pem" in the arena: what is another text, then the
 * files that both name and that were written since.  "": nothing.  NULL: no memory. */
const char *config_changes(const struct config *old, const struct config *config,
                           struct arena *arena);
