/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ALIGNMENT       ((size_t)16)
#define MIN_CHUNK_BYTES ((size_t)4096)
#define MAX_CHUNK_BYTES ((size_t)65536)

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* with this header */
};

#define HEADER_BYTES ((sizeof(struct arena_chunk) + ALIGNMENT - 1) & ~(ALIGNMENT - 1))

void arena_init(struct arena *arena, void *first, size_t first_bytes, size_t max_bytes)
{
    *arena = (struct arena){ .max_bytes = max_bytes };
    if (first == NULL) {
        return;
    }

    size_t skip = (size_t)(-(uintptr_t)first) & (ALIGNMENT - 1);
    if (skip < first_bytes) {
        arena->next = (char *)first + skip;
        arena->end = (char *)first + first_bytes;
    }
}

void arena_done(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunks;

    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *arena = (struct arena){ .max_bytes = arena->max_bytes };
}

/* Chunks double, so that their number stays small, up to a size where waste would count. */
static size_t pick_chunk_size(const struct arena *arena, size_t needed, size_t room)
{
    size_t size = arena->chunks == NULL ? MIN_CHUNK_BYTES : arena->chunks->size * 2;

    if (size < MIN_CHUNK_BYTES) {
        size = MIN_CHUNK_BYTES;
    }
    if (size > MAX_CHUNK_BYTES) {
        size = MAX_CHUNK_BYTES;
    }
    if (size > room) {
        size = room;
    }
    return size < needed ? needed : size;
}

static void *alloc_from_new_chunk(struct arena *arena, size_t size)
{
    size_t room = arena->max_bytes - arena->used_bytes;

    if (size > room || room - size < HEADER_BYTES) {
        return NULL;
    }

    size_t chunk_size = pick_chunk_size(arena, size + HEADER_BYTES, room);
    struct arena_chunk *chunk = malloc(chunk_size);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->next = arena->chunks;
    chunk->size = chunk_size;
    arena->chunks = chunk;
    arena->used_bytes += chunk_size;

    char *bytes = (char *)chunk + HEADER_BYTES;
    char *end = (char *)chunk + chunk_size;
    /* Go on with whichever chunk has more left: one large block does not waste the current one. */
    if (arena->next == NULL || end - (bytes + size) > arena->end - arena->next) {
        arena->next = bytes + size;
        arena->end = end;
    }
    return bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT) {
        return NULL;
    }
    size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);

    if (arena->next != NULL && size <= (size_t)(arena->end - arena->next)) {
        void *bytes = arena->next;
        arena->next += size;
        return bytes;
    }
    return alloc_from_new_chunk(arena, size);
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }

    void *ret = arena_alloc(arena, bytes);
    if (ret != NULL) {
        memset(ret, 0, bytes);
    }
    return ret;
}

struct slice arena_copy(struct arena *arena, struct slice bytes)
{
    if (slice_is_absent(bytes)) {
        return SLICE_ABSENT;
    }

    char *copy = arena_alloc(arena, bytes.len);
    if (copy == NULL) {
        return SLICE_ABSENT;
    }
    memcpy(copy, bytes.ptr, bytes.len);
    return slice_of(copy, bytes.len);
}

char *arena_strdup(struct arena *arena, struct slice bytes)
{
    if (bytes.len == SIZE_MAX) {
        return NULL;
    }

    char *copy = arena_alloc(arena, bytes.len + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (bytes.len > 0) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    copy[bytes.len] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        return NULL;
    }

    char *text = arena_alloc(arena, (size_t)len + 1);
    if (text == NULL) {
        return NULL;
    }
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}
