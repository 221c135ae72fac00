/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's configuration and its place in the gateway; decide.c decides. */
#include "plugins/jwt/jwt_auth.h"

#include "plugins/issuer/issuer.h"
#include "plugins/jwks/probe.h"
#include "plugins/jwt/decide.h"
#include "plugins/jwt/worker.h"

#include <stdlib.h>

const char jwt_identity_slot = 0;

struct top {
    struct option_list specs; /* struct provider, as read */
    struct provider_list providers;
};

/* ---- configuration ---- */

static const struct option top_options[] = {
    { .name = "providers",
      .type = OPT_MAP,
      .offset = offsetof(struct top, specs),
      .sub = provider_options,
      .sub_size = sizeof(struct provider),
      .has_element = true,
      .help = "Who may issue tokens.",
      .schema = "{\"anyOf\":[{\"required\":[\"keys\"]},{\"required\":[\"jwks\"]}]}" },
    { .name = NULL },
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

#define ALTERNATIVE_SCHEMA                                                                         \
    "{\"type\":\"object\",\"additionalProperties\":false,"                                         \
    "\"required\":[\"provider\"],"                                                                 \
    "\"properties\":{\"provider\":{\"description\":\"Whose tokens pass.\",\"type\":\"string\"},"   \
    "\"scopes\":{\"description\":\"Scopes that are all needed, or of which any one "               \
    "is.\",\"anyOf\":[{\"type\":\"array\",\"minItems\":1,"                                         \
    "\"items\":{\"type\":\"string\",\"minLength\":1}},{\"type\":\"object\","                       \
    "\"additionalProperties\":false,\"required\":[\"any\"],"                                       \
    "\"properties\":{\"any\":{\"description\":\"Scopes of which one is "                           \
    "enough.\",\"type\":\"array\",\"minItems\":1,"                                                 \
    "\"items\":{\"type\":\"string\",\"minLength\":1}}}}]},"                                        \
    "\"claims\":{\"description\":\"Claims, by name or JSON Pointer, and the values that they "     \
    "must have.\",\"type\":\"object\",\"minProperties\":1,"                                        \
    "\"additionalProperties\":{\"anyOf\":[{\"type\":[\"string\",\"number\","                       \
    "\"boolean\"]},{\"type\":\"array\",\"minItems\":1,"                                            \
    "\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}},"                                   \
    "{\"type\":\"object\",\"additionalProperties\":false,"                                         \
    "\"required\":[\"contains\"],"                                                                 \
    "\"properties\":{\"contains\":{\"description\":\"A member of the array that the claim "        \
    "is.\",\"type\":[\"string\",\"number\","                                                       \
    "\"boolean\"]}}}]}},\"revocation\":{\"description\":\"Ask about suspects only, about each "    \
    "token, or never.\",\"enum\":[\"filtered\",\"strict\","                                        \
    "\"off\"]}}}"
#define AUTH_SCHEMA                                                                                \
    ALTERNATIVE_SCHEMA                                                                             \
    ",{\"type\":\"object\",\"additionalProperties\":false,"                                        \
    "\"required\":[\"any_of\"],\"properties\":{\"any_of\":{\"description\":\"Alternatives, each "  \
    "with its provider.\",\"type\":\"array\","                                                     \
    "\"minItems\":1,\"maxItems\":16,\"items\":" ALTERNATIVE_SCHEMA "}}}"

static const struct option route_options[] = {
    { .name = "auth",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct jwt_route, auth_json),
      .parse = keep_json,
      .help = "Who may pass: \"none\" (everybody), {provider, scopes, claims}, {any_of} or "
              "{optional}.",
      .schema = "{\"anyOf\":[{\"const\":\"none\"}," AUTH_SCHEMA
                ",{\"type\":\"object\",\"additionalProperties\":false,"
                "\"required\":[\"optional\"],\"properties\":{\"optional\":{\"description\":\"Pass "
                "without a token too; a bad one is refused.\",\"anyOf\":[" AUTH_SCHEMA "]}}}]}" },
    { .name = "forward_token",
      .type = OPT_BOOL,
      .offset = offsetof(struct jwt_route, forward_token),
      .def = "false",
      .help = "Hand the token on to the upstream." },
    { .name = NULL },
};

/* A secret that signs is known to nobody else: whoever verifies with it could sign, too. */
static int check_issuer(const struct top *top, const struct option_context *ctx)
{
    const struct issuer *issuer = issuer_of(ctx);
    if (issuer == NULL || issuer->keys == NULL || !signing_keys_have_secret(issuer->keys)) {
        return 0;
    }
    for (size_t i = 0; i < top->providers.count; i++) {
        if (top->providers.items[i]->has_own_keys) {
            return 0;
        }
    }
    diag_at(
        ctx->diag, DIAG_ERROR, issuer->where, "token_issuer.access_token.algorithm",
        "use RS256; or write \"keys\": [{\"token_issuer\": true}] in a provider with its issuer",
        "HS* tokens are for this gateway alone, and no provider verifies them");
    return ERR_CONFIG;
}

static bool is_same_text(struct slice a, struct slice b)
{
    return slice_is_absent(a) == slice_is_absent(b) && slice_eq(a, b);
}

