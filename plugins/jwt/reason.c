/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/reason.h"

#define CHALLENGE(error, text) JWT_REALM ", error=\"" error "\", error_description=\"" text "\""
#define INVALID_TEXT           "The access token is invalid"
#define EXPIRED_TEXT           "The access token expired"
#define SCOPE_TEXT             "The access token lacks a scope"
#define REQUEST_TEXT           "The request has more than one access token"

enum kind {
    PLAIN,
    INVALID_REQUEST,
    INVALID_TOKEN,
    EXPIRED,
    INSUFFICIENT_SCOPE,
    CLAIM_RULE,
    UNAVAILABLE
};

static const struct {
    const char *name;
    unsigned status;
    enum kind kind;
} reasons[JWT_REASONS] = {
#define X(id, name, status, kind) { name, status, kind },
    JWT_REASON_TABLE(X)
#undef X
};

const char *jwt_reason_name(enum jwt_reason reason)
{
    return reasons[reason].name;
}

unsigned jwt_reason_status(enum jwt_reason reason)
{
    return reasons[reason].status;
}

const char *jwt_reason_detail(enum jwt_reason reason)
{
    switch (reasons[reason].kind) {
    case PLAIN: return "An access token is required";
    case INVALID_REQUEST: return REQUEST_TEXT;
    case INVALID_TOKEN: return INVALID_TEXT;
    case EXPIRED: return EXPIRED_TEXT;
    case INSUFFICIENT_SCOPE: return SCOPE_TEXT;
    case CLAIM_RULE: return "The access token does not permit this request";
    case UNAVAILABLE: return "The access token cannot be checked now: try again later";
    }
    return NULL;
}

struct slice jwt_reason_challenge(enum jwt_reason reason)
{
    switch (reasons[reason].kind) {
    case PLAIN:
    case CLAIM_RULE: return SLICE(JWT_REALM);
    case INVALID_REQUEST: return SLICE(CHALLENGE("invalid_request", REQUEST_TEXT));
    case INVALID_TOKEN: return SLICE(CHALLENGE("invalid_token", INVALID_TEXT));
    case EXPIRED: return SLICE(CHALLENGE("invalid_token", EXPIRED_TEXT));
    case INSUFFICIENT_SCOPE: return SLICE(CHALLENGE("insufficient_scope", SCOPE_TEXT));
    case UNAVAILABLE: break; /* a client must not throw its token away */
    }
    return SLICE_ABSENT;
}
