/* SPDX-License-Identifier: Apache-2.0 */
/* The plugin's configuration and its place in the gateway; decide.c decides. */
#include "plugins/jwt/jwt_auth.h"

#include "plugins/jwks/probe.h"
#include "plugins/jwt/decide.h"
#include "plugins/jwt/worker.h"

const char jwt_identity_slot = 0;

struct top {
    struct option_list providers; /* struct provider */
};

/* ---- configuration ---- */

static const struct option top_options[] = {
    { .name = "providers",
      .type = OPT_MAP,
      .offset = offsetof(struct top, providers),
      .sub = provider_options,
      .sub_size = sizeof(struct provider),
      .has_element = true,
      .help = "Who may issue tokens." },
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
    "\"properties\":{\"provider\":{\"type\":\"string\"},"                                          \
    "\"scopes\":{\"anyOf\":[{\"type\":\"array\",\"minItems\":1,"                                   \
    "\"items\":{\"type\":\"string\",\"minLength\":1}},{\"type\":\"object\","                       \
    "\"additionalProperties\":false,\"required\":[\"any\"],"                                       \
    "\"properties\":{\"any\":{\"type\":\"array\",\"minItems\":1,"                                  \
    "\"items\":{\"type\":\"string\",\"minLength\":1}}}}]},"                                        \
    "\"claims\":{\"type\":\"object\",\"minProperties\":1,"                                         \
    "\"additionalProperties\":{\"anyOf\":[{\"type\":[\"string\",\"number\","                       \
    "\"boolean\"]},{\"type\":\"array\",\"minItems\":1,"                                            \
    "\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}},"                                   \
    "{\"type\":\"object\",\"additionalProperties\":false,"                                         \
    "\"required\":[\"contains\"],"                                                                 \
    "\"properties\":{\"contains\":{\"type\":[\"string\",\"number\","                               \
    "\"boolean\"]}}}]}},\"revocation\":{\"enum\":[\"filtered\",\"strict\","                        \
    "\"off\"]}}}"
#define AUTH_SCHEMA                                                                                \
    ALTERNATIVE_SCHEMA                                                                             \
    ",{\"type\":\"object\",\"additionalProperties\":false,"                                        \
    "\"required\":[\"any_of\"],\"properties\":{\"any_of\":{\"type\":\"array\","                    \
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
                "\"required\":[\"optional\"],\"properties\":{\"optional\":{\"anyOf\":[" AUTH_SCHEMA
                "]}}}]}" },
    { .name = "forward_token",
      .type = OPT_BOOL,
      .offset = offsetof(struct jwt_route, forward_token),
      .def = "false",
      .help = "Hand the token on to the upstream." },
    { .name = NULL },
};

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct top *top = top_arg;
    struct provider *providers = top->providers.items;
    int err = 0;

    for (size_t i = 0; i < top->providers.count; i++) {
        providers[i].index = (unsigned)i;
        int one = provider_init(&providers[i], ctx);
        err = one < 0 ? one : err;
    }
    return err;
}

static void top_done(void *top_arg)
{
    struct top *top = top_arg;
    struct provider *providers = top->providers.items;

    for (size_t i = 0; i < top->providers.count; i++) {
        provider_done(&providers[i]);
    }
}

const struct option_list *jwt_providers(const void *top_arg)
{
    const struct top *top = top_arg;

    return &top->providers;
}

/* Providers are read in the order of the text, which is the same. */
static bool top_is_same(const void *old_arg, const void *top_arg)
{
    const struct top *old = old_arg;
    const struct top *top = top_arg;
    const struct provider *before = old->providers.items;
    const struct provider *now = top->providers.items;

    if (old->providers.count != top->providers.count) {
        return false;
    }
    for (size_t i = 0; i < top->providers.count; i++) {
        if (!slice_eq(before[i].element.name, now[i].element.name) ||
            !provider_has_same_keys(&before[i], &now[i])) {
            return false;
        }
    }
    return true;
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
    const struct top *top = top_arg;

    jwt_lint(&top->providers, ctx, routes, count);
}

/* ---- keys of the issuers ---- */

static int process_init(struct gw_process *process, const void *top_arg, void **ret_state)
{
    const struct top *top = top_arg;
    struct remote_process *remote;
    int err = remote_process_new(process, top->providers.items, top->providers.count,
                                 jwt_worker_remote, &remote);

    *ret_state = remote;
    return err;
}

static void process_done(void *state)
{
    remote_process_free(state);
}

static void probe(const void *top_arg, gw_probe_fn *say, void *arg)
{
    const struct top *top = top_arg;
    const struct provider *providers = top->providers.items;

    for (size_t i = 0; i < top->providers.count; i++) {
        if (providers[i].has_jwks) {
            jwks_probe(&providers[i].jwks, providers[i].element.name, providers[i].issuer, say,
                       arg);
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
    .worker_init = jwt_worker_init,
    .worker_done = jwt_worker_done,
    .state_size = sizeof(struct jwt_state),
    .on_request = jwt_on_request,
    .on_end = jwt_on_end,
    .probe = probe,
    .process_init = process_init,
    .process_done = process_done,
    .lint = lint,
};
