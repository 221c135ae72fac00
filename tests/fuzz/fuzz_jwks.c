/* SPDX-License-Identifier: Apache-2.0 */
/* What a key server may answer: a set, metadata, fields about its age.  No crash, no leak; a set that is
 * taken has keys, is the same as itself and not suspicious beside itself. */
#include "plugins/jwks/discovery.h"
#include "plugins/jwks/freshness.h"
#include "plugins/jwks/set.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define MIN_MS 30000u
#define MAX_MS 600000u

static void skip(void *arg, struct slice kid, const char *why)
{
    require(why != NULL);
}

static void check_set(struct slice text)
{
    struct jwks_set *set = NULL;
    const char *why = NULL;

    if (jwks_set_read(text, 65536, skip, NULL, &set, &why) < 0) {
        require(why != NULL);
        return;
    }
    require(set->count > 0 && set->count <= JWK_MAX_KEYS);
    for (size_t i = 0; i < set->count; i++) {
        require(set->keys[i].key.pkey != NULL); /* a secret is never taken */
    }
    require(jwks_set_is_same(set, set));
    jwks_set_unref(set);
}

static void check_freshness(struct slice text)
{
    struct freshness_fields fields = {
        .cache_control = text, .expires = text, .date = text, .age = text
    };
    uint64_t ms = freshness_lifetime_ms(&fields, MIN_MS, MAX_MS, 1764000000);

    require(ms >= MIN_MS && ms <= MAX_MS);
    fields.cache_control = SLICE_ABSENT;
    ms = freshness_lifetime_ms(&fields, MIN_MS, MAX_MS, 1764000000);
    require(ms >= MIN_MS && ms <= MAX_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    const char *why = NULL;
    char *uri = NULL;

    check_set(text);
    check_freshness(text);
    if (discovery_read(text, 65536, SLICE("https://a.test"), &uri, &why) == 0) {
        free(uri);
    }
    if (size > 0) {
        free(discovery_url(text, DISCOVERY_OPENID));
        free(discovery_url(text, DISCOVERY_OAUTH));
    }
    return 0;
}
