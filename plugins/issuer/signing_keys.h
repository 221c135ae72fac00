/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that the gateway signs tokens with.  Read when a snapshot is built: from the list in the
 * configuration, or from the file that `jwtgate keys rotate` keeps (key_ring.h).  Then read-only and
 * shared by all threads, by reference: a signature under way keeps them over a reload. */
#pragma once

#include "core/options.h"
#include "plugins/issuer/key_ring.h"
#include "plugins/plugin.h"

#define SIGNING_MAX_KEYS 16u

struct signing_key {
    char kid[JWK_THUMBPRINT_BYTES + 1];
    const struct jwa *alg;
    struct jwa_key key; /* private, or a secret */
    enum key_state state;
    int64_t since; /* UNIX seconds; 0: in the list of the configuration */
};

struct signing_keys {
    struct gw_shared shared; /* first */
    struct signing_key keys[SIGNING_MAX_KEYS];
    size_t count;
    const struct signing_key *active; /* signs; NULL: none, and no token is issued */
};

/* What the options are read into. */
struct signing_settings {
    struct option_list list;  /* struct signing_spec */
    const char *ring_file;    /* NULL: the list */
    const struct json *where; /* of all of it */
};
struct signing_spec {
    struct option_element element;
    const char *key_file;
    int use; /* enum signing_use */
};
enum signing_use { SIGNING_USE_SIGN, SIGNING_USE_PUBLISH };
extern const struct option signing_spec_options[];

/* `alg`: of the listed keys; a ring names its own.  Mistakes go to ctx->diag.  A reference for the caller.
 * ERR_CONFIG, ERR_NO_MEMORY. */
int signing_keys_load(const struct signing_settings *settings, const struct jwa *alg,
                      const struct option_context *ctx, struct signing_keys **ret) MUST_CHECK;
static inline struct signing_keys *signing_keys_ref(struct signing_keys *keys)
{
    (void)gw_shared_ref(&keys->shared);
    return keys;
}
static inline void signing_keys_unref(struct signing_keys *keys) /* NULL is fine */
{
    gw_shared_unref(keys == NULL ? NULL : &keys->shared);
}
/* The same keys in the same states since the same times? */
bool signing_keys_are_same(const struct signing_keys *a, const struct signing_keys *b);
/* Is one of them a secret, for HS*? */
bool signing_keys_have_secret(const struct signing_keys *keys);
/* The public keys as a set (RFC 7517), all states; secrets are left out.  ERR_NO_MEMORY, ERR_CRYPTO. */
int signing_keys_write_set(const struct signing_keys *keys, struct json_writer *w) MUST_CHECK;
