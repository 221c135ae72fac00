/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from bytes to pointers, open addressing.  The hash is keyed (SipHash-1-3 with a random
 * key of the process), so that keys may come from an attacker.  Keys are borrowed: they must live
 * as long as their entry.  One thread, or read-only for many. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

struct map_entry;

struct map {
    struct map_entry *entries;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

/* A zeroed struct is an empty map. */
void map_done(struct map *map);
/* NULL when there is none. */
void *map_get(const struct map *map, struct slice key);
/* Add or replace; `value` not NULL.  ERR_NO_MEMORY leaves the map as it was. */
int map_set(struct map *map, struct slice key, void *value) MUST_CHECK;
/* The removed value, or NULL. */
void *map_remove(struct map *map, struct slice key);
/* Visit all entries: start with *ret_pos = 0; false at the end.  No change while visiting. */
bool map_next(const struct map *map, size_t *ret_pos, struct slice *ret_key, void **ret_value);

/* The keyed hash itself. */
uint64_t map_hash(struct slice key);
/* SipHash-1-3 with a key of the caller (tests). */
uint64_t map_siphash13(const uint64_t key[2], struct slice text);
