/* SPDX-License-Identifier: Apache-2.0 */
/* The key "auth" of a route. */
#include "plugins/jwt/jwt_auth.h"

#include <stdlib.h>

#define MAX_ALTERNATIVES 16u

struct alternative_spec {
    struct slice provider;
    const struct json *scopes, *claims;
    int revocation;
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

static const char *const revocation_choices[] = { "filtered", "strict", "off", NULL };

static const struct option alternative_options[] = {
    { .name = "provider",
      .type = OPT_STRING,
      .offset = offsetof(struct alternative_spec, provider),
      .required = true,
      .help = "Who must have issued the token." },
    { .name = "scopes",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct alternative_spec, scopes),
      .parse = keep_json,
      .help = "Scopes that the token must have: a list, all of them; {\"any\": [...]}, one." },
    { .name = "claims",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct alternative_spec, claims),
      .parse = keep_json,
      .help = "Claims by name or JSON Pointer: a value, a list of values or {\"contains\": v}." },
    { .name = "revocation",
      .type = OPT_ENUM,
      .offset = offsetof(struct alternative_spec, revocation),
      .def = "\"filtered\"",
      .choices = revocation_choices,
      .help = "How revoked tokens are found: filtered asks the store about suspects only, strict "
              "about each token." },
    { .name = NULL },
};

static const char *join_path(const struct option_context *ctx, const char *path, const char *name)
{
    const char *joined = arena_printf(ctx->arena, "%s.%s", path, name);
    return joined == NULL ? path : joined;
}

static int compare_names(const void *a_arg, const void *b_arg)
{
    const struct slice *a = a_arg, *b = b_arg;
    size_t len = a->len < b->len ? a->len : b->len;
    int order = len == 0 ? 0 : memcmp(a->ptr, b->ptr, len);

    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

/* "a, b, c"; NULL: none, or no memory. */
static const char *provider_names(const struct option_context *ctx,
                                  const struct provider_list *providers)
{
    struct slice *names = arena_calloc(ctx->arena, providers->count + 1, sizeof(*names));
    const char *list = NULL;

    if (names == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < providers->count; i++) {
        names[i] = providers->items[i]->element.name;
    }
    qsort(names, providers->count, sizeof(*names), compare_names);
    for (size_t i = 0; i < providers->count; i++) {
        list = arena_printf(ctx->arena, "%s%s%.*s", list == NULL ? "" : list, i == 0 ? "" : ", ",
                            SLICE_FMT(names[i]));
    }
    return list;
}

static void unknown_provider(const struct option_context *ctx,
                             const struct provider_list *providers, const struct json *where,
                             const char *path, struct slice name)
{
    const char *list = provider_names(ctx, providers);
    const char *remedy = list == NULL ? "there are none: add it under \"providers\""
                                      : arena_printf(ctx->arena, "there are: %s", list);

    diag_at(ctx->diag, DIAG_ERROR, where, path, remedy, "no provider \"%.*s\"", SLICE_FMT(name));
}

/* False: there is none of this name. */
static bool find_provider(struct jwt_alternative *alternative,
                          const struct provider_list *providers, struct slice name)
{
    for (unsigned i = 0; i < providers->count; i++) {
        if (slice_eq(providers->items[i]->element.name, name)) {
            alternative->provider = providers->items[i];
            alternative->index = i;
            return true;
        }
    }
    return false;
}

/* ---- scopes ---- */

/* scope-token of RFC 6749 section 3.3: it also goes into a quoted string unescaped. */
static bool is_scope(const struct json *value)
{
    if (value->type != JSON_STRING || value->text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < value->text.len; i++) {
        unsigned char c = (unsigned char)value->text.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            return false;
        }
    }
    return true;
}

static void make_challenge(struct jwt_alternative *alternative, const struct option_context *ctx)
{
    struct slice base = jwt_reason_challenge(JWT_SCOPE_INSUFFICIENT);
    const char *list = "";

    for (size_t i = 0; i < alternative->scope_count && list != NULL; i++) {
        list = arena_printf(ctx->arena, "%s%s%.*s", list, i == 0 ? "" : " ",
                            SLICE_FMT(alternative->scopes[i]));
    }
    const char *text =
        list == NULL ? NULL : arena_printf(ctx->arena, "%.*s, scope=\"%s\"", SLICE_FMT(base), list);
    alternative->challenge = text == NULL ? base : slice_str(text);
}

