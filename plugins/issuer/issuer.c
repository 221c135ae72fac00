/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/issuer.h"

struct top {
    struct issuer issuer;
};

static const char *const algorithms[] = {
#define X(name, family, key, digest, bytes) #name,
    JWA_TABLE(X)
#undef X
        NULL,
};

/* ---- configuration ---- */

#define AT(field)           offsetof(struct issuer, field)
#define INNER(group, field) (offsetof(struct issuer, group.field) - offsetof(struct issuer, group))

static void check_path(const struct option_context *ctx, const struct json *value, const char *path,
                       void *field)
{
    const struct slice *text = field;

    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->ptr[i];

        if ((i == 0 && c != '/') || c <= ' ' || c >= 0x7f || strchr("?#%\"\\", c) != NULL) {
            diag_at(ctx->diag, DIAG_ERROR, value, path, "write a path like \"/oauth2/token\"",
                    "this is not a plain path");
            return;
        }
    }
}

static const struct option access_token_options[] = {
    { .name = "algorithm",
      .type = OPT_ENUM,
      .offset = INNER(access_token, algorithm),
      .def = "\"RS256\"",
      .choices = algorithms,
      .help = "Signature of listed keys, and of those that `jwtgate keys rotate` makes.  HS* only "
              "where this gateway also verifies." },
    { .name = "ttl",
      .type = OPT_DURATION,
      .offset = INNER(access_token, ttl_ms),
      .def = "\"15m\"",
      .min = 1000,
      .max = 86400000,
      .help = "How long a token is valid." },
    { .name = NULL },
};

static const struct option path_options[] = {
    { .name = "token",
      .type = OPT_STRING,
      .offset = INNER(paths, token),
      .def = "\"/oauth2/token\"",
      .min = 1,
      .max = 255,
      .parse = check_path,
      .help = "The token endpoint (RFC 6749)." },
    { .name = "revoke",
      .type = OPT_STRING,
      .offset = INNER(paths, revoke),
      .def = "\"/oauth2/revoke\"",
      .min = 1,
      .max = 255,
      .parse = check_path,
      .help = "The revocation endpoint (RFC 7009)." },
    { .name = "introspect",
      .type = OPT_STRING,
      .offset = INNER(paths, introspect),
      .def = "\"/oauth2/introspect\"",
      .min = 1,
      .max = 255,
      .parse = check_path,
      .help = "The introspection endpoint (RFC 7662)." },
    { .name = "jwks",
      .type = OPT_STRING,
      .offset = INNER(paths, jwks),
      .def = "\"/.well-known/jwks.json\"",
      .min = 1,
      .max = 255,
      .parse = check_path,
      .help = "The public keys (RFC 7517)." },
    { .name = NULL },
};

static const struct option issuer_options[] = {
    { .name = "issuer",
      .type = OPT_STRING,
      .offset = AT(issuer),
      .required = true,
      .def = "\"https://api.example.com\"",
      .min = 1,
      .max = 512,
      .help = "The claim iss, and the address that metadata is found under." },
    { .name = "listener",
      .type = OPT_STRING,
      .offset = AT(listener),
      .help = "Where the endpoints answer; by default on every public listener." },
    { .name = "access_token",
      .type = OPT_OBJECT,
      .offset = AT(access_token),
      .def = "{}",
      .sub = access_token_options,
      .help = "What is issued." },
    { .name = "signing_keys",
      .type = OPT_LIST,
      .offset = AT(signing_keys),
      .max = SIGNING_MAX_KEYS,
      .sub = signing_spec_options,
      .sub_size = sizeof(struct signing_spec),
      .has_element = true,
      .help = "The keys, moved from use to use by hand." },
    { .name = "signing_keys_file",
      .type = OPT_PATH,
      .offset = AT(signing_keys_file),
      .help = "In place of signing_keys: the file in which `jwtgate keys rotate` keeps them." },
    { .name = "clients_file",
      .type = OPT_PATH,
      .offset = AT(clients_file),
      .help = "Who may ask for tokens (`jwtgate client`); without it nobody may." },
    { .name = "client_failures",
      .type = OPT_OBJECT,
      .offset = AT(client_failures),
      .def = "{}",
      .sub = client_auth_option_table,
      .help = "How often clients may fail to authenticate." },
    { .name = "jwks_max_age",
      .type = OPT_DURATION,
      .offset = AT(jwks_max_age_ms),
      .def = "\"1h\"",
      .min = 1000,
      .max = 86400000,
      .help = "How long others may keep the published keys." },
    { .name = "rotation_slack",
      .type = OPT_DURATION,
      .offset = AT(rotation_slack_ms),
      .def = "\"1m\"",
      .min = 0,
      .max = 86400000,
      .help = "Added to the waits of a rotation: for reloads of all gateways, and clocks that "
              "differ." },
    { .name = "paths",
      .type = OPT_OBJECT,
      .offset = AT(paths),
      .def = "{}",
      .sub = path_options,
      .help = "Where the endpoints are." },
    { .name = NULL },
};

static void keep_place(const struct option_context *ctx, const struct json *value, const char *path,
                       void *field)
{
    ((struct issuer *)field)->where = value;
}

