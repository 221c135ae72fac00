/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration snapshot: immutable once built, shared by all threads, reference-counted
 * (atomic); and the view that one worker has of it (plugin worker states), counted plainly by the
 * worker and its live requests.  All text lives in the snapshot's arena. */
#pragma once

#include "core/arena.h"
#include "core/diag.h"
#include "core/h1_parser.h"
#include "core/options.h"
#include "gateway/admin_token.h"
#include "plugins/plugin.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

struct config;
struct router;
struct tls_client;
struct tls_server;

struct config_limits {
    uint64_t header_bytes, uri_bytes, body_bytes;     /* 32 KiB, 8 KiB, 10 MiB */
    int64_t headers, connections, connections_per_ip; /* 100, 10000, 0 (off) */
    int64_t requests_per_connection;                  /* 1000 */
    int64_t tls_handshakes;                           /* under way, per worker: 512 */
    uint64_t request_memory;                          /* arena of one request: 256 KiB */
    struct h1_limits h1;                              /* made from the above */
};

struct config_timeouts {     /* ms */
    uint64_t tls_handshake;  /* 10s */
    uint64_t request_header; /* 10s */
    uint64_t request_body;   /* 30s without progress */
    uint64_t keep_alive;     /* 60s */
    uint64_t write;          /* 30s without progress */
};

struct config_cidr {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;       /* of 128 */
};

struct config_server {
    int64_t workers; /* 0: auto, one per available CPU */
    uint64_t shutdown_grace_ms;
    int error_detail;                  /* enum config_error_detail */
    uint64_t startup_timeout_ms;       /* 10s: then the listeners open, ready or not */
    const char *state_dir, *cache_dir; /* NULL: none */
    struct config_cidr *trusted_proxies;
    size_t trusted_proxy_count;
    struct config_limits limits;
    struct config_timeouts timeouts;
};
enum config_error_detail { CONFIG_DETAIL_NONE, CONFIG_DETAIL_REASON };

enum config_service { CONFIG_PUBLIC, CONFIG_ADMIN, CONFIG_ECHO };

enum config_redirect { CONFIG_REDIRECT_NONE, CONFIG_REDIRECT_HTTPS };

struct config_certificate {
    struct slice host;    /* its first one */
    int64_t not_after;    /* Unix time */
    int64_t staple_until; /* of its OCSP response; 0: none */
};

struct config_listener {
    struct option_element element; /* name */
    struct slice address_text;
    struct sockaddr_storage address;
    socklen_t address_len;
    enum config_service service; /* ADMIN and ECHO run on the control thread */
    struct tls_server *tls;      /* a reference; NULL: plain */
    struct config_certificate *certificates;
    size_t certificate_count;
    int redirect;      /* enum config_redirect */
    struct slice hsts; /* value of Strict-Transport-Security; empty: not sent */
    unsigned index;    /* the same in the snapshots before and after: connections outlive them */
    bool is_gone;      /* of an earlier snapshot; only its name and index are still of use */
};

struct config_target {
    struct slice host; /* NUL-terminated */
    uint16_t port;
    int64_t weight;     /* 1..100 */
    struct slice label; /* "127.0.0.1:9001": log and metric */
    bool is_literal;    /* address is set: nothing to resolve */
    struct sockaddr_storage address;
    socklen_t address_len;
};

enum config_balancing { CONFIG_ROUND_ROBIN, CONFIG_LEAST_REQUEST };

struct config_upstream {
    struct option_element element;
    unsigned index;
    struct config_target *targets;
    size_t target_count;
    int balancing; /* enum config_balancing */
    struct {
        uint64_t connect, response, idle; /* ms: 1s, 30s, 60s */
    } timeouts;
    int64_t max_connections; /* per worker; 0: no limit; default 1024 */
    int64_t retries;         /* tries after the first, default 1 */
    struct tls_client *tls;  /* owned; NULL: plain */
};

/* One link of a route's chain; built when the snapshot is built. */
struct config_link {
    const struct gw_plugin *plugin;
    unsigned plugin_index; /* in the snapshot's plugin list: finds the worker state */
    const void *config;
    const void *top;
    size_t state_offset; /* of its gw_call state in the chain's state block */
};

struct config_match {
    struct slice *hosts; /* lower case; "*.example.com" allowed */
    size_t host_count;
    struct slice exact;       /* one of exact, prefix */
    struct slice path_prefix; /* without trailing "/" (empty for "/") */
    uint32_t methods;         /* mask of 1 << enum http_method; 0: all */
};

