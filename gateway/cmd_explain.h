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
    EXPLAIN_UNKNOWN, /* offline, or after a change of the configuration */
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
    /* What was decided. */
    const struct config_route *route; /* NULL: none matched */
    const char *outcome;              /* its word */
    const char *auth_reason;          /* NULL: no decision about a token */
    struct slice provider;            /* absent: none was chosen */
    const struct jwt_route *auth;     /* NULL: the route is public, or there is none */

    /* By a running gateway, which keeps no token: what the access log says of it. */
    bool is_served;
    struct slice kid, subject;

    /* Or offline. */
    struct slice token; /* absent: none */
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
void explain_print_steps(const struct explain *explain);
void explain_print_steps_json(const struct explain *explain); /* a member "steps" */

/* `--request-id`: ask the running gateway's admin listener. */
int explain_served(struct config *config, const char *id, bool as_json);
const char *explain_step_name(enum explain_step step);
const char *explain_state_name(enum explain_state state);
