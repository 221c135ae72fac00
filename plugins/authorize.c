/* SPDX-License-Identifier: Apache-2.0 */
/* May the caller use this route?  Scopes and claim rules of the alternative that was chosen by the
 * token's provider. Who the caller is was found out by jwt. */
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

static bool word_is_in(struct slice list, struct slice word)
{
    while (list.len > 0) {
        const char *blank = memchr(list.ptr, ' ', list.len);
        size_t len = blank == NULL ? list.len : (size_t)(blank - list.ptr);
        if (slice_eq(slice_of(list.ptr, len), word)) {
            return true;
        }
        list = slice_skip(list, blank == NULL ? len : len + 1);
    }
    return false;
}

/* The claim `scope` or `scp`: words in a string (RFC 8693 section 4.2), or an array. */
static bool has_scope(const struct json *claim, struct slice scope)
{
    if (json_is(claim, JSON_STRING)) {
        return word_is_in(claim->text, scope);
    }
    if (!json_is(claim, JSON_ARRAY)) {
        return false;
    }
    for (const struct json *item = claim->child; item != NULL; item = item->next) {
        if (item->type == JSON_STRING && slice_eq(item->text, scope)) {
            return true;
        }
    }
    return false;
}

static bool scopes_suffice(const struct jwt_alternative *alternative, const struct json *claims)
{
    const struct json *claim = json_get(claims, SLICE("scope"));
    size_t found = 0;

    if (claim == NULL) {
        claim = json_get(claims, SLICE("scp"));
    }
    for (size_t i = 0; i < alternative->scope_count; i++) {
        found += has_scope(claim, alternative->scopes[i]);
    }
    return alternative->any_scope ? found > 0 : found == alternative->scope_count;
}

static bool value_equals(const struct json *claim, const struct claim_value *value)
{
    if (claim->type != value->type) {
        return false;
    }
    return value->type == JSON_BOOL ? claim->boolean == value->boolean
                                    : slice_eq(claim->text, value->text);
}

static bool value_is_one_of(const struct json *claim, const struct claim_rule *rule)
{
    for (size_t i = 0; i < rule->value_count; i++) {
        if (value_equals(claim, &rule->values[i])) {
            return true;
        }
    }
    return false;
}

static bool rule_holds(const struct claim_rule *rule, const struct json *claims)
{
    const struct json *claim = claims_find(claims, rule->name);

    if (claim == NULL) {
        return false;
    }
    if (!rule->contains) {
        return value_is_one_of(claim, rule);
    }
    if (claim->type != JSON_ARRAY) {
        return false;
    }
    for (const struct json *item = claim->child; item != NULL; item = item->next) {
        if (value_is_one_of(item, rule)) {
            return true;
        }
    }
    return false;
}

static enum jwt_reason check_alternative(const struct jwt_alternative *alternative,
                                         const struct json *claims)
{
    if (alternative->scope_count > 0 && !scopes_suffice(alternative, claims)) {
        return JWT_SCOPE_INSUFFICIENT;
    }
    for (size_t i = 0; i < alternative->rule_count; i++) {
        if (!rule_holds(&alternative->rules[i], claims)) {
            return JWT_CLAIM_MISMATCH;
        }
    }
    return JWT_OK;
}

/* Any alternative of the token's provider will do; else the first one's reason counts. */
static void authorize_token(struct token *token, const struct jwt_route *route)
{
    const struct jwt_alternative *failed = NULL;
    enum jwt_reason reason = JWT_CLAIM_MISMATCH;

    for (size_t i = 0; i < route->alternative_count; i++) {
        const struct jwt_alternative *one = &route->alternatives[i];
        if (one->provider != token->provider) {
            continue;
        }
        enum jwt_reason own = check_alternative(one, token->claims);
        if (own == JWT_OK) {
            failed = one;
            reason = JWT_OK;
            break;
        }
        if (failed == NULL) {
            failed = one;
            reason = own;
        }
    }
    token->authorized.route = route->number;
    token->authorized.alternative = failed;
    token->authorized.reason = reason;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct jwt_identity *identity = gw_slot_get(call->req, &jwt_identity_slot);

    if (identity == NULL) {
        return GW_FAIL; /* jwt did not run: nobody vouches for the caller */
    }
    struct token *token = identity->token;
    if (token == NULL || !identity->route->has_rules) {
        return GW_NEXT;
    }
    if (token->authorized.route != identity->route->number) {
        authorize_token(token, identity->route);
    }
    enum jwt_reason reason = token->authorized.reason;
    if (reason == JWT_OK) {
        return GW_NEXT;
    }
    const struct jwt_alternative *alternative = token->authorized.alternative;
    bool is_scope = reason == JWT_SCOPE_INSUFFICIENT && alternative != NULL;
    return jwt_refuse(call, reason, is_scope ? alternative->challenge : SLICE_ABSENT);
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    return jwt_route_has_auth(route) ? 0 : GW_NOT_ON_ROUTE;
}

const struct gw_plugin authorize_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "authorize",
    .config_init = config_init,
    .on_request = on_request,
};