/* Who revokes a token knows its issuer only. */
static int check_namespaces(const struct top *top, const struct option_context *ctx)
{
    struct provider *const *items = top->providers.items;

    for (size_t i = 0; i < top->providers.count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (slice_eq(items[i]->issuer, items[k]->issuer) &&
                !is_same_text(items[i]->revocation_namespace, items[k]->revocation_namespace)) {
                diag_at(ctx->diag, DIAG_ERROR, items[i]->element.where,
                        provider_path(items[i], ctx, "revocation_namespace"),
                        "write the same in both",
                        "another provider of this issuer has another namespace");
                return ERR_CONFIG;
            }
        }
    }
    return 0;
}

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct top *top = top_arg;
    const struct provider *specs = top->specs.items;
    unsigned before = ctx->diag->errors;

    top->providers.items = calloc(top->specs.count + 1, sizeof(struct provider *));
    if (top->providers.items == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < top->specs.count; i++) {
        struct provider *provider = provider_new(&specs[i], ctx);

        if (provider == NULL) {
            return ERR_NO_MEMORY;
        }
        top->providers.items[top->providers.count++] = provider;
    }
    if (ctx->diag->errors != before) {
        return ERR_CONFIG;
    }
    int err = check_namespaces(top, ctx);
    return err < 0 ? err : check_issuer(top, ctx);
}

static void top_done(void *top_arg)
{
    struct top *top = top_arg;

    for (size_t i = 0; i < top->providers.count; i++) {
        provider_unref(top->providers.items[i]);
    }
    free(top->providers.items);
    top->providers = (struct provider_list){ .items = NULL };
}

const struct provider_list *jwt_providers(const void *top_arg)
{
    const struct top *top = top_arg;

    return &top->providers;
}

/* Providers are read in the order of the text, which is the same. */
static bool top_is_same(const void *old_arg, const void *top_arg)
{
    const struct provider_list *old = jwt_providers(old_arg);
    const struct provider_list *list = jwt_providers(top_arg);

    if (old->count != list->count) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (!provider_is_same(old->items[i], list->items[i])) {
            return false;
        }
    }
    return true;
}

static void top_adopt(void *top_arg, const void *old_arg)
{
    const struct provider_list *old = jwt_providers(old_arg);
    struct top *top = top_arg;

    for (size_t i = 0; i < top->providers.count; i++) {
        struct provider **one = &top->providers.items[i];

        for (size_t k = 0; k < old->count; k++) {
            if (provider_is_same(old->items[k], *one)) {
                provider_unref(*one);
                *one = provider_ref(old->items[k]);
                break;
            }
        }
    }
}

uint64_t jwt_number(void)
{
    static _Atomic uint64_t last;

    return ++last;
}

bool jwt_route_has_auth(const struct json *route)
{
    return route != NULL && json_is(json_get(route, SLICE("auth")), JSON_OBJECT);
}

static int config_init(void *config, void *top_arg, const struct option_context *ctx,
                       const struct json *route_json, const char *path)
{
    struct jwt_route *route = config;
    struct top *top = top_arg;

    if (route_json == NULL) {
        return GW_NOT_ON_ROUTE;
    }
    if (route->auth_json == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, route_json, path,
                "write \"auth\": \"none\" to make the route public", "\"auth\" is missing");
        return ERR_CONFIG;
    }
    const struct json *auth = route->auth_json;
    route->auth_json = NULL;
    route->number = jwt_number();
    if (auth->type == JSON_STRING && slice_eq(auth->text, SLICE("none"))) {
        return GW_NOT_ON_ROUTE;
    }
    const char *auth_path = arena_printf(ctx->arena, "%s.auth", path);
    return jwt_auth_read(route, &top->providers, ctx, auth, auth_path == NULL ? path : auth_path);
}

static void lint(const void *top_arg, const struct option_context *ctx,
                 const struct gw_lint_route *routes, size_t count)
{
    jwt_lint(jwt_providers(top_arg), ctx, routes, count);
}

/* ---- keys of the issuers ---- */

static int process_init(struct gw_process *process, const void *top, void **ret_state)
{
    struct remote_process *remote;
    int err = remote_process_new(process, jwt_providers(top), jwt_worker_remote, &remote);

    *ret_state = remote;
    return err;
}

static void process_done(void *state)
{
    remote_process_free(state);
}

static enum gw_folder_use uses_folder(const void *top, enum gw_folder folder)
{
    const struct provider_list *providers = jwt_providers(top);

    for (size_t i = 0; i < providers->count; i++) {
        if (folder == GW_CACHE_DIR && providers->items[i]->has_jwks) {
            return GW_FOLDER_WISHED;
        }
    }
    return GW_FOLDER_UNUSED;
}

static void probe(const void *top, gw_probe_fn *say, void *arg)
{
    const struct provider_list *providers = jwt_providers(top);

    for (size_t i = 0; i < providers->count; i++) {
        const struct provider *provider = providers->items[i];

        if (provider->has_jwks) {
            jwks_probe(&provider->jwks, provider->element.name, provider->issuer, say, arg);
        }
    }
}

const struct gw_plugin jwt_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "jwt",
    .top_options = top_options,
    .top_size = sizeof(struct top),
    .route_options = route_options,
    .config_size = sizeof(struct jwt_route),
    .top_init = top_init,
    .config_init = config_init,
    .top_done = top_done,
    .top_is_same = top_is_same,
    .top_adopt = top_adopt,
    .worker_init = jwt_worker_init,
    .worker_done = jwt_worker_done,
    .state_size = sizeof(struct jwt_state),
    .on_request = jwt_on_request,
    .on_end = jwt_on_end,
    .probe = probe,
    .process_init = process_init,
    .process_done = process_done,
    .lint = lint,
    .uses_folder = uses_folder,
};
