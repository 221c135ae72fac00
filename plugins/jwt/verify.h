/* SPDX-License-Identifier: Apache-2.0 */
/* All checks of a token against one provider, in their order.  The proxy and the command line
 * (`token verify`, `explain`) go through here.  Pure: the time is given, nothing is logged. */
#pragma once

#include "plugins/jwt/token_cache.h"

/* One thread's prepared contexts for the keys of one provider: those of the configuration, then those
 * that were fetched. */
struct verify_keys {
    const struct provider *provider;
    struct jwks_set *remote; /* a reference; NULL: none */
    uint64_t generation;     /* changes with the set: tokens of another one are not to be trusted */
    /* key * JWA_IDS + algorithm; made when first needed. */
    struct jwa_verifier **own_verifiers, **remote_verifiers;
};

struct verify_result {
    struct slice kid;    /* of the header, not verified; in the arena; absent: none or not read */
    struct token *token; /* on JWT_OK: a reference for the caller */
    /* With JWT_KID_UNKNOWN: all checks that need no key have passed, so that newer keys may help. */
    bool may_be_newer;
};

int verify_keys_init(struct verify_keys *keys, const struct provider *provider) MUST_CHECK;
void verify_keys_done(struct verify_keys *keys);
/* Replace the fetched keys; takes a reference; NULL: none.  ERR_NO_MEMORY: then there are none. */
int verify_keys_set_remote(struct verify_keys *keys, struct jwks_set *remote) MUST_CHECK;

/* JWT_OK, or the first check that failed. `arena` is scratch memory (128 KiB are enough). */
enum jwt_reason verify_token(struct verify_keys *keys, struct slice text, int64_t now,
                             struct arena *arena, struct verify_result *ret);

/* The claim iss, before anything was verified: only to choose the provider that everything is then
 * checked against. JWT_OK, JWT_TOKEN_MALFORMED, JWT_CLAIM_MISSING, JWT_NO_MEMORY. */
enum jwt_reason verify_peek_issuer(struct slice text, struct arena *arena, struct slice *ret);
