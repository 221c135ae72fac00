/* SPDX-License-Identifier: Apache-2.0 */
/* What happened to a request, step by step.  The decision itself is the server's own code; this only
 * tells it, with the values that it looked at. */
#pragma once

#include "gateway/host.h"
#include "plugins/jwt/jwt_auth.h"

enum explain_state {
    EXPLAIN_OK,
    EXPLAIN_FAILED,
    EXPLAIN_NOT_REACHED,
    EXPLAIN_NOT_NEEDED,
    EXPLAIN_UNKNOWN, /* offline */
};

#define EXPLAIN_STEP_TABLE(X)                                                                      \
    X(ROUTE, "route")                                                                              \
    X(TOKEN, "token")                                                                              \
    X(HEADER, "header")                                                                            \
    X(KEY, "key")                                                                                  \
    X(SIGNATURE, "signature")                                                                      \
    X(ISSUER, "issuer")                                                                            \
    X(AUDIENCE, "audience")                                                                        \
    X(TIME, "time")                                                                                \
    X(BINDING, "binding")                                                                          \
    X(REVOCATION, "revocation")                                                                    \
    X(SCOPES, "scopes")                                                                            \
    X(HEADERS, "headers")

enum explain_step {
#define X(id, name) EXPLAIN_##id,
    EXPLAIN_STEP_TABLE(X)
#undef X
        EXPLAIN_STEPS,
};

struct explain_line {
    enum explain_state state;
    const char *detail; /* in the arena; may be "" */
};

struct explain {
    struct request *req;
    const struct jwt_route *auth; /* NULL: the route is public, or there is none */
    struct slice token;           /* absent: none */
    const struct token_source *source;
    int64_t now;
    struct arena *arena;
    bool has_jwks;        /* the keys that issuers publish were given */
    bool asks_revocation; /* the server would look for a revocation; offline that is not known */
    bool is_open;         /* could not be decided offline */
    struct explain_line lines[EXPLAIN_STEPS];
};

/* Fill `lines`, when the request is decided. */
void explain_tell(struct explain *explain);
const char *explain_step_name(enum explain_step step);
const char *explain_state_name(enum explain_state state);
