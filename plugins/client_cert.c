/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the upstream which certificate the client has shown: it was verified in the handshake.  Without
 * one the headers are absent. */
#include "plugins/builtin.h"
#include "plugins/identity_header.h"

struct fact {
    struct slice key;
    enum gw_attr attr;
};

static const struct fact facts[] = {
    { { "subject", 7 }, GW_ATTR_CERT_SUBJECT },
    { { "thumbprint", 10 }, GW_ATTR_CERT_THUMBPRINT },
};
#define FACTS (sizeof(facts) / sizeof(facts[0]))

struct cert_route {
    const struct json *json;     /* only while the configuration is read */
    struct slice headers[FACTS]; /* lower case; absent: not wanted */
};

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

static const struct option route_options[] = {
    { .name = "client_cert_to_headers",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct cert_route, json),
      .parse = keep_json,
      .help = "\"subject\" and \"thumbprint\" of the client's certificate, and the headers that "
              "carry them to the upstream.",
      .schema = "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":"
                "{\"subject\":{\"description\":\"Header for the name in the "
                "certificate.\",\"type\":\"string\"},\"thumbprint\":{\"description\":\"Header for "
                "its SHA-256 (RFC 8705).\",\"type\":\"string\"}}}" },
    { .name = NULL },
};

static bool is_in(const struct json *map, const struct json *member)
{
    for (const struct json *other = json_is(map, JSON_OBJECT) ? map->child : NULL; other != NULL;
         other = other->next) {
        if (other != member && json_is(other, JSON_STRING) &&
            identity_header_is_same(other->text, member->text)) {
            return true;
        }
    }
    return false;
}

/* The header is used for something else on this route. */
static bool is_taken(const struct json *route, const struct json *member)
{
    for (size_t i = 0; i < sizeof(identity_header_keys) / sizeof(identity_header_keys[0]); i++) {
        if (is_in(json_get(route, identity_header_keys[i]), member)) {
            return true;
        }
    }
    return false;
}

static struct slice *header_of(struct cert_route *route, struct slice key)
{
    for (size_t i = 0; i < FACTS; i++) {
        if (slice_eq(facts[i].key, key)) {
            return &route->headers[i];
        }
    }
    return NULL;
}

static int add_header(struct cert_route *route, const struct option_context *ctx,
                      const struct json *route_json, const struct json *member, const char *path)
{
    struct slice *header = header_of(route, member->key);
    const char *fault = header == NULL ? "the facts are \"subject\" and \"thumbprint\""
                                       : identity_header_fault(member);

    if (fault == NULL && is_taken(route_json, member)) {
        fault = "two facts for one header";
    }
    if (fault != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, member, path, "write {\"subject\": \"X-Client-Cert\"}", "%s",
                fault);
        return ERR_CONFIG;
    }
    *header = identity_header_lower(ctx->arena, member->text);
    return slice_is_absent(*header) ? ERR_NO_MEMORY : 0;
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route_json, const char *path)
{
    struct cert_route *route = config;
    const struct json *map = route->json;
    int err = 0;

    route->json = NULL;
    if (map == NULL || route_json == NULL) {
        return GW_NOT_ON_ROUTE;
    }
    path = options_join(ctx, path, SLICE("client_cert_to_headers"));
    if (!options_expect(ctx, map, JSON_OBJECT, path, "write {\"subject\": \"X-Client-Cert\"}")) {
        return ERR_CONFIG;
    }
    for (const struct json *member = map->child; member != NULL; member = member->next) {
        int one = add_header(route, ctx, route_json, member, path);

        err = one < 0 ? one : err;
    }
    return err;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct cert_route *route = call->config;

    for (size_t i = 0; i < FACTS; i++) {
        struct slice value = gw_attr_get(call->req, facts[i].attr);

        if (!slice_is_absent(route->headers[i]) && !slice_is_absent(value) &&
            gw_header_set(call->req, route->headers[i], value) < 0) {
            return GW_FAIL;
        }
    }
    return GW_NEXT;
}

const struct gw_plugin client_cert_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "client_cert",
    .route_options = route_options,
    .config_size = sizeof(struct cert_route),
    .config_init = config_init,
    .on_request = on_request,
};
