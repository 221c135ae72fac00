/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/local_lmdb.h"

#include "core/log.h"
#include "plugins/revocation/local_record.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORGET_MAX 1000u /* entries in one commit */

struct local_lmdb {
    MDB_env *env;
    MDB_dbi entries; /* key: struct local_record */
    MDB_dbi ends;    /* local_end_key(): nothing */
    /* A map may only move while nobody reads. */
    pthread_rwlock_t map_lock;
    size_t map_bytes, max_map_bytes;
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

static MDB_val val_of(struct slice bytes)
{
    union {
        const void *from;
        void *to;
    } cast = { .from = bytes.ptr }; /* LMDB does not write to what it is given */
    return (MDB_val){ .mv_size = bytes.len, .mv_data = cast.to };
}

static struct slice slice_of_val(const MDB_val *val)
{
    return slice_of(val->mv_data, val->mv_size);
}

/* ---- reading ---- */

/* Another process may have made the map larger. */
static int begin_read(struct local_lmdb *db, MDB_txn **ret)
{
    pthread_rwlock_rdlock(&db->map_lock);
    int code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, ret);
    if (code == MDB_MAP_RESIZED) {
        pthread_rwlock_unlock(&db->map_lock);
        pthread_rwlock_wrlock(&db->map_lock);
        (void)mdb_env_set_mapsize(db->env, 0);
        code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, ret);
    }
    if (code != 0) {
        pthread_rwlock_unlock(&db->map_lock);
    }
    return code;
}

static void end_read(struct local_lmdb *db, MDB_txn *txn)
{
    mdb_txn_abort(txn);
    pthread_rwlock_unlock(&db->map_lock);
}

static int find_one(struct local_lmdb *db, MDB_txn *txn, struct slice key, int64_t *ret_value)
{
    struct local_entry entry;
    MDB_val data, name = val_of(key);

    if (key.len == 0 || key.len > LOCAL_STORE_MAX_KEY) {
        return ERR_BAD_INPUT;
    }
    int code = mdb_get(txn, db->entries, &name, &data);
    if (code == MDB_NOTFOUND) {
        *ret_value = LOCAL_STORE_NONE;
        return 0;
    }
    if (code != 0 || local_record_read(key, slice_of_val(&data), &entry) < 0) {
        return ERR_IO;
    }
    *ret_value = entry.value;
    return 0;
}

int local_lmdb_find_all(struct local_lmdb *db, const struct slice *keys, unsigned count,
                        int64_t *ret_values)
{
    MDB_txn *txn;
    int err = 0;

    if (begin_read(db, &txn) != 0) {
        return ERR_IO;
    }
    for (unsigned i = 0; i < count && err == 0; i++) {
        err = find_one(db, txn, keys[i], &ret_values[i]);
    }
    end_read(db, txn);
    return err;
}

/* To the first entry behind `after`. */
static int go_behind(MDB_cursor *cursor, struct slice after, MDB_val *key, MDB_val *data)
{
    if (after.len == 0) {
        return mdb_cursor_get(cursor, key, data, MDB_FIRST);
    }
    *key = val_of(after);
    int code = mdb_cursor_get(cursor, key, data, MDB_SET_RANGE);
    if (code == 0 && slice_eq(slice_of_val(key), after)) {
        code = mdb_cursor_get(cursor, key, data, MDB_NEXT);
    }
    return code;
}

int local_lmdb_visit(struct local_lmdb *db, struct slice after,
                     bool (*fn)(void *arg, const struct local_entry *), void *arg)
{
    MDB_cursor *cursor;
    MDB_val key, data;
    MDB_txn *txn;
    bool goes_on = true;

    if (begin_read(db, &txn) != 0) {
        return ERR_IO;
    }
    int err = err_of(mdb_cursor_open(txn, db->entries, &cursor));
    if (err < 0) {
        end_read(db, txn);
        return err;
    }
    for (err = err_of(go_behind(cursor, after, &key, &data)); goes_on && err == 0;
         err = err_of(mdb_cursor_get(cursor, &key, &data, MDB_NEXT))) {
        struct local_entry entry;
        err = local_record_read(slice_of_val(&key), slice_of_val(&data), &entry);
        if (err < 0) {
            break;
        }
        goes_on = fn(arg, &entry);
    }
    mdb_cursor_close(cursor);
    end_read(db, txn);
    return err == ERR_NOT_FOUND ? 0 : err;
}

