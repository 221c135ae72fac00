/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/client_endpoints.h"

#include "plugins/builtin.h"
#include "plugins/issuer/oauth_error.h"
#include "plugins/issuer/own_tokens.h"
#include "plugins/revocation/config.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_BODY_BYTES  20480u /* room for a token of 16 KiB */
#define MAX_LABEL_BYTES 160u
#define RETRY_AFTER_S   1u
#define MALFORMED       "oauth_request_malformed"

static const struct client_endpoint *const rows[CLIENT_ENDPOINTS] = {
    &token_endpoint,
    &revoke_endpoint,
    &introspect_endpoint,
};

struct top {
    const struct issuer *issuer; /* NULL: there is none with clients */
    bool has_revocations;
    struct own_tokens own;
    const struct client_endpoint *rows[CLIENT_ENDPOINTS]; /* those that are there */
    struct gw_endpoint endpoints[CLIENT_ENDPOINTS];
    size_t count;
};

struct worker {
    struct gw_worker *gw;
    struct verify_keys keys;
    struct client_auth_counts counts[CLIENT_ENDPOINTS]; /* as top.rows */
};

/* ---- configuration ---- */

static void add_endpoint(struct top *top, const struct client_endpoint *row)
{
    const struct issuer *issuer = top->issuer;

    if (row->needs_revocations && !top->has_revocations) {
        return;
    }
    top->rows[top->count] = row;
    top->endpoints[top->count++] = (struct gw_endpoint){
        .path = *(const struct slice *)((const char *)issuer + row->path),
        .methods = 1u << HTTP_POST,
        .listener = issuer->listener,
        .where = issuer->where,
    };
}

static int top_init(void *top_arg, const struct option_context *ctx)
{
    struct top *top = top_arg;
    const struct issuer *issuer = issuer_of(ctx);
    const struct revocation_settings *revocation = gw_top(ctx, &revocation_plugin);

    if (issuer == NULL || issuer->clients == NULL) {
        return 0;
    }
    top->issuer = issuer;
    top->has_revocations = revocation != NULL && revocation_is_on(revocation);
    for (size_t i = 0; i < CLIENT_ENDPOINTS; i++) {
        add_endpoint(top, rows[i]);
    }
    return own_tokens_init(&top->own, issuer, ctx);
}

static int config_init(void *config, void *top, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    return GW_NOT_ON_ROUTE;
}

static const struct gw_endpoint *endpoints(const void *top_arg, size_t *ret_count)
{
    const struct top *top = top_arg;

    *ret_count = top->count;
    return top->endpoints;
}

/* ---- workers ---- */

static void worker_done(void *arg)
{
    struct worker *worker = arg;

    if (worker != NULL) {
        verify_keys_done(&worker->keys);
        free(worker);
    }
}

static int worker_init(struct gw_worker *gw, const void *top_arg, void **ret_worker)
{
    const struct top *top = top_arg;

    if (top->issuer == NULL) {
        return 0;
    }
    struct worker *worker = calloc(1, sizeof(*worker));
    int err = worker == NULL ? ERR_NO_MEMORY : verify_keys_init(&worker->keys, &top->own.provider);

    if (err < 0) {
        free(worker);
        return err;
    }
    worker->gw = gw;
    for (size_t i = 0; i < top->count && err == 0; i++) {
        err = client_auth_counts_init(&worker->counts[i], gw, top->rows[i]->name);
    }
    if (err < 0) {
        worker_done(worker);
        return err;
    }
    *ret_worker = worker;
    return 0;
}

/* ---- a request ---- */

static enum gw_verdict on_authenticated(struct gw_call *call, const struct client *client)
{
    struct client_request *request = call->state;

    request->own = arena_calloc(gw_arena(call->req), 1, request->endpoint->own_size);
    return request->own == NULL ? GW_FAIL : request->endpoint->on_client(call, client);
}

static size_t index_of(const struct top *top, const struct client_endpoint *endpoint)
{
    size_t i = 0;

    while (top->rows[i] != endpoint) {
        i++;
    }
    return i;
}

static enum gw_verdict on_body(struct gw_call *call)
{
    const struct top *top = call->top;
    struct worker *worker = call->worker;
    struct client_request *request = call->state;
    int err = form_read(gw_arena(call->req), gw_body(call->req), &request->form);

    if (err == ERR_NO_MEMORY) {
        return GW_FAIL;
    }
    if (err < 0) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, MALFORMED, 0);
    }
    const struct client_auth_setup setup = {
        .guard = top->issuer->guard,
        .clients = top->issuer->clients,
        .counts = &worker->counts[index_of(top, request->endpoint)],
    };

    return client_authenticate(&request->auth, call, &setup, &request->form, on_authenticated);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct top *top = call->top;
    struct client_request *request = call->state;

    for (size_t i = 0; i < top->count; i++) {
        if (slice_eq(top->endpoints[i].path, gw_path(call->req))) {
            request->endpoint = top->rows[i];
        }
    }
    if (request->endpoint == NULL) {
        return GW_FAIL; /* not one of them */
    }
    if (!slice_is_absent(gw_query(call->req)) || !form_is_announced(gw_headers(call->req))) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, MALFORMED, 0);
    }
    return gw_read_body(call, MAX_BODY_BYTES, on_body);
}

static void on_end(struct gw_call *call)
{
    struct client_request *request = call->state;

    client_auth_end(&request->auth, call);
    if (request->own != NULL) {
        request->endpoint->end(request->own);
    }
}

/* ---- for the endpoints ---- */

const struct issuer *client_request_issuer(const struct gw_call *call)
{
    return ((const struct top *)call->top)->issuer;
}

bool client_request_has_revocations(const struct gw_call *call)
{
    return ((const struct top *)call->top)->has_revocations;
}

void client_request_count_token(const struct gw_call *call)
{
    const struct worker *worker = call->worker;
    struct slice client = gw_attr_get(call->req, GW_ATTR_CLIENT_ID);
    char labels[MAX_LABEL_BYTES];

    snprintf(labels, sizeof(labels), "client=\"%.*s\",grant=\"client_credentials\"",
             SLICE_FMT(client));
    uint64_t *issued = gw_counter(worker->gw, "jwtgate_tokens_issued_total", labels);

    if (issued != NULL) {
        (*issued)++;
    }
}

enum gw_verdict client_request_token(struct gw_call *call, struct token **ret)
{
    const struct client_request *request = call->state;
    struct worker *worker = call->worker;
    struct slice text = form_get(&request->form, SLICE("token"));

    if (slice_is_absent(text)) {
        return oauth_refuse(call, OAUTH_INVALID_REQUEST, "token_missing", 0);
    }
    int err = own_tokens_verify(&worker->keys, text, ret);

    if (err == ERR_NO_MEMORY) {
        return oauth_refuse(call, OAUTH_UNAVAILABLE, "request_memory", RETRY_AFTER_S);
    }
    if (err == 0) {
        gw_attr_set(call->req, GW_ATTR_JTI, (*ret)->jti);
    }
    return GW_NEXT;
}

const struct gw_plugin client_endpoints_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "client_endpoints",
    .top_size = sizeof(struct top),
    .top_init = top_init,
    .config_init = config_init,
    .endpoints = endpoints,
    .worker_init = worker_init,
    .worker_done = worker_done,
    .state_size = sizeof(struct client_request),
    .on_request = on_request,
    .on_end = on_end,
};
