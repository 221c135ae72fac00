/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is freed all at once.  An arena belongs to one owner and one thread.  It grows by
 * chunks up to a limit; an allocation over it returns NULL and changes nothing. */
#pragma once

#include "core/slice.h"

#include <stddef.h>

struct arena_chunk;

struct arena {
    char *next; /* free bytes of the current chunk */
    char *end;
    struct arena_chunk *chunks; /* heap chunks, newest first */
    size_t used_bytes;          /* of heap chunks */
    size_t max_bytes;           /* heap chunks may not pass this together */
};

/* `first` (may be NULL) is memory of the caller that is used before any heap chunk; it must
 * outlive the arena. */
void arena_init(struct arena *arena, void *first, size_t first_bytes, size_t max_bytes);
/* Free every chunk; the arena is then empty with no first memory. */
void arena_done(struct arena *arena);

/* Aligned to 16 bytes, not zeroed; NULL when out of memory or over the limit. */
void *arena_alloc(struct arena *arena, size_t size);
/* `count` * `size` zeroed bytes; NULL also on overflow of the product. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* Copy; ptr == NULL on failure.  An absent slice stays absent. */
struct slice arena_copy(struct arena *arena, struct slice bytes);
/* NUL-terminated copy, NULL on failure. */
char *arena_strdup(struct arena *arena, struct slice bytes);
/* printf into the arena; NULL on failure. */
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
