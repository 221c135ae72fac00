/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/redis_store.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/redis_sentinel.h"
#include "plugins/revocation/identity.h"
#include "plugins/revocation/restore.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define AREA             "revocation"
#define HEARTBEAT        "heartbeat:"
#define CHANNEL          "__redis__:invalidate"
#define SCAN_COUNT       "1000"
#define HEARTBEAT_MAX_MS 1000u
#define MAX_REPLY_BYTES  (64u << 20)
#define KEPT_PAGE        1000u

const char *const redis_store_cause_names[] = { "start", "gap", "server_changed", "interval" };

enum phase {
    PHASE_CONNECT,   /* until both connections are ready */
    PHASE_SUBSCRIBE, /* until changes are announced to us */
    PHASE_SCAN,      /* reading all names into `next` */
    PHASE_FOLLOW,    /* `current` is complete */
};

struct redis_store {
    struct redis_store_options options;
    const struct redis_store_ops *ops;
    void *arg;
    struct loop *loop;
    struct redis *data, *feed; /* the one that asks, the one that is told */
    struct redis_watch *watch; /* NULL: no sentinels */

    enum phase phase;
    enum redis_store_cause cause; /* of the synchronisation under way */
    uint64_t phase_ms;            /* when it began */
    long long feed_id;            /* of that connection at the server */
    bool is_tracking;             /* heartbeats come back */
    bool is_scanning;             /* beside PHASE_FOLLOW: for a new generation */
    char cursor[24];
    uint64_t synced_ms;

    /* All are fed: workers may still look at `previous`. */
    struct revocation_filter *current, *previous, *next;
    uint64_t next_items;

    /* What this gateway has revoked: it goes into `next` after the scan, some of it in each turn. */
    struct revocation_restore *restore; /* NULL: nothing is kept */
    struct loop_timer kept_timer;
    char kept_after[LOCAL_STORE_MAX_KEY]; /* the last key that went in */
    size_t kept_after_len;
    unsigned kept_count; /* in this turn */

    /* The heartbeat: one is under way at most, each has a name of its own. */
    char instance[33];
    char heartbeat_key[REVOCATION_MAX_PREFIX + sizeof(HEARTBEAT) + 64];
    struct slice heartbeat;
    uint64_t heartbeat_count;
    uint64_t sent_ns; /* 0: none under way */
    uint64_t lease_ns;
    struct loop_timer timer;

    struct redis_identity identity;
    uint64_t server; /* counts servers */
    bool was_warned;
};

static uint64_t heartbeat_ms(const struct redis_store *store)
{
    uint64_t half = store->options.max_staleness_ms / 2;

    return half < HEARTBEAT_MAX_MS ? half : HEARTBEAT_MAX_MS;
}

static uint64_t staleness_ns(const struct redis_store *store)
{
    return store->options.max_staleness_ms * UINT64_C(1000000);
}

/* ---- doubt ---- */

static void set_lease(struct revocation_filter *filter, uint64_t lease_ns)
{
    if (filter != NULL) {
        atomic_store_explicit(&filter->lease_ns, lease_ns, memory_order_release);
    }
}

static void drop_next(struct redis_store *store)
{
    revocation_filter_unref(store->next);
    store->next = NULL;
    store->is_scanning = false;
    loop_timer_clear(&store->kept_timer);
}

/* No "no" is believed from here on. Both connections start anew: nothing of the old ones can be taken
 * for an answer to a new question. */
static void doubt(struct redis_store *store, enum redis_store_cause cause, const char *why)
{
    if (store->phase == PHASE_CONNECT) {
        return;
    }
    if (store->synced_ms != 0) {
        log_warning(AREA, "the filter is not believed: %s", why);
        store->cause = cause;
    }
    store->phase = PHASE_CONNECT;
    store->is_tracking = false;
    store->sent_ns = 0;
    store->lease_ns = 0;
    set_lease(store->current, 0);
    set_lease(store->previous, 0);
    drop_next(store);
    redis_reset(store->data);
    redis_reset(store->feed);
    if (store->ops->tick != NULL) {
        store->ops->tick(store->arg);
    }
}

/* `err` < 0: the connection is being lost, on_lost() follows. */
static bool is_wrong(struct redis_store *store, int err, const struct redis_reply *reply,
                     enum redis_reply_type type, const char *what)
{
    if (err < 0) {
        return true;
    }
    if (reply->type != type) {
        char text[160];
        log_warning(AREA, "redis refuses %s: %s", what, log_quote(reply->text, text, sizeof(text)));
        doubt(store, REDIS_STORE_SERVER_CHANGED, what);
        return true;
    }
    return false;
}