static void read_scopes(struct jwt_alternative *alternative, const struct option_context *ctx,
                        const struct json *value, const char *path)
{
    const struct json *list = value;
    size_t count = 0;

    if (value->type == JSON_OBJECT && value->count == 1) {
        list = json_get(value, SLICE("any"));
        alternative->any_scope = list != NULL;
    }
    if (json_is(list, JSON_ARRAY) && list->count > 0) {
        alternative->scopes = arena_calloc(ctx->arena, list->count, sizeof(struct slice));
        for (const struct json *item = list->child; item != NULL && alternative->scopes != NULL;
             item = item->next) {
            if (is_scope(item)) {
                alternative->scopes[count++] = arena_copy(ctx->arena, item->text);
            }
        }
    }
    if (!json_is(list, JSON_ARRAY) || list->count == 0 || count != list->count) {
        diag_at(ctx->diag, DIAG_ERROR, value, join_path(ctx, path, "scopes"),
                "write [\"orders:read\"], or {\"any\": [\"a\", \"b\"]}",
                "not a list of one scope or more");
        return;
    }
    alternative->scope_count = count;
    make_challenge(alternative, ctx);
}

/* ---- claim rules ---- */

static bool read_value(const struct option_context *ctx, const struct json *from,
                       struct claim_value *ret)
{
    if (from == NULL ||
        (from->type != JSON_STRING && from->type != JSON_NUMBER && from->type != JSON_BOOL)) {
        return false;
    }
    *ret = (struct claim_value){ .type = from->type,
                                 .boolean = from->boolean,
                                 .text = arena_copy(ctx->arena, from->text) };
    return true;
}

static bool read_rule(const struct option_context *ctx, const struct json *from,
                      struct claim_rule *rule)
{
    const struct json *first = from;
    size_t count = 1;

    rule->name = arena_copy(ctx->arena, from->key);
    if (from->type == JSON_OBJECT && from->count == 1) {
        first = json_get(from, SLICE("contains"));
        rule->contains = true;
    } else if (from->type == JSON_ARRAY) {
        first = from->child;
        count = from->count;
    }
    rule->values = arena_calloc(ctx->arena, count > 0 ? count : 1, sizeof(*rule->values));
    rule->value_count = count;
    if (rule->values == NULL || count == 0 || from->key.len == 0) {
        return false;
    }
    for (size_t i = 0; i < count; i++, first = first->next) {
        if (!read_value(ctx, first, &rule->values[i])) {
            return false;
        }
    }
    return true;
}

static void read_rules(struct jwt_alternative *alternative, const struct option_context *ctx,
                       const struct json *value, const char *path)
{
    const char *own_path = join_path(ctx, path, "claims");

    if (value->type != JSON_OBJECT || value->count == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, own_path, "write {\"tenant\": \"acme\"}",
                "not an object of one rule or more");
        return;
    }
    alternative->rules = arena_calloc(ctx->arena, value->count, sizeof(struct claim_rule));
    if (alternative->rules == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, own_path, NULL, "out of memory");
        return;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        if (!read_rule(ctx, item, &alternative->rules[alternative->rule_count])) {
            diag_at(ctx->diag, DIAG_ERROR, item, own_path,
                    "write \"acme\", [\"acme\", \"globex\"] or {\"contains\": \"acme\"}",
                    "the rule for \"%.*s\" is not one that is known", SLICE_FMT(item->key));
            continue;
        }
        alternative->rule_count++;
    }
}

/* ---- alternatives ---- */

