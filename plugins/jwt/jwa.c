/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdlib.h>

#define MAX_COORDINATE 66u /* bytes, P-521 */
#define MAX_DER        144u

static const struct jwa table[JWA_IDS] = {
#define X(alg_name, alg_family, key, alg_digest, bytes)                                            \
    [JWA_##alg_name] = { .id = JWA_##alg_name,                                                     \
                         .name = { .ptr = #alg_name, .len = sizeof(#alg_name) - 1 },               \
                         .family = JWA_FAMILY_##alg_family,                                        \
                         .key_type = JWA_KEY_##key,                                                \
                         .digest = alg_digest,                                                     \
                         .digest_bytes = bytes },
    JWA_TABLE(X)
#undef X
};

struct jwa_verifier {
    const struct jwa *alg;
    EVP_PKEY *pkey; /* borrowed */
    EVP_MD *md;
    EVP_MD_CTX *md_ctx;
    EVP_PKEY_CTX *pkey_ctx; /* RS, PS, ES: verify_init done */
    EVP_MAC_CTX *mac_ctx;   /* HS: keyed */
    size_t sig_len;         /* the only length that can be right */
};

const struct jwa *jwa_find(struct slice name)
{
    for (unsigned i = 0; i < JWA_IDS; i++) {
        if (slice_eq(table[i].name, name)) {
            return &table[i];
        }
    }
    return NULL;
}

const struct jwa *jwa_by_id(enum jwa_id id)
{
    return &table[id];
}

/* RFC 7518 section 3.3 asks for 2048 bits; the rest keeps out keys that are weak or slow. */
static const char *rsa_fault(const EVP_PKEY *pkey)
{
    const char *why = NULL;
    BIGNUM *n = NULL, *e = NULL;
    int bits = EVP_PKEY_get_bits(pkey);

    if (bits < JWA_MIN_RSA_BITS) {
        return "the RSA key is shorter than 2048 bits";
    }
    if (bits > JWA_MAX_RSA_BITS) {
        return "the RSA key is longer than 8192 bits";
    }
    if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1) {
        why = "the RSA key cannot be read";
    } else if (!BN_is_odd(n)) {
        why = "the RSA modulus is even";
    } else if (!BN_is_odd(e) || BN_num_bits(e) > 32 ||
               (!BN_is_word(e, 3) && BN_get_word(e) < 65537)) {
        why = "the RSA exponent is not 3 or an odd number of 65537 to 32 bits";
    }
    BN_free(n);
    BN_free(e);
    return why;
}

static const char *ec_type(const EVP_PKEY *pkey, enum jwa_key_type *ret)
{
    static const struct {
        const char *name;
        enum jwa_key_type type;
    } curves[] = {
        { "prime256v1", JWA_KEY_P256 },
        { "secp384r1", JWA_KEY_P384 },
        { "secp521r1", JWA_KEY_P521 },
    };
    char group[64];

    if (EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1) {
        return "the curve has no name";
    }
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(group, curves[i].name) == 0) {
            *ret = curves[i].type;
            return NULL;
        }
    }
    return "the curve is not P-256, P-384 or P-521";
}

int jwa_key_from_pkey(EVP_PKEY *pkey, struct jwa_key *ret, const char **ret_why)
{
    struct jwa_key key = { .type = JWA_KEY_RSA, .pkey = pkey };
    const char *why = NULL;

    if (EVP_PKEY_is_a(pkey, "RSA")) {
        why = rsa_fault(pkey);
    } else if (EVP_PKEY_is_a(pkey, "EC")) {
        why = ec_type(pkey, &key.type);
    } else if (EVP_PKEY_is_a(pkey, "ED25519")) {
        key.type = JWA_KEY_ED25519;
    } else {
        why = "the key is not of type RSA, EC or Ed25519";
    }
    if (why != NULL) {
        ERR_clear_error();
        *ret_why = why;
        return ERR_UNSUPPORTED;
    }
    *ret = key;
    return 0;
}

int jwa_key_from_secret(const uint8_t *secret, size_t len, struct jwa_key *ret)
{
    if (len < JWA_MIN_SECRET_BYTES) {
        return ERR_UNSUPPORTED;
    }
    uint8_t *copy = OPENSSL_malloc(len);
    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(copy, secret, len);
    *ret = (struct jwa_key){ .type = JWA_KEY_OCT, .secret = copy, .secret_len = len };
    return 0;
}

int jwa_key_copy(const struct jwa_key *key, struct jwa_key *ret)
{
    if (key->type == JWA_KEY_OCT) {
        return jwa_key_from_secret(key->secret, key->secret_len, ret);
    }
    if (EVP_PKEY_up_ref(key->pkey) != 1) {
        return ERR_NO_MEMORY;
    }
    *ret = *key;
    return 0;
}

