/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwk_write.h"

#include "core/base64url.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include <stdio.h>

#define MAX_NUMBER 1024u /* RSA of 8192 bits */
#define MAX_TEXT   BASE64URL_ENCODED_BYTES(MAX_NUMBER)

static int write_bytes(struct json_writer *w, const char *name, const uint8_t *bytes, size_t len)
{
    char text[MAX_TEXT];

    if (len > MAX_NUMBER) {
        return ERR_TOO_BIG;
    }
    size_t text_len = base64url_encode(bytes, len, text);

    json_write_string(w, name, slice_of(text, text_len));
    OPENSSL_cleanse(text, text_len);
    return 0;
}

/* `width`: leading zeros up to that (RFC 7518 section 6.2.1.2); 0: none. */
static int write_number(struct json_writer *w, const char *name, const struct jwa_key *key,
                        const char *param, int width)
{
    uint8_t bytes[MAX_NUMBER];
    BIGNUM *number = NULL;
    int len = -1;

    if (EVP_PKEY_get_bn_param(key->pkey, param, &number) == 1 &&
        BN_num_bytes(number) <= (int)sizeof(bytes)) {
        len = BN_bn2binpad(number, bytes, width > 0 ? width : BN_num_bytes(number));
    }
    BN_free(number);
    if (len < 0) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    return write_bytes(w, name, bytes, (size_t)len);
}

static int write_rsa(struct json_writer *w, const struct jwa_key *key)
{
    int err = write_number(w, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);

    json_write_string(w, "kty", SLICE("RSA"));
    return err < 0 ? err : write_number(w, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
}

static int write_ec(struct json_writer *w, const struct jwa_key *key, const char *crv, int width)
{
    json_write_string(w, "crv", slice_str(crv));
    json_write_string(w, "kty", SLICE("EC"));
    int err = write_number(w, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, width);
    return err < 0 ? err : write_number(w, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
}

static int write_ed25519(struct json_writer *w, const struct jwa_key *key)
{
    uint8_t x[32];
    size_t len = sizeof(x);

    if (EVP_PKEY_get_raw_public_key(key->pkey, x, &len) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    json_write_string(w, "crv", SLICE("Ed25519"));
    json_write_string(w, "kty", SLICE("OKP"));
    return write_bytes(w, "x", x, len);
}

/* What the thumbprint is of, in its order: by name. */
static int write_members(struct json_writer *w, const struct jwa_key *key)
{
    int err = ERR_UNSUPPORTED;

    switch (key->type) {
    case JWA_KEY_OCT:
        err = write_bytes(w, "k", key->secret, key->secret_len);
        json_write_string(w, "kty", SLICE("oct"));
        break;
    case JWA_KEY_RSA: err = write_rsa(w, key); break;
    case JWA_KEY_P256: err = write_ec(w, key, "P-256", 32); break;
    case JWA_KEY_P384: err = write_ec(w, key, "P-384", 48); break;
    case JWA_KEY_P521: err = write_ec(w, key, "P-521", 66); break;
    case JWA_KEY_ED25519: err = write_ed25519(w, key); break;
    }
    return err;
}

int jwk_write(struct json_writer *w, const struct jwa_key *key, struct slice kid,
              const struct jwa *alg)
{
    if (key->type == JWA_KEY_OCT) {
        return ERR_UNSUPPORTED;
    }
    json_write_begin(w, NULL, '{');
    int err = write_members(w, key);

    json_write_string(w, "use", SLICE("sig"));
    if (alg != NULL) {
        json_write_string(w, "alg", alg->name);
    }
    if (!slice_is_absent(kid)) {
        json_write_string(w, "kid", kid);
    }
    json_write_end(w, '}');
    return err;
}

int jwk_thumbprint(const struct jwa_key *key, char ret[JWK_THUMBPRINT_BYTES + 1])
{
    uint8_t digest[32];
    size_t len = 0;
    struct json_writer w;

    json_writer_init(&w, 2 * MAX_TEXT);
    json_write_begin(&w, NULL, '{');
    int err = write_members(&w, key);

    json_write_end(&w, '}');
    if (err == 0 && w.failed) {
        err = ERR_NO_MEMORY;
    }
    if (err == 0 && EVP_Q_digest(NULL, "SHA256", NULL, w.buf, w.len, digest, &len) != 1) {
        ERR_clear_error();
        err = ERR_CRYPTO;
    }
    if (w.buf != NULL) {
        OPENSSL_cleanse(w.buf, w.len);
    }
    json_writer_done(&w);
    if (err < 0) {
        return err;
    }
    ret[base64url_encode(digest, len, ret)] = '\0';
    return 0;
}

const struct jwa *jwk_only_algorithm(const struct jwa_key *key)
{
    const struct jwa *only = NULL;

    for (unsigned i = 0; i < JWA_IDS; i++) {
        const struct jwa *alg = jwa_by_id((enum jwa_id)i);

        if (!jwa_key_fits(key, alg)) {
            continue;
        }
        if (only != NULL) {
            return NULL;
        }
        only = alg;
    }
    return only;
}

const char *jwk_describe(const struct jwa_key *key, char *ret, size_t size)
{
    switch (key->type) {
    case JWA_KEY_OCT: snprintf(ret, size, "secret %zu", key->secret_len); break;
    case JWA_KEY_RSA: snprintf(ret, size, "RSA %d", EVP_PKEY_get_bits(key->pkey)); break;
    case JWA_KEY_P256: snprintf(ret, size, "P-256"); break;
    case JWA_KEY_P384: snprintf(ret, size, "P-384"); break;
    case JWA_KEY_P521: snprintf(ret, size, "P-521"); break;
    case JWA_KEY_ED25519: snprintf(ret, size, "Ed25519"); break;
    }
    return ret;
}
