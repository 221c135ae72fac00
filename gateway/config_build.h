/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the config_*.c files: a snapshot while it is being built.  Main thread. */
#pragma once

#include "gateway/config.h"

#define CONFIG_MAX_NAMES 96 /* keys at one place, with those of the plugins */

struct config_address {
    struct slice text;
    struct sockaddr_storage addr;
    socklen_t len;
};

/* What the top-level table fills. */
struct config_top {
    int64_t version;
    struct config_server server;
    struct option_list listeners; /* struct config_listener */
    struct {
        struct config_address address; /* len 0: no admin listener */
        const char *public_path;
        struct secret_source token;
        int64_t explained_requests;
    } admin;
    struct option_list upstreams; /* struct config_upstream */
    struct config_access_log access_log;
    struct {
        int trust;
    } tracing;
};

struct config_loader {
    struct config *config;
    struct diag *diag;
    struct option_context ctx;
    struct json *root; /* of all files united */
    const char *file_dirs[DIAG_MAX_FILES];
    struct {
        uint64_t device, inode;
    } file_ids[DIAG_MAX_FILES];
    uint64_t hash;
    bool missing;            /* the main file does not exist */
    struct config *previous; /* as in config_load_options */
    struct config_top top;
    size_t builtin_count;        /* plugins that run on the routes of the file */
    unsigned service_plugins[3]; /* index by enum config_service; 0: none */
    unsigned guard_plugin;       /* before endpoints on the admin listener; 0: none */
};

extern const struct option config_top_table[];
extern const struct option config_target_table[]; /* of an object among targets */

/* config_files.c: read the file and what it includes into loader->root; errors in diag. */
void config_read_files(struct config_loader *loader, const char *path);

/* config_tables.c: top-level keys -> snapshot. `echo_address`: as in config_load_options. */
void config_read_top(struct config_loader *loader, const char *echo_address);

/* config_address.c: OPT_CUSTOM readers and what they are made of. */
void config_parse_address(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field); /* struct config_address */
void config_parse_admin_address(const struct option_context *ctx, const struct json *value,
                                const char *path, void *field); /* the same, or unix:PATH */
void config_parse_listener_address(const struct option_context *ctx, const struct json *value,
                                   const char *path, void *field); /* struct config_listener */
void config_parse_targets(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field); /* struct config_upstream */
void config_parse_trusted(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field); /* struct config_server */
/* config_tls.c */
extern const struct option config_listener_tls_table[];
void config_parse_listener_tls(const struct option_context *ctx, const struct json *value,
                               const char *path, void *field); /* struct config_listener */
extern const struct option config_upstream_tls_table[];
void config_parse_upstream_tls(const struct option_context *ctx, const struct json *value,
                               const char *path, void *field); /* struct config_upstream */
/* "192.0.2.1:80" or "[::1]:80". */
bool config_address_of(struct slice text, struct sockaddr_storage *ret, socklen_t *ret_len);
/* "unix:/run/jwtgate/admin.sock". */
bool config_unix_address_of(struct slice text, struct sockaddr_storage *ret, socklen_t *ret_len);

/* config_route.c: routes with their chains; the tops of the plugins must have been read. */
void config_read_routes(struct config_loader *loader);
/* One more plugin at the end of the route's chain, which has room for it. */
void config_add_link(struct config_route *route, struct config_link *chain,
                     const struct config *config, unsigned plugin_index, const void *link_config);
/* The keys of a route: the gateway's and the plugins', for printing; NULL: no memory. */
const struct option *config_route_print_table(struct config_loader *loader);
/* "a, b, c" of the names (at most 10), for messages. */
const char *config_upstream_names(struct config_loader *loader);

/* config_endpoints.c: the chains of the gateway's own listeners. */
int config_build_service_routes(struct config_loader *loader);
/* The paths that plugins answer by themselves; their tops must be ready. */
int config_build_endpoints(struct config_loader *loader);

/* config_load.c: the keys at the top, with those of plugins and routes, for printing; NULL: no memory. */
const struct option *config_print_table(struct config_loader *loader);

/* config_folders.c: are those there that the plugins use?  Of a snapshot without errors. */
void config_check_folders(struct config_loader *loader);

/* config_lint.c: warnings about values of a snapshot without errors. */
void config_lint(struct config_loader *loader);
