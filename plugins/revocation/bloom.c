/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/bloom.h"

#include "core/map.h"

#include <stdatomic.h>
#include <stdlib.h>

#define BLOCK_WORDS 8u /* of 64 bits: one cache line */
#define BLOCK_BITS  512u
#define MAX_ITEMS   (UINT64_C(1) << 32)

struct bloom {
    _Atomic uint64_t *words;
    void *memory; /* of words, which are aligned in it */
    uint64_t blocks;
    uint64_t room;
    unsigned probes;
    _Atomic uint64_t count;
    _Atomic uint64_t bits; /* that are set */
    _Atomic uint64_t published;
};

/* How many bits a key has and how many of them it sets, by rate: measured.  The plain formula promises
 * too much, as some blocks hold more keys than others. */
static const struct {
    double rate;
    unsigned bits, probes;
} shapes[] = {
    { 0.1, 6, 4 }, { 0.01, 11, 6 }, { 0.001, 16, 8 }, { 0.0001, 24, 10 }, { 0, 36, 12 },
};

static void choose_shape(double rate, unsigned *ret_bits, unsigned *ret_probes)
{
    unsigned i = 0;

    while (shapes[i].rate > rate) {
        i++;
    }
    *ret_bits = shapes[i].bits;
    *ret_probes = shapes[i].probes;
}

struct bloom *bloom_new(uint64_t items, double rate)
{
    struct bloom *bloom = calloc(1, sizeof(*bloom));
    unsigned bits;

    if (bloom == NULL || items > MAX_ITEMS) {
        free(bloom);
        return NULL;
    }
    choose_shape(rate, &bits, &bloom->probes);
    bloom->room = items > 0 ? items : 1;
    bloom->blocks = (bloom->room * bits + BLOCK_BITS - 1) / BLOCK_BITS;
    bloom->memory = calloc(bloom->blocks + 1, BLOCK_BITS / 8);
    if (bloom->memory == NULL) {
        free(bloom);
        return NULL;
    }
    uintptr_t start = ((uintptr_t)bloom->memory + 63) & ~(uintptr_t)63;
    bloom->words = (_Atomic uint64_t *)start;
    return bloom;
}

void bloom_free(struct bloom *bloom)
{
    if (bloom != NULL) {
        free(bloom->memory);
        free(bloom);
    }
}

struct place {
    _Atomic uint64_t *block;
    uint64_t state; /* of the generator of bits */
};

static struct place find_place(const struct bloom *bloom, struct slice key)
{
    uint64_t hash = map_hash(key);
    /* The high bits choose the block: a multiplication instead of a division. */
    uint64_t block = (uint64_t)(((unsigned __int128)hash * bloom->blocks) >> 64);

    return (struct place){ .block = bloom->words + block * BLOCK_WORDS, .state = hash };
}

/* The next bit of the block, 0 to 511, by splitmix64: it must not follow from the bits that chose
 * the block. */
static unsigned next_bit(struct place *place)
{
    place->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = place->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z ^= z >> 27;
    return (unsigned)(z >> 55);
}

void bloom_add(struct bloom *bloom, struct slice key)
{
    struct place place = find_place(bloom, key);
    unsigned is_new = 0; /* bits */

    for (unsigned i = 0; i < bloom->probes; i++) {
        unsigned bit = next_bit(&place);
        _Atomic uint64_t *word = place.block + bit / 64;
        uint64_t mask = UINT64_C(1) << (bit % 64);
        uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
        if ((old & mask) == 0) {
            /* The only writer: no read-modify-write needed.  Release: a reader that finds the bit
             * also finds what was written before it. */
            atomic_store_explicit(word, old | mask, memory_order_release);
            is_new++;
        }
    }
    if (is_new > 0) {
        atomic_fetch_add_explicit(&bloom->count, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&bloom->bits, is_new, memory_order_relaxed);
    }
}

void bloom_publish(struct bloom *bloom)
{
    atomic_fetch_add_explicit(&bloom->published, 1, memory_order_release);
}

bool bloom_may_have(const struct bloom *bloom, struct slice key)
{
    struct place place = find_place(bloom, key);

    (void)atomic_load_explicit(&bloom->published, memory_order_acquire);
    for (unsigned i = 0; i < bloom->probes; i++) {
        unsigned bit = next_bit(&place);
        uint64_t word = atomic_load_explicit(place.block + bit / 64, memory_order_relaxed);
        if ((word >> (bit % 64) & 1) == 0) {
            return false;
        }
    }
    return true;
}

uint64_t bloom_count(const struct bloom *bloom)
{
    return atomic_load_explicit(&bloom->count, memory_order_relaxed);
}

uint64_t bloom_room(const struct bloom *bloom)
{
    return bloom->room;
}

uint64_t bloom_bytes(const struct bloom *bloom)
{
    return sizeof(*bloom) + (bloom->blocks + 1) * (BLOCK_BITS / 8);
}

double bloom_fill_ratio(const struct bloom *bloom)
{
    uint64_t set = atomic_load_explicit(&bloom->bits, memory_order_relaxed);

    return (double)set / ((double)bloom->blocks * BLOCK_BITS);
}
