/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/filter.h"

#include <stdlib.h>
#include <time.h>

const char *const revocation_kind_names[] = { "sub", "client", "kid", "iss", NULL };

static void filter_free(struct gw_shared *shared)
{
    struct revocation_filter *filter = (struct revocation_filter *)shared;

    bloom_free(filter->bloom);
    free(filter);
}

struct revocation_filter *revocation_filter_new(uint64_t items, double rate, uint64_t server)
{
    struct revocation_filter *filter = calloc(1, sizeof(*filter));

    if (filter == NULL) {
        return NULL;
    }
    filter->shared = (struct gw_shared){ .refs = 1, .free = filter_free };
    filter->server = server;
    filter->bloom = bloom_new(items, rate);
    if (filter->bloom == NULL) {
        free(filter);
        return NULL;
    }
    return filter;
}

void revocation_filter_add(struct revocation_filter *filter, struct slice key)
{
    struct slice before = SLICE(REVOCATION_PREFIX "before:");

    bloom_add(filter->bloom, key);
    if (slice_starts_with(key, before)) {
        struct slice rest = slice_skip(key, before.len);
        for (unsigned i = 0; i < REVOCATION_KINDS; i++) {
            if (slice_starts_with(rest, slice_str(revocation_kind_names[i]))) {
                atomic_fetch_or_explicit(&filter->kinds, 1u << i, memory_order_release);
            }
        }
    }
    bloom_publish(filter->bloom);
}

/* Runs on while the machine sleeps, so that a lease does not survive that. */
uint64_t revocation_boot_ns(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
        return UINT64_MAX; /* no lease holds */
    }
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}
