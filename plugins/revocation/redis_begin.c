/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/log.h"
#include "plugins/revocation/redis_store_inside.h"

#include <stdio.h>

#define CHANNEL "__redis__:invalidate"

static void on_tracking(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (redis_store_is_wrong(store, err, reply, REDIS_IS_STATUS, "CLIENT TRACKING")) {
        return;
    }
    store->is_tracking = true;
    store->phase = PHASE_SCAN;
    redis_store_send_heartbeat(store);
    if (store->phase == PHASE_SCAN && !redis_store_start_scan(store)) {
        redis_store_doubt(store, store->cause, "out of memory");
    }
}

static void start_tracking(struct redis_store *store)
{
    char id[24];
    int len = snprintf(id, sizeof(id), "%lld", store->feed_id);
    struct slice argv[8] = { SLICE("CLIENT"),   SLICE("TRACKING"),         SLICE("ON"),
                             SLICE("REDIRECT"), slice_of(id, (size_t)len), SLICE("BCAST"),
                             SLICE("PREFIX"),   store->options.prefix };

    redis_store_send(store, store->data, 8, argv, on_tracking);
}

static void on_client_id(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!redis_store_is_wrong(store, err, reply, REDIS_IS_INTEGER, "CLIENT ID")) {
        store->feed_id = reply->integer;
    }
}

/* Only now: redis drops what it would tell to a client that does not listen yet. */
static void on_subscribed(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!redis_store_is_wrong(store, err, reply, REDIS_IS_ARRAY, "SUBSCRIBE") &&
        store->phase == PHASE_SUBSCRIBE) {
        start_tracking(store);
    }
}

static void on_policy(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (err < 0 || reply->type != REDIS_IS_ARRAY || reply->count != 2 || store->was_warned) {
        return; /* CONFIG may be forbidden */
    }
    struct slice policy = reply->items[1]->text;
    if (!slice_is_absent(policy) && !slice_eq(policy, SLICE("noeviction"))) {
        char text[64];
        log_warning(REDIS_STORE_AREA,
                    "redis may evict revocations: its maxmemory-policy is %s, not noeviction",
                    log_quote(policy, text, sizeof(text)));
        store->was_warned = true;
    }
}

static void on_info(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (redis_store_is_wrong(store, err, reply, REDIS_IS_STRING, "INFO")) {
        return;
    }
    if (redis_identity_take(&store->identity, reply->text)) {
        store->server++;
        store->cause = store->synced_ms == 0 ? REDIS_STORE_START : REDIS_STORE_SERVER_CHANGED;
    }
    /* A subscribed connection cannot be asked for its number any more. */
    struct slice id[2] = { SLICE("CLIENT"), SLICE("ID") };
    struct slice subscribe[2] = { SLICE("SUBSCRIBE"), SLICE(CHANNEL) };
    redis_expect_messages(store->feed);
    redis_store_send(store, store->feed, 2, id, on_client_id);
    if (store->phase == PHASE_SUBSCRIBE) {
        redis_store_send(store, store->feed, 2, subscribe, on_subscribed);
    }
}

void redis_store_begin(struct redis_store *store)
{
    struct slice info[1] = { SLICE("INFO") };
    struct slice policy[3] = { SLICE("CONFIG"), SLICE("GET"), SLICE("maxmemory-policy") };

    store->phase = PHASE_SUBSCRIBE;
    store->phase_ms = clock_ms();
    store->next_items = store->options.expected_items;
    redis_store_send(store, store->data, 1, info, on_info);
    if (store->phase == PHASE_SUBSCRIBE) {
        redis_store_send(store, store->data, 3, policy, on_policy);
    }
}
