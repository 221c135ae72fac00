/* SPDX-License-Identifier: Apache-2.0 */
/* A JWK set: no crash, no leak, every key that is kept is strong enough. */
#include "plugins/jwt/jwk.h"

#include "tests/fuzz/fuzz.h"

static void skip(void *arg, struct slice kid, const char *why)
{
    require(why != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jwk keys[4];
    size_t count = 0;
    struct arena arena;

    arena_init(&arena, NULL, 0, 4u << 20);
    const struct json *root = json_parse(&arena, slice_of(data, size), &jwk_limits, NULL);
    if (root != NULL) {
        (void)!jwk_read_set(root, true, keys, 4, &count, skip, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        require(keys[i].key.pkey != NULL || keys[i].key.secret_len >= JWA_MIN_SECRET_BYTES);
        jwa_key_done(&keys[i].key);
    }
    arena_done(&arena);
    return 0;
}
