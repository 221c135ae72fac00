/* SPDX-License-Identifier: Apache-2.0 */
/* Removes every header by which any route tells its upstream who the caller is, from every request: so no
 * client can claim to be someone, on no route. */
#include "plugins/builtin.h"
#include "plugins/identity_header.h"

#define MAX_STRIPPED 256u

struct strip_top {
    struct slice names[MAX_STRIPPED]; /* lower case, in the snapshot's arena */
    size_t count;
};

static bool is_known(const struct strip_top *top, struct slice name)
{
    for (size_t i = 0; i < top->count; i++) {
        if (identity_header_is_same(top->names[i], name)) {
            return true;
        }
    }
    return false;
}

static int add_name(struct strip_top *top, const struct option_context *ctx,
                    const struct json *member, const char *path)
{
    if (identity_header_fault(member) != NULL || is_known(top, member->text)) {
        return 0; /* who sets it reports the fault */
    }
    if (top->count == MAX_STRIPPED) {
        diag_at(ctx->diag, DIAG_ERROR, member, path, NULL, "more than 256 such headers");
        return ERR_CONFIG;
    }
    top->names[top->count] = identity_header_lower(ctx->arena, member->text);
    if (slice_is_absent(top->names[top->count])) {
        return ERR_NO_MEMORY;
    }
    top->count++;
    return 0;
}

static int add_names(struct strip_top *top, const struct option_context *ctx,
                     const struct json *map, const char *path)
{
    int err = 0;

    for (const struct json *member = json_is(map, JSON_OBJECT) ? map->child : NULL;
         member != NULL && err == 0; member = member->next) {
        err = add_name(top, ctx, member, path);
    }
    return err;
}

/* Runs for every route, and so sees the headers of all. */
static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    size_t keys = sizeof(identity_header_keys) / sizeof(identity_header_keys[0]);

    for (size_t i = 0; json_is(route, JSON_OBJECT) && i < keys; i++) {
        int err = add_names(top, ctx, json_get(route, identity_header_keys[i]), path);

        if (err < 0) {
            return err;
        }
    }
    return route == NULL ? GW_NOT_ON_ROUTE : 0;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct strip_top *top = call->top;

    for (size_t i = 0; i < top->count; i++) {
        headers_remove_folded(gw_headers(call->req), top->names[i]);
    }
    return GW_NEXT;
}

const struct gw_plugin identity_strip_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "identity_strip",
    .top_size = sizeof(struct strip_top),
    .config_init = config_init,
    .on_request = on_request,
};
