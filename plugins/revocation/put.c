/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/put.h"

#include <stdio.h>

enum { PUT_WAS_THERE = 1, PUT_IS_NEW = 2 };

/* ARGV: value, seconds to live (0: for ever).  A key without an end keeps none; one that is there and lives
 * as long (but for a second of rounding) is left alone. */
static const char put_script[] =
    "local old = redis.call('GET', KEYS[1]) "
    "local left = redis.call('TTL', KEYS[1]) "
    "local value, life = ARGV[1], tonumber(ARGV[2]) "
    "local known = old and tonumber(old) "
    "if known and known >= tonumber(value) "
    "and (left == -1 or (life > 0 and left + 1 >= life)) then return 1 end "
    "if known and known > tonumber(value) then value = old end "
    "if life == 0 or left == -1 then redis.call('SET', KEYS[1], value) "
    "else redis.call('SET', KEYS[1], value, 'EX', math.max(life, left)) end "
    "return 2";

static int64_t life_of(const struct revocation_entry *entry, int64_t now)
{
    if (entry->expires_at == REVOCATION_FOR_EVER) {
        return 0;
    }
    return entry->expires_at > now ? entry->expires_at - now : 1; /* it has ended on its way */
}

int revocation_put(struct redis *redis, struct slice prefix, unsigned timeout_ms,
                   const struct revocation_entry *entry, int64_t now, redis_fn *fn, void *arg)
{
    char value[24], life[24], key[REVOCATION_REDIS_KEY_BYTES];
    int value_len = snprintf(value, sizeof(value), "%lld", (long long)entry->value);
    int life_len = snprintf(life, sizeof(life), "%lld", (long long)life_of(entry, now));
    struct slice argv[6] = { SLICE("EVAL"),
                             SLICE(put_script),
                             SLICE("1"),
                             revocation_redis_key(key, prefix, revocation_entry_key(entry)),
                             slice_of(value, (size_t)value_len),
                             slice_of(life, (size_t)life_len) };

    return redis_send_within(redis, timeout_ms, 6, argv, fn, arg);
}

bool revocation_put_is_done(int err, const struct redis_reply *reply)
{
    return err == 0 && reply->type == REDIS_IS_INTEGER &&
           (reply->integer == PUT_WAS_THERE || reply->integer == PUT_IS_NEW);
}

bool revocation_put_is_new(const struct redis_reply *reply)
{
    return reply->integer == PUT_IS_NEW;
}
