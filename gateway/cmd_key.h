/* SPDX-License-Identifier: Apache-2.0 */
/* Key files of the commands: PEM (private or public) or a secret as text. */
#pragma once

#include "plugins/jwks/set.h"
#include "plugins/jwt/jwk_write.h"

#include <sys/stat.h>

struct cmd_key {
    struct jwa_key key;
    bool is_private; /* or a secret: can sign */
};

/* Read a file; what is wrong is said on stderr. ERR_IO, ERR_BAD_INPUT, ERR_UNSUPPORTED. */
int cmd_key_read(const char *file, struct cmd_key *ret) MUST_CHECK;
/* A JWK set, as providers publish it; said on stderr.  A reference for the caller. */
int cmd_read_jwks(const char *file, struct jwks_set **ret) MUST_CHECK;
/* A new file that did not exist, synced with its folder; said on stderr.  ERR_EXISTS, ERR_IO. */
int cmd_write_file(const char *file, mode_t mode, struct slice content) MUST_CHECK;
/* Standard input ("-") or a file without newlines at its end, at most `size`; said on stderr. */
int cmd_read_text(const char *file, char *ret, size_t size, size_t *ret_len) MUST_CHECK;

/* cmd_key_make.c */

/* A new key in memory; bits: of RSA.  Said on stderr: ERR_CRYPTO. */
int cmd_key_generate(const struct jwa *alg, int bits, struct jwa_key *ret) MUST_CHECK;
/* The private key (0600) or the secret, or else the public key (0644), into a new file as
 * cmd_write_file() does. */
int cmd_key_write(const char *file, const struct jwa_key *key, bool is_private) MUST_CHECK;
/* What --bits says: 2048, 3072, 4096; NULL: the default; -1: nothing good for the algorithm. */
int cmd_key_bits(const char *text, const struct jwa *alg);
