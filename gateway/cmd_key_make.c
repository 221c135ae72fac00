/* SPDX-License-Identifier: Apache-2.0 */
/* Making keys for `jwtgate keys generate` and `keys rotate`. */
#include "gateway/cmd_key.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <stdio.h>

#define SECRET_BYTES 32u
#define DEFAULT_BITS 2048

static EVP_PKEY *make_pkey(const struct jwa *alg, int bits)
{
    switch (alg->key_type) {
    case JWA_KEY_OCT: break;
    case JWA_KEY_RSA: return EVP_RSA_gen((unsigned)bits);
    case JWA_KEY_P256: return EVP_EC_gen("P-256");
    case JWA_KEY_P384: return EVP_EC_gen("P-384");
    case JWA_KEY_P521: return EVP_EC_gen("P-521");
    case JWA_KEY_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return NULL;
}

/* Hex text, so that the file's bytes are the secret for everybody who reads it. */
static int make_secret(struct jwa_key *ret)
{
    uint8_t random[SECRET_BYTES];
    char text[2 * SECRET_BYTES + 1];
    int err = ERR_CRYPTO;

    if (RAND_priv_bytes(random, sizeof(random)) == 1) {
        for (size_t i = 0; i < sizeof(random); i++) {
            snprintf(text + 2 * i, 3, "%02x", random[i]);
        }
        err = jwa_key_from_secret((const uint8_t *)text, 2 * SECRET_BYTES, ret);
    }
    OPENSSL_cleanse(random, sizeof(random));
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

int cmd_key_generate(const struct jwa *alg, int bits, struct jwa_key *ret)
{
    const char *why;

    if (alg->key_type == JWA_KEY_OCT) {
        return make_secret(ret);
    }
    EVP_PKEY *pkey = make_pkey(alg, bits);

    if (pkey == NULL || jwa_key_from_pkey(pkey, ret, &why) < 0) {
        EVP_PKEY_free(pkey);
        ERR_clear_error();
        fputs("jwtgate: OpenSSL could not make the key\n", stderr);
        return ERR_CRYPTO;
    }
    return 0;
}

static bool write_text(BIO *bio, const struct jwa_key *key, bool is_private)
{
    if (key->type == JWA_KEY_OCT) {
        return BIO_write(bio, key->secret, (int)key->secret_len) == (int)key->secret_len &&
               BIO_write(bio, "\n", 1) == 1;
    }
    return (is_private ? PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)
                       : PEM_write_bio_PUBKEY(bio, key->pkey)) == 1;
}

int cmd_key_write(const char *file, const struct jwa_key *key, bool is_private)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped */
    char *text = NULL;
    int err = ERR_CRYPTO;

    if (bio != NULL && write_text(bio, key, is_private)) {
        long len = BIO_get_mem_data(bio, &text);

        err = cmd_write_file(file, is_private ? 0600 : 0644, slice_of(text, (size_t)len));
    }
    BIO_free(bio);
    return err;
}

int cmd_key_bits(const char *text, const struct jwa *alg)
{
    char known[8];

    if (text == NULL) {
        return DEFAULT_BITS;
    }
    for (int bits = 2048; bits <= 4096 && alg->key_type == JWA_KEY_RSA; bits += 1024) {
        snprintf(known, sizeof(known), "%d", bits);
        if (strcmp(text, known) == 0) {
            return bits;
        }
    }
    return -1;
}
