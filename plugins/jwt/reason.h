/* SPDX-License-Identifier: Apache-2.0 */
/* Why a request with (or without) a token was let through or refused.  One table: the word for logs
 * and metrics, the status, and what the client may know.  Pure. */
#pragma once

#include "core/slice.h"

#define JWT_REALM "Bearer realm=\"jwtgate\""

/* The class decides WWW-Authenticate and the text for the client. */
#define JWT_REASON_TABLE(X)                                                                        \
    X(OK, "ok", 200, PLAIN)                                                                        \
    X(TOKEN_MISSING, "token_missing", 401, PLAIN)                                                  \
    X(MULTIPLE_TOKENS, "multiple_tokens", 400, INVALID_REQUEST)                                    \
    X(AUTH_SCHEME_UNSUPPORTED, "auth_scheme_unsupported", 401, PLAIN)                              \
    X(TOKEN_MALFORMED, "token_malformed", 401, INVALID_TOKEN)                                      \
    X(TOKEN_TOO_LARGE, "token_too_large", 401, INVALID_TOKEN)                                      \
    X(ALG_NOT_ALLOWED, "alg_not_allowed", 401, INVALID_TOKEN)                                      \
    X(TOKEN_TYPE_REJECTED, "token_type_rejected", 401, INVALID_TOKEN)                              \
    X(CRIT_UNSUPPORTED, "crit_unsupported", 401, INVALID_TOKEN)                                    \
    X(KID_UNKNOWN, "kid_unknown", 401, INVALID_TOKEN)                                              \
    X(SIGNATURE_INVALID, "signature_invalid", 401, INVALID_TOKEN)                                  \
    X(ISSUER_MISMATCH, "issuer_mismatch", 401, INVALID_TOKEN)                                      \
    X(AUDIENCE_MISMATCH, "audience_mismatch", 401, INVALID_TOKEN)                                  \
    X(CLAIM_MISSING, "claim_missing", 401, INVALID_TOKEN)                                          \
    X(CLAIM_UNUSABLE, "claim_unusable", 401, INVALID_TOKEN)                                        \
    X(BOUND_TOKEN_UNSUPPORTED, "bound_token_unsupported", 401, INVALID_TOKEN)                      \
    X(CERTIFICATE_MISMATCH, "certificate_mismatch", 401, INVALID_TOKEN)                            \
    X(TOKEN_EXPIRED, "token_expired", 401, EXPIRED)                                                \
    X(TOKEN_NOT_YET_VALID, "token_not_yet_valid", 401, INVALID_TOKEN)                              \
    X(ISSUED_IN_FUTURE, "issued_in_future", 401, INVALID_TOKEN)                                    \
    X(LIFETIME_TOO_LONG, "lifetime_too_long", 401, INVALID_TOKEN)                                  \
    X(TOKEN_REVOKED, "token_revoked", 401, INVALID_TOKEN)                                          \
    X(SCOPE_INSUFFICIENT, "scope_insufficient", 403, INSUFFICIENT_SCOPE)                           \
    X(CLAIM_MISMATCH, "claim_mismatch", 403, CLAIM_RULE)                                           \
    X(JWKS_UNAVAILABLE, "jwks_unavailable", 503, UNAVAILABLE)                                      \
    X(NO_MEMORY, "internal_error", 503, UNAVAILABLE)

enum jwt_reason {
#define X(id, name, status, kind) JWT_##id,
    JWT_REASON_TABLE(X)
#undef X
        JWT_REASONS,
};

/* "token_expired"; static storage. */
const char *jwt_reason_name(enum jwt_reason reason);
unsigned jwt_reason_status(enum jwt_reason reason);
/* For the client, without detail; static storage. */
const char *jwt_reason_detail(enum jwt_reason reason);
/* The value of WWW-Authenticate (RFC 6750 section 3); static storage; absent: none. */
struct slice jwt_reason_challenge(enum jwt_reason reason);
