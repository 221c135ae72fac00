/* SPDX-License-Identifier: Apache-2.0 */
/* Issuing one access token (RFC 9068): claims, then a signature on the gateway's pool.
 *
 *   static enum gw_verdict on_signed(struct gw_call *call) { ... state->token->text ... }
 *   state->token = NULL;
 *   return issuer_sign(call, issuer, &claims, on_signed, &state->token);
 *   on_end(): issued_token_unref(state->token);
 */
#pragma once

#include "plugins/issuer/issuer.h"
#include "plugins/jwt/jti.h"

#define ISSUE_MAX_CLAIMS_BYTES 8192u /* of the claims' text */

/* What the token says besides iss, iat, nbf, exp and jti.  Borrowed during issuer_sign(). */
struct token_claims {
    struct slice subject;
    struct slice client_id, scope; /* absent: none */
    const struct slice *audiences;
    size_t audience_count;
    const struct json
        *extra;      /* an object; its members that have a name of ours are left out; NULL */
    uint64_t ttl_ms; /* 0, or longer than the issuer's: the issuer's */
};

struct issued_token {
    struct gw_shared shared; /* first */
    char *text;              /* the compact form; NULL: it could not be signed */
    int64_t lifetime_s;
    char jti[JTI_BYTES];
    const struct signing_key *key; /* of `keys` */

    /* For the work. */
    struct signing_keys *keys; /* a reference */
    struct json_writer claims;
};

/* Make the claims, then sign them on a thread of the pool; fn is called when *ret has its text, or has
 * none.  *ret is a reference of the caller, also when the answer is GW_FAIL: no key signs, too much waits,
 * no memory, or the claims are longer than ISSUE_MAX_CLAIMS_BYTES.  The signature outlives the request and
 * a reload. */
enum gw_verdict issuer_sign(struct gw_call *call, const struct issuer *issuer,
                            const struct token_claims *claims, gw_hook_fn *fn,
                            struct issued_token **ret);
/* Wipes the token.  NULL is fine. */
void issued_token_unref(struct issued_token *token);
/* Is it the name of a claim that the issuer alone writes? */
bool issuer_owns_claim(struct slice name);
