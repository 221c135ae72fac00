/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the upstream who the caller is: sets the headers of this route from the verified claims. */
#include "plugins/builtin.h"
#include "plugins/identity_header.h"
#include "plugins/jwt/jwt_auth.h"

#include <stdlib.h>

#define MAX_VALUE_BYTES 1024u

struct mapping {
    struct slice claim;  /* a pointer when it starts with "/" */
    struct slice header; /* lower case */
};

struct identity_route {
    uint64_t number;
    const struct json *json; /* only while the configuration is read */
    struct mapping *mappings;
    size_t count;
};

/* ---- configuration ---- */

static void keep_json(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    memcpy(field, &value, sizeof(value));
}

static const struct option route_options[] = {
    { .name = "claims_to_headers",
      .type = OPT_CUSTOM,
      .offset = offsetof(struct identity_route, json),
      .parse = keep_json,
      .help = "Claims, by name or JSON Pointer, and the headers that carry them to the upstream.",
      .schema = "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}" },
    { .name = NULL },
};

static int add_mapping(struct identity_route *route, const struct option_context *ctx,
                       const struct json *value, const char *path)
{
    const char *fault = identity_header_fault(value);

    for (size_t i = 0; fault == NULL && i < route->count; i++) {
        if (identity_header_is_same(route->mappings[i].header, value->text)) {
            fault = "two claims for one header";
        }
    }
    if (fault != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write {\"sub\": \"X-User-Id\"}", "%s", fault);
        return ERR_CONFIG;
    }
    struct mapping *mapping = &route->mappings[route->count++];
    mapping->claim = arena_copy(ctx->arena, value->key);
    mapping->header = identity_header_lower(ctx->arena, value->text);
    return 0;
}

static int identity_config_init(void *config, void *top, const struct option_context *ctx,
                                const struct json *route_json, const char *path)
{
    struct identity_route *route = config;
    const struct json *map = route->json;
    int err = 0;

    route->json = NULL;
    route->number = jwt_number();
    if (map == NULL || route_json == NULL) {
        return GW_NOT_ON_ROUTE;
    }
    const char *own_path = arena_printf(ctx->arena, "%s.claims_to_headers", path);
    if (own_path == NULL) {
        return ERR_NO_MEMORY;
    }
    if (map->type != JSON_OBJECT || !jwt_route_has_auth(route_json)) {
        bool is_object = map->type == JSON_OBJECT;
        diag_at(ctx->diag, DIAG_ERROR, map, own_path,
                is_object ? "remove it, or add \"auth\"" : "write {\"sub\": \"X-User-Id\"}",
                is_object ? "a route without auth has no claims" : "not an object");
        return ERR_CONFIG;
    }
    route->mappings = arena_calloc(ctx->arena, map->count + 1, sizeof(*route->mappings));
    if (route->mappings == NULL) {
        return ERR_NO_MEMORY;
    }
    for (const struct json *value = map->child; value != NULL; value = value->next) {
        int one = add_mapping(route, ctx, value, own_path);
        err = one < 0 ? one : err;
    }
    return err;
}

/* ---- requests ---- */

/* Blanks at its ends would be lost on the way: " alice" is not "alice". */
static bool is_plain_text(struct slice text)
{
    if (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c >= 0x7f) {
            return false;
        }
    }
    return text.len <= MAX_VALUE_BYTES;
}

/* The members joined by ","; a member with a comma could pass for two. */
static bool join_array(const struct json *array, char **at, struct slice *ret)
{
    char *start = *at;
    size_t len = 0;

    for (const struct json *item = array->child; item != NULL; item = item->next) {
        if (item->type != JSON_STRING || !is_plain_text(item->text) ||
            memchr(item->text.ptr, ',', item->text.len) != NULL ||
            len + item->text.len + 1 > MAX_VALUE_BYTES + 1) {
            return false;
        }
        if (len > 0) {
            start[len++] = ',';
        }
        memcpy(start + len, item->text.ptr, item->text.len);
        len += item->text.len;
    }
    *at = start + len;
    *ret = slice_of(start, len);
    return len <= MAX_VALUE_BYTES;
}

static bool header_value(const struct json *claim, char **at, struct slice *ret)
{
    switch (claim->type) {
    case JSON_BOOL: *ret = claim->boolean ? SLICE("true") : SLICE("false"); return true;
    case JSON_NUMBER:
    case JSON_STRING: *ret = claim->text; return is_plain_text(claim->text);
    case JSON_ARRAY: return join_array(claim, at, ret);
    case JSON_NULL:
    case JSON_OBJECT: return false;
    }
    return false;
}

/* Room that the joined arrays of a route need. */
static size_t joined_bytes(const struct token *token, const struct identity_route *route)
{
    size_t bytes = 0;

    for (size_t i = 0; i < route->count; i++) {
        const struct json *claim = claims_find(token->claims, route->mappings[i].claim);
        bytes += json_is(claim, JSON_ARRAY) ? MAX_VALUE_BYTES + 2 : 0;
    }
    return bytes;
}

/* Keep the values of the last route with the token: they are the same for each of its requests. */
static enum jwt_reason make_values(struct token *token, const struct identity_route *route)
{
    size_t slices = route->count * sizeof(struct slice);
    struct slice *values = calloc(1, slices + joined_bytes(token, route) + 1);
    char *at = (char *)values + slices;
    enum jwt_reason reason = JWT_OK;

    if (values == NULL) {
        return JWT_NO_MEMORY;
    }
    for (size_t i = 0; i < route->count && reason == JWT_OK; i++) {
        const struct json *claim = claims_find(token->claims, route->mappings[i].claim);
        if (claim != NULL && !header_value(claim, &at, &values[i])) {
            reason = JWT_CLAIM_UNUSABLE;
        }
    }
    free(token->headers.values);
    token->headers.values = values;
    token->headers.route = route->number;
    token->headers.reason = reason;
    return reason;
}

static enum gw_verdict identity_on_request(struct gw_call *call)
{
    const struct identity_route *route = call->config;
    const struct jwt_identity *identity = gw_slot_get(call->req, &jwt_identity_slot);

    if (identity == NULL) {
        return GW_FAIL;
    }
    struct token *token = identity->token;
    if (token == NULL) {
        return GW_NEXT;
    }
    enum jwt_reason reason =
        token->headers.route == route->number ? token->headers.reason : make_values(token, route);
    if (reason != JWT_OK) {
        return jwt_refuse(call, reason, SLICE_ABSENT);
    }
    for (size_t i = 0; i < route->count; i++) {
        struct slice value = token->headers.values[i];
        if (!slice_is_absent(value) &&
            gw_header_set(call->req, route->mappings[i].header, value) < 0) {
            return GW_FAIL;
        }
    }
    return GW_NEXT;
}

const struct gw_plugin identity_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "identity",
    .route_options = route_options,
    .config_size = sizeof(struct identity_route),
    .config_init = identity_config_init,
    .on_request = identity_on_request,
};
