/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that read a configuration share. */
#pragma once

#include "gateway/config.h"

/* The snapshot of `file` (NULL: the default places); NULL: what is wrong was printed on stderr, and
 * *ret_exit is the command's exit code. */
struct config *cmd_load_config(const char *file, int *ret_exit);
/* Does the plugin run on the route? */
bool cmd_route_has(const struct config_route *route, const struct gw_plugin *plugin);
/* Its configuration there; NULL: it is not there, or has none. */
const void *cmd_route_config(const struct config_route *route, const struct gw_plugin *plugin);
/* The plugin's own part of the snapshot; NULL: none. */
const void *cmd_top(const struct config *config, const struct gw_plugin *plugin);
/* "2026-11-24T20:00:00Z" or seconds since 1970. */
bool cmd_parse_time(const char *text, int64_t *ret);
