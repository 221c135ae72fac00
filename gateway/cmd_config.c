/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_config.h"

#include "gateway/cmd.h"

#include <stdlib.h>
#include <time.h>

struct config *cmd_load_config(const char *file, int *ret_exit)
{
    struct diag diag;
    bool is_missing = false;

    diag_init(&diag);
    struct config *config = config_load(file, &diag, &is_missing);

    if (config == NULL) {
        diag_print(&diag, stderr);
        *ret_exit = is_missing ? EXIT_UNKNOWN : EXIT_NO;
    }
    diag_done(&diag);
    return config;
}

bool cmd_route_has(const struct config_route *route, const struct gw_plugin *plugin)
{
    for (unsigned i = 0; i < route->chain_length; i++) {
        if (route->chain[i].plugin == plugin) {
            return true;
        }
    }
    return false;
}

const void *cmd_route_config(const struct config_route *route, const struct gw_plugin *plugin)
{
    for (unsigned i = 0; i < route->chain_length; i++) {
        if (route->chain[i].plugin == plugin) {
            return route->chain[i].config;
        }
    }
    return NULL;
}

const void *cmd_top(const struct config *config, const struct gw_plugin *plugin)
{
    for (size_t i = 0; i < config->plugin_count; i++) {
        if (config->plugins[i] == plugin) {
            return config->tops[i];
        }
    }
    return NULL;
}

bool cmd_parse_time(const char *text, int64_t *ret)
{
    struct tm tm = { .tm_year = 0 };
    char *end;
    long long seconds = strtoll(text, &end, 10);

    if (*text >= '0' && *text <= '9' && *end == '\0') {
        *ret = seconds;
        return seconds < INT64_C(100000000000);
    }
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (rest == NULL || strcmp(rest, "Z") != 0) {
        return false;
    }
    *ret = (int64_t)timegm(&tm);
    return *ret >= 0;
}