static const struct option top_options[] = {
    { .name = "token_issuer",
      .type = OPT_OBJECT,
      .offset = offsetof(struct top, issuer),
      .sub = issuer_options,
      .parse = keep_place,
      .help = "Issue tokens and publish the keys that verify them." },
    { .name = NULL },
};

const struct issuer *issuer_of_top(const void *top_arg)
{
    const struct top *top = top_arg;

    return top == NULL || slice_is_absent(top->issuer.issuer) ? NULL : &top->issuer;
}

const struct issuer *issuer_of(const struct option_context *ctx)
{
    return issuer_of_top(gw_top(ctx, &issuer_plugin));
}

struct key_ring_waits issuer_waits(const struct issuer *issuer)
{
    int64_t slack = (int64_t)(issuer->rotation_slack_ms + 999) / 1000;

    return (struct key_ring_waits){
        .published = (int64_t)(issuer->jwks_max_age_ms + 999) / 1000 + slack,
        .retired = (int64_t)(issuer->access_token.ttl_ms + 999) / 1000 + slack,
    };
}

static int load_keys(struct issuer *issuer, const struct option_context *ctx)
{
    const struct signing_settings settings = {
        .list = issuer->signing_keys,
        .ring_file = issuer->signing_keys_file,
        .where = issuer->where,
    };

    if ((issuer->signing_keys.count > 0) == (issuer->signing_keys_file != NULL)) {
        diag_at(ctx->diag, DIAG_ERROR, issuer->where, "token_issuer",
                "write \"signing_keys\": [{\"key_file\": ...}] or \"signing_keys_file\"",
                "it has neither or both of \"signing_keys\" and \"signing_keys_file\"");
        return ERR_CONFIG;
    }
    int err = signing_keys_load(&settings, jwa_by_id((enum jwa_id)issuer->access_token.algorithm),
                                ctx, &issuer->keys);
    if (err == 0 && issuer->keys->active == NULL) {
        diag_at(ctx->diag, DIAG_WARNING, issuer->where, "token_issuer.signing_keys",
                "write \"use\": \"sign\" in one of them", "no key signs: no token is issued");
    }
    return err;
}

/* Each answers under a path of its own. */
static int check_paths(const struct issuer *issuer, const struct option_context *ctx)
{
    const struct slice paths[] = { issuer->paths.token, issuer->paths.revoke,
                                   issuer->paths.introspect, issuer->paths.jwks };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        for (size_t k = 0; k < i; k++) {
            if (slice_eq(paths[i], paths[k])) {
                diag_at(ctx->diag, DIAG_ERROR, json_get(issuer->where, SLICE("paths")),
                        "token_issuer.paths", "give each a path of its own",
                        "two endpoints have the path %.*s", SLICE_FMT(paths[i]));
                return ERR_CONFIG;
            }
        }
    }
    return 0;
}

static int load_clients(struct issuer *issuer, const struct option_context *ctx)
{
    if (issuer->clients_file == NULL) {
        return 0;
    }
    issuer->guard = client_guard_new(&issuer->client_failures);
    if (issuer->guard == NULL) {
        return ERR_NO_MEMORY;
    }
    return clients_read(issuer->clients_file, ctx, json_get(issuer->where, SLICE("clients_file")),
                        "token_issuer.clients_file", &issuer->clients);
}

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct issuer *issuer = &((struct top *)top_arg)->issuer;

    if (slice_is_absent(issuer->issuer)) {
        return 0;
    }
    int err = load_keys(issuer, ctx);

    if (err == 0) {
        err = check_paths(issuer, ctx);
    }
    if (err == 0) {
        err = load_clients(issuer, ctx);
    }
    return err < 0 ? err : issuer_publish(issuer, ctx);
}

static void top_done(void *top_arg)
{
    struct issuer *issuer = &((struct top *)top_arg)->issuer;

    issuer_publish_done(issuer);
    clients_free(issuer->clients);
    issuer->clients = NULL;
    client_guard_unref(issuer->guard);
    issuer->guard = NULL;
    signing_keys_unref(issuer->keys);
    issuer->keys = NULL;
}

static bool top_is_same(const void *old_arg, const void *top_arg)
{
    const struct issuer *old = issuer_of_top(old_arg), *issuer = issuer_of_top(top_arg);

    if (old == NULL || issuer == NULL) {
        return old == issuer;
    }
    return signing_keys_are_same(old->keys, issuer->keys) &&
           (old->clients == NULL || clients_are_same(old->clients, issuer->clients));
}

/* ---- requests ---- */

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    return GW_NOT_ON_ROUTE; /* it has endpoints of its own */
}

static const struct gw_endpoint *endpoints(const void *top_arg, size_t *ret_count)
{
    const struct issuer *issuer = issuer_of_top(top_arg);

    *ret_count = issuer == NULL ? 0 : issuer->document_count;
    return issuer == NULL ? NULL : issuer->endpoints;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    return issuer_answer(call, issuer_of_top(call->top));
}

const struct gw_plugin issuer_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "token_issuer",
    .top_options = top_options,
    .top_size = sizeof(struct top),
    .top_init = top_init,
    .top_done = top_done,
    .top_is_same = top_is_same,
    .config_init = config_init,
    .endpoints = endpoints,
    .on_request = on_request,
};
