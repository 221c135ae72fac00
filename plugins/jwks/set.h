/* SPDX-License-Identifier: Apache-2.0 */
/* A set of public keys as a server publishes it: read strictly as a whole, key by key with lenience, then
 * unchangeable and shared by all threads.  Pure. */
#pragma once

#include "plugins/jwt/jwk.h"
#include "plugins/plugin.h"

struct jwks_set {
    struct gw_shared shared; /* first */
    struct jwk keys[JWK_MAX_KEYS];
    size_t count;
    unsigned skipped;
    char *kids; /* their text */
};

/* Read `text`; at most `max_bytes`.  Keys that cannot verify are skipped and told to `skip`; symmetric
 * ones always.  ERR_BAD_INPUT with *ret_why (static): not JSON, no "keys", none usable, more than 64;
 * ERR_NO_MEMORY. */
int jwks_set_read(struct slice text, size_t max_bytes, jwk_skip_fn *skip, void *arg,
                  struct jwks_set **ret, const char **ret_why) MUST_CHECK;
static inline void jwks_set_unref(struct jwks_set *set) /* NULL is fine */
{
    if (set != NULL) {
        gw_shared_unref(&set->shared);
    }
}
static inline struct jwks_set *jwks_set_ref(struct jwks_set *set)
{
    gw_shared_ref(&set->shared);
    return set;
}

/* Is the key (kid, algorithm and material) in the set? */
bool jwks_set_has(const struct jwks_set *set, const struct jwk *key);
/* The same keys, in any order? */
bool jwks_set_is_same(const struct jwks_set *a, const struct jwks_set *b);

/* What makes a new set suspicious beside the old one; the word is the metric's label. */
enum jwks_suspicion { JWKS_PLAUSIBLE, JWKS_ALL_REPLACED, JWKS_KID_REUSED, JWKS_KEY_SHRUNK };
enum jwks_suspicion jwks_set_suspicion(const struct jwks_set *old, const struct jwks_set *set);
const char *jwks_suspicion_name(enum jwks_suspicion suspicion);
