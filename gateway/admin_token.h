/* SPDX-License-Identifier: Apache-2.0 */
/* The token of those who may change something through the admin listener.  Only its hash is kept. */
#pragma once

#include "core/secret.h"

#define ADMIN_TOKEN_MIN_BYTES  16u
#define ADMIN_TOKEN_MAX_BYTES  512u
#define ADMIN_TOKEN_HASH_BYTES 32u

struct admin_token {
    struct secret_source source;
    bool is_set;
    unsigned char hash[ADMIN_TOKEN_HASH_BYTES]; /* SHA-256 */
};

/* Read the token that `source` names into the hash; errors go to ctx->diag. */
void admin_token_read(struct admin_token *token, const struct option_context *ctx,
                      const struct json *where, const char *path);
/* In constant time. */
bool admin_token_is(const struct admin_token *token, struct slice text);
