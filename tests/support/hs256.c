/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/hs256.h"

#include "core/base64url.h"
#include "plugins/jwt/jwa.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

char *hs256_token(const char *header, const char *claims, const char *secret)
{
    char *token = malloc(65536);
    uint8_t sig[JWA_MAX_SIGNATURE_BYTES];
    struct jwa_key key = { 0 };
    size_t len, sig_len = 0;

    ck_assert_int_eq(jwa_key_from_secret((const uint8_t *)secret, strlen(secret), &key), 0);
    len = base64url_encode((const uint8_t *)header, strlen(header), token);
    token[len++] = '.';
    len += base64url_encode((const uint8_t *)claims, strlen(claims), token + len);
    ck_assert_int_eq(jwa_sign(jwa_by_id(JWA_HS256), &key, slice_of(token, len), sig, &sig_len), 0);
    token[len++] = '.';
    len += base64url_encode(sig, sig_len, token + len);
    token[len] = '\0';
    jwa_key_done(&key);
    return token;
}
