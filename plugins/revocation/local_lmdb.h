/* SPDX-License-Identifier: Apache-2.0 */
/* Entries in LMDB: looked up in mapped memory, written in commits that are on disk when they are done.
 *
 * Threads: any may read, at any time.  One at a time may write; it grows the map, too, while no other reads.
 * Owner: core of a local store (local_store.h), which closes it when nobody reads or writes any more. */
#pragma once

#include "core/err.h"
#include "plugins/revocation/local_entry.h"

#define LOCAL_STORE_ERROR_BYTES 256u

struct local_lmdb;

struct local_batch { /* of a list */
    struct local_batch *next;
    const struct local_entry *entries;
    size_t count;
};

/* `folder`: made when it is missing; NULL: a place in memory that nobody else finds.  Reads and checks every
 * entry.  On error `ret_error` says what is wrong with which file. */
int local_lmdb_open(const char *folder, size_t map_bytes, size_t max_map_bytes,
                    struct local_lmdb **ret, char ret_error[LOCAL_STORE_ERROR_BYTES]) MUST_CHECK;
void local_lmdb_close(struct local_lmdb *db); /* NULL is fine */

/* Reading: as local_store_find_all(), local_store_visit(), local_store_count(). */
int local_lmdb_find_all(struct local_lmdb *db, const struct slice *keys, unsigned count,
                        int64_t *ret_values) MUST_CHECK;
int local_lmdb_visit(struct local_lmdb *db, struct slice after,
                     bool (*fn)(void *arg, const struct local_entry *), void *arg) MUST_CHECK;
uint64_t local_lmdb_count(struct local_lmdb *db);

/* All batches or none, on disk; an entry that is there only grows.  In the same commit some of what has ended by
 * `forget_until` (Unix time; INT64_MIN: nothing) leaves, oldest first.  Blocks: fsync.
 * ERR_TOO_BIG: it would be larger than max_map_bytes; ERR_IO, ERR_NO_MEMORY: nothing was written.  The reason
 * is in the log. */
int local_lmdb_write(struct local_lmdb *db, const struct local_batch *batches,
                     int64_t forget_until) MUST_CHECK;
