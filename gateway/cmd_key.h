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
