/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/client_secret.h"

#include "core/base64url.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <stdio.h>

#define MADE_BYTES      32u
#define DEFAULT_N       32768u
#define DEFAULT_R       8u
#define DEFAULT_P       3u
#define MIN_N           16384u
#define MIN_R           8u
#define MAX_MEMORY_COST (1u << 19) /* N * r */
#define MAX_COST        (1u << 20) /* N * r * p */
#define MAX_DIGITS      7u

/* ---- text ---- */

/* Cut `*rest` behind the next ":"; what stood before it. */
static struct slice next_part(struct slice *rest)
{
    const char *colon = rest->len == 0 ? NULL : memchr(rest->ptr, ':', rest->len);
    size_t len = colon == NULL ? rest->len : (size_t)(colon - rest->ptr);
    struct slice part = slice_of(rest->ptr, len);

    *rest = slice_skip(*rest, colon == NULL ? len : len + 1);
    return part;
}

static bool read_number(struct slice text, uint32_t *ret)
{
    uint32_t number = 0;

    if (text.len == 0 || text.len > MAX_DIGITS || text.ptr[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *ret = number;
    return true;
}

static bool read_bytes(struct slice text, uint8_t *ret, size_t size)
{
    uint8_t bytes[BASE64URL_DECODED_BYTES(CLIENT_SECRET_TEXT_BYTES)];
    size_t len = 0;

    if (text.len != BASE64URL_ENCODED_BYTES(size) || base64url_decode(text, bytes, &len) < 0) {
        return false;
    }
    memcpy(ret, bytes, size);
    return true;
}

static bool cost_is_right(const struct client_secret *kept)
{
    uint64_t memory = (uint64_t)kept->n * kept->r;

    return kept->n >= MIN_N && (kept->n & (kept->n - 1)) == 0 && kept->r >= MIN_R &&
           memory <= MAX_MEMORY_COST && memory * kept->p <= MAX_COST;
}

static bool read_cost(struct slice *rest, struct client_secret *kept)
{
    return read_number(next_part(rest), &kept->n) && read_number(next_part(rest), &kept->r) &&
           read_number(next_part(rest), &kept->p) && cost_is_right(kept);
}

int client_secret_read(struct slice text, struct client_secret *ret, const char **ret_why)
{
    struct client_secret kept = { .kind = CLIENT_SECRET_SHA256 };
    struct slice kind = next_part(&text);

    if (slice_eq(kind, SLICE("scrypt"))) {
        kept.kind = CLIENT_SECRET_SCRYPT;
        if (!read_cost(&text, &kept)) {
            *ret_why = "the scrypt parameters are wrong, too weak or too costly";
            return ERR_BAD_INPUT;
        }
    } else if (!slice_eq(kind, SLICE("sha256"))) {
        *ret_why = "it does not begin with sha256: or scrypt:";
        return ERR_BAD_INPUT;
    }
    struct slice salt = next_part(&text);

    if (!read_bytes(salt, kept.salt, sizeof(kept.salt)) ||
        !read_bytes(text, kept.hash, sizeof(kept.hash))) {
        *ret_why = "salt and hash are not 16 and 32 bytes in base64url";
        return ERR_BAD_INPUT;
    }
    *ret = kept;
    return 0;
}

void client_secret_write(const struct client_secret *kept, char ret_text[CLIENT_SECRET_TEXT_BYTES])
{
    char salt[BASE64URL_ENCODED_BYTES(CLIENT_SECRET_SALT_BYTES)];
    char hash[BASE64URL_ENCODED_BYTES(CLIENT_SECRET_HASH_BYTES)];
    int salt_len = (int)base64url_encode(kept->salt, sizeof(kept->salt), salt);
    int hash_len = (int)base64url_encode(kept->hash, sizeof(kept->hash), hash);

    if (kept->kind == CLIENT_SECRET_SHA256) {
        snprintf(ret_text, CLIENT_SECRET_TEXT_BYTES, "sha256:%.*s:%.*s", salt_len, salt, hash_len,
                 hash);
    } else {
        snprintf(ret_text, CLIENT_SECRET_TEXT_BYTES, "scrypt:%u:%u:%u:%.*s:%.*s", kept->n, kept->r,
                 kept->p, salt_len, salt, hash_len, hash);
    }
}

/* ---- hashing ---- */

/* HASH of `secret` with the salt and the parameters of `kept`. */
static int hash_secret(const struct client_secret *kept, struct slice secret,
                       uint8_t ret[CLIENT_SECRET_HASH_BYTES])
{
    bool ok = false;

    switch (kept->kind) {
    case CLIENT_SECRET_SHA256:
        ok = HMAC(EVP_sha256(), kept->salt, sizeof(kept->salt), (const uint8_t *)secret.ptr,
                  secret.len, ret, NULL) != NULL;
        break;
    case CLIENT_SECRET_SCRYPT:
        /* Twice the memory of the table: OpenSSL counts its other blocks, too. */
        ok = EVP_PBE_scrypt(secret.ptr, secret.len, kept->salt, sizeof(kept->salt), kept->n,
                            kept->r, kept->p, UINT64_C(256) * MAX_MEMORY_COST, ret,
                            CLIENT_SECRET_HASH_BYTES) == 1;
        break;
    }
    if (!ok) {
        ERR_clear_error();
    }
    return ok ? 0 : ERR_CRYPTO;
}

int client_secret_generate(char ret_text[CLIENT_SECRET_MADE_BYTES])
{
    uint8_t random[MADE_BYTES];

    if (RAND_priv_bytes(random, sizeof(random)) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    ret_text[base64url_encode(random, sizeof(random), ret_text)] = '\0';
    OPENSSL_cleanse(random, sizeof(random));
    return 0;
}

int client_secret_keep(enum client_secret_kind kind, struct slice secret, struct client_secret *ret)
{
    struct client_secret kept = { .kind = kind, .n = DEFAULT_N, .r = DEFAULT_R, .p = DEFAULT_P };

    if (RAND_bytes(kept.salt, sizeof(kept.salt)) != 1) {
        ERR_clear_error();
        return ERR_CRYPTO;
    }
    int err = hash_secret(&kept, secret, kept.hash);

    if (err == 0) {
        *ret = kept;
    }
    return err;
}

int client_secret_check(const struct client_secret *kept, struct slice secret)
{
    uint8_t hash[CLIENT_SECRET_HASH_BYTES];
    int err = hash_secret(kept, secret, hash);

    if (err == 0 && CRYPTO_memcmp(hash, kept->hash, sizeof(hash)) != 0) {
        err = ERR_BAD_INPUT;
    }
    OPENSSL_cleanse(hash, sizeof(hash));
    return err;
}
