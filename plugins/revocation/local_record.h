/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that stand for an entry in the store's files.  LMDB has no check sums of its own: ours shows a
 * damaged entry.  Numbers of `struct local_record` are in this machine's byte order, as LMDB's are.  Pure. */
#pragma once

#include "core/err.h"
#include "plugins/revocation/local_entry.h"

struct local_record { /* kept under the entry's key */
    int64_t value;
    int64_t expires_at;
    uint64_t sum;
};

struct local_record local_record_of(const struct local_entry *entry);
/* ERR_IO: this is not what was written for that key. `ret->key` is `key`. */
int local_record_read(struct slice key, struct slice bytes, struct local_entry *ret) MUST_CHECK;
/* What is later and what is larger of both, under the key of `b`. */
struct local_entry local_record_merge(const struct local_entry *a, const struct local_entry *b);

/* The key of an entry in the order of ends: its end, big endian, then its key. */
#define LOCAL_END_BYTES (8u + LOCAL_STORE_MAX_KEY)
struct slice local_end_key(char buf[LOCAL_END_BYTES], int64_t expires_at, struct slice key);
/* ERR_IO: no such key. `ret->value` is not known: 0. */
int local_end_read(struct slice end, struct local_entry *ret) MUST_CHECK;
