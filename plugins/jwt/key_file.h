/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of keys, secrets, certificates: from a file or the environment.  They are OPENSSL_malloc'ed and wiped
 * when they go.  Mistakes go to the diag of the place. */
#pragma once

#include "core/options.h"
#include "plugins/jwt/jwk.h"

#define KEY_FILE_MAX_BYTES ((size_t)1 << 20)

/* Where in the configuration a key is named. */
struct key_place {
    const struct option_context *ctx;
    const struct json *where;
    const char *path;
};

struct key_bytes {
    char *ptr;
    size_t len;
};

/* The whole file; a secret may not be readable by others. ERR_CONFIG, ERR_NO_MEMORY. */
int key_read_file(const struct key_place *at, const char *file, bool is_secret,
                  struct key_bytes *ret) MUST_CHECK;
int key_read_env(const struct key_place *at, struct slice name, struct key_bytes *ret) MUST_CHECK;
/* Without the newline at its end. */
void key_drop_newline(struct key_bytes *bytes);
/* In place of base64url what it means. ERR_BAD_INPUT, ERR_NO_MEMORY. */
int key_decode(struct key_bytes *bytes) MUST_CHECK;
void key_bytes_done(struct key_bytes *bytes);

void key_fail(const struct key_place *at, const char *remedy, const char *what);
