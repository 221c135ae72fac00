/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwk.h"

#include "core/base64url.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <stdlib.h>

#define MAX_BIGNUM    1025u /* bytes: 8192 bits, and one to see that it is longer */
#define MAX_POINT     133u  /* uncompressed, P-521 */
#define MAX_SECRET    1024u
#define MAX_PEM_BYTES 65536u

const struct json_limits jwk_limits = {
    .max_bytes = JWK_MAX_BYTES,
    .max_depth = 8,
    .max_nodes = 8192,
    .max_string = 16384,
};

/* The bytes of a base64url member, at most `max`; false when there are none. */
static bool member_bytes(const struct json *object, struct slice name, uint8_t *ret, size_t max,
                         size_t *ret_len)
{
    const struct json *value = json_get(object, name);

    /* base64url_decode() may need two bytes more than it yields; callers' buffers have them. */
    if (!json_is(value, JSON_STRING) || value->text.len == 0 ||
        value->text.len > BASE64URL_ENCODED_BYTES(max)) {
        return false;
    }
    return base64url_decode(value->text, ret, ret_len) == 0 && *ret_len > 0;
}

static EVP_PKEY *pkey_from_params(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        pkey = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *read_rsa(const struct json *object)
{
    uint8_t n[MAX_BIGNUM + 4], e[16];
    size_t n_len = 0, e_len = 0;
    EVP_PKEY *pkey = NULL;

    if (!member_bytes(object, SLICE("n"), n, MAX_BIGNUM, &n_len) ||
        !member_bytes(object, SLICE("e"), e, 8, &e_len)) {
        return NULL;
    }
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n, (int)n_len, NULL), *bn_e = BN_bin2bn(e, (int)e_len, NULL);
    if (build != NULL && bn_n != NULL && bn_e != NULL && !BN_is_zero(bn_n) && !BN_is_zero(bn_e) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1) {
        pkey = pkey_from_params("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    return pkey;
}

static EVP_PKEY *read_ec(const struct json *object)
{
    static const struct {
        struct slice crv;
        const char *group;
        size_t bytes;
    } curves[] = {
        { { "P-256", 5 }, "prime256v1", 32 },
        { { "P-384", 5 }, "secp384r1", 48 },
        { { "P-521", 5 }, "secp521r1", 66 },
    };
    const struct json *crv = json_get(object, SLICE("crv"));
    uint8_t point[MAX_POINT + 4] = { 0x04 };
    size_t x = 0, y = 0;
    EVP_PKEY *pkey = NULL;

    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]) && crv != NULL; i++) {
        size_t bytes = curves[i].bytes;
        if (crv->type != JSON_STRING || !slice_eq(crv->text, curves[i].crv)) {
            continue;
        }
        /* Coordinates have the curve's full length (RFC 7518 section 6.2.1.2). */
        if (!member_bytes(object, SLICE("x"), point + 1, bytes, &x) || x != bytes ||
            !member_bytes(object, SLICE("y"), point + 1 + bytes, bytes, &y) || y != bytes) {
            return NULL;
        }
        OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        if (build != NULL &&
            OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group,
                                            0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                             1 + 2 * bytes) == 1) {
            pkey = pkey_from_params("EC", build); /* refuses a point that is not on the curve */
        }
        OSSL_PARAM_BLD_free(build);
    }
    return pkey;
}

static EVP_PKEY *read_okp(const struct json *object)
{
    const struct json *crv = json_get(object, SLICE("crv"));
    uint8_t x[36];
    size_t len = 0;

    if (!json_is(crv, JSON_STRING) || !slice_eq(crv->text, SLICE("Ed25519")) ||
        !member_bytes(object, SLICE("x"), x, 32, &len) || len != 32) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, len);
}

