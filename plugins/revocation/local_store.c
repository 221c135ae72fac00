/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/local_store.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/revocation/steady_clock.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_PUTS 1024u /* that wait for a commit */

/* Entries of one call, their keys behind them. */
struct put {
    struct local_batch batch; /* first; its `next` is a put, too */
    local_store_fn *fn;       /* NULL: nobody wants to know */
    void *arg;
    struct local_entry entries[];
};

struct local_store {
    struct local_lmdb *db;

    /* Of the loop's thread. */
    struct loop *loop;
    struct offload *offload;
    struct local_batch *first, **last; /* puts that wait for the next commit */
    unsigned waiting;
    struct loop_timer purge_timer;
    unsigned purge_interval_ms, clock_hold_ms;
    struct steady_clock clock;
    bool is_committing, purge_is_due, closes;

    /* Of the offload thread while is_committing. */
    struct offload_job job;
    struct local_batch *batches; /* puts */
    int64_t forget_until;        /* Unix time; INT64_MIN: nothing */
    int err;
};

/* ---- questions ---- */

int local_store_find_all(struct local_store *store, const struct slice *keys, unsigned count,
                         int64_t *ret_values)
{
    return local_lmdb_find_all(store->db, keys, count, ret_values);
}

int local_store_find(struct local_store *store, struct slice key, int64_t *ret_value)
{
    int64_t value;
    int err = local_store_find_all(store, &key, 1, &value);

    if (err < 0) {
        return err;
    }
    if (value == LOCAL_STORE_NONE) {
        return ERR_NOT_FOUND;
    }
    *ret_value = value;
    return 0;
}

int local_store_visit(struct local_store *store, struct slice after,
                      bool (*fn)(void *arg, const struct local_entry *), void *arg)
{
    return local_lmdb_visit(store->db, after, fn, arg);
}

uint64_t local_store_count(struct local_store *store)
{
    return local_lmdb_count(store->db);
}

/* ---- commits ---- */

static void work(struct offload_job *job)
{
    struct local_store *store =
        (struct local_store *)(void *)((char *)job - offsetof(struct local_store, job));

    store->err = local_lmdb_write(store->db, store->batches, store->forget_until);
}

static void store_free(struct local_store *store)
{
    local_lmdb_close(store->db);
    free(store);
}

static void drop_puts(struct local_batch *batch)
{
    while (batch != NULL) {
        struct local_batch *next = batch->next;
        free(batch);
        batch = next;
    }
}

static void commit_next(struct local_store *store);

static void done(struct offload_job *job)
{
    struct local_store *store =
        (struct local_store *)(void *)((char *)job - offsetof(struct local_store, job));

    /* Still marked as committing: a callback that closes the store must not free it here. */
    while (store->batches != NULL) {
        struct put *put = (struct put *)store->batches;
        store->batches = put->batch.next;
        if (put->fn != NULL && !store->closes) {
            put->fn(put->arg, store->err);
        }
        free(put);
    }
    store->is_committing = false;
    if (store->closes) {
        store_free(store);
        return;
    }
    commit_next(store);
}

/* What has ended by then may leave with the next commit. */
static int64_t forget_until(struct local_store *store)
{
    int64_t now = clock_unix();
    int64_t earliest =
        store->clock_hold_ms == 0
            ? now
            : steady_clock_earliest(&store->clock, store->clock_hold_ms, clock_ms(), now);

    return store->purge_is_due ? earliest : INT64_MIN;
}

/* The pool is full: tried again with the next put or purge; callers have deadlines. */
static void take_back(struct local_store *store, bool purge_is_due)
{
    store->is_committing = false;
    store->first = store->batches;
    store->batches = NULL;
    for (store->last = &store->first; *store->last != NULL; store->waiting++) {
        store->last = &(*store->last)->next;
    }
    store->purge_is_due = purge_is_due;
}