void jwa_key_done(struct jwa_key *key)
{
    EVP_PKEY_free(key->pkey);
    OPENSSL_clear_free(key->secret, key->secret_len);
    *key = (struct jwa_key){ 0 };
}

bool jwa_key_fits(const struct jwa_key *key, const struct jwa *alg)
{
    if (key->type != alg->key_type) {
        return false;
    }
    return alg->family != JWA_FAMILY_HS || key->secret_len >= alg->digest_bytes;
}

static size_t signature_bytes(const struct jwa *alg, const EVP_PKEY *pkey)
{
    switch (alg->family) {
    case JWA_FAMILY_HS: return alg->digest_bytes;
    case JWA_FAMILY_RS:
    case JWA_FAMILY_PS: return (size_t)EVP_PKEY_get_size(pkey);
    case JWA_FAMILY_ES: return 2 * (((size_t)EVP_PKEY_get_bits(pkey) + 7) / 8);
    case JWA_FAMILY_ED: return 64;
    }
    return 0;
}

static EVP_MAC_CTX *keyed_mac(const struct jwa *alg, const struct jwa_key *key)
{
    char digest[16];
    OSSL_PARAM params[2];
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

    EVP_MAC_free(mac);
    memcpy(digest, alg->digest, strlen(alg->digest) + 1);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[1] = OSSL_PARAM_construct_end();
    if (ctx == NULL || EVP_MAC_init(ctx, key->secret, key->secret_len, params) != 1) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static bool set_padding(const struct jwa *alg, EVP_PKEY_CTX *ctx, const EVP_MD *md)
{
    if (EVP_PKEY_CTX_set_signature_md(ctx, md) != 1) {
        return false;
    }
    if (alg->family == JWA_FAMILY_RS) {
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    }
    if (alg->family == JWA_FAMILY_PS) { /* salt as long as the hash: RFC 7518 section 3.5 */
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    return true;
}

static bool prepare(struct jwa_verifier *v, const struct jwa_key *key)
{
    if (v->alg->family == JWA_FAMILY_HS) {
        v->mac_ctx = keyed_mac(v->alg, key);
        return v->mac_ctx != NULL;
    }
    v->pkey = key->pkey;
    v->md_ctx = EVP_MD_CTX_new();
    if (v->md_ctx == NULL || v->alg->family == JWA_FAMILY_ED) {
        return v->md_ctx != NULL;
    }
    v->md = EVP_MD_fetch(NULL, v->alg->digest, NULL);
    v->pkey_ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    return v->md != NULL && v->pkey_ctx != NULL && EVP_PKEY_verify_init(v->pkey_ctx) == 1 &&
           set_padding(v->alg, v->pkey_ctx, v->md);
}

struct jwa_verifier *jwa_verifier_new(const struct jwa *alg, const struct jwa_key *key)
{
    struct jwa_verifier *v;

    if (!jwa_key_fits(key, alg)) {
        return NULL;
    }
    v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return NULL;
    }
    v->alg = alg;
    v->sig_len = signature_bytes(alg, key->pkey);
    if (!prepare(v, key)) {
        ERR_clear_error();
        jwa_verifier_free(v);
        return NULL;
    }
    return v;
}

void jwa_verifier_free(struct jwa_verifier *verifier)
{
    if (verifier == NULL) {
        return;
    }
    EVP_MAC_CTX_free(verifier->mac_ctx);
    EVP_PKEY_CTX_free(verifier->pkey_ctx);
    EVP_MD_CTX_free(verifier->md_ctx);
    EVP_MD_free(verifier->md);
    free(verifier);
}

static bool verify_mac(struct jwa_verifier *v, struct slice input, const uint8_t *sig)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t len = 0;

    return EVP_MAC_init(v->mac_ctx, NULL, 0, NULL) == 1 && /* again with the same key */
           EVP_MAC_update(v->mac_ctx, (const unsigned char *)input.ptr, input.len) == 1 &&
           EVP_MAC_final(v->mac_ctx, mac, &len, sizeof(mac)) == 1 && len == v->sig_len &&
           CRYPTO_memcmp(mac, sig, len) == 0;
}

/* r || s to DER, which is what OpenSSL verifies; 0 on failure. */
static size_t es_to_der(const uint8_t *sig, size_t sig_len, uint8_t der[MAX_DER])
{
    size_t half = sig_len / 2;
    int len = 0;
    ECDSA_SIG *es = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(sig, (int)half, NULL), *s = BN_bin2bn(sig + half, (int)half, NULL);

    if (es == NULL || r == NULL || s == NULL) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(es);
        return 0;
    }
    ECDSA_SIG_set0(es, r, s);
    len = i2d_ECDSA_SIG(es, NULL);
    if (len > 0 && len <= (int)MAX_DER) {
        unsigned char *out = der;
        len = i2d_ECDSA_SIG(es, &out);
    } else {
        len = 0;
    }
    ECDSA_SIG_free(es);
    return len > 0 ? (size_t)len : 0;
}