static int read_oct(const struct json *object, struct jwa_key *ret, const char **ret_why)
{
    uint8_t secret[MAX_SECRET + 4];
    size_t len = 0;
    int err = ERR_UNSUPPORTED;

    *ret_why = "the secret is not base64url of 32 to 1024 bytes";
    if (member_bytes(object, SLICE("k"), secret, MAX_SECRET, &len)) {
        err = jwa_key_from_secret(secret, len, ret);
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    return err;
}

/* NULL when `use` and `key_ops` (RFC 7517 sections 4.2, 4.3) allow verifying. */
static const char *purpose_fault(const struct json *object)
{
    const struct json *use = json_get(object, SLICE("use"));
    const struct json *ops = json_get(object, SLICE("key_ops"));

    if (use != NULL && (use->type != JSON_STRING || !slice_eq(use->text, SLICE("sig")))) {
        return "\"use\" is not \"sig\"";
    }
    if (ops == NULL) {
        return NULL;
    }
    for (const struct json *op = ops->child; ops->type == JSON_ARRAY && op != NULL; op = op->next) {
        if (op->type == JSON_STRING && slice_eq(op->text, SLICE("verify"))) {
            return NULL;
        }
    }
    return "\"key_ops\" does not have \"verify\"";
}

static int read_material(const struct json *object, struct slice kty, bool allow_secrets,
                         struct jwa_key *ret, const char **ret_why)
{
    EVP_PKEY *pkey = NULL;

    if (slice_eq(kty, SLICE("oct"))) {
        if (!allow_secrets) {
            *ret_why = "a symmetric key, and the provider has no HS algorithm";
            return ERR_UNSUPPORTED;
        }
        return read_oct(object, ret, ret_why);
    }
    if (slice_eq(kty, SLICE("RSA"))) {
        pkey = read_rsa(object);
    } else if (slice_eq(kty, SLICE("EC"))) {
        pkey = read_ec(object);
    } else if (slice_eq(kty, SLICE("OKP"))) {
        pkey = read_okp(object);
    } else {
        *ret_why = "\"kty\" is not known";
        return ERR_UNSUPPORTED;
    }
    if (pkey == NULL) {
        ERR_clear_error();
        *ret_why = "the key's numbers are missing or wrong";
        return ERR_UNSUPPORTED;
    }
    int err = jwa_key_from_pkey(pkey, ret, ret_why);
    if (err < 0) {
        EVP_PKEY_free(pkey);
    }
    return err;
}

static int read_alg(const struct json *object, struct jwk *jwk, const char **ret_why)
{
    const struct json *alg = json_get(object, SLICE("alg"));

    if (alg == NULL) {
        return 0;
    }
    jwk->alg = alg->type == JSON_STRING ? jwa_find(alg->text) : NULL;
    if (jwk->alg == NULL || !jwa_key_fits(&jwk->key, jwk->alg)) {
        *ret_why = "\"alg\" is not a signature algorithm of this key";
        return ERR_UNSUPPORTED;
    }
    return 0;
}

int jwk_read(const struct json *object, bool allow_secrets, struct jwk *ret, const char **ret_why)
{
    struct jwk jwk = { 0 };

    *ret_why = "it is not an object with \"kty\"";
    if (!json_is(object, JSON_OBJECT)) {
        return ERR_UNSUPPORTED;
    }
    const struct json *kty = json_get(object, SLICE("kty"));
    const struct json *kid = json_get(object, SLICE("kid"));
    if (!json_is(kty, JSON_STRING)) {
        return ERR_UNSUPPORTED;
    }
    if (kid != NULL && (kid->type != JSON_STRING || kid->text.len > JWS_MAX_KID_BYTES)) {
        *ret_why = "\"kid\" is not a string of at most 128 bytes";
        return ERR_UNSUPPORTED;
    }
    jwk.kid = kid == NULL ? SLICE_ABSENT : kid->text;
    *ret_why = purpose_fault(object);
    if (*ret_why != NULL) {
        return ERR_UNSUPPORTED;
    }
    int err = read_material(object, kty->text, allow_secrets, &jwk.key, ret_why);
    if (err < 0) {
        return err;
    }
    err = read_alg(object, &jwk, ret_why);
    if (err < 0) {
        jwa_key_done(&jwk.key);
        return err;
    }
    *ret = jwk;
    return 0;
}

static struct slice kid_of(const struct json *object)
{
    const struct json *kid = json_is(object, JSON_OBJECT) ? json_get(object, SLICE("kid")) : NULL;
    return json_is(kid, JSON_STRING) ? kid->text : SLICE_ABSENT;
}

int jwk_read_set(const struct json *root, bool allow_secrets, struct jwk *ret_keys, size_t max,
                 size_t *ret_count, jwk_skip_fn *skip, void *arg)
{
    const char *why = NULL;

    *ret_count = 0;
    if (!json_is(root, JSON_OBJECT)) {
        return ERR_BAD_INPUT;
    }
    const struct json *keys = json_get(root, SLICE("keys"));
    const struct json *item = root; /* a single JWK is a list of one */
    if (keys != NULL) {
        if (keys->type != JSON_ARRAY) {
            return ERR_BAD_INPUT;
        }
        item = keys->child;
    }
    for (; item != NULL; item = keys == NULL ? NULL : item->next) {
        if (*ret_count == max) {
            skip(arg, kid_of(item), "there are too many keys");
            continue;
        }
        int err = jwk_read(item, allow_secrets, &ret_keys[*ret_count], &why);
        if (err == ERR_NO_MEMORY) {
            return err;
        }
        if (err < 0) {
            skip(arg, kid_of(item), why);
            continue;
        }
        (*ret_count)++;
    }
    return 0;
}

/* Takes over what was read from a PEM file; NULL: nothing was. */
static int take_pkey(EVP_PKEY *pkey, struct jwa_key *ret, const char **ret_why)
{
    ERR_clear_error();
    if (pkey == NULL) {
        return ERR_BAD_INPUT;
    }
    int err = jwa_key_from_pkey(pkey, ret, ret_why);
    if (err < 0) {
        EVP_PKEY_free(pkey);
    }
    return err;
}

int jwk_read_pem(struct slice pem, struct jwa_key *ret, const char **ret_why)
{
    if (memmem(pem.ptr, pem.len, "PRIVATE KEY-----", 16) != NULL) {
        *ret_why = "the file holds a private key, which does not belong here";
        return ERR_UNSUPPORTED;
    }
    BIO *bio = pem.len > MAX_PEM_BYTES ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    *ret_why = "the file does not hold a PEM public key";
    return take_pkey(pkey, ret, ret_why);
}

int jwk_read_private_pem(struct slice pem, struct jwa_key *ret, const char **ret_why)
{
    char none[] = ""; /* nothing is asked on the terminal */
    BIO *bio = pem.len > MAX_PEM_BYTES ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, none);
    BIO_free(bio);
    *ret_why = "the file does not hold a PEM private key without a passphrase";
    return take_pkey(pkey, ret, ret_why);
}
