/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character; -1: none.  By table: which characters follow each other in a token is
 * nothing that a processor could predict. */
/* clang-format off */
static const int8_t values[256] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
    -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
};
/* clang-format on */

static int decode_char(unsigned char c)
{
    return values[c];
}

/* Two or three characters at the end; the bits that no byte uses must be zero. */
static int decode_tail(const unsigned char *text, size_t count, uint8_t *ret)
{
    int a = decode_char(text[0]);
    int b = decode_char(text[1]);
    int c = count == 3 ? decode_char(text[2]) : 0;

    if ((a | b | c) < 0) {
        return ERR_BAD_INPUT;
    }
    if (count == 2) {
        if ((b & 0x0f) != 0) {
            return ERR_BAD_INPUT;
        }
        ret[0] = (uint8_t)(a << 2 | b >> 4);
        return 0;
    }
    if ((c & 0x03) != 0) {
        return ERR_BAD_INPUT;
    }
    ret[0] = (uint8_t)(a << 2 | b >> 4);
    ret[1] = (uint8_t)(b << 4 | c >> 2);
    return 0;
}

int base64url_decode(struct slice text, uint8_t *ret, size_t *ret_len)
{
    const unsigned char *in = (const unsigned char *)text.ptr;
    size_t tail = text.len % 4;
    size_t len = 0;

    if (tail == 1) {
        return ERR_BAD_INPUT;
    }

    for (size_t i = 0; i + 4 <= text.len; i += 4) {
        int a = decode_char(in[i]);
        int b = decode_char(in[i + 1]);
        int c = decode_char(in[i + 2]);
        int d = decode_char(in[i + 3]);
        if ((a | b | c | d) < 0) {
            return ERR_BAD_INPUT;
        }
        ret[len++] = (uint8_t)(a << 2 | b >> 4);
        ret[len++] = (uint8_t)(b << 4 | c >> 2);
        ret[len++] = (uint8_t)(c << 6 | d);
    }

    if (tail > 0) {
        int err = decode_tail(in + text.len - tail, tail, ret + len);
        if (err < 0) {
            return err;
        }
        len += tail - 1;
    }
    *ret_len = len;
    return 0;
}

size_t base64url_encode(const uint8_t *bytes, size_t len, char *ret)
{
    size_t out = 0;

    for (size_t i = 0; i < len; i += 3) {
        size_t count = len - i < 3 ? len - i : 3;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= count > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= count > 2 ? bytes[i + 2] : 0;
        for (size_t j = 0; j <= count; j++) {
            ret[out++] = alphabet[word >> (18 - 6 * j) & 63];
        }
    }
    return out;
}
