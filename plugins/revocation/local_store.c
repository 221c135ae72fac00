/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/local_store.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/map.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PUTS  1024u /* that wait for a commit */
#define PURGE_MAX 1000u /* entries in one commit */

/* LMDB has no check sums of its own: ours shows a damaged entry. */
struct record {
    int64_t value;
    int64_t expires_at;
    uint64_t sum;
};

struct put {
    struct put *next;
    local_store_fn *fn;
    void *arg;
    int err;
    size_t count;
    struct local_entry entries[];
};

/* How far the wall clock is before the monotonic one: when it is set, that jumps. */
struct clock_watch {
    bool has_begun, has_previous;
    uint64_t since_ms;        /* `lowest` is of the time since then */
    int64_t lowest, previous; /* seconds; `previous`: of the clock_hold_ms before */
};

struct local_store {
    MDB_env *env;
    MDB_dbi entries; /* key: struct record */
    MDB_dbi ends;    /* expires_at (big endian), key: nothing */
    /* A map may only move while nobody reads. */
    pthread_rwlock_t map_lock;
    size_t map_bytes, max_map_bytes;

    /* Of the loop's thread. */
    struct loop *loop;
    struct offload *offload;
    struct put *first, **last; /* wait for the next commit */
    unsigned waiting;
    struct loop_timer purge_timer;
    unsigned purge_interval_ms, clock_hold_ms;
    struct clock_watch clock;
    bool is_committing, purge_is_due, closes;

    /* Of the offload thread while is_committing. */
    struct offload_job job;
    struct put *batch;
    bool purges;
    int64_t purge_until; /* Unix time */
};

static int err_of(int code)
{
    switch (code) {
    case 0: return 0;
    case MDB_NOTFOUND: return ERR_NOT_FOUND;
    case MDB_MAP_FULL: return ERR_TOO_BIG;
    case ENOMEM: return ERR_NO_MEMORY;
    default: return ERR_IO;
    }
}

static MDB_val val_of(const void *ptr, size_t len)
{
    union {
        const void *from;
        void *to;
    } cast = { .from = ptr }; /* LMDB does not write to what it is given */
    return (MDB_val){ .mv_size = len, .mv_data = cast.to };
}

/* ---- records ---- */

static uint64_t record_sum(struct slice key, const struct record *record)
{
    /* Fixed: it has to be the same after a restart. */
    const uint64_t sum_key[2] = { UINT64_C(0x6a77746761746531), UINT64_C(0x7265766f6b656431) };
    int64_t numbers[2] = { record->value, record->expires_at };

    return map_siphash13(sum_key, key) * 31 +
           map_siphash13(sum_key, slice_of(numbers, sizeof(numbers)));
}

static int read_record(const MDB_val *key, const MDB_val *data, struct record *ret)
{
    if (data->mv_size != sizeof(*ret)) {
        return ERR_IO;
    }
    memcpy(ret, data->mv_data, sizeof(*ret));
    return record_sum(slice_of(key->mv_data, key->mv_size), ret) == ret->sum ? 0 : ERR_IO;
}

static MDB_val end_key(char buf[8 + LOCAL_STORE_MAX_KEY], int64_t expires_at, struct slice key)
{
    uint64_t end = (uint64_t)expires_at;

    for (unsigned i = 0; i < 8; i++) {
        buf[i] = (char)(unsigned char)(end >> (56 - 8 * i));
    }
    memcpy(buf + 8, key.ptr, key.len);
    return val_of(buf, 8 + key.len);
}

static int64_t end_of(const MDB_val *key)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < 8; i++) {
        end = end << 8 | ((const unsigned char *)key->mv_data)[i];
    }
    return (int64_t)end;
}

/* ---- reading ---- */

