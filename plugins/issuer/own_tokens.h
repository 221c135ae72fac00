/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that this issuer has signed, by any key that it publishes: what its endpoints for
 * revocation and introspection are about.  Nothing is known of other issuers' tokens there. */
#pragma once

#include "plugins/issuer/issuer.h"
#include "plugins/jwt/verify.h"

/* The issuer as one whose tokens are verified; of a snapshot. */
struct own_tokens {
    struct provider provider;
    struct jwk keys[SIGNING_MAX_KEYS]; /* the issuer's */
};

/* ERR_NO_MEMORY. */
int own_tokens_init(struct own_tokens *own, const struct issuer *issuer,
                    const struct option_context *ctx) MUST_CHECK;

/* A token of ours that may still pass somewhere: with the largest clock_skew that a provider may have.
 * `keys`: this thread's, of the provider above.  A reference for the caller; ERR_BAD_INPUT: it is none;
 * ERR_NO_MEMORY. */
int own_tokens_verify(struct verify_keys *keys, struct slice text, struct token **ret) MUST_CHECK;
/* Is it valid now, by its times? */
bool own_tokens_is_current(const struct token *token);
/* Was it issued to this client? */
bool own_tokens_is_of(const struct token *token, const struct client *client);
