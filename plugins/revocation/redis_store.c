/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/redis_store.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/revocation/redis_store_inside.h"

#include <stdlib.h>

#define MAX_REPLY_BYTES (64u << 20)

const char *const redis_store_cause_names[] = { "start", "gap", "server_changed", "interval" };

/* ---- doubt ---- */

void redis_store_set_lease(struct revocation_filter *filter, uint64_t lease_ns)
{
    if (filter != NULL) {
        atomic_store_explicit(&filter->lease_ns, lease_ns, memory_order_release);
    }
}

void redis_store_drop_next(struct redis_store *store)
{
    revocation_filter_unref(store->next);
    store->next = NULL;
    store->is_scanning = false;
    loop_timer_clear(&store->kept_timer);
}

void redis_store_doubt(struct redis_store *store, enum redis_store_cause cause, const char *why)
{
    if (store->phase == PHASE_CONNECT) {
        return;
    }
    if (store->synced_ms != 0) {
        log_warning(REDIS_STORE_AREA, "the filter is not believed: %s", why);
        store->cause = cause;
    }
    store->phase = PHASE_CONNECT;
    store->is_tracking = false;
    store->sent_ns = 0;
    store->lease_ns = 0;
    redis_store_set_lease(store->current, 0);
    redis_store_set_lease(store->previous, 0);
    redis_store_drop_next(store);
    redis_reset(store->data);
    redis_reset(store->feed);
    if (store->ops->tick != NULL) {
        store->ops->tick(store->arg);
    }
}

bool redis_store_is_wrong(struct redis_store *store, int err, const struct redis_reply *reply,
                          enum redis_reply_type type, const char *what)
{
    if (err < 0) {
        return true;
    }
    if (reply->type != type) {
        char text[160];
        log_warning(REDIS_STORE_AREA, "redis refuses %s: %s", what,
                    log_quote(reply->text, text, sizeof(text)));
        redis_store_doubt(store, REDIS_STORE_SERVER_CHANGED, what);
        return true;
    }
    return false;
}

void redis_store_send(struct redis_store *store, struct redis *to, unsigned argc,
                      const struct slice *argv, redis_fn *fn)
{
    if (redis_send(to, argc, argv, fn, store) < 0) {
        redis_store_doubt(store, REDIS_STORE_GAP, "a command could not be sent");
    }
}

/* ---- generations ---- */

void redis_store_publish_next(struct redis_store *store)
{
    /* Nothing goes into it any more: a worker that has not heard of two generations asks redis. */
    redis_store_set_lease(store->previous, 0);
    revocation_filter_unref(store->previous);
    store->previous = store->current;
    store->current = store->next;
    store->next = NULL;
    store->is_scanning = false;
    redis_store_set_lease(store->current, store->lease_ns);
    store->phase = PHASE_FOLLOW;
    store->synced_ms = clock_ms();
    log_info(REDIS_STORE_AREA, "synchronised cause=%s entries=%llu",
             redis_store_cause_names[store->cause],
             (unsigned long long)bloom_count(store->current->bloom));
    if (store->ops->synced != NULL) {
        store->ops->synced(store->arg, store->cause);
    }
    if (store->ops->filter != NULL) {
        store->ops->filter(store->arg, store->current);
    }
    if (store->ops->tick != NULL) {
        store->ops->tick(store->arg);
    }
}

/* ---- what is pushed ---- */

struct slice redis_store_name_of(const struct redis_store *store, char buf[REVOCATION_KEY_BYTES],
                                 struct slice key)
{
    struct slice prefix = store->options.prefix;

    if (!slice_starts_with(key, prefix) ||
        slice_starts_with(slice_skip(key, prefix.len), SLICE(REDIS_STORE_HEARTBEAT))) {
        return SLICE_ABSENT;
    }
    return revocation_name_of(buf, prefix, key);
}

static void add_name(struct redis_store *store, struct slice name)
{
    struct revocation_filter *all[] = { store->current, store->previous, store->next };

    for (unsigned i = 0; i < 3 && !slice_is_absent(name); i++) {
        if (all[i] != NULL) {
            revocation_filter_add(all[i], name);
        }
    }
}

static void on_pushed(void *arg, const struct redis_reply *message)
{
    struct redis_store *store = (struct redis_store *)arg;
    bool is_back = false;

    if (store->phase == PHASE_CONNECT) {
        return;
    }
    const struct redis_reply *names = message->count == 3 ? message->items[2] : NULL;
    if (names == NULL || names->type != REDIS_IS_ARRAY) {
        redis_store_doubt(store, REDIS_STORE_GAP, "redis was flushed");
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        char buf[REVOCATION_KEY_BYTES];
        struct slice key = names->items[i]->text;
        if (slice_is_absent(key)) {
            continue;
        }
        is_back = is_back || slice_eq(key, store->heartbeat);
        add_name(store, redis_store_name_of(store, buf, key));
    }
    /* Last: what came with it must be in the filter before the lease is longer. */
    if (is_back) {
        redis_store_heartbeat_is_back(store);
    }
}

/* ---- time goes on ---- */

