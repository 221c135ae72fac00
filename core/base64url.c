/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The value of a character by arithmetic, without a table indexed by secret text; < 0: none. */
static int decode_char(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : -1;
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