uint64_t local_lmdb_count(struct local_lmdb *db)
{
    MDB_stat stat = { 0 };
    MDB_txn *txn;

    if (begin_read(db, &txn) != 0) {
        return 0;
    }
    (void)mdb_stat(txn, db->entries, &stat);
    end_read(db, txn);
    return stat.ms_entries;
}

/* ---- writing ---- */

static int put_entry(struct local_lmdb *db, MDB_txn *txn, const struct local_entry *entry)
{
    char buf[LOCAL_END_BYTES];
    struct local_record record = local_record_of(entry);
    MDB_val key = val_of(entry->key), data = val_of(slice_of(&record, sizeof(record)));
    int code = mdb_put(txn, db->entries, &key, &data, 0);

    if (code != 0) {
        return code;
    }
    MDB_val end = val_of(local_end_key(buf, entry->expires_at, entry->key));
    MDB_val nothing = val_of(SLICE(""));
    return mdb_put(txn, db->ends, &end, &nothing, 0);
}

static int write_entry(struct local_lmdb *db, MDB_txn *txn, const struct local_entry *entry)
{
    char buf[LOCAL_END_BYTES];
    struct local_entry old;
    MDB_val key = val_of(entry->key), data;
    int code = mdb_get(txn, db->entries, &key, &data);

    if (code == MDB_NOTFOUND) {
        return put_entry(db, txn, entry);
    }
    if (code != 0) {
        return code;
    }
    if (local_record_read(entry->key, slice_of_val(&data), &old) < 0) {
        return MDB_CORRUPTED;
    }
    if (old.value >= entry->value && old.expires_at >= entry->expires_at) {
        return 0;
    }
    MDB_val end = val_of(local_end_key(buf, old.expires_at, entry->key));
    code = mdb_del(txn, db->ends, &end, NULL);
    if (code != 0 && code != MDB_NOTFOUND) {
        return code;
    }
    struct local_entry merged = local_record_merge(&old, entry);
    return put_entry(db, txn, &merged);
}

static int write_batch(struct local_lmdb *db, MDB_txn *txn, const struct local_batch *batch)
{
    int code = 0;

    for (size_t i = 0; i < batch->count && code == 0; i++) {
        code = write_entry(db, txn, &batch->entries[i]);
    }
    return code;
}

