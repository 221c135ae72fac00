/* SPDX-License-Identifier: Apache-2.0 */
/* The key "token_issuer": what the gateway issues tokens as, and what it publishes about itself: its
 * public keys (/.well-known/jwks.json) and metadata (RFC 8414).  Other plugins of this folder, and
 * routes that issue tokens, ask issuer_of() while the configuration is read. */
#pragma once

#include "plugins/issuer/client_auth.h"
#include "plugins/issuer/signing_keys.h"

#define ISSUER_ENDPOINTS 3u

struct issuer_text {
    struct slice text; /* malloc'ed */
    char etag[24];     /* with quotes */
};

struct issuer_document { /* made when the snapshot is built */
    struct slice path;
    struct issuer_text plain, with_revocation; /* the latter absent: no other */
};

struct issuer {
    /* As read. */
    struct slice issuer;   /* absent: there is no such key */
    struct slice listener; /* absent: all public ones */
    struct {
        int algorithm; /* enum jwa_id: of listed keys, and of new ones */
        uint64_t ttl_ms;
    } access_token;
    struct option_list signing_keys; /* struct signing_spec */
    const char *signing_keys_file;
    const char *clients_file; /* NULL: no endpoint that asks for a client */
    struct client_auth_options client_failures;
    uint64_t jwks_max_age_ms, rotation_slack_ms;
    struct {
        struct slice token, revoke, introspect, jwks;
    } paths;
    const struct json *where; /* for messages, while the configuration is read */

    /* Made from it. */
    struct signing_keys *keys;                          /* a reference */
    struct clients *clients;                            /* NULL: there is no clients_file */
    struct client_guard *guard;                         /* a reference; with clients */
    struct issuer_document documents[ISSUER_ENDPOINTS]; /* the keys, then the metadata */
    struct gw_endpoint endpoints[ISSUER_ENDPOINTS];
    size_t document_count;
    char cache_control[40];
};

extern const struct gw_plugin issuer_plugin;

/* NULL: the configuration has no "token_issuer".  Valid as long as the snapshot being read. */
const struct issuer *issuer_of(const struct option_context *ctx);
/* The plugin's `top`, for commands. */
const struct issuer *issuer_of_top(const void *top);

/* How long the states of a rotation last. */
struct key_ring_waits issuer_waits(const struct issuer *issuer);

/* publish.c: make the documents and their endpoints; mistakes go to ctx->diag.  ERR_CONFIG,
 * ERR_NO_MEMORY, ERR_CRYPTO. */
int issuer_publish(struct issuer *issuer, const struct option_context *ctx) MUST_CHECK;
void issuer_publish_done(struct issuer *issuer);
/* The hook of their endpoints. */
enum gw_verdict issuer_answer(struct gw_call *call, const struct issuer *issuer);
