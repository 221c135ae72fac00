/* SPDX-License-Identifier: Apache-2.0 */
/* Claims: what passes has the issuer and an expiry in the future. */
#include "plugins/jwt/claims.h"

#include "tests/fuzz/fuzz.h"

#define NOW 1800000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct slice audience = { "api", 3 };
    const struct claims_policy policy = { .issuer = { "https://a/", 10 },
                                          .audiences = &audience,
                                          .audience_count = 1,
                                          .clock_skew_s = 30,
                                          .max_lifetime_s = 3600 };
    struct claims_times times;
    struct arena arena;

    arena_init(&arena, NULL, 0, 4u << 20);
    const struct json *root = json_parse(&arena, slice_of(data, size), &json_limits_token, NULL);
    if (root != NULL && claims_check(root, &policy, NOW, &times) == JWT_OK) {
        require(slice_eq(json_get(root, SLICE("iss"))->text, policy.issuer));
        require(times.exp > NOW - 30 && times.exp <= NOW + 3630);
        require(claims_check_times(&times, &policy, NOW) == JWT_OK);
    }
    arena_done(&arena);
    return 0;
}
