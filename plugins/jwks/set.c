/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/set.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdlib.h>

struct skipper { /* counts what jwk_read_set() skips and hands it on */
    unsigned count;
    jwk_skip_fn *skip;
    void *arg;
};

static void set_free(struct gw_shared *shared)
{
    struct jwks_set *set = (struct jwks_set *)(void *)shared;

    for (size_t i = 0; i < set->count; i++) {
        jwa_key_done(&set->keys[i].key);
    }
    free(set->kids);
    free(set);
}

static void skip_one(void *arg, struct slice kid, const char *why)
{
    struct skipper *skipper = arg;

    skipper->count++;
    skipper->skip(skipper->arg, kid, why);
}

/* Which of two keys of one name and type a token means would be a guess: the first one. */
static bool is_taken(const struct jwks_set *set, size_t count, const struct jwk *jwk)
{
    for (size_t i = 0; i < count; i++) {
        const struct jwk *other = &set->keys[i];

        if (!slice_is_absent(jwk->kid) && other->key.type == jwk->key.type &&
            slice_eq(other->kid, jwk->kid)) {
            return true;
        }
    }
    return false;
}

static void drop_doubles(struct jwks_set *set, struct skipper *skipper)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (is_taken(set, kept, &set->keys[i])) {
            skip_one(skipper, set->keys[i].kid, "its kid is there twice");
            jwa_key_done(&set->keys[i].key);
            continue;
        }
        set->keys[kept++] = set->keys[i];
    }
    set->count = kept;
}

/* The JSON text goes, the names stay. */
static int keep_kids(struct jwks_set *set)
{
    size_t bytes = 0;
    char *next;

    for (size_t i = 0; i < set->count; i++) {
        bytes += set->keys[i].kid.len;
    }
    set->kids = malloc(bytes + 1);
    if (set->kids == NULL) {
        return ERR_NO_MEMORY;
    }
    next = set->kids;
    for (size_t i = 0; i < set->count; i++) {
        struct slice *kid = &set->keys[i].kid;

        if (slice_is_absent(*kid)) {
            continue;
        }
        if (kid->len > 0) {
            memcpy(next, kid->ptr, kid->len);
        }
        kid->ptr = next;
        next += kid->len;
    }
    return 0;
}

static int read_root(const struct json *root, struct skipper *skipper, struct jwks_set *set,
                     const char **ret_why)
{
    const struct json *keys = json_is(root, JSON_OBJECT) ? json_get(root, SLICE("keys")) : NULL;
    int err;

    if (!json_is(keys, JSON_ARRAY)) {
        *ret_why = "it has no list \"keys\"";
        return ERR_BAD_INPUT;
    }
    if (keys->count > JWK_MAX_KEYS) {
        *ret_why = "it has more than 64 keys";
        return ERR_BAD_INPUT;
    }
    err = jwk_read_set(root, false, set->keys, JWK_MAX_KEYS, &set->count, skip_one, skipper);
    if (err < 0) {
        return err;
    }
    drop_doubles(set, skipper);
    set->skipped = skipper->count;
    if (set->count == 0) {
        *ret_why = "it has no key that can be used";
        return ERR_BAD_INPUT;
    }
    return keep_kids(set);
}

int jwks_set_read(struct slice text, size_t max_bytes, jwk_skip_fn *skip, void *arg,
                  struct jwks_set **ret, const char **ret_why)
{
    struct skipper skipper = { .skip = skip, .arg = arg };
    struct jwks_set *set = calloc(1, sizeof(*set));
    struct json_limits limits = jwk_limits;
    const struct json *root;
    struct arena arena;
    int err;

    *ret_why = "out of memory";
    if (set == NULL) {
        return ERR_NO_MEMORY;
    }
    set->shared = (struct gw_shared){ .refs = 1, .free = set_free };
    limits.max_bytes = max_bytes;
    arena_init(&arena, NULL, 0, 8u * max_bytes + (1u << 20));
    root = json_parse(&arena, text, &limits, NULL);
    if (root == NULL) {
        *ret_why = "it is not JSON";
        err = ERR_BAD_INPUT;
    } else {
        err = read_root(root, &skipper, set, ret_why);
    }
    arena_done(&arena);
    if (err < 0) {
        jwks_set_unref(set);
        return err;
    }
    *ret = set;
    return 0;
}

/* ---- comparing ---- */

static bool has_same_material(const struct jwk *a, const struct jwk *b)
{
    bool same = a->key.type == b->key.type && EVP_PKEY_eq(a->key.pkey, b->key.pkey) == 1;

    ERR_clear_error();
    return same;
}

static bool has_same_kid(const struct jwk *a, const struct jwk *b)
{
    return slice_is_absent(a->kid) == slice_is_absent(b->kid) && slice_eq(a->kid, b->kid);
}

bool jwks_set_has(const struct jwks_set *set, const struct jwk *key)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct jwk *other = &set->keys[i];

        if (has_same_kid(other, key) && other->alg == key->alg && has_same_material(other, key)) {
            return true;
        }
    }
    return false;
}

bool jwks_set_is_same(const struct jwks_set *a, const struct jwks_set *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!jwks_set_has(b, &a->keys[i])) {
            return false;
        }
    }
    return true;
}

static enum jwks_suspicion pair_suspicion(const struct jwk *old, const struct jwk *key)
{
    if (slice_is_absent(old->kid) || !has_same_kid(old, key) || old->key.type != key->key.type ||
        has_same_material(old, key)) {
        return JWKS_PLAUSIBLE;
    }
    return EVP_PKEY_get_bits(key->key.pkey) < EVP_PKEY_get_bits(old->key.pkey) ? JWKS_KEY_SHRUNK
                                                                               : JWKS_KID_REUSED;
}

enum jwks_suspicion jwks_set_suspicion(const struct jwks_set *old, const struct jwks_set *set)
{
    bool all_new = true;

    for (size_t i = 0; i < old->count; i++) {
        for (size_t j = 0; j < set->count; j++) {
            enum jwks_suspicion suspicion = pair_suspicion(&old->keys[i], &set->keys[j]);

            if (suspicion != JWKS_PLAUSIBLE) {
                return suspicion;
            }
            all_new = all_new && !has_same_material(&old->keys[i], &set->keys[j]);
        }
    }
    return all_new ? JWKS_ALL_REPLACED : JWKS_PLAUSIBLE;
}

const char *jwks_suspicion_name(enum jwks_suspicion suspicion)
{
    switch (suspicion) {
    case JWKS_PLAUSIBLE: return "none";
    case JWKS_ALL_REPLACED: return "all_replaced";
    case JWKS_KID_REUSED: return "kid_reused";
    case JWKS_KEY_SHRUNK: return "key_shrunk";
    }
    return NULL;
}
