/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/issue.h"

#include "core/clock.h"
#include "plugins/jwt/jws.h"

#include <openssl/crypto.h>

#include <stdlib.h>

/* ---- the claims ---- */

bool issuer_owns_claim(struct slice name)
{
    static const char *const names[] = { "iss", "sub", "aud", "client_id", "exp",
                                         "iat", "nbf", "jti", "scope" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_eq(name, slice_str(names[i]))) {
            return true;
        }
    }
    return false;
}

/* One as a string, several as a list (RFC 7519 section 4.1.3). */
static void write_audiences(struct json_writer *w, const struct token_claims *claims)
{
    if (claims->audience_count == 1) {
        json_write_string(w, "aud", claims->audiences[0]);
        return;
    }
    json_write_begin(w, "aud", '[');
    for (size_t i = 0; i < claims->audience_count; i++) {
        json_write_string(w, NULL, claims->audiences[i]);
    }
    json_write_end(w, ']');
}

static void write_claims(const struct issuer *issuer, const struct token_claims *claims,
                         struct issued_token *token)
{
    struct json_writer *w = &token->claims;
    int64_t now = clock_unix();
    const struct json *extra = claims->extra == NULL ? NULL : claims->extra->child;

    json_write_begin(w, NULL, '{');
    json_write_string(w, "iss", issuer->issuer);
    json_write_string(w, "sub", claims->subject);
    write_audiences(w, claims);
    if (!slice_is_absent(claims->client_id)) {
        json_write_string(w, "client_id", claims->client_id);
    }
    json_write_int(w, "iat", now);
    json_write_int(w, "nbf", now);
    json_write_int(w, "exp", now + token->lifetime_s);
    json_write_string(w, "jti", slice_str(token->jti));
    if (!slice_is_absent(claims->scope)) {
        json_write_string(w, "scope", claims->scope);
    }
    for (; extra != NULL; extra = extra->next) {
        if (!issuer_owns_claim(extra->key)) {
            json_write_tree(w, extra->key, extra);
        }
    }
    json_write_end(w, '}');
}

/* ---- the token ---- */

static void token_free(struct gw_shared *shared)
{
    struct issued_token *token = (struct issued_token *)(void *)shared;

    if (token->text != NULL) {
        OPENSSL_cleanse(token->text, strlen(token->text));
        free(token->text);
    }
    json_writer_done(&token->claims);
    signing_keys_unref(token->keys);
    free(token);
}

void issued_token_unref(struct issued_token *token)
{
    gw_shared_unref(token == NULL ? NULL : &token->shared);
}

static struct issued_token *token_new(const struct issuer *issuer,
                                      const struct token_claims *claims)
{
    struct issued_token *token = calloc(1, sizeof(*token));
    uint64_t ttl_ms = issuer->access_token.ttl_ms;

    if (token == NULL) {
        return NULL;
    }
    token->shared = (struct gw_shared){ .refs = 1, .free = token_free };
    token->keys = signing_keys_ref(issuer->keys);
    token->key = issuer->keys->active;
    if (claims->ttl_ms != 0 && claims->ttl_ms < ttl_ms) {
        ttl_ms = claims->ttl_ms;
    }
    token->lifetime_s = (int64_t)(ttl_ms / 1000);
    json_writer_init(&token->claims, ISSUE_MAX_CLAIMS_BYTES);
    if (jti_make(token->jti) < 0) {
        issued_token_unref(token);
        return NULL;
    }
    write_claims(issuer, claims, token);
    return token;
}

/* On a thread of the pool.  EVP_PKEYs that nobody changes may be used by several at once. */
static void sign(struct gw_shared *shared)
{
    struct issued_token *token = (struct issued_token *)(void *)shared;
    const struct signing_key *key = token->key;

    token->text = jws_sign(key->alg, &key->key, slice_str(key->kid), SLICE("at+jwt"),
                           slice_of(token->claims.buf, token->claims.len));
}

enum gw_verdict issuer_sign(struct gw_call *call, const struct issuer *issuer,
                            const struct token_claims *claims, gw_hook_fn *fn,
                            struct issued_token **ret)
{
    *ret = issuer->keys->active == NULL ? NULL : token_new(issuer, claims);
    if (*ret == NULL || (*ret)->claims.failed) {
        return GW_FAIL;
    }
    return gw_offload(call, sign, &(*ret)->shared, fn);
}
