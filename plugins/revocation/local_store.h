/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations in LMDB, in a folder of this machine: exact, and durable before the caller has its
 * answer.  Questions are answered by any thread from mapped memory; entries are written on the
 * offload pool, all that came meanwhile in one commit.  Expired entries leave in the background, the
 * map grows by itself.
 *
 * An entry only grows: a later end and a later value win.  A store that is damaged, full or cannot be
 * read says so with an error: the caller must take that for "cannot tell".
 *
 * Owner and thread: who opens it, on the thread of `loop`, unless a function says "any thread"; those threads have
 * stopped asking before local_store_close(). */
#pragma once

#include "core/loop.h"
#include "core/offload.h"
#include "plugins/revocation/local_lmdb.h"

struct local_store;

struct local_store_options {
    const char
        *folder; /* made when it is missing; NULL: kept as long as the store is open, nowhere */
    size_t map_bytes, max_map_bytes;
    unsigned purge_interval_ms;
    /* An entry leaves when the wall clock has run steadily for so long and says that it has ended: a clock
     * that was set wrong, and is set right later, must not make a revoked token good.  0: at once. */
    unsigned clock_hold_ms;
};

typedef void local_store_fn(void *arg, int err);

/* Open and check every entry.  On error `ret_error` says what is wrong with which file.  One store
 * for each folder and process. */
int local_store_open(const struct local_store_options *options, struct loop *loop,
                     struct offload *offload, struct local_store **ret,
                     char ret_error[LOCAL_STORE_ERROR_BYTES]) MUST_CHECK;
/* Puts that wait are dropped without a callback; one that is being written ends first.  The loop must
 * make another turn. NULL is fine. */
void local_store_close(struct local_store *store);

/* Any thread.  All keys at one moment: the value of each, LOCAL_STORE_NONE: surely none.  ERR_IO:
 * cannot tell. */
int local_store_find_all(struct local_store *store, const struct slice *keys, unsigned count,
                         int64_t *ret_values) MUST_CHECK;
/* ERR_NOT_FOUND: surely none; ERR_IO: cannot tell. */
int local_store_find(struct local_store *store, struct slice key, int64_t *ret_value) MUST_CHECK;
/* Keep all `count` entries (copied) or none; fn runs in a later turn when they are on disk (0), or
 * ERR_IO, ERR_TOO_BIG (the store may not grow further).  ERR_BAD_INPUT: a key is empty or too long;
 * ERR_BUSY. */
int local_store_put(struct local_store *store, const struct local_entry *entries, size_t count,
                    local_store_fn *fn, void *arg) MUST_CHECK;
/* The callbacks of puts with this `arg` do not run; what they put is kept all the same. */
void local_store_cancel(struct local_store *store, const void *arg);
/* All entries behind the key `after` (empty: all), in the order of their keys.  fn returns false to stop.
 * Any thread. */
int local_store_visit(struct local_store *store, struct slice after,
                      bool (*fn)(void *arg, const struct local_entry *), void *arg) MUST_CHECK;
uint64_t local_store_count(struct local_store *store); /* any thread */
