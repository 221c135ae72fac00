/* SPDX-License-Identifier: Apache-2.0 */
/* Who may issue tokens, and how we know that it was them.  Built when a snapshot is built, then
 * read-only and shared by all threads, and by later snapshots that say the same of it. */
#pragma once

#include "core/options.h"
#include "plugins/jwks/jwks.h"
#include "plugins/jwt/claims.h"
#include "plugins/jwt/jwk.h"

#define PROVIDER_MAX_TRIES 8u /* keys tried for a token without kid */

enum token_place { TOKEN_IN_HEADER, TOKEN_IN_COOKIE, TOKEN_IN_QUERY };

struct token_source {
    enum token_place place;
    struct slice name;   /* header (lower case), cookie or parameter */
    struct slice scheme; /* of a header; empty: the whole value is the token */
};

struct provider {
    struct option_element element; /* name, and its own copy of the text */
    int refs;                      /* atomic */
    struct arena memory;           /* of all texts */

    /* As read. */
    struct slice issuer;
    struct slice revocation_namespace; /* absent: none */
    const struct json *audiences_json, *algorithms_json, *keys_json, *token_json;
    struct option_strings token_types; /* count 0: the default ones */
    bool accept_bound_tokens;
    uint64_t clock_skew_ms, max_lifetime_ms, max_token_bytes;
    struct jwks_options jwks;

    /* Made from it. */
    uint32_t algorithms; /* mask of 1 << enum jwa_id */
    bool is_symmetric;   /* HS* */
    bool has_jwks;       /* keys are fetched, too */
    bool has_own_keys;   /* those of token_issuer */
    struct token_source source;
    struct claims_policy policy;
    struct jwk *keys; /* heap */
    size_t key_count;
    size_t key_room;
};

extern const struct option provider_options[];

struct provider_list {
    struct provider **items;
    size_t count;
};

#define PROVIDER_MAX_NAMESPACE 64u

/* From a struct that the options were read into, a provider with one reference; all errors go to
 * ctx->diag, and then it is only good to be named by routes.  NULL: no memory. */
struct provider *provider_new(const struct provider *spec, const struct option_context *ctx);
struct provider *provider_ref(struct provider *provider);
void provider_unref(struct provider *provider); /* any thread; NULL is fine */
/* The same name and text, and the same in all files and the environment? */
bool provider_is_same(const struct provider *a, const struct provider *b);

/* Between provider.c and provider_keys.c: "providers.X.name" for messages, in the context's arena; the list
 * `keys`. */
const char *provider_path(const struct provider *provider, const struct option_context *ctx,
                          const char *name);
void provider_read_keys(struct provider *provider, const struct option_context *ctx);
bool provider_has_same_keys(const struct provider *a, const struct provider *b);
