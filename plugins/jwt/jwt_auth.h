/* SPDX-License-Identifier: Apache-2.0 */
/* The jwt plugin: token from the request, provider, verification.  What it finds it hands on in a slot
 * to authorize (scopes and claims of the route) and identity (claims as headers). */
#pragma once

#include "plugins/jwt/verify.h"
#include "plugins/plugin.h"

extern const struct gw_plugin jwt_plugin;

/* A scalar that a claim is compared with. */
struct claim_value {
    enum json_type type; /* JSON_STRING, JSON_NUMBER or JSON_BOOL */
    bool boolean;
    struct slice text;
};

struct claim_rule {
    struct slice name; /* a pointer when it starts with "/" */
    bool contains;     /* the claim is an array that holds the value; else it equals one */
    struct claim_value *values;
    size_t value_count;
};

/* How the revocation plugin looks at a token; from weak to strong but for "off". */
enum jwt_revocation { JWT_REVOCATION_FILTERED, JWT_REVOCATION_STRICT, JWT_REVOCATION_OFF };

/* One way to pass a route. */
struct jwt_alternative {
    const struct provider *provider;
    unsigned index; /* of the provider in its snapshot */
    enum jwt_revocation revocation;
    struct slice *scopes;
    size_t scope_count;
    bool any_scope; /* one of them is enough */
    struct claim_rule *rules;
    size_t rule_count;
    struct slice challenge; /* WWW-Authenticate for a missing scope */
};

struct jwt_route {
    uint64_t number;
    const struct json *auth_json; /* only while the configuration is read */
    bool forward_token;
    bool is_optional;
    bool has_rules;
    const struct jwt_alternative *single; /* when all alternatives have one provider; else NULL */
    struct jwt_alternative *alternatives;
    size_t alternative_count;
};

/* The slot's value. token NULL: no token, and the route does not insist. */
struct jwt_identity {
    const struct jwt_route *route;
    struct token *token;
};
extern const char jwt_identity_slot;

/* One that no route of this process has had: what is remembered about a route is filed under it. */
uint64_t jwt_number(void);
/* Refuse the request; `challenge` absent: the reason's own. */
enum gw_verdict jwt_refuse(struct gw_call *call, enum jwt_reason reason, struct slice challenge);
/* Does the route's JSON ask for a token? */
bool jwt_route_has_auth(const struct json *route);

/* For `explain`: use these as the fetched keys of the providers that have some, in the plugin's state of
 * one worker.  ERR_NO_MEMORY. */
int jwt_set_keys(void *worker, struct jwks_set *set) MUST_CHECK;
/* The providers of the plugin's `top`. */
const struct provider_list *jwt_providers(const void *top);

/* In auth_config.c: read "auth" into `route`; errors go to ctx->diag. ERR_CONFIG. */
int jwt_auth_read(struct jwt_route *route, const struct provider_list *providers,
                  const struct option_context *ctx, const struct json *auth,
                  const char *path) MUST_CHECK;

/* In lint.c: what is dangerous about providers, and about who may pass which route. */
void jwt_lint(const struct provider_list *providers, const struct option_context *ctx,
              const struct gw_lint_route *routes, size_t count);