/* Another process may have made the map larger. */
static int begin_read(struct local_store *store, MDB_txn **ret)
{
    pthread_rwlock_rdlock(&store->map_lock);
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret);
    if (code == MDB_MAP_RESIZED) {
        pthread_rwlock_unlock(&store->map_lock);
        pthread_rwlock_wrlock(&store->map_lock);
        (void)mdb_env_set_mapsize(store->env, 0);
        code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, ret);
    }
    if (code != 0) {
        pthread_rwlock_unlock(&store->map_lock);
    }
    return code;
}

static void end_read(struct local_store *store, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&store->map_lock);
}

static int find_one(struct local_store *store, MDB_txn *txn, struct slice key, int64_t *ret_value)
{
    struct record record;
    MDB_val data, name = val_of(key.ptr, key.len);

    if (key.len == 0 || key.len > LOCAL_STORE_MAX_KEY) {
        return ERR_BAD_INPUT;
    }
    int code = mdb_get(txn, store->entries, &name, &data);
    if (code == MDB_NOTFOUND) {
        *ret_value = LOCAL_STORE_NONE;
        return 0;
    }
    if (code != 0 || read_record(&name, &data, &record) < 0) {
        return ERR_IO;
    }
    *ret_value = record.value;
    return 0;
}

int local_store_find_all(struct local_store *store, const struct slice *keys, unsigned count,
                         int64_t *ret_values)
{
    MDB_txn *txn;
    int err = 0;

    if (begin_read(store, &txn) != 0) {
        return ERR_IO;
    }
    for (unsigned i = 0; i < count && err == 0; i++) {
        err = find_one(store, txn, keys[i], &ret_values[i]);
    }
    end_read(store, txn);
    return err;
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

/* To the first entry behind `after`. */
static int go_behind(MDB_cursor *cursor, struct slice after, MDB_val *key, MDB_val *data)
{
    if (after.len == 0) {
        return mdb_cursor_get(cursor, key, data, MDB_FIRST);
    }
    *key = val_of(after.ptr, after.len);
    int code = mdb_cursor_get(cursor, key, data, MDB_SET_RANGE);
    if (code == 0 && slice_eq(slice_of(key->mv_data, key->mv_size), after)) {
        code = mdb_cursor_get(cursor, key, data, MDB_NEXT);
    }
    return code;
}

int local_store_visit(struct local_store *store, struct slice after,
                      bool (*fn)(void *arg, const struct local_entry *), void *arg)
{
    MDB_cursor *cursor;
    MDB_val key, data;
    MDB_txn *txn;
    bool goes_on = true;

    if (begin_read(store, &txn) != 0) {
        return ERR_IO;
    }
    int err = err_of(mdb_cursor_open(txn, store->entries, &cursor));
    if (err < 0) {
        end_read(store, txn);
        return err;
    }
    for (err = err_of(go_behind(cursor, after, &key, &data)); goes_on && err == 0;
         err = err_of(mdb_cursor_get(cursor, &key, &data, MDB_NEXT))) {
        struct record record;
        err = read_record(&key, &data, &record);
        if (err < 0) {
            break;
        }
        struct local_entry entry = { .key = slice_of(key.mv_data, key.mv_size),
                                     .value = record.value,
                                     .expires_at = record.expires_at };
        goes_on = fn(arg, &entry);
    }
    mdb_cursor_close(cursor);
    end_read(store, txn);
    return err == ERR_NOT_FOUND ? 0 : err;
}

uint64_t local_store_count(struct local_store *store)
{
    MDB_stat stat = { 0 };
    MDB_txn *txn;

    if (begin_read(store, &txn) != 0) {
        return 0;
    }
    (void)mdb_stat(txn, store->entries, &stat);
    end_read(store, txn);
    return stat.ms_entries;
}

/* ---- writing: on a thread of the pool ---- */

static int write_entry(struct local_store *store, MDB_txn *txn, const struct local_entry *entry)
{
    char buf[8 + LOCAL_STORE_MAX_KEY];
    MDB_val key = val_of(entry->key.ptr, entry->key.len), data, end, nothing = val_of("", 0);
    struct record old, record = { .value = entry->value, .expires_at = entry->expires_at };

    int code = mdb_get(txn, store->entries, &key, &data);
    if (code == 0) {
        if (read_record(&key, &data, &old) < 0) {
            return MDB_CORRUPTED;
        }
        if (old.value >= record.value && old.expires_at >= record.expires_at) {
            return 0;
        }
        record.value = old.value > record.value ? old.value : record.value;
        record.expires_at = old.expires_at > record.expires_at ? old.expires_at : record.expires_at;
        end = end_key(buf, old.expires_at, entry->key);
        code = mdb_del(txn, store->ends, &end, NULL);
    }
    if (code != 0 && code != MDB_NOTFOUND) {
        return code;
    }
    record.sum = record_sum(entry->key, &record);
    data = val_of(&record, sizeof(record));
    code = mdb_put(txn, store->entries, &key, &data, 0);
    if (code != 0) {
        return code;
    }
    end = end_key(buf, record.expires_at, entry->key);
    return mdb_put(txn, store->ends, &end, &nothing, 0);
}

static int write_put(struct local_store *store, MDB_txn *txn, const struct put *put)
{
    int code = 0;

    for (size_t i = 0; i < put->count && code == 0; i++) {
        code = write_entry(store, txn, &put->entries[i]);
    }
    return code;
}

/* Forget what has ended, oldest first. */
static int purge(struct local_store *store, MDB_txn *txn, int64_t now)
{
    MDB_cursor *cursor;
    MDB_val end, data, key;
    int code = mdb_cursor_open(txn, store->ends, &cursor);

    if (code != 0) {
        return code;
    }
    for (unsigned i = 0; i < PURGE_MAX; i++) {
        code = mdb_cursor_get(cursor, &end, &data, MDB_FIRST);
        if (code != 0 || end.mv_size <= 8 || end_of(&end) > now) {
            break;
        }
        key = val_of((const char *)end.mv_data + 8, end.mv_size - 8);
        code = mdb_del(txn, store->entries, &key, NULL);
        if (code != 0 && code != MDB_NOTFOUND) {
            break;
        }
        code = mdb_cursor_del(cursor, 0);
        if (code != 0) {
            break;
        }
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

/* One commit, with fsync: all puts of the batch or none. */
static int commit_once(struct local_store *store)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);

    if (code != 0) {
        return code;
    }
    if (store->purges) {
        code = purge(store, txn, store->purge_until);
    }
    for (struct put *put = store->batch; put != NULL && code == 0; put = put->next) {
        code = write_put(store, txn, put);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int grow_map(struct local_store *store, int code)
{
    size_t bytes = code == MDB_MAP_RESIZED ? 0 : store->map_bytes * 2;

    if (bytes > store->max_map_bytes) {
        return MDB_MAP_FULL;
    }
    pthread_rwlock_wrlock(&store->map_lock);
    code = mdb_env_set_mapsize(store->env, bytes);
    pthread_rwlock_unlock(&store->map_lock);
    if (code == 0 && bytes != 0) {
        store->map_bytes = bytes;
    }
    return code;
}

static void work(struct offload_job *job)
{
    struct local_store *store =
        (struct local_store *)(void *)((char *)job - offsetof(struct local_store, job));
    int code = commit_once(store);

    while (code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) {
        code = grow_map(store, code);
        if (code != 0) {
            break;
        }
        code = commit_once(store);
    }
    if (code != 0) {
        log_error("revocation", "the local store cannot be written: %s", mdb_strerror(code));
    }
    for (struct put *put = store->batch; put != NULL; put = put->next) {
        put->err = err_of(code) == ERR_NOT_FOUND ? ERR_IO : err_of(code);
    }
}

/* ---- writing: on the loop's thread ---- */

static void store_free(struct local_store *store)
{
    if (store->env != NULL) {
        mdb_env_close(store->env);
    }
    pthread_rwlock_destroy(&store->map_lock);
    free(store);
}

static void drop_puts(struct put *put)
{
    while (put != NULL) {
        struct put *next = put->next;
        free(put);
        put = next;
    }
}

static void commit_next(struct local_store *store);

static void done(struct offload_job *job)
{
    struct local_store *store =
        (struct local_store *)(void *)((char *)job - offsetof(struct local_store, job));

    /* Still marked as committing: a callback that closes the store must not free it here. */
    while (store->batch != NULL) {
        struct put *put = store->batch;
        store->batch = put->next;
        if (put->fn != NULL && !store->closes) {
            put->fn(put->arg, put->err);
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

/* The earliest time that the wall clock can mean: by the least that it was before the monotonic one within
 * the last one to two clock_hold_ms. */
static int64_t purges_until(struct local_store *store)
{
    struct clock_watch *watch = &store->clock;
    int64_t monotonic = (int64_t)(clock_ms() / 1000), now = clock_unix();
    int64_t ahead = now - monotonic;

    if (store->clock_hold_ms == 0) {
        return now;
    }
    if (!watch->has_begun || clock_ms() - watch->since_ms >= store->clock_hold_ms) {
        watch->has_previous = watch->has_begun;
        watch->previous = watch->lowest;
        watch->has_begun = true;
        watch->since_ms = clock_ms();
        watch->lowest = ahead;
    }
    watch->lowest = ahead < watch->lowest ? ahead : watch->lowest;
    if (!watch->has_previous) {
        return INT64_MIN;
    }
    return monotonic + (watch->lowest < watch->previous ? watch->lowest : watch->previous);
}

static void commit_next(struct local_store *store)
{
    if (store->is_committing || (store->first == NULL && !store->purge_is_due)) {
        return;
    }
    store->batch = store->first;
    store->first = NULL;
    store->last = &store->first;
    store->waiting = 0;
    store->purges = store->purge_is_due;
    store->purge_is_due = false;
    store->purge_until = purges_until(store);
    store->is_committing = true;
    store->job.work = work;
    store->job.done = done;
    if (offload_submit(store->offload, store->loop, &store->job) < 0) {
        /* Tried again with the next put or purge; callers have deadlines. */
        store->is_committing = false;
        store->first = store->batch;
        store->batch = NULL;
        for (store->last = &store->first; *store->last != NULL; store->waiting++) {
            store->last = &(*store->last)->next;
        }
        store->purge_is_due = store->purges;
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
    put->count = count;
    for (size_t i = 0; i < count; i++) {
        char *key = (char *)put + used;
        memcpy(key, entries[i].key.ptr, entries[i].key.len);
        put->entries[i] = entries[i];
        put->entries[i].key.ptr = key;
        used += entries[i].key.len;
    }
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
    *store->last = put;
    store->last = &put->next;
    store->waiting++;
    commit_next(store);
    return 0;
}

static void cancel_puts(struct put *put, const void *arg)
{
    for (; put != NULL; put = put->next) {
        if (put->arg == arg) {
            put->fn = NULL;
        }
    }
}

void local_store_cancel(struct local_store *store, const void *arg)
{
    cancel_puts(store->first, arg);
    cancel_puts(store->batch, arg); /* the offload thread does not look at fn */
}

/* ---- opening ---- */

static bool count_entry(void *arg, const struct local_entry *entry)
{
    (*(uint64_t *)arg)++;
    return true;
}

/* Pages behind the end of the file would kill the process when they are read. */
static int check_file_size(struct local_store *store, const char *folder)
{
    char path[4096];
    struct stat st;
    MDB_envinfo info;
    MDB_stat pages;

    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    if (stat(path, &st) != 0) {
        return errno;
    }
    if (mdb_env_info(store->env, &info) != 0 || mdb_env_stat(store->env, &pages) != 0) {
        return MDB_CORRUPTED;
    }
    return (uint64_t)st.st_size < (uint64_t)(info.me_last_pgno + 1) * pages.ms_psize ? MDB_CORRUPTED
                                                                                     : 0;
}

static int open_databases(struct local_store *store)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(store->env, NULL, 0, &txn);

    if (code != 0) {
        return code;
    }
    code = mdb_dbi_open(txn, "revocations", MDB_CREATE, &store->entries);
    if (code == 0) {
        code = mdb_dbi_open(txn, "ends", MDB_CREATE, &store->ends);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_env(struct local_store *store, const char *folder)
{
    int code = mdb_env_create(&store->env);

    if (code != 0) {
        return code;
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return errno;
    }
    code = mdb_env_set_mapsize(store->env, store->map_bytes);
    if (code == 0) {
        code = mdb_env_set_maxdbs(store->env, 2);
    }
    if (code == 0) {
        code = mdb_env_set_maxreaders(store->env, 512);
    }
    if (code == 0) {
        code = mdb_env_open(store->env, folder, 0, 0600);
    }
    if (code == 0) {
        code = check_file_size(store, folder);
    }
    return code == 0 ? open_databases(store) : code;
}

static int open_nowhere(struct local_store *store)
{
    /* In memory where there is such a place. */
    static const char *const places[] = { "/dev/shm", "/tmp", NULL };
    static const char *const files[] = { "data.mdb", "lock.mdb" };
    int code = ENOENT;

    for (unsigned i = 0; places[i] != NULL && code != 0; i++) {
        char folder[64], path[96];
        snprintf(folder, sizeof(folder), "%s/jwtgate-XXXXXX", places[i]);
        if (mkdtemp(folder) == NULL) {
            code = errno;
            continue;
        }
        code = open_env(store, folder);
        for (unsigned file = 0; file < 2; file++) {
            snprintf(path, sizeof(path), "%s/%s", folder, files[file]);
            (void)unlink(path); /* LMDB has it open */
        }
        (void)rmdir(folder);
        if (code != 0 && store->env != NULL) {
            mdb_env_close(store->env);
            store->env = NULL;
        }
    }
    return code;
}

int local_store_open(const struct local_store_options *options, struct loop *loop,
                     struct offload *offload, struct local_store **ret,
                     char ret_error[LOCAL_STORE_ERROR_BYTES])
{
    struct local_store *store = calloc(1, sizeof(*store));
    uint64_t count = 0;
    MDB_envinfo info;

    if (store == NULL) {
        snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "out of memory");
        return ERR_NO_MEMORY;
    }
    pthread_rwlock_init(&store->map_lock, NULL);
    store->loop = loop;
    store->offload = offload;
    store->last = &store->first;
    store->map_bytes = options->map_bytes;
    store->max_map_bytes = options->max_map_bytes;
    store->purge_interval_ms = options->purge_interval_ms;
    store->clock_hold_ms = options->clock_hold_ms;
    store->purge_timer.fn = on_purge_timer;
    int code = options->folder != NULL ? open_env(store, options->folder) : open_nowhere(store);
    if (code == 0 && mdb_env_info(store->env, &info) == 0) {
        store->map_bytes = info.me_mapsize; /* it was grown before */
    }
    if (code == 0 && local_store_visit(store, SLICE(""), count_entry, &count) < 0) {
        code = MDB_CORRUPTED;
    }
    int err = err_of(code);
    if (code == 0) {
        err = loop_timer_set(loop, &store->purge_timer, clock_ms() + store->purge_interval_ms);
    }
    if (err < 0) {
        snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "%.128s: %s",
                 options->folder == NULL ? "a temporary store" : options->folder,
                 code == 0 ? err_text(err) : mdb_strerror(code));
        store_free(store);
        return err == ERR_NOT_FOUND ? ERR_IO : err;
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
