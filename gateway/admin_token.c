/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

/* What a header field can carry after "Bearer " (RFC 6750 section 2.1). */
static bool is_sendable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] > '~') {
            return false;
        }
    }
    return text.len >= ADMIN_TOKEN_MIN_BYTES && text.len <= ADMIN_TOKEN_MAX_BYTES;
}

static bool hash_text(struct slice text, unsigned char ret[ADMIN_TOKEN_HASH_BYTES])
{
    return EVP_Digest(text.ptr, text.len, ret, NULL, EVP_sha256(), NULL) == 1;
}

void admin_token_read(struct admin_token *token, const struct option_context *ctx,
                      const struct json *where, const char *path)
{
    char text[SECRET_MAX_BYTES];
    size_t len = 0;

    if (secret_read(&token->source, ctx, where, path, text, &len) < 0) {
        return;
    }
    if (!is_sendable(slice_of(text, len))) {
        diag_at(ctx->diag, DIAG_ERROR, where, path, "make one with: openssl rand -hex 32",
                "an admin token is 16 to 512 visible characters without a blank");
    } else {
        token->is_set = hash_text(slice_of(text, len), token->hash);
    }
    OPENSSL_cleanse(text, sizeof(text));
}

bool admin_token_is(const struct admin_token *token, struct slice text)
{
    unsigned char hash[ADMIN_TOKEN_HASH_BYTES];

    return token->is_set && hash_text(text, hash) &&
           CRYPTO_memcmp(hash, token->hash, sizeof(hash)) == 0;
}
