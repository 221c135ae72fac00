/* SPDX-License-Identifier: Apache-2.0 */
/* How the secrets of clients are kept: as hashes, with the salt that each one has for itself.
 *
 *   sha256:SALT:HASH         HASH = HMAC-SHA256 of the secret under the key SALT.  For secrets that were
 *                            generated: 256 random bits cannot be guessed, so it may be quick.
 *   scrypt:N:r:p:SALT:HASH   HASH = scrypt(secret, SALT, N, r, p), RFC 7914.  For secrets that people
 *                            chose.  N is a power of 2 from 16384 on, r from 8 on; N * r is at most
 *                            2^19 (64 MiB of memory), N * r * p at most 2^20.
 *
 * SALT has 16 bytes, HASH 32, both base64url without padding (core/base64url.h).  Any thread. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

#define CLIENT_SECRET_SALT_BYTES 16u
#define CLIENT_SECRET_HASH_BYTES 32u
#define CLIENT_SECRET_TEXT_BYTES 128u /* of a hash as text, with NUL */
#define CLIENT_SECRET_MAX_BYTES  256u /* of a secret */
#define CLIENT_SECRET_MIN_BYTES  16u  /* of a secret that somebody chose */
#define CLIENT_SECRET_MADE_BYTES 44u  /* of a generated one as text, with NUL */

enum client_secret_kind { CLIENT_SECRET_SHA256, CLIENT_SECRET_SCRYPT };

struct client_secret { /* not the secret: what is kept of it */
    enum client_secret_kind kind;
    uint32_t n, r, p; /* CLIENT_SECRET_SCRYPT */
    uint8_t salt[CLIENT_SECRET_SALT_BYTES];
    uint8_t hash[CLIENT_SECRET_HASH_BYTES];
};

/* ERR_BAD_INPUT, with the reason in *ret_why (static text). */
int client_secret_read(struct slice text, struct client_secret *ret,
                       const char **ret_why) MUST_CHECK;
void client_secret_write(const struct client_secret *kept, char ret_text[CLIENT_SECRET_TEXT_BYTES]);

/* A new secret of 256 bits as text, base64url. ERR_CRYPTO. */
int client_secret_generate(char ret_text[CLIENT_SECRET_MADE_BYTES]) MUST_CHECK;
/* Hash `secret` with a new salt; scrypt with N 32768, r 8, p 3.  ERR_CRYPTO. */
int client_secret_keep(enum client_secret_kind kind, struct slice secret,
                       struct client_secret *ret) MUST_CHECK;
/* Is it this secret?  The time does not depend on the answer; with scrypt it is long.  0: yes;
 * ERR_BAD_INPUT: no; ERR_CRYPTO: cannot tell (no memory). */
int client_secret_check(const struct client_secret *kept, struct slice secret) MUST_CHECK;
