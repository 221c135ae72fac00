/* SPDX-License-Identifier: Apache-2.0 */
/* The key "revocation.redis": where Redis is, or who knows it, and how to be let in. */
#pragma once

#include "core/options.h"
#include "core/redis.h"
#include "core/secret.h"

struct revocation_redis { /* as read */
    struct slice url;
    struct option_strings sentinels;
    struct slice master_name;
    int64_t database; /* with sentinels */
    struct slice username, sentinel_username;
    struct slice prefix;
    struct secret_source password, sentinel_password;
    struct {
        struct slice server_name;
        const char *ca_file, *cert_file, *key_file;
    } tls;
    bool has_tls; /* the key is there */
    struct {
        uint64_t connect_ms, command_ms;
    } timeouts;
};

static inline bool revocation_redis_is_given(const struct revocation_redis *redis)
{
    return !slice_is_absent(redis->url) || redis->sentinels.count > 0;
}

extern const struct option revocation_redis_option_table[];
/* As struct option.parse: what only several keys together can say. */
void revocation_redis_check(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field);

/* Reads the files and the environment: what a client needs, in ctx->arena, for
 * revocation_redis_done().  Errors go to ctx->diag: ERR_CONFIG, ERR_NO_MEMORY. */
int revocation_redis_init(const struct revocation_redis *redis, const struct option_context *ctx,
                          struct redis_options *ret) MUST_CHECK;
void revocation_redis_done(struct redis_options *client);
/* Passwords and certificates: all that does not come from the text. */
bool revocation_redis_is_same(const struct redis_options *a, const struct redis_options *b);