struct config_route {
    struct option_element element;
    unsigned index; /* in config->routes */
    struct config_match match;
    const struct config_upstream *upstream; /* NULL: a plugin always answers */
    struct slice strip_prefix;              /* empty: none */
    uint64_t response_timeout_ms;           /* the route's, else the upstream's */
    const struct config_link *chain;
    unsigned chain_length;
    size_t chain_state_bytes;
};

struct config_endpoint { /* a path that a plugin answers by itself */
    struct slice path;
    bool is_prefix;
    uint32_t methods;   /* mask of 1 << enum http_method */
    uint64_t listeners; /* mask of 1 << index */
    const struct config_route *route;
};

struct config_access_log {
    bool enabled;
    const char *path; /* "-": stdout */
    int format;       /* 0 json, 1 combined */
    bool hash_subject;
};

struct config_tracing {
    bool trust_any; /* trust: any | trusted_proxies (default: any) for traceparent */
};

struct config {
    struct arena arena;
    char hash[17]; /* of the text, hex */
    const char *file;
    struct config_server server;
    struct config_listener *listeners;
    size_t listener_count; /* with admin, when there is one */
    struct config_upstream *upstreams;
    size_t upstream_count;
    struct config_route *routes;
    size_t route_count;
    struct config_route service_routes[3]; /* by enum config_service; ADMIN and ECHO used */
    struct config_endpoint *endpoints;     /* of plugins; they come before the routes */
    size_t endpoint_count;
    const char *public_path;     /* admin.public_path or NULL */
    uint64_t explained_requests; /* records of decisions.h per worker; 0: none */
    struct admin_token admin_token;
    struct config_access_log access_log;
    struct config_tracing tracing;
    struct router *router;
    const struct gw_plugin **plugins; /* those of the registry, then admin and echo */
    void **tops;                      /* by plugin index */
    struct config **top_owners;       /* whose top it is: a reference; NULL: ours. NULL: all ours */
    size_t plugin_count;
    struct option_file *files; /* that the text names, in the arena */
    const struct json *root;   /* of all files united, in the arena; NULL: not read from a file */
    atomic_int refs;
};

/* Build a snapshot from a file (config_load.c): NULL when diag has errors or memory is short.
 * `path` NULL: ./jwtgate.jsonc, then /etc/jwtgate/jwtgate.jsonc. *ret_missing: no such file. */
struct config *config_load(const char *path, struct diag *diag, bool *ret_missing);
struct config_load_options {
    bool serves; /* the folders that a server needs must be there, too */
    /* "127.0.0.1:9001": adds the listener "echo", which answers by itself (CONFIG_ECHO). NULL:
     * none. */
    const char *echo_address;
    bool lint; /* warn of values that are valid and dangerous, too */
    /* A reload: the snapshot in use.  Listeners keep their indices, and what plugins made of
     * unchanged text and files is shared with it. NULL: none. */
    struct config *previous;
};
struct config *config_load_with(const char *path, const struct config_load_options *options,
                                struct diag *diag, bool *ret_missing);
/* The effective configuration of a file as JSON on `out`: `check --print`. */
int config_print(const char *path, struct diag *diag, FILE *out) MUST_CHECK;
/* The path that the key `section`.`key` names, whatever else the file says; malloc'ed.  NULL: there is no
 * such key, or diag has errors. */
char *config_find_path(const char *path, const char *section, const char *key, struct diag *diag,
                       bool *ret_missing);

struct config *config_ref(struct config *config);
void config_unref(struct config *config); /* any thread; NULL is fine */

/* server.state_dir, server.cache_dir; NULL: not configured. */
const char *config_folder(const struct config_server *server, enum gw_folder folder);
/* Does the address belong to a trusted proxy? */
bool config_is_trusted(const struct config_server *server, const struct sockaddr *addr);

/* One worker's view of a snapshot. */
struct processes;
struct upstream;
struct worker;

struct config_view {
    struct config *config;   /* a reference */
    void **plugin_workers;   /* by plugin index */
    unsigned **plugin_users; /* by plugin index: how many views have that state */
    unsigned users;          /* the worker itself and its live requests */

    /* What the worker adds (worker.c). */
    struct worker *worker;
    struct config_view *next, *prev; /* all views of the worker */
    struct upstream **upstreams;     /* by index in the snapshot */
    struct processes *processes;
    void (*on_end)(struct config_view *view); /* before it is freed; NULL: nothing to do */
};
struct config_view *config_view_new(struct config *config, struct gw_worker *worker);
/* The same after a reload: plugins whose top is that of `previous` (NULL: none) keep their
 * states. */
struct config_view *config_view_after(struct config *config, struct gw_worker *worker,
                                      const struct config_view *previous);
static inline struct config_view *config_view_ref(struct config_view *view)
{
    view->users++;
    return view;
}
void config_view_unref(struct config_view *view);
