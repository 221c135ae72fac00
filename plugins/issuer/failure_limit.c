/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/failure_limit.h"

#include "core/map.h"

#include <pthread.h>
#include <stdlib.h>

#define SETS       1024u /* a power of two */
#define WAYS       8u
#define NAME_BYTES 96u /* longer names share an entry with those that begin alike */

struct entry {
    uint64_t tag;      /* of kind and name */
    uint64_t until_ms; /* when all its failures are forgiven; in the past: free */
};

struct failure_limit {
    pthread_mutex_t mutex;
    struct entry sets[SETS][WAYS];
};

struct failure_limit *failure_limit_new(void)
{
    struct failure_limit *limit = calloc(1, sizeof(*limit));

    if (limit != NULL) {
        pthread_mutex_init(&limit->mutex, NULL);
    }
    return limit;
}

void failure_limit_free(struct failure_limit *limit)
{
    if (limit != NULL) {
        pthread_mutex_destroy(&limit->mutex);
        free(limit);
    }
}

static uint64_t tag_of(char kind, struct slice name)
{
    char text[NAME_BYTES + 1];
    size_t len = name.len < NAME_BYTES ? name.len : NAME_BYTES;

    text[0] = kind;
    if (len > 0) {
        memcpy(text + 1, name.ptr, len);
    }
    return map_hash(slice_of(text, len + 1));
}

/* The entry of `tag`, or the one of its set that would be forgotten first. */
static struct entry *find(struct failure_limit *limit, uint64_t tag)
{
    struct entry *set = limit->sets[tag % SETS];
    struct entry *found = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].tag == tag) {
            return &set[i];
        }
        if (set[i].until_ms < found->until_ms) {
            found = &set[i];
        }
    }
    return found;
}

static uint64_t step_ms(const struct failure_rate *rate)
{
    uint64_t step = rate->per_ms / rate->failures;

    return step == 0 ? 1 : step;
}

void failure_limit_add(struct failure_limit *limit, char kind, struct slice name,
                       const struct failure_rate *rate, uint64_t now_ms)
{
    uint64_t tag = tag_of(kind, name);

    pthread_mutex_lock(&limit->mutex);
    struct entry *entry = find(limit, tag);
    uint64_t from = entry->tag == tag && entry->until_ms > now_ms ? entry->until_ms : now_ms;

    entry->tag = tag;
    entry->until_ms = from + step_ms(rate);
    pthread_mutex_unlock(&limit->mutex);
}

uint64_t failure_limit_wait_ms(struct failure_limit *limit, char kind, struct slice name,
                               const struct failure_rate *rate, uint64_t now_ms)
{
    uint64_t tag = tag_of(kind, name);
    uint64_t room = rate->failures * step_ms(rate);

    pthread_mutex_lock(&limit->mutex);
    const struct entry *entry = find(limit, tag);
    uint64_t until = entry->tag == tag ? entry->until_ms : 0;

    pthread_mutex_unlock(&limit->mutex);
    /* Full at now + room: one step must pass. */
    return until + step_ms(rate) > now_ms + room ? until + step_ms(rate) - room - now_ms : 0;
}
