/* SPDX-License-Identifier: Apache-2.0 */
/* The key "revocation": where revocations are kept. */
#pragma once

#include "core/options.h"
#include "plugins/revocation/redis_config.h"

enum revocation_on_unavailable { REVOCATION_DENY, REVOCATION_ALLOW };

/* First in what the plugin keeps for a snapshot (gw_plugin.top_size). */
struct revocation_settings {
    /* As read; max_staleness_ms 0: there is no such key. */
    struct revocation_redis redis; /* empty: the local store */
    struct {
        int64_t expected_items;
        double false_positive_rate;
    } filter;
    uint64_t max_staleness_ms, resync_interval_ms;
    int on_unavailable; /* enum revocation_on_unavailable */

    /* Made from it. */
    struct redis_options client; /* of a worker */
};

static inline bool revocation_is_on(const struct revocation_settings *settings)
{
    return settings->max_staleness_ms != 0;
}
static inline bool revocation_is_local(const struct revocation_settings *settings)
{
    return !revocation_redis_is_given(&settings->redis);
}

extern const struct option revocation_option_table[];

/* Finish what the options were read into; errors go to ctx->diag.  ERR_CONFIG, ERR_NO_MEMORY. */
int revocation_settings_init(struct revocation_settings *settings,
                             const struct option_context *ctx) MUST_CHECK;
void revocation_settings_done(struct revocation_settings *settings);
/* Of the same text: did the files that it names, and the environment, say the same? */
bool revocation_settings_are_same(const struct revocation_settings *a,
                                  const struct revocation_settings *b);
