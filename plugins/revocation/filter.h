/* SPDX-License-Identifier: Apache-2.0 */
/* A generation of the filter over the revocations in Redis, shared by all threads.  The control thread
 * writes it; it is believed only while its lease runs. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/bloom.h"

#include <stdatomic.h>

#define REVOCATION_PREFIX "blocklist:"

/* Watermarks: "all of X that was issued before T, or in that second, is revoked". */
enum revocation_kind {
    REVOCATION_SUB,
    REVOCATION_CLIENT,
    REVOCATION_KID,
    REVOCATION_ISS,
    REVOCATION_KINDS,
};
extern const char *const revocation_kind_names[]; /* "sub", ... NULL */

struct revocation_filter {
    struct gw_shared shared; /* first */
    struct bloom *bloom;
    uint64_t server; /* another number: another server, connections to the old one are of no use */
    _Atomic uint64_t lease_ns; /* CLOCK_BOOTTIME until which its "no" is true */
    _Atomic unsigned kinds;    /* mask of 1 << enum revocation_kind: may have watermarks */
};

/* One reference; NULL: no memory. */
struct revocation_filter *revocation_filter_new(uint64_t items, double rate, uint64_t server);
/* The name of a key under the prefix (control thread only). */
void revocation_filter_add(struct revocation_filter *filter, struct slice key);
static inline void revocation_filter_unref(struct revocation_filter *filter)
{
    if (filter != NULL) {
        gw_shared_unref(&filter->shared);
    }
}

/* Any thread. */
uint64_t revocation_boot_ns(void);
static inline bool revocation_filter_is_live(const struct revocation_filter *filter)
{
    return filter != NULL &&
           revocation_boot_ns() < atomic_load_explicit(&filter->lease_ns, memory_order_acquire);
}
