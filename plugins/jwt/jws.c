/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jws.h"

#include "core/base64url.h"

#include <stdlib.h>

static const struct json_limits header_limits = {
    .max_bytes = JWS_MAX_HEADER_BYTES,
    .max_depth = 8,
    .max_nodes = 64,
    .max_string = JWS_MAX_HEADER_BYTES,
};

/* The bytes before the next dot; *rest starts behind it, absent when there was none. */
static struct slice next_part(struct slice *rest)
{
    const char *dot = memchr(rest->ptr, '.', rest->len);
    struct slice part = *rest;

    if (dot == NULL) {
        *rest = SLICE_ABSENT;
        return part;
    }
    part.len = (size_t)(dot - rest->ptr);
    *rest = slice_skip(*rest, part.len + 1);
    return part;
}

int jws_split(struct slice token, struct jws *ret)
{
    struct jws jws = { 0 };
    struct slice rest = token;

    if (token.len == 0) {
        return ERR_BAD_INPUT;
    }
    jws.header = next_part(&rest);
    if (slice_is_absent(rest) || jws.header.len == 0) {
        return ERR_BAD_INPUT;
    }
    jws.payload = next_part(&rest);
    if (slice_is_absent(rest) || jws.payload.len == 0) {
        return ERR_BAD_INPUT;
    }
    jws.signature = next_part(&rest);
    if (!slice_is_absent(rest)) {
        return ERR_BAD_INPUT;
    }
    jws.signing_input = slice_of(token.ptr, jws.header.len + 1 + jws.payload.len);
    *ret = jws;
    return 0;
}

int jws_decode(struct arena *arena, struct slice part, struct slice *ret)
{
    uint8_t *bytes = arena_alloc(arena, BASE64URL_DECODED_BYTES(part.len));
    size_t len = 0;

    if (bytes == NULL) {
        return ERR_NO_MEMORY;
    }
    int err = base64url_decode(part, bytes, &len);
    if (err < 0) {
        return err;
    }
    *ret = slice_of(bytes, len);
    return 0;
}

static struct slice string_member(const struct json *object, struct slice name, bool *ret_is_bad)
{
    const struct json *value = json_get(object, name);

    *ret_is_bad = value != NULL && value->type != JSON_STRING;
    return json_is(value, JSON_STRING) ? value->text : SLICE_ABSENT;
}

enum jwt_reason jws_read_header(struct arena *arena, struct slice part, struct jws_header *ret)
{
    struct jws_header header = { 0 };
    struct slice text;
    bool is_bad = false;

    if (part.len > BASE64URL_ENCODED_BYTES(JWS_MAX_HEADER_BYTES)) {
        return JWT_TOKEN_TOO_LARGE;
    }
    int err = jws_decode(arena, part, &text);
    if (err < 0) {
        return err == ERR_NO_MEMORY ? JWT_NO_MEMORY : JWT_TOKEN_MALFORMED;
    }
    const struct json *root = json_parse(arena, text, &header_limits, NULL);
    if (!json_is(root, JSON_OBJECT)) {
        return JWT_TOKEN_MALFORMED;
    }
    header.alg = string_member(root, SLICE("alg"), &is_bad);
    header.typ = string_member(root, SLICE("typ"), &header.typ_is_bad);
    header.kid = string_member(root, SLICE("kid"), &is_bad);
    header.has_crit = json_get(root, SLICE("crit")) != NULL;
    if (is_bad) {
        return JWT_TOKEN_MALFORMED;
    }
    *ret = header;
    return JWT_OK;
}

static bool append_signature(const struct jwa *alg, const struct jwa_key *key, char *token,
                             size_t len)
{
    uint8_t sig[JWA_MAX_SIGNATURE_BYTES];
    size_t sig_len = 0;

    if (jwa_sign(alg, key, slice_of(token, len), sig, &sig_len) < 0) {
        return false;
    }
    token[len++] = '.';
    len += base64url_encode(sig, sig_len, token + len);
    token[len] = '\0';
    return true;
}

static void write_header(struct json_writer *w, const struct jwa *alg, struct slice kid,
                         struct slice typ)
{
    json_write_begin(w, NULL, '{');
    json_write_string(w, "alg", alg->name);
    if (!slice_is_absent(typ)) {
        json_write_string(w, "typ", typ);
    }
    if (!slice_is_absent(kid)) {
        json_write_string(w, "kid", kid);
    }
    json_write_end(w, '}');
}

char *jws_sign(const struct jwa *alg, const struct jwa_key *key, struct slice kid, struct slice typ,
               struct slice claims)
{
    struct json_writer w;
    char *token = NULL;
    size_t len;

    json_writer_init(&w, JWS_MAX_HEADER_BYTES);
    write_header(&w, alg, kid, typ);
    if (!w.failed) {
        token = malloc(BASE64URL_ENCODED_BYTES(w.len) + BASE64URL_ENCODED_BYTES(claims.len) +
                       BASE64URL_ENCODED_BYTES(JWA_MAX_SIGNATURE_BYTES) + 3);
    }
    if (token != NULL) {
        len = base64url_encode((const uint8_t *)w.buf, w.len, token);
        token[len++] = '.';
        len += base64url_encode((const uint8_t *)claims.ptr, claims.len, token + len);
        if (!append_signature(alg, key, token, len)) {
            free(token);
            token = NULL;
        }
    }
    json_writer_done(&w);
    return token;
}