static void send_or_doubt(struct redis_store *store, struct redis *to, unsigned argc,
                          const struct slice *argv, redis_fn *fn)
{
    if (redis_send(to, argc, argv, fn, store) < 0) {
        doubt(store, REDIS_STORE_GAP, "a command could not be sent");
    }
}

/* ---- generations ---- */

static void publish_next(struct redis_store *store)
{
    revocation_filter_unref(store->previous);
    store->previous = store->current;
    store->current = store->next;
    store->next = NULL;
    store->is_scanning = false;
    set_lease(store->current, store->lease_ns);
    store->phase = PHASE_FOLLOW;
    store->synced_ms = clock_ms();
    log_info(AREA, "synchronised cause=%s entries=%llu", redis_store_cause_names[store->cause],
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

/* ---- what is kept here ---- */

static bool add_kept(void *arg, const struct local_entry *entry)
{
    struct redis_store *store = (struct redis_store *)arg;

    revocation_filter_add(store->next, entry->key);
    memcpy(store->kept_after, entry->key.ptr, entry->key.len);
    store->kept_after_len = entry->key.len;
    return ++store->kept_count < KEPT_PAGE;
}

/* The last step before a new filter is used. */
static void on_kept_timer(struct loop_timer *timer)
{
    struct redis_store *store =
        (struct redis_store *)(void *)((char *)timer - offsetof(struct redis_store, kept_timer));
    struct slice after = slice_of(store->kept_after, store->kept_after_len);

    store->kept_count = 0;
    if (local_store_visit(store->options.kept, after, add_kept, store) < 0) {
        doubt(store, store->cause, "what was revoked here cannot be read");
    } else if (store->kept_count < KEPT_PAGE) {
        publish_next(store);
        revocation_restore_begin(store->restore);
    } else if (loop_timer_set(store->loop, timer, clock_ms()) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

static void finish_scan(struct redis_store *store)
{
    if (store->options.kept == NULL) {
        publish_next(store);
        return;
    }
    store->kept_after_len = 0;
    on_kept_timer(&store->kept_timer);
}

/* ---- the scan ---- */

static void scan_next(struct redis_store *store);

static bool start_scan(struct redis_store *store)
{
    drop_next(store);
    store->next =
        revocation_filter_new(store->next_items, store->options.false_positive_rate, store->server);
    if (store->next == NULL) {
        return false;
    }
    store->is_scanning = true;
    memcpy(store->cursor, "0", 2);
    scan_next(store);
    return true;
}

/* The name of a key of Redis; absent: none of ours, or a heartbeat. */
static struct slice name_of(const struct redis_store *store, char buf[REVOCATION_KEY_BYTES],
                            struct slice key)
{
    struct slice prefix = store->options.prefix;

    if (!slice_starts_with(key, prefix) ||
        slice_starts_with(slice_skip(key, prefix.len), SLICE(HEARTBEAT))) {
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

static bool take_page(struct redis_store *store, const struct redis_reply *reply)
{
    if (reply->count != 2 || reply->items[0]->type != REDIS_IS_STRING ||
        reply->items[0]->text.len >= sizeof(store->cursor) ||
        reply->items[1]->type != REDIS_IS_ARRAY) {
        return false;
    }
    const struct redis_reply *names = reply->items[1];
    for (size_t i = 0; i < names->count; i++) {
        char buf[REVOCATION_KEY_BYTES];
        struct slice name = name_of(store, buf, names->items[i]->text);
        if (!slice_is_absent(name)) {
            revocation_filter_add(store->next, name);
        }
    }
    struct slice cursor = reply->items[0]->text;
    memcpy(store->cursor, cursor.ptr, cursor.len);
    store->cursor[cursor.len] = '\0';
    return true;
}

static void on_page(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!store->is_scanning || is_wrong(store, err, reply, REDIS_IS_ARRAY, "SCAN")) {
        return;
    }
    if (!take_page(store, reply)) {
        doubt(store, REDIS_STORE_SERVER_CHANGED, "an answer to SCAN is none");
        return;
    }
    uint64_t count = bloom_count(store->next->bloom);
    if (count > bloom_room(store->next->bloom)) {
        /* Too small to be of use: again, with more room. */
        store->next_items = store->next_items * 2;
        if (!start_scan(store)) {
            doubt(store, REDIS_STORE_GAP, "out of memory");
        }
        return;
    }
    if (slice_eq(slice_str(store->cursor), SLICE("0"))) {
        finish_scan(store);
        return;
    }
    scan_next(store);
}

static void scan_next(struct redis_store *store)
{
    char pattern[REVOCATION_MAX_PREFIX + 2];
    int len = snprintf(pattern, sizeof(pattern), "%.*s*", SLICE_FMT(store->options.prefix));
    struct slice argv[6] = { SLICE("SCAN"),  slice_str(store->cursor),
                             SLICE("MATCH"), slice_of(pattern, (size_t)len),
                             SLICE("COUNT"), SLICE(SCAN_COUNT) };

    send_or_doubt(store, store->data, 6, argv, on_page);
}

/* ---- heartbeats ---- */

static void on_heartbeat_written(void *arg, int err, const struct redis_reply *reply)
{
    /* An error: the server does not take writes (a replica, out of memory), so it is none to follow. */
    (void)is_wrong((struct redis_store *)arg, err, reply, REDIS_IS_STATUS, "the heartbeat's SET");
}

static void send_heartbeat(struct redis_store *store)
{
    char life[24];
    int len = snprintf(store->heartbeat_key, sizeof(store->heartbeat_key),
                       "%.*s" HEARTBEAT "%s:%llu", SLICE_FMT(store->options.prefix),
                       store->instance, (unsigned long long)++store->heartbeat_count);
    store->heartbeat = slice_of(store->heartbeat_key, (size_t)len);
    len = snprintf(life, sizeof(life), "%llu",
                   (unsigned long long)(store->options.max_staleness_ms * 2 + 5000));
    struct slice argv[5] = { SLICE("SET"), store->heartbeat, SLICE("1"), SLICE("PX"),
                             slice_of(life, (size_t)len) };

    store->sent_ns = revocation_boot_ns();
    send_or_doubt(store, store->data, 5, argv, on_heartbeat_written);
}

static void heartbeat_is_back(struct redis_store *store)
{
    if (store->sent_ns == 0) {
        return;
    }
    if (store->ops->echoed != NULL) {
        store->ops->echoed(store->arg, (revocation_boot_ns() - store->sent_ns) / 1000);
    }
    store->lease_ns = store->sent_ns + staleness_ns(store);
    store->sent_ns = 0;
    if (store->phase == PHASE_FOLLOW) {
        set_lease(store->current, store->lease_ns);
    }
}

static void begin_interval_scan(struct redis_store *store)
{
    store->cause = REDIS_STORE_INTERVAL;
    store->next_items = store->options.expected_items;
    uint64_t used = bloom_count(store->current->bloom);
    while (store->next_items < used) {
        store->next_items *= 2;
    }
    if (!start_scan(store)) {
        log_warning(AREA, "no memory for a new filter, the old one stays");
        store->synced_ms = clock_ms();
    }
}

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
            send_heartbeat(store);
        } else if (revocation_boot_ns() - store->sent_ns > staleness_ns(store)) {
            doubt(store, REDIS_STORE_GAP, "a heartbeat did not come back");
        }
    } else if (store->phase == PHASE_SUBSCRIBE &&
               now - store->phase_ms > store->options.max_staleness_ms) {
        doubt(store, store->cause, "subscribing takes too long");
    }
    if (store->phase == PHASE_FOLLOW && !store->is_scanning &&
        now - store->synced_ms >= store->options.resync_interval_ms) {
        begin_interval_scan(store);
    }
    if (store->ops->tick != NULL) {
        store->ops->tick(store->arg);
    }
    if (loop_timer_set(store->loop, timer, now + heartbeat_ms(store)) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

/* ---- what is pushed ---- */

static void on_pushed(void *arg, const struct redis_reply *message)
{
    struct redis_store *store = (struct redis_store *)arg;
    bool is_back = false;

    if (store->phase == PHASE_CONNECT) {
        return;
    }
    const struct redis_reply *names = message->count == 3 ? message->items[2] : NULL;
    if (names == NULL || names->type != REDIS_IS_ARRAY) {
        doubt(store, REDIS_STORE_GAP, "redis was flushed");
        return;
    }
    for (size_t i = 0; i < names->count; i++) {
        char buf[REVOCATION_KEY_BYTES];
        struct slice key = names->items[i]->text;
        if (slice_is_absent(key)) {
            continue;
        }
        is_back = is_back || slice_eq(key, store->heartbeat);
        add_name(store, name_of(store, buf, key));
    }
    /* Last: what came with it must be in the filter before the lease is longer. */
    if (is_back) {
        heartbeat_is_back(store);
    }
}

/* ---- beginning ---- */

static void on_tracking(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (is_wrong(store, err, reply, REDIS_IS_STATUS, "CLIENT TRACKING")) {
        return;
    }
    store->is_tracking = true;
    store->phase = PHASE_SCAN;
    send_heartbeat(store);
    if (store->phase == PHASE_SCAN && !start_scan(store)) {
        doubt(store, store->cause, "out of memory");
    }
}

static void start_tracking(struct redis_store *store)
{
    char id[24];
    int len = snprintf(id, sizeof(id), "%lld", store->feed_id);
    struct slice argv[8] = { SLICE("CLIENT"),   SLICE("TRACKING"),         SLICE("ON"),
                             SLICE("REDIRECT"), slice_of(id, (size_t)len), SLICE("BCAST"),
                             SLICE("PREFIX"),   store->options.prefix };

    send_or_doubt(store, store->data, 8, argv, on_tracking);
}

static void on_client_id(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!is_wrong(store, err, reply, REDIS_IS_INTEGER, "CLIENT ID")) {
        store->feed_id = reply->integer;
    }
}

/* Only now: redis drops what it would tell to a client that does not listen yet. */
static void on_subscribed(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!is_wrong(store, err, reply, REDIS_IS_ARRAY, "SUBSCRIBE") &&
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
        log_warning(AREA, "redis may evict revocations: its maxmemory-policy is %s, not noeviction",
                    log_quote(policy, text, sizeof(text)));
        store->was_warned = true;
    }
}

static void on_info(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (is_wrong(store, err, reply, REDIS_IS_STRING, "INFO")) {
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
    send_or_doubt(store, store->feed, 2, id, on_client_id);
    if (store->phase == PHASE_SUBSCRIBE) {
        send_or_doubt(store, store->feed, 2, subscribe, on_subscribed);
    }
}

static void begin(struct redis_store *store)
{
    struct slice info[1] = { SLICE("INFO") };
    struct slice policy[3] = { SLICE("CONFIG"), SLICE("GET"), SLICE("maxmemory-policy") };

    store->phase = PHASE_SUBSCRIBE;
    store->phase_ms = clock_ms();
    store->next_items = store->options.expected_items;
    send_or_doubt(store, store->data, 1, info, on_info);
    if (store->phase == PHASE_SUBSCRIBE) {
        send_or_doubt(store, store->data, 3, policy, on_policy);
    }
}

static void on_ready(void *arg)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (store->phase == PHASE_CONNECT && store->data != NULL && store->feed != NULL &&
        redis_is_ready(store->data) && redis_is_ready(store->feed)) {
        begin(store);
    }
}

static void on_lost(void *arg, int err)
{
    struct redis_store *store = (struct redis_store *)arg;
    const char *why = redis_failure(store->data);

    why = why[0] == '\0' ? redis_failure(store->feed) : why;
    if (store->phase == PHASE_CONNECT) {
        log_warning(AREA, "redis cannot be used: %s", why[0] == '\0' ? err_text(err) : why);
    }
    doubt(store, REDIS_STORE_GAP, err_text(err));
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
        doubt(store, REDIS_STORE_SERVER_CHANGED, "the sentinels name another master");
        redis_reconnect(store->data);
        redis_reconnect(store->feed);
    }
}

/* ---- life ---- */

static void name_instance(struct redis_store *store)
{
    uint64_t random[2] = { clock_precise_ns(), (uint64_t)(uintptr_t)store };

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        random[0] ^= clock_unix_us(); /* it has to be ours alone, not secret */
    }
    snprintf(store->instance, sizeof(store->instance), "%016llx%016llx",
             (unsigned long long)random[0], (unsigned long long)random[1]);
}

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
    store->kept_timer.fn = on_kept_timer;
    name_instance(store);
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
        loop_timer_set(loop, &store->timer, clock_ms() + heartbeat_ms(store)) < 0) {
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
    set_lease(store->current, 0);
    set_lease(store->previous, 0);
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