static int forget(struct local_lmdb *db, MDB_txn *txn, int64_t until)
{
    MDB_cursor *cursor;
    MDB_val end, data, key;
    int code = mdb_cursor_open(txn, db->ends, &cursor);

    if (code != 0) {
        return code;
    }
    for (unsigned i = 0; i < FORGET_MAX; i++) {
        struct local_entry oldest;
        code = mdb_cursor_get(cursor, &end, &data, MDB_FIRST);
        if (code != 0 || local_end_read(slice_of_val(&end), &oldest) < 0 ||
            oldest.expires_at > until) {
            break;
        }
        key = val_of(oldest.key);
        code = mdb_del(txn, db->entries, &key, NULL);
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

static int commit_once(struct local_lmdb *db, const struct local_batch *batches,
                       int64_t forget_until)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, 0, &txn);

    if (code != 0) {
        return code;
    }
    if (forget_until != INT64_MIN) {
        code = forget(db, txn, forget_until);
    }
    for (const struct local_batch *batch = batches; batch != NULL && code == 0;
         batch = batch->next) {
        code = write_batch(db, txn, batch);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int grow_map(struct local_lmdb *db, int code)
{
    size_t bytes = code == MDB_MAP_RESIZED ? 0 : db->map_bytes * 2;

    if (bytes > db->max_map_bytes) {
        return MDB_MAP_FULL;
    }
    pthread_rwlock_wrlock(&db->map_lock);
    code = mdb_env_set_mapsize(db->env, bytes);
    pthread_rwlock_unlock(&db->map_lock);
    if (code == 0 && bytes != 0) {
        db->map_bytes = bytes;
    }
    return code;
}

int local_lmdb_write(struct local_lmdb *db, const struct local_batch *batches, int64_t forget_until)
{
    int code = commit_once(db, batches, forget_until);

    while (code == MDB_MAP_FULL || code == MDB_MAP_RESIZED) {
        code = grow_map(db, code);
        if (code != 0) {
            break;
        }
        code = commit_once(db, batches, forget_until);
    }
    if (code != 0) {
        log_error("revocation", "the local store cannot be written: %s", mdb_strerror(code));
    }
    return err_of(code) == ERR_NOT_FOUND ? ERR_IO : err_of(code);
}

/* ---- opening ---- */

/* Pages behind the end of the file would kill the process when they are read. */
static int check_file_size(struct local_lmdb *db, const char *folder)
{
    char path[4096];
    struct stat st;
    MDB_envinfo info;
    MDB_stat pages;

    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    if (stat(path, &st) != 0) {
        return errno;
    }
    if (mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &pages) != 0) {
        return MDB_CORRUPTED;
    }
    return (uint64_t)st.st_size < (uint64_t)(info.me_last_pgno + 1) * pages.ms_psize ? MDB_CORRUPTED
                                                                                     : 0;
}

static int open_databases(struct local_lmdb *db)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, 0, &txn);

    if (code != 0) {
        return code;
    }
    code = mdb_dbi_open(txn, "revocations", MDB_CREATE, &db->entries);
    if (code == 0) {
        code = mdb_dbi_open(txn, "ends", MDB_CREATE, &db->ends);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static int open_env(struct local_lmdb *db, const char *folder)
{
    int code = mdb_env_create(&db->env);

    if (code != 0) {
        return code;
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return errno;
    }
    code = mdb_env_set_mapsize(db->env, db->map_bytes);
    if (code == 0) {
        code = mdb_env_set_maxdbs(db->env, 2);
    }
    if (code == 0) {
        code = mdb_env_set_maxreaders(db->env, 512);
    }
    if (code == 0) {
        code = mdb_env_open(db->env, folder, 0, 0600);
    }
    if (code == 0) {
        code = check_file_size(db, folder);
    }
    return code == 0 ? open_databases(db) : code;
}

static int open_nowhere(struct local_lmdb *db)
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
        code = open_env(db, folder);
        for (unsigned file = 0; file < 2; file++) {
            snprintf(path, sizeof(path), "%s/%s", folder, files[file]);
            (void)unlink(path); /* LMDB has it open */
        }
        (void)rmdir(folder);
        if (code != 0 && db->env != NULL) {
            mdb_env_close(db->env);
            db->env = NULL;
        }
    }
    return code;
}

static bool count_entry(void *arg, const struct local_entry *entry)
{
    (*(uint64_t *)arg)++;
    return true;
}

static int open_and_check(struct local_lmdb *db, const char *folder)
{
    MDB_envinfo info;
    uint64_t count = 0;
    int code = folder != NULL ? open_env(db, folder) : open_nowhere(db);

    if (code == 0 && mdb_env_info(db->env, &info) == 0) {
        db->map_bytes = info.me_mapsize; /* it was grown before */
    }
    if (code == 0 && local_lmdb_visit(db, SLICE(""), count_entry, &count) < 0) {
        code = MDB_CORRUPTED;
    }
    return code;
}

int local_lmdb_open(const char *folder, size_t map_bytes, size_t max_map_bytes,
                    struct local_lmdb **ret, char ret_error[LOCAL_STORE_ERROR_BYTES])
{
    struct local_lmdb *db = calloc(1, sizeof(*db));

    if (db == NULL) {
        snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    pthread_rwlock_init(&db->map_lock, NULL);
    db->map_bytes = map_bytes;
    db->max_map_bytes = max_map_bytes;
    int code = open_and_check(db, folder);
    if (code != 0) {
        snprintf(ret_error, LOCAL_STORE_ERROR_BYTES, "%.128s: %s",
                 folder == NULL ? "a temporary store" : folder, mdb_strerror(code));
        local_lmdb_close(db);
        return err_of(code) == ERR_NOT_FOUND ? ERR_IO : err_of(code);
    }
    *ret = db;
    return 0;
}

void local_lmdb_close(struct local_lmdb *db)
{
    if (db == NULL) {
        return;
    }
    if (db->env != NULL) {
        mdb_env_close(db->env);
    }
    pthread_rwlock_destroy(&db->map_lock);
    free(db);
}