static void commit_next(struct local_store *store)
{
    bool purge_is_due = store->purge_is_due;

    if (store->is_committing || (store->first == NULL && !purge_is_due)) {
        return;
    }
    store->batches = store->first;
    store->first = NULL;
    store->last = &store->first;
    store->waiting = 0;
    store->forget_until = forget_until(store);
    store->purge_is_due = false;
    store->is_committing = true;
    store->job.work = work;
    store->job.done = done;
    if (offload_submit(store->offload, store->loop, &store->job) < 0) {
        take_back(store, purge_is_due);
    }
}

static void on_purge_timer(struct loop_timer *timer)
{
    struct local_store *store =
        (struct local_store *)(void *)((char *)timer - offsetof(struct local_store, purge_timer));

    store->purge_is_due = true;
    commit_next(store);
    int err = loop_timer_set(store->loop, timer, clock_ms() + store->purge_interval_ms);
    if (err < 0) {
        log_error("revocation", "the local store keeps expired entries: %s", err_text(err));
    }
}

/* ---- puts ---- */

static struct put *put_new(const struct local_entry *entries, size_t count)
{
    size_t bytes = sizeof(struct put) + count * sizeof(struct local_entry);
    size_t used = bytes;

    for (size_t i = 0; i < count; i++) {
        bytes += entries[i].key.len;
    }
    struct put *put = calloc(1, bytes);
    if (put == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        char *key = (char *)put + used;
        memcpy(key, entries[i].key.ptr, entries[i].key.len);
        put->entries[i] = entries[i];
        put->entries[i].key.ptr = key;
        used += entries[i].key.len;
    }
    put->batch = (struct local_batch){ .entries = put->entries, .count = count };
    return put;
}

int local_store_put(struct local_store *store, const struct local_entry *entries, size_t count,
                    local_store_fn *fn, void *arg)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].key.len == 0 || entries[i].key.len > LOCAL_STORE_MAX_KEY ||
            entries[i].expires_at < 0) {
            return ERR_BAD_INPUT;
        }
    }
    if (store->waiting >= MAX_PUTS) {
        return ERR_BUSY;
    }
    struct put *put = put_new(entries, count);
    if (put == NULL) {
        return ERR_NO_MEMORY;
    }
    put->fn = fn;
    put->arg = arg;
    *store->last = &put->batch;
    store->last = &put->batch.next;
    store->waiting++;
    commit_next(store);
    return 0;
}

static void cancel_puts(struct local_batch *batch, const void *arg)
{
    for (; batch != NULL; batch = batch->next) {
        struct put *put = (struct put *)batch;
        if (put->arg == arg) {
            put->fn = NULL;
        }
    }
}

void local_store_cancel(struct local_store *store, const void *arg)
{
    cancel_puts(store->first, arg);
    cancel_puts(store->batches, arg); /* the offload thread does not look at fn */
}

/* ---- life ---- */

int local_store_open(const struct local_store_options *options, struct loop *loop,
                     struct offload *offload, struct local_store **ret,
                     char ret_error[LOCAL_STORE_ERROR_BYTES])
{
    struct local_store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    store->loop = loop;
    store->offload = offload;
    store->last = &store->first;
    store->purge_interval_ms = options->purge_interval_ms;
    store->clock_hold_ms = options->clock_hold_ms;
    store->purge_timer.fn = on_purge_timer;
    int err = local_lmdb_open(options->folder, options->map_bytes, options->max_map_bytes,
                              &store->db, ret_error);
    if (err == 0) {
        err = loop_timer_set(loop, &store->purge_timer, clock_ms() + store->purge_interval_ms);
        if (err < 0) {
            snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "%s", err_text(err));
        }
    }
    if (err < 0) {
        store_free(store);
        return err;
    }
    *ret = store;
    return 0;
}

void local_store_close(struct local_store *store)
{
    if (store == NULL) {
        return;
    }
    store->closes = true;
    loop_timer_remove(store->loop, &store->purge_timer);
    drop_puts(store->first);
    store->first = NULL;
    store->last = &store->first;
    if (!store->is_committing) {
        store_free(store);
    }
}