static bool verify_digest(struct jwa_verifier *v, struct slice input, const uint8_t *sig,
                          size_t sig_len)
{
    uint8_t digest[EVP_MAX_MD_SIZE], der[MAX_DER];
    unsigned len = 0;

    if (EVP_DigestInit_ex2(v->md_ctx, v->md, NULL) != 1 ||
        EVP_DigestUpdate(v->md_ctx, input.ptr, input.len) != 1 ||
        EVP_DigestFinal_ex(v->md_ctx, digest, &len) != 1) {
        return false;
    }
    if (v->alg->family == JWA_FAMILY_ES) {
        sig_len = es_to_der(sig, sig_len, der);
        sig = der;
    }
    return sig_len > 0 && EVP_PKEY_verify(v->pkey_ctx, sig, sig_len, digest, len) == 1;
}

static bool verify_eddsa(struct jwa_verifier *v, struct slice input, const uint8_t *sig)
{
    EVP_MD_CTX_reset(v->md_ctx);
    return EVP_DigestVerifyInit_ex(v->md_ctx, NULL, NULL, NULL, NULL, v->pkey, NULL) == 1 &&
           EVP_DigestVerify(v->md_ctx, sig, v->sig_len, (const unsigned char *)input.ptr,
                            input.len) == 1;
}

bool jwa_verify(struct jwa_verifier *verifier, struct slice input, const uint8_t *sig,
                size_t sig_len)
{
    bool ok = false;

    if (sig_len != verifier->sig_len) {
        return false;
    }
    switch (verifier->alg->family) {
    case JWA_FAMILY_HS: ok = verify_mac(verifier, input, sig); break;
    case JWA_FAMILY_RS:
    case JWA_FAMILY_PS:
    case JWA_FAMILY_ES: ok = verify_digest(verifier, input, sig, sig_len); break;
    case JWA_FAMILY_ED: ok = verify_eddsa(verifier, input, sig); break;
    }
    if (!ok) {
        ERR_clear_error();
    }
    return ok;
}

static int sign_mac(const struct jwa *alg, const struct jwa_key *key, struct slice input,
                    uint8_t *ret, size_t *ret_len)
{
    EVP_MAC_CTX *ctx = keyed_mac(alg, key);
    bool ok = ctx != NULL &&
              EVP_MAC_update(ctx, (const unsigned char *)input.ptr, input.len) == 1 &&
              EVP_MAC_final(ctx, ret, ret_len, JWA_MAX_SIGNATURE_BYTES) == 1;

    EVP_MAC_CTX_free(ctx);
    return ok ? 0 : ERR_CRYPTO;
}

static int es_from_der(const struct jwa_key *key, uint8_t *sig, size_t *sig_len)
{
    size_t half = ((size_t)EVP_PKEY_get_bits(key->pkey) + 7) / 8;
    const unsigned char *in = sig;
    ECDSA_SIG *es = d2i_ECDSA_SIG(NULL, &in, (long)*sig_len);
    bool ok = es != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(es), sig, (int)half) == (int)half &&
              BN_bn2binpad(ECDSA_SIG_get0_s(es), sig + half, (int)half) == (int)half;

    ECDSA_SIG_free(es);
    *sig_len = 2 * half;
    return ok ? 0 : ERR_CRYPTO;
}

static int sign_pkey(const struct jwa *alg, const struct jwa_key *key, struct slice input,
                     uint8_t *ret, size_t *ret_len)
{
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_MD *md = alg->digest == NULL ? NULL : EVP_MD_fetch(NULL, alg->digest, NULL);
    size_t len = JWA_MAX_SIGNATURE_BYTES;
    int err = ERR_CRYPTO;

    if (ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, &pkey_ctx, alg->digest, NULL, NULL, key->pkey, NULL) == 1 &&
        (alg->digest == NULL || set_padding(alg, pkey_ctx, md)) &&
        EVP_DigestSign(ctx, ret, &len, (const unsigned char *)input.ptr, input.len) == 1) {
        err = 0;
    }
    if (err == 0 && alg->family == JWA_FAMILY_ES) {
        err = es_from_der(key, ret, &len);
    }
    EVP_MD_free(md);
    EVP_MD_CTX_free(ctx);
    *ret_len = len;
    return err;
}

int jwa_sign(const struct jwa *alg, const struct jwa_key *key, struct slice input, uint8_t *ret,
             size_t *ret_len)
{
    int err;

    if (!jwa_key_fits(key, alg)) {
        return ERR_UNSUPPORTED;
    }
    err = alg->family == JWA_FAMILY_HS ? sign_mac(alg, key, input, ret, ret_len)
                                       : sign_pkey(alg, key, input, ret, ret_len);
    if (err < 0) {
        ERR_clear_error();
    }
    return err;
}
