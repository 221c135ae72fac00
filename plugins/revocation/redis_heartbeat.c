/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "plugins/revocation/redis_store_inside.h"

#include <stdio.h>
#include <sys/random.h>

#define HEARTBEAT_MAX_MS 1000u

uint64_t redis_store_heartbeat_ms(const struct redis_store *store)
{
    uint64_t half = store->options.max_staleness_ms / 2;

    return half < HEARTBEAT_MAX_MS ? half : HEARTBEAT_MAX_MS;
}

void redis_store_name_instance(struct redis_store *store)
{
    uint64_t random[2] = { clock_precise_ns(), (uint64_t)(uintptr_t)store };

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        random[0] ^= clock_unix_us(); /* it has to be ours alone, not secret */
    }
    snprintf(store->instance, sizeof(store->instance), "%016llx%016llx",
             (unsigned long long)random[0], (unsigned long long)random[1]);
}

static void on_heartbeat_written(void *arg, int err, const struct redis_reply *reply)
{
    /* An error: the server does not take writes (a replica, out of memory), so it is none to follow. */
    (void)redis_store_is_wrong((struct redis_store *)arg, err, reply, REDIS_IS_STATUS,
                               "the heartbeat's SET");
}

void redis_store_send_heartbeat(struct redis_store *store)
{
    char life[24];
    int len = snprintf(store->heartbeat_key, sizeof(store->heartbeat_key),
                       "%.*s" REDIS_STORE_HEARTBEAT "%s:%llu", SLICE_FMT(store->options.prefix),
                       store->instance, (unsigned long long)++store->heartbeat_count);
    store->heartbeat = slice_of(store->heartbeat_key, (size_t)len);
    len = snprintf(life, sizeof(life), "%llu",
                   (unsigned long long)(store->options.max_staleness_ms * 2 + 5000));
    struct slice argv[5] = { SLICE("SET"), store->heartbeat, SLICE("1"), SLICE("PX"),
                             slice_of(life, (size_t)len) };

    store->sent_ns = revocation_boot_ns();
    redis_store_send(store, store->data, 5, argv, on_heartbeat_written);
}

void redis_store_heartbeat_is_back(struct redis_store *store)
{
    if (store->sent_ns == 0) {
        return;
    }
    if (store->ops->echoed != NULL) {
        store->ops->echoed(store->arg, (revocation_boot_ns() - store->sent_ns) / 1000);
    }
    store->lease_ns = store->sent_ns + redis_store_staleness_ns(store);
    store->sent_ns = 0;
    if (store->phase == PHASE_FOLLOW) {
        redis_store_set_lease(store->current, store->lease_ns);
    }
}
