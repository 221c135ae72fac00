/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints that clients use: token, revoke, introspect.  What they share is written here once: a
 * request is a form in the body with nothing in the address (it would be in logs: RFC 6749 section
 * 2.3.1), from a client that authenticates.  What one of them does with it is its row. */
#pragma once

#include "plugins/issuer/client_auth.h"
#include "plugins/issuer/issuer.h"

#define CLIENT_ENDPOINTS 3u

struct client_endpoint {
    const char *name;       /* in metrics */
    size_t path;            /* its place in struct issuer */
    bool needs_revocations; /* is there only with "revocation" in the configuration */
    size_t own_size;        /* of client_request.own */
    client_auth_fn *on_client;
    void (*end)(void *own); /* once, if on_client() was called */
};
extern const struct client_endpoint token_endpoint, revoke_endpoint, introspect_endpoint;

/* The plugin's state of a request. */
struct client_request {
    const struct client_endpoint *endpoint;
    struct form form;
    struct client_auth auth;
    void *own; /* zeroed, in the request's arena; NULL: the client has not authenticated */
};

extern const struct gw_plugin client_endpoints_plugin;

/* For on_client() and its callbacks. */
const struct issuer *client_request_issuer(const struct gw_call *call);
/* Does the configuration say where revocations are kept? */
bool client_request_has_revocations(const struct gw_call *call);
/* Count a token that the client got. */
void client_request_count_token(const struct gw_call *call);
/* The form's "token": GW_NEXT with a reference in `ret`, or NULL when it is none of ours, or the verdict:
 * refused. */
struct token;
enum gw_verdict client_request_token(struct gw_call *call, struct token **ret);
