/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/credentials.h"

#include "core/base64url.h"

#include <openssl/crypto.h>

/* RFC 4648 section 4, as strict as base64url_decode(): padding is there, unused bits are zero. */
static int decode_base64(struct arena *arena, struct slice text, struct slice *ret)
{
    char *copy = arena_alloc(arena, text.len + 1);
    uint8_t *bytes = arena_alloc(arena, BASE64URL_DECODED_BYTES(text.len));
    size_t len = text.len, used = 0;

    if (copy == NULL || bytes == NULL) {
        return ERR_NO_MEMORY;
    }
    if (len == 0 || len % 4 != 0) {
        return ERR_BAD_INPUT;
    }
    for (unsigned i = 0; i < 2 && text.ptr[len - 1] == '='; i++) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text.ptr[i];

        copy[i] = c == '+' ? '-' : c == '/' ? '_' : c == '-' || c == '_' ? '=' : c;
    }
    int err = base64url_decode(slice_of(copy, len), bytes, &used);

    OPENSSL_cleanse(copy, len);
    *ret = slice_of(bytes, used);
    return err;
}

static int read_pair(struct arena *arena, struct slice pair, struct credentials *ret)
{
    const char *colon = memchr(pair.ptr, ':', pair.len);

    if (colon == NULL) {
        return ERR_BAD_INPUT;
    }
    size_t len = (size_t)(colon - pair.ptr);
    int err = form_decode(arena, slice_of(pair.ptr, len), &ret->id);

    return err < 0 ? err : form_decode(arena, slice_skip(pair, len + 1), &ret->secret);
}

/* "Basic" 1*SP base64 (RFC 9110 section 11.4, RFC 7617). */
static int read_basic(struct arena *arena, struct slice value, struct credentials *ret)
{
    const struct slice scheme = SLICE("Basic ");
    struct slice pair;

    if (value.len < scheme.len || !slice_eq_nocase(slice_of(value.ptr, scheme.len), scheme)) {
        return ERR_BAD_INPUT;
    }
    value = slice_skip(value, scheme.len);
    while (value.len > 0 && value.ptr[0] == ' ') {
        value = slice_skip(value, 1);
    }
    int err = decode_base64(arena, value, &pair);

    if (err == 0) {
        err = read_pair(arena, pair, ret);
        OPENSSL_cleanse((void *)(uintptr_t)pair.ptr, pair.len); /* the arena's, so ours */
    }
    return err;
}

static enum credentials_result find_basic(const struct headers *headers, const struct form *form,
                                          struct arena *arena, struct credentials *ret)
{
    struct slice id = form_get(form, SLICE("client_id"));
    struct credentials found;

    if (headers_count_id(headers, HEADER_AUTHORIZATION) > 1 ||
        !slice_is_absent(form_get(form, SLICE("client_secret")))) {
        return CREDENTIALS_SEVERAL;
    }
    int err = read_basic(arena, headers_get_id(headers, HEADER_AUTHORIZATION), &found);

    if (err < 0) {
        return err == ERR_NO_MEMORY ? CREDENTIALS_NO_MEMORY : CREDENTIALS_MALFORMED;
    }
    if (!slice_is_absent(id) && !slice_eq(id, found.id)) {
        return CREDENTIALS_SEVERAL;
    }
    *ret = found;
    return CREDENTIALS_FOUND;
}

enum credentials_result credentials_find(const struct headers *headers, const struct form *form,
                                         struct arena *arena, struct credentials *ret)
{
    struct slice id = form_get(form, SLICE("client_id"));
    struct slice secret = form_get(form, SLICE("client_secret"));

    if (headers_count_id(headers, HEADER_AUTHORIZATION) > 0) {
        return find_basic(headers, form, arena, ret);
    }
    if (slice_is_absent(id) || slice_is_absent(secret)) {
        return CREDENTIALS_NONE;
    }
    *ret = (struct credentials){ .id = id, .secret = secret };
    return CREDENTIALS_FOUND;
}

void credentials_wipe_secret(struct credentials *credentials)
{
    if (credentials->secret.len > 0) {
        OPENSSL_cleanse((void *)(uintptr_t)credentials->secret.ptr, credentials->secret.len);
    }
    credentials->secret = SLICE_ABSENT;
}
