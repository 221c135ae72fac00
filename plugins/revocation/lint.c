/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/lint.h"

#include "plugins/jwt/jwt_auth.h"

/* The first "revocation": "off" of an "auth", or NULL. */
static const struct json *find_off(const struct json *auth)
{
    const struct json *found = NULL;

    if (auth == NULL || (auth->type != JSON_OBJECT && auth->type != JSON_ARRAY)) {
        return NULL;
    }
    if (auth->type == JSON_OBJECT) {
        const struct json *own = json_get(auth, SLICE("revocation"));
        if (json_is(own, JSON_STRING) && slice_eq(own->text, SLICE("off"))) {
            return own;
        }
        found = find_off(json_get(auth, SLICE("optional")));
        return found != NULL ? found : find_off(json_get(auth, SLICE("any_of")));
    }
    for (const struct json *item = auth->child; item != NULL && found == NULL; item = item->next) {
        found = find_off(item);
    }
    return found;
}

/* Does the route take requests that change something (RFC 9110 section 9.2.1)? */
static bool may_write(const struct json *route)
{
    const struct json *methods = json_pointer(route, SLICE("/match/methods"));

    if (methods == NULL) {
        return true;
    }
    for (const struct json *item = methods->child; item != NULL; item = item->next) {
        switch (http_method_of(item->text)) {
        case HTTP_GET:
        case HTTP_HEAD:
        case HTTP_OPTIONS:
        case HTTP_TRACE: break;
        case HTTP_OTHER:
        case HTTP_POST:
        case HTTP_PUT:
        case HTTP_DELETE:
        case HTTP_PATCH:
        case HTTP_CONNECT:
        case HTTP_METHODS: return true;
        }
    }
    return false;
}

static void check_route(const struct revocation_settings *settings,
                        const struct option_context *ctx, const struct gw_lint_route *route)
{
    const struct json *auth = json_get(route->json, SLICE("auth"));
    const struct json *off = find_off(auth);

    if (off != NULL) {
        diag_lint(ctx->diag, "revocation-off", off, route->path,
                  "leave it out, or write \"strict\"",
                  "a token that was revoked, by a logout or after a theft, is still good here");
    } else if (settings->on_unavailable == REVOCATION_ALLOW && may_write(route->json)) {
        diag_lint(ctx->diag, "revocation-fail-open-writes", auth, route->path,
                  "write \"on_unavailable\": \"deny\" in \"revocation\"",
                  "while the store is away, a revoked token can still change data here");
    }
}

void revocation_lint(const struct revocation_settings *settings, const struct option_context *ctx,
                     const struct gw_lint_route *routes, size_t count)
{
    for (size_t i = 0; i < count && revocation_is_on(settings); i++) {
        if (jwt_route_has_auth(routes[i].json)) {
            check_route(settings, ctx, &routes[i]);
        }
    }
}
