/* SPDX-License-Identifier: Apache-2.0 */
/* The signature algorithms (RFC 7518 section 3, RFC 8037) on EVP, from one table.  Keys are shared
 * read-only by all threads; a verifier is one thread's prepared context for one key and one
 * algorithm, so that a verification fetches and allocates as little as OpenSSL allows.  Pure. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <openssl/types.h>

#include <stdint.h>

enum jwa_family { JWA_FAMILY_HS, JWA_FAMILY_RS, JWA_FAMILY_PS, JWA_FAMILY_ES, JWA_FAMILY_ED };

enum jwa_key_type {
    JWA_KEY_OCT,
    JWA_KEY_RSA,
    JWA_KEY_P256,
    JWA_KEY_P384,
    JWA_KEY_P521,
    JWA_KEY_ED25519
};

#define JWA_TABLE(X) /* name, family, key type, digest, its bytes */                               \
    X(HS256, HS, OCT, "SHA256", 32)                                                                \
    X(HS384, HS, OCT, "SHA384", 48)                                                                \
    X(HS512, HS, OCT, "SHA512", 64)                                                                \
    X(RS256, RS, RSA, "SHA256", 32)                                                                \
    X(RS384, RS, RSA, "SHA384", 48)                                                                \
    X(RS512, RS, RSA, "SHA512", 64)                                                                \
    X(PS256, PS, RSA, "SHA256", 32)                                                                \
    X(PS384, PS, RSA, "SHA384", 48)                                                                \
    X(PS512, PS, RSA, "SHA512", 64)                                                                \
    X(ES256, ES, P256, "SHA256", 32)                                                               \
    X(ES384, ES, P384, "SHA384", 48)                                                               \
    X(ES512, ES, P521, "SHA512", 64)                                                               \
    X(EdDSA, ED, ED25519, NULL, 0)

enum jwa_id {
#define X(name, family, key, digest, bytes) JWA_##name,
    JWA_TABLE(X)
#undef X
        JWA_IDS,
};

struct jwa {
    enum jwa_id id;
    struct slice name;
    enum jwa_family family;
    enum jwa_key_type key_type;
    const char *digest;
    unsigned digest_bytes;
};

#define JWA_MIN_SECRET_BYTES    32u
#define JWA_MAX_SIGNATURE_BYTES 1024u /* RSA of 8192 bits */
#define JWA_MIN_RSA_BITS        2048
#define JWA_MAX_RSA_BITS        8192

/* A key: either the secret or the EVP_PKEY, by type.  Owns what it points to. */
struct jwa_key {
    enum jwa_key_type type;
    EVP_PKEY *pkey;
    uint8_t *secret; /* of OPENSSL_malloc */
    size_t secret_len;
};

/* By name, compared exactly; NULL for what is not in the table ("none" is not). */
const struct jwa *jwa_find(struct slice name);
const struct jwa *jwa_by_id(enum jwa_id id);

/* Takes over `pkey` on success only; checks type, curve and strength. *ret_why (static) says what is
 * wrong. ERR_UNSUPPORTED. */
int jwa_key_from_pkey(EVP_PKEY *pkey, struct jwa_key *ret, const char **ret_why) MUST_CHECK;
/* Copies the secret. ERR_UNSUPPORTED under 32 bytes, ERR_NO_MEMORY. */
int jwa_key_from_secret(const uint8_t *secret, size_t len, struct jwa_key *ret) MUST_CHECK;
/* The same key again: shares the EVP_PKEY, copies the secret. ERR_NO_MEMORY. */
int jwa_key_copy(const struct jwa_key *key, struct jwa_key *ret) MUST_CHECK;
/* Wipe and free what it holds; a zeroed key is fine. */
void jwa_key_done(struct jwa_key *key);
/* Do the key's type and size fit the algorithm (RFC 7518 sections 3.2, 3.3)? */
bool jwa_key_fits(const struct jwa_key *key, const struct jwa *alg);

struct jwa_verifier;
/* `key` is borrowed. NULL: no memory, or the key does not fit. */
struct jwa_verifier *jwa_verifier_new(const struct jwa *alg, const struct jwa_key *key);
void jwa_verifier_free(struct jwa_verifier *verifier);
/* Never leaves anything in OpenSSL's error queue. */
bool jwa_verify(struct jwa_verifier *verifier, struct slice input, const uint8_t *sig,
                size_t sig_len);

/* Sign into `ret` of JWA_MAX_SIGNATURE_BYTES; the key must be a private one or a secret. ERR_CRYPTO. */
int jwa_sign(const struct jwa *alg, const struct jwa_key *key, struct slice input, uint8_t *ret,
             size_t *ret_len) MUST_CHECK;
