/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask for tokens: clients.jsonc,
 *   {"clients": {"ID": {"secret_hash": "...", "scopes": [], "audiences": [], "claims": {}}}}
 * with comments as in the configuration.  Built when a snapshot is built, then read-only and shared by
 * all threads; text and trees live in the snapshot's arena. */
#pragma once

#include "core/options.h"
#include "plugins/issuer/client_secret.h"

#define CLIENTS_MAX 1000 /* and 256 KiB */

struct client {
    struct option_element element; /* name: the client_id */
    struct option_strings scopes;  /* that it may ask for */
    struct option_strings audiences;
    const struct json *claims; /* members to add to its tokens; NULL: none */
    struct client_secret secret;
};

struct clients;

/* What the file may hold. */
extern const struct option clients_options[];

/* Read `file`; all errors go to ctx->diag with their place in it, one that is about the file itself at
 * `where` and `path` in the configuration.  The file must be private, as those of secrets are.  ERR_CONFIG. */
int clients_read(const char *file, const struct option_context *ctx, const struct json *where,
                 const char *path, struct clients **ret) MUST_CHECK;
/* The same of its text, which lives as long as ctx->diag. */
int clients_parse(const char *file, struct slice text, const struct option_context *ctx,
                  struct clients **ret) MUST_CHECK;
void clients_free(struct clients *clients); /* NULL is fine */
/* Two readings: was the text the same?  For gw_plugin.top_is_same. */
bool clients_are_same(const struct clients *a, const struct clients *b);

/* NULL: unknown. */
const struct client *clients_find(const struct clients *clients, struct slice id);
/* In the order of the file. */
const struct client *clients_list(const struct clients *clients, size_t *ret_count);
/* What a secret for an unknown id is compared with, so that it costs what it costs for a known one: the
 * parameters of one of the clients, always the same one for this id, with a hash that nothing has. */
void clients_stand_in(const struct clients *clients, struct slice id, struct client_secret *ret);
