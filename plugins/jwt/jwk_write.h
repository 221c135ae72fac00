/* SPDX-License-Identifier: Apache-2.0 */
/* Keys to JWK (RFC 7517, RFC 7518 section 6) and their thumbprints (RFC 7638).  Pure. */
#pragma once

#include "plugins/jwt/jwk.h"

#define JWK_THUMBPRINT_BYTES 43u /* SHA-256 in base64url */

/* Append an object with the public members, use, and kid and alg unless absent.  ERR_UNSUPPORTED for
 * a secret: it is never published; ERR_CRYPTO. */
int jwk_write(struct json_writer *w, const struct jwa_key *key, struct slice kid,
              const struct jwa *alg) MUST_CHECK;
/* Of a public, private or secret key.  ERR_CRYPTO, ERR_NO_MEMORY. */
int jwk_thumbprint(const struct jwa_key *key, char ret[JWK_THUMBPRINT_BYTES + 1]) MUST_CHECK;
/* The only algorithm of the key; NULL: several fit. */
const struct jwa *jwk_only_algorithm(const struct jwa_key *key);
/* "RSA 2048", "P-256", "Ed25519", "secret 64" */
const char *jwk_describe(const struct jwa_key *key, char *ret, size_t size);
