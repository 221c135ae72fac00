/* SPDX-License-Identifier: Apache-2.0 */
#include "core/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define MIN_CAPACITY ((size_t)16)

struct map_entry {
    struct slice key;
    void *value; /* NULL: free */
    uint64_t hash;
};

static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    ssize_t got;

    do {
        got = getrandom(hash_key, sizeof(hash_key), 0);
    } while (got < 0 && errno == EINTR);
    if (got == (ssize_t)sizeof(hash_key)) {
        return;
    }

    /* A kernel without getrandom(): weaker, but the map works, only less shielded. */
    struct timespec now = { 0 };
    (void)clock_gettime(CLOCK_REALTIME, &now);
    hash_key[0] ^= (uint64_t)now.tv_nsec * UINT64_C(0x9e3779b97f4a7c15);
    hash_key[1] ^= (uint64_t)(uintptr_t)&now ^ (uint64_t)now.tv_sec;
}

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[0] = rotate_left(v[0], 32);
    v[2] += v[3];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

/* Little-endian, as the algorithm is defined; compilers make one load of it. */
static inline uint64_t load_bytes(const unsigned char *bytes, size_t count)
{
    uint64_t word = 0;

    for (size_t i = 0; i < count; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

uint64_t map_siphash13(const uint64_t key[2], struct slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.ptr;
    uint64_t v[4] = {
        key[0] ^ UINT64_C(0x736f6d6570736575),
        key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261),
        key[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t left = text.len;

    for (; left >= 8; left -= 8, bytes += 8) {
        uint64_t word = load_bytes(bytes, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }

    uint64_t last = (uint64_t)text.len << 56;
    if (left > 0) {
        last |= load_bytes(bytes, left);
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;

    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(struct slice key)
{
    (void)pthread_once(&hash_key_once, make_hash_key);
    return map_siphash13(hash_key, key);
}

/* The entry of `key`, or the free one where it would go.  The map is never full. */
static struct map_entry *find_entry(const struct map *map, struct slice key, uint64_t hash)
{
    size_t mask = map->capacity - 1;
    size_t i = (size_t)hash & mask;

    while (map->entries[i].value != NULL) {
        if (map->entries[i].hash == hash && slice_eq(map->entries[i].key, key)) {
            break;
        }
        i = (i + 1) & mask;
    }
    return &map->entries[i];
}

void map_done(struct map *map)
{
    free(map->entries);
    *map = (struct map){ 0 };
}

void *map_get(const struct map *map, struct slice key)
{
    if (map->count == 0) {
        return NULL;
    }
    return find_entry(map, key, map_hash(key))->value;
}

static int grow(struct map *map)
{
    struct map bigger = { .capacity = map->capacity == 0 ? MIN_CAPACITY : map->capacity * 2 };

    bigger.entries = calloc(bigger.capacity, sizeof(*bigger.entries));
    if (bigger.entries == NULL) {
        return ERR_NO_MEMORY;
    }

    for (size_t i = 0; i < map->capacity; i++) {
        const struct map_entry *entry = &map->entries[i];
        if (entry->value != NULL) {
            *find_entry(&bigger, entry->key, entry->hash) = *entry;
        }
    }
    bigger.count = map->count;
    free(map->entries);
    *map = bigger;
    return 0;
}

int map_set(struct map *map, struct slice key, void *value)
{
    uint64_t hash = map_hash(key);

    if (bug_if(value == NULL)) {
        return ERR_BUG;
    }
    if (map->count + 1 > map->capacity / 4 * 3) {
        int err = grow(map);
        if (err < 0) {
            return err;
        }
    }

    struct map_entry *entry = find_entry(map, key, hash);
    if (entry->value == NULL) {
        map->count++;
    }
    *entry = (struct map_entry){ .key = key, .value = value, .hash = hash };
    return 0;
}

/* Close the gap at `hole`: entries behind it move up when that brings them nearer to their place,
 * so that no marks of removed entries are needed. */
static void close_gap(struct map *map, size_t hole)
{
    size_t mask = map->capacity - 1;

    for (size_t i = (hole + 1) & mask; map->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)map->entries[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            map->entries[hole] = map->entries[i];
            hole = i;
        }
    }
    map->entries[hole] = (struct map_entry){ 0 };
}

void *map_remove(struct map *map, struct slice key)
{
    if (map->count == 0) {
        return NULL;
    }

    struct map_entry *entry = find_entry(map, key, map_hash(key));
    void *value = entry->value;
    if (value == NULL) {
        return NULL;
    }
    close_gap(map, (size_t)(entry - map->entries));
    map->count--;
    return value;
}

bool map_next(const struct map *map, size_t *ret_pos, struct slice *ret_key, void **ret_value)
{
    for (size_t i = *ret_pos; i < map->capacity; i++) {
        if (map->entries[i].value != NULL) {
            *ret_key = map->entries[i].key;
            *ret_value = map->entries[i].value;
            *ret_pos = i + 1;
            return true;
        }
    }
    *ret_pos = map->capacity;
    return false;
}
