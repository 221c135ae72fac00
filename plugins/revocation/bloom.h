/* SPDX-License-Identifier: Apache-2.0 */
/* A blocked bloom filter: all bits of a key are in one cache line, so a question costs one miss of
 * the cache.  "No" is sure, "maybe" is wrong at the given rate.  Keys cannot be removed: who wants that
 * fills a new filter.  The hash is keyed (core/map.h): nobody outside can choose collisions.
 *
 * Threads: one writer, any number of readers, no locks.  A key that was added before bloom_publish()
 * is there for every question that begins after it. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

struct bloom;

/* For up to `items` keys at `rate` (0.1 to 1e-6) of false positives.  NULL: no memory. */
struct bloom *bloom_new(uint64_t items, double rate);
void bloom_free(struct bloom *bloom); /* NULL is fine; no reader is left */

/* Writer only. Adding a key twice does not count. */
void bloom_add(struct bloom *bloom, struct slice key);
/* What was added so far is there for readers. */
void bloom_publish(struct bloom *bloom);

/* Any thread. */
bool bloom_may_have(const struct bloom *bloom, struct slice key);
uint64_t bloom_count(const struct bloom *bloom);    /* keys that were new to it */
uint64_t bloom_room(const struct bloom *bloom);     /* keys it was made for */
uint64_t bloom_bytes(const struct bloom *bloom);    /* memory */
double bloom_fill_ratio(const struct bloom *bloom); /* bits that are set */
