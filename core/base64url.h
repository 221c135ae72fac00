/* SPDX-License-Identifier: Apache-2.0 */
/* Strict base64url without padding (RFC 4648 section 5, RFC 7515 section 2): no padding, no
 * whitespace, no other alphabet, unused bits zero, so that each byte string has one text. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

#define BASE64URL_DECODED_BYTES(text_len) ((text_len) / 4 * 3 + 2)
#define BASE64URL_ENCODED_BYTES(byte_len) (((byte_len)*4 + 2) / 3)

/* Decode into `ret` of at least BASE64URL_DECODED_BYTES(text.len).  ERR_BAD_INPUT. */
int base64url_decode(struct slice text, uint8_t *ret, size_t *ret_len) MUST_CHECK;
/* Encode into `ret` of at least BASE64URL_ENCODED_BYTES(len) (no NUL); the length written. */
size_t base64url_encode(const uint8_t *bytes, size_t len, char *ret);