static void read_alternative(struct jwt_alternative *alternative,
                             const struct provider_list *providers,
                             const struct option_context *ctx, const struct json *value,
                             const char *path)
{
    struct alternative_spec spec = { 0 };

    if (value->type != JSON_OBJECT) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write {\"provider\": \"name\"}",
                "not an object");
        return;
    }
    options_read(ctx, alternative_options, value, path, NULL, &spec);
    if (slice_is_absent(spec.provider)) {
        return; /* reported */
    }
    if (!find_provider(alternative, providers, spec.provider)) {
        unknown_provider(ctx, providers, json_get(value, SLICE("provider")),
                         join_path(ctx, path, "provider"), spec.provider);
    }
    alternative->revocation = (enum jwt_revocation)spec.revocation;
    if (spec.scopes != NULL) {
        read_scopes(alternative, ctx, spec.scopes, path);
    }
    if (spec.claims != NULL) {
        read_rules(alternative, ctx, spec.claims, path);
    }
}

/* The issuer chooses the provider, so it must tell them apart. */
static void check_issuers(const struct jwt_route *route, const struct option_context *ctx,
                          const struct json *where, const char *path)
{
    for (size_t i = 0; i < route->alternative_count; i++) {
        const struct provider *a = route->alternatives[i].provider;
        for (size_t j = 0; j < i; j++) {
            const struct provider *b = route->alternatives[j].provider;
            if (a != NULL && b != NULL && a != b && slice_eq(a->issuer, b->issuer)) {
                diag_at(ctx->diag, DIAG_ERROR, where, path, "use one of them",
                        "the providers %.*s and %.*s have the same issuer",
                        SLICE_FMT(b->element.name), SLICE_FMT(a->element.name));
            }
        }
    }
}

static void summarise(struct jwt_route *route)
{
    route->single = &route->alternatives[0];
    for (size_t i = 0; i < route->alternative_count; i++) {
        const struct jwt_alternative *one = &route->alternatives[i];
        route->has_rules |= one->scope_count > 0 || one->rule_count > 0;
        if (route->single != NULL && one->provider != route->single->provider) {
            route->single = NULL;
        }
    }
}

static void read_any_of(struct jwt_route *route, const struct provider_list *providers,
                        const struct option_context *ctx, const struct json *list, const char *path)
{
    if (list->type != JSON_ARRAY || list->count == 0 || list->count > MAX_ALTERNATIVES) {
        diag_at(ctx->diag, DIAG_ERROR, list, path, "write [{\"provider\": \"name\"}, ...]",
                "not a list of 1 to 16 alternatives");
        return;
    }
    route->alternatives = arena_calloc(ctx->arena, list->count, sizeof(*route->alternatives));
    for (const struct json *item = list->child; item != NULL && route->alternatives != NULL;
         item = item->next) {
        const char *own = arena_printf(ctx->arena, "%s[%zu]", path, route->alternative_count);
        read_alternative(&route->alternatives[route->alternative_count++], providers, ctx, item,
                         own == NULL ? path : own);
    }
}

int jwt_auth_read(struct jwt_route *route, const struct provider_list *providers,
                  const struct option_context *ctx, const struct json *auth, const char *path)
{
    unsigned before = ctx->diag->errors;
    const struct json *inner = auth;

    if (auth->type == JSON_OBJECT && auth->count == 1 && json_get(auth, SLICE("optional"))) {
        inner = auth->child;
        path = join_path(ctx, path, "optional");
        route->is_optional = true;
    }
    if (inner->type != JSON_OBJECT) {
        diag_at(ctx->diag, DIAG_ERROR, inner, path,
                "write \"none\", {\"provider\": \"name\"}, {\"any_of\": [...]} or "
                "{\"optional\": {...}}",
                "this is not a way to authenticate");
        return ERR_CONFIG;
    }
    const struct json *any_of = json_get(inner, SLICE("any_of"));
    if (any_of != NULL && inner->count == 1) {
        read_any_of(route, providers, ctx, any_of, join_path(ctx, path, "any_of"));
    } else {
        route->alternatives = arena_calloc(ctx->arena, 1, sizeof(*route->alternatives));
        if (route->alternatives != NULL) {
            route->alternative_count = 1;
            read_alternative(route->alternatives, providers, ctx, inner, path);
        }
    }
    if (ctx->diag->errors != before) {
        return ERR_CONFIG;
    }
    if (route->alternatives == NULL) {
        return ERR_NO_MEMORY;
    }
    check_issuers(route, ctx, inner, path);
    summarise(route);
    return ctx->diag->errors == before ? 0 : ERR_CONFIG;
}
