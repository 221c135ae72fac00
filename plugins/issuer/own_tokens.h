/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that this issuer has signed, by any key that it publishes: what its endpoints for
 * revocation and introspection are about.  Nothing is known of other issuers' tokens there. */
#pragma once

#include "plugins/issuer/issuer.h"
#include "plugins/jwt/verify.h"

/* A plugin's `top`: its gw_plugin has the functions below. */
struct own_tokens {
    const struct issuer *issuer; /* NULL: there is no issuer with clients */
    bool has_revocations;        /* the configuration says where they are kept */
    struct provider provider;    /* the issuer, as one whose tokens are verified */
    struct jwk keys[SIGNING_MAX_KEYS];
    struct gw_endpoint endpoint; /* its path is the plugin's to set */
};

int own_tokens_top_init(void *top, const struct option_context *ctx) MUST_CHECK;
int own_tokens_worker_init(struct gw_worker *gw, const void *top, void **ret_worker) MUST_CHECK;
void own_tokens_worker_done(void *worker);
int own_tokens_config_init(void *config, void *top, const struct option_context *ctx,
                           const struct json *route, const char *path);

/* A token of ours that may still pass somewhere: with the largest clock_skew that a provider may have.
 * `worker`: the plugin's.  A reference for the caller; ERR_BAD_INPUT: it is none; ERR_NO_MEMORY. */
int own_tokens_verify(void *worker, struct slice text, struct token **ret) MUST_CHECK;
/* Is it valid now, by its times? */
bool own_tokens_is_current(const struct token *token);
/* Was it issued to this client? */
bool own_tokens_is_of(const struct token *token, const struct client *client);
