/* SPDX-License-Identifier: Apache-2.0 */
/* JWK and JWK sets (RFC 7517, RFC 8037) to keys.  Pure.  Keys that cannot be used for verifying are
 * skipped, each with its reason; the others are kept. */
#pragma once

#include "plugins/jwt/jws.h"

#define JWK_MAX_KEYS  64u
#define JWK_MAX_BYTES (256u * 1024u)

struct jwk {
    struct slice kid;      /* absent: none */
    const struct jwa *alg; /* the only one allowed; NULL: all that fit the type */
    struct jwa_key key;
};

/* Called for a key that is skipped; `why` is static. */
typedef void jwk_skip_fn(void *arg, struct slice kid, const char *why);

extern const struct json_limits jwk_limits; /* for json_parse() of a set */

/* One key; `kid` is borrowed from the JSON. ERR_UNSUPPORTED with *ret_why (static), ERR_NO_MEMORY. */
int jwk_read(const struct json *object, bool allow_secrets, struct jwk *ret,
             const char **ret_why) MUST_CHECK;
/* A JWK or a set of them; at most `max` keys.  ERR_BAD_INPUT: neither of both; ERR_NO_MEMORY (what was
 * read stays in ret_keys). */
int jwk_read_set(const struct json *root, bool allow_secrets, struct jwk *ret_keys, size_t max,
                 size_t *ret_count, jwk_skip_fn *skip, void *arg) MUST_CHECK;
/* A PEM public key ("BEGIN PUBLIC KEY"). ERR_BAD_INPUT, ERR_UNSUPPORTED with *ret_why (static). */
int jwk_read_pem(struct slice pem, struct jwa_key *ret, const char **ret_why) MUST_CHECK;
/* A PEM private key without a passphrase; the same errors. */
int jwk_read_private_pem(struct slice pem, struct jwa_key *ret, const char **ret_why) MUST_CHECK;
