/* SPDX-License-Identifier: Apache-2.0 */
/* A compact token: what splits must be made of its parts again; the header never crashes. */
#include "plugins/jwt/jws.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice token = slice_of(data, size), bytes;
    struct jws_header header;
    struct arena arena;
    struct jws jws;

    if (jws_split(token, &jws) < 0) {
        return 0;
    }
    require(jws.header.len + jws.payload.len + jws.signature.len + 2 == size);
    require(jws.signing_input.len + 1 + jws.signature.len == size);
    arena_init(&arena, NULL, 0, 1u << 20);
    if (jws_read_header(&arena, jws.header, &header) == JWT_OK && !slice_is_absent(header.alg)) {
        (void)jwa_find(header.alg);
    }
    (void)!jws_decode(&arena, jws.payload, &bytes);
    (void)!jws_decode(&arena, jws.signature, &bytes);
    arena_done(&arena);
    return 0;
}