static void on_timer(struct loop_timer *timer)
{
    struct redis_store *store =
        (struct redis_store *)(void *)((char *)timer - offsetof(struct redis_store, timer));
    uint64_t now = clock_ms();

    if (store->watch != NULL) {
        redis_watch_ask(store->watch);
    }
    if (store->is_tracking) {
        if (store->sent_ns == 0) {
            redis_store_send_heartbeat(store);
        } else if (revocation_boot_ns() - store->sent_ns > redis_store_staleness_ns(store)) {
            redis_store_doubt(store, REDIS_STORE_GAP, "a heartbeat did not come back");
        }
    } else if (store->phase == PHASE_SUBSCRIBE &&
               now - store->phase_ms > store->options.max_staleness_ms) {
        redis_store_doubt(store, store->cause, "subscribing takes too long");
    }
    if (store->phase == PHASE_FOLLOW && !store->is_scanning &&
        now - store->synced_ms >= store->options.resync_interval_ms) {
        redis_store_scan_again(store);
    }
    if (store->ops->tick != NULL) {
        store->ops->tick(store->arg);
    }
    if (loop_timer_set(store->loop, timer, now + redis_store_heartbeat_ms(store)) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

/* ---- the connections ---- */

static void on_ready(void *arg)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (store->phase == PHASE_CONNECT && store->data != NULL && store->feed != NULL &&
        redis_is_ready(store->data) && redis_is_ready(store->feed)) {
        redis_store_begin(store);
    }
}

static void on_lost(void *arg, int err)
{
    struct redis_store *store = (struct redis_store *)arg;
    const char *why = redis_failure(store->data);

    why = why[0] == '\0' ? redis_failure(store->feed) : why;
    if (store->phase == PHASE_CONNECT) {
        log_warning(REDIS_STORE_AREA, "redis cannot be used: %s",
                    why[0] == '\0' ? err_text(err) : why);
    }
    redis_store_doubt(store, REDIS_STORE_GAP, err_text(err));
}

static void on_served(void *arg, unsigned count, int err, uint64_t us)
{
    const struct redis_store *store = arg;

    if (store->ops->served != NULL) {
        store->ops->served(store->arg, count, err, us);
    }
}

static const struct redis_ops connection_ops = {
    .ready = on_ready, .lost = on_lost, .pushed = on_pushed, .served = on_served
};

/* A fail-over ends the lease now, not with the next heartbeat. */
static void on_sentinel(void *arg)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (redis_is_outdated(store->data) || redis_is_outdated(store->feed)) {
        redis_store_doubt(store, REDIS_STORE_SERVER_CHANGED, "the sentinels name another master");
        redis_reconnect(store->data);
        redis_reconnect(store->feed);
    }
}

/* ---- life ---- */

struct redis_store *redis_store_new(struct loop *loop, struct resolver *resolver,
                                    const struct redis_store_options *options,
                                    const struct redis_store_ops *ops, void *arg)
{
    struct redis_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    store->options = *options;
    store->options.redis.max_reply_bytes = MAX_REPLY_BYTES;
    /* A scan may take longer than a question; the lease is what tells that something is wrong. */
    if (store->options.redis.command_timeout_ms < options->max_staleness_ms) {
        store->options.redis.command_timeout_ms = (unsigned)options->max_staleness_ms;
    }
    store->ops = ops;
    store->arg = arg;
    store->loop = loop;
    store->timer.fn = on_timer;
    store->kept_timer.fn = redis_store_on_kept_timer;
    redis_store_name_instance(store);
    store->data = redis_new(loop, resolver, &store->options.redis, &connection_ops, store);
    store->feed = redis_new(loop, resolver, &store->options.redis, &connection_ops, store);
    if (options->redis.sentinel_count > 0) {
        store->watch = redis_watch_new(loop, resolver, &store->options.redis, on_sentinel, store);
    }
    if (options->kept != NULL && store->data != NULL) {
        store->restore = revocation_restore_new(store->data, options->prefix, options->kept,
                                                store->options.redis.command_timeout_ms);
    }
    if (store->data == NULL || store->feed == NULL ||
        (store->restore == NULL && options->kept != NULL) ||
        loop_timer_reserve(loop, &store->kept_timer) < 0 ||
        (store->watch == NULL && options->redis.sentinel_count > 0) ||
        loop_timer_set(loop, &store->timer, clock_ms() + redis_store_heartbeat_ms(store)) < 0) {
        redis_store_free(store);
        return NULL;
    }
    return store;
}

void redis_store_free(struct redis_store *store)
{
    if (store == NULL) {
        return;
    }
    redis_store_set_lease(store->current, 0);
    redis_store_set_lease(store->previous, 0);
    revocation_restore_free(store->restore);
    redis_free(store->data);
    redis_free(store->feed);
    redis_watch_free(store->watch);
    loop_timer_remove(store->loop, &store->timer);
    loop_timer_remove(store->loop, &store->kept_timer);
    revocation_filter_unref(store->current);
    revocation_filter_unref(store->previous);
    revocation_filter_unref(store->next);
    free(store);
}

void redis_store_add(struct redis_store *store, struct slice key)
{
    add_name(store, key);
}

struct revocation_filter *redis_store_filter(const struct redis_store *store)
{
    return store->current;
}

bool redis_store_is_live(const struct redis_store *store)
{
    return revocation_filter_is_live(store->current);
}

bool redis_store_is_connected(const struct redis_store *store)
{
    return redis_is_ready(store->data) && redis_is_ready(store->feed);
}

uint64_t redis_store_sync_age_ms(const struct redis_store *store)
{
    return store->synced_ms == 0 ? 0 : clock_ms() - store->synced_ms;
}
