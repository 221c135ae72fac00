/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629): one character at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The character at the front: its length and code point; 0 when it is overlong, a surrogate, over U+10FFFF
 * or cut.  `len` is at least 1. */
unsigned utf8_decode(const unsigned char *s, size_t len, uint32_t *ret_code);
/* Write a code point (<= U+10FFFF) into `ret` of at least 4 bytes; the length. */
size_t utf8_encode(uint32_t code, char *ret);
