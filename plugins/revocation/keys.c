/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/keys.h"

#include <openssl/evp.h>

#include <stdio.h>

#define MAX_PLAIN_BYTES 256u
#define HASH_BYTES      32u
#define MAX_TIME_DIGITS 12u

static struct slice hash_value(char ret_text[8 + 2 * HASH_BYTES], struct slice value)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_Digest(value.ptr, value.len, hash, &len, EVP_sha256(), NULL) != 1) {
        return SLICE_ABSENT;
    }
    memcpy(ret_text, "sha256:", 7);
    for (unsigned i = 0; i < HASH_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";
        ret_text[7 + 2 * i] = digits[hash[i] >> 4];
        ret_text[8 + 2 * i] = digits[hash[i] & 15];
    }
    return slice_of(ret_text, 7 + 2 * HASH_BYTES);
}

static struct slice join(char buf[REVOCATION_KEY_BYTES], struct slice prefix, struct slice value)
{
    char hashed[8 + 2 * HASH_BYTES];

    if (value.len > MAX_PLAIN_BYTES) {
        value = hash_value(hashed, value);
    }
    if (slice_is_absent(value)) {
        return SLICE_ABSENT;
    }
    memcpy(buf, prefix.ptr, prefix.len);
    memcpy(buf + prefix.len, value.ptr, value.len);
    return slice_of(buf, prefix.len + value.len);
}

struct slice revocation_jti_key(char buf[REVOCATION_KEY_BYTES], struct slice jti)
{
    return join(buf, SLICE(REVOCATION_PREFIX "jti:"), jti);
}

struct slice revocation_before_key(char buf[REVOCATION_KEY_BYTES], enum revocation_kind kind,
                                   struct slice value)
{
    static const struct slice prefixes[] = {
        [REVOCATION_SUB] = { REVOCATION_PREFIX "before:sub:",
                             sizeof(REVOCATION_PREFIX "before:sub:") - 1 },
        [REVOCATION_CLIENT] = { REVOCATION_PREFIX "before:client:",
                                sizeof(REVOCATION_PREFIX "before:client:") - 1 },
        [REVOCATION_KID] = { REVOCATION_PREFIX "before:kid:",
                             sizeof(REVOCATION_PREFIX "before:kid:") - 1 },
        [REVOCATION_ISS] = { REVOCATION_PREFIX "before:iss:",
                             sizeof(REVOCATION_PREFIX "before:iss:") - 1 },
    };

    return join(buf, prefixes[kind], value);
}

static struct slice replace_prefix(char *buf, size_t size, struct slice text, struct slice old,
                                   struct slice prefix)
{
    if (!slice_starts_with(text, old)) {
        return SLICE_ABSENT;
    }
    if (slice_eq(old, prefix)) {
        return text;
    }
    struct slice rest = slice_skip(text, old.len);
    if (prefix.len + rest.len > size) {
        return SLICE_ABSENT;
    }
    memcpy(buf, prefix.ptr, prefix.len);
    memcpy(buf + prefix.len, rest.ptr, rest.len);
    return slice_of(buf, prefix.len + rest.len);
}

struct slice revocation_redis_key(char buf[REVOCATION_REDIS_KEY_BYTES], struct slice prefix,
                                  struct slice name)
{
    return replace_prefix(buf, REVOCATION_REDIS_KEY_BYTES, name, SLICE(REVOCATION_PREFIX), prefix);
}

struct slice revocation_name_of(char buf[REVOCATION_KEY_BYTES], struct slice prefix,
                                struct slice key)
{
    return replace_prefix(buf, REVOCATION_KEY_BYTES, key, prefix, SLICE(REVOCATION_PREFIX));
}

int revocation_read_time(struct slice text, int64_t *ret)
{
    int64_t value = 0;

    if (text.len == 0 || text.len > MAX_TIME_DIGITS) {
        return ERR_BAD_INPUT;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return ERR_BAD_INPUT;
        }
        value = value * 10 + (text.ptr[i] - '0');
    }
    *ret = value;
    return 0;
}
