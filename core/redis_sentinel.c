/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_sentinel.h"

#include <stdlib.h>

#define MAX_REPLY_BYTES  65536u
#define MAX_EPOCH_DIGITS 19u

/* ---- what they say ---- */

static int read_epoch(struct slice text, uint64_t *ret)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > MAX_EPOCH_DIGITS) {
        return ERR_BAD_INPUT;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return ERR_BAD_INPUT;
        }
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = value;
    return 0;
}

/* A flat list of names and values. */
int redis_sentinel_read_epoch(const struct redis_reply *reply, uint64_t *ret)
{
    if (reply->type != REDIS_IS_ARRAY) {
        return ERR_BAD_INPUT;
    }
    for (size_t i = 0; i + 1 < reply->count; i += 2) {
        if (slice_eq(reply->items[i]->text, SLICE("config-epoch"))) {
            return read_epoch(reply->items[i + 1]->text, ret);
        }
    }
    return ERR_BAD_INPUT;
}

int redis_sentinel_read_master(const struct redis_reply *reply, char *host, size_t host_size,
                               struct redis_address *ret)
{
    struct redis_address master = { 0 };

    if (reply->type != REDIS_IS_ARRAY || reply->count != 2 || reply->items[0]->text.len == 0 ||
        reply->items[0]->text.len >= host_size ||
        redis_read_port(reply->items[1]->text, &master.port) < 0) {
        return ERR_BAD_INPUT;
    }
    memcpy(host, reply->items[0]->text.ptr, reply->items[0]->text.len);
    master.host = slice_of(host, reply->items[0]->text.len);
    *ret = master;
    return 0;
}

bool redis_sentinel_take_epoch(_Atomic uint64_t *seen, uint64_t epoch)
{
    uint64_t highest = atomic_load(seen);

    while (epoch > highest && !atomic_compare_exchange_weak(seen, &highest, epoch)) {
    }
    return epoch >= highest;
}

/* ---- the watch ---- */

struct sentinel {
    struct redis_watch *watch;
    struct redis *redis;
    bool is_asked, has_answered; /* of this round */
    uint64_t epoch;
};

struct redis_watch {
    struct slice master_name;
    _Atomic uint64_t *seen;
    redis_watch_fn *fn;
    void *arg;
    unsigned count;
    struct sentinel sentinels[];
};

/* The sentinels were set up anew: most of them are there, and none knows an epoch as high as ours.  Else
 * nobody would connect any more. */
static void forget_lost_epochs(struct redis_watch *watch)
{
    unsigned answered = 0;
    uint64_t highest = 0;

    for (unsigned i = 0; i < watch->count; i++) {
        const struct sentinel *sentinel = &watch->sentinels[i];
        if (sentinel->has_answered) {
            answered++;
            highest = sentinel->epoch > highest ? sentinel->epoch : highest;
        }
    }
    if (answered > watch->count / 2 && highest < atomic_load(watch->seen)) {
        atomic_store(watch->seen, highest);
    }
}

static void on_epoch(void *arg, int err, const struct redis_reply *reply)
{
    struct sentinel *sentinel = (struct sentinel *)arg;
    struct redis_watch *watch = sentinel->watch;

    sentinel->is_asked = false;
    if (err < 0 || redis_sentinel_read_epoch(reply, &sentinel->epoch) < 0) {
        return; /* another one will know */
    }
    sentinel->has_answered = true;
    (void)redis_sentinel_take_epoch(watch->seen, sentinel->epoch);
    watch->fn(watch->arg);
}

void redis_watch_ask(struct redis_watch *watch)
{
    struct slice argv[3] = { SLICE("SENTINEL"), SLICE("MASTER"), watch->master_name };

    forget_lost_epochs(watch);
    for (unsigned i = 0; i < watch->count; i++) {
        struct sentinel *sentinel = &watch->sentinels[i];
        sentinel->has_answered = sentinel->has_answered && sentinel->is_asked;
        if (!sentinel->is_asked && redis_is_ready(sentinel->redis)) {
            sentinel->is_asked = redis_send(sentinel->redis, 3, argv, on_epoch, sentinel) == 0;
        }
    }
}

struct redis_watch *redis_watch_new(struct loop *loop, struct resolver *resolver,
                                    const struct redis_options *options, redis_watch_fn *fn,
                                    void *arg)
{
    static const struct redis_ops no_ops = { 0 };
    unsigned count = options->sentinel_count;
    struct redis_watch *watch = calloc(1, sizeof(*watch) + count * sizeof(watch->sentinels[0]));

    if (watch == NULL) {
        return NULL;
    }
    watch->master_name = options->master_name;
    watch->seen = options->master_epoch;
    watch->fn = fn;
    watch->arg = arg;
    watch->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct redis_options one = { .address = options->sentinels[i],
                                     .username = options->sentinel_username,
                                     .password = options->sentinel_password,
                                     .tls = options->tls,
                                     .connect_timeout_ms = options->connect_timeout_ms,
                                     .command_timeout_ms = options->connect_timeout_ms,
                                     .max_queue = 1,
                                     .max_reply_bytes = MAX_REPLY_BYTES };
        watch->sentinels[i].watch = watch;
        watch->sentinels[i].redis = redis_new(loop, resolver, &one, &no_ops, NULL);
        if (watch->sentinels[i].redis == NULL) {
            redis_watch_free(watch);
            return NULL;
        }
    }
    return watch;
}

void redis_watch_free(struct redis_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    for (unsigned i = 0; i < watch->count; i++) {
        redis_free(watch->sentinels[i].redis);
    }
    free(watch);
}
