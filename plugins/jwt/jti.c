/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jti.h"

#include <openssl/rand.h>

#include <stdio.h>

int jti_make(char ret[JTI_BYTES])
{
    uint8_t b[16];

    if (RAND_bytes(b, sizeof(b)) != 1) {
        return ERR_CRYPTO;
    }
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(ret, JTI_BYTES, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return 0;
}
