/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway as plugins see it, without sockets: loads a configuration's plugin keys, runs a route's
 * chain on a made-up request and remembers what the plugins did.  One thread; what is offloaded is
 * done at once, nothing else is waited for.  What it does for a process is in fake_process.h. */
#pragma once

#include "core/diag.h"
#include "core/headers.h"
#include "plugins/plugin.h"

#define FAKE_HOST_PLUGINS 16
#define FAKE_HOST_ROUTES  16

struct fake_host {
    struct arena arena;
    struct diag diag;
    const struct gw_plugin *plugins[FAKE_HOST_PLUGINS];
    size_t plugin_count;
    void *tops[FAKE_HOST_PLUGINS];
    void *workers[FAKE_HOST_PLUGINS];
    struct {
        struct slice name;
        void *configs[FAKE_HOST_PLUGINS];
        bool on_route[FAKE_HOST_PLUGINS];
    } routes[FAKE_HOST_ROUTES];
    size_t route_count;
    struct slice cert_subject, cert_thumbprint; /* of the clients of the next requests */
};

struct gw_request {
    struct arena arena;
    struct headers headers, response_headers;
    struct slice query, path;
    struct slice to_read, body; /* body: once it has been read */
    enum http_method method;
    unsigned response_status;
    struct slice response_to_read, response_body;
    struct slice attrs[GW_ATTRS];
    const char *decision; /* of the last gw_auth_decision() */
    struct gw_reply reply;
    enum gw_verdict verdict;
    gw_hook_fn *pending; /* what an operation calls back */
    struct {
        const void *key;
        void *value;
    } slots[8];
    size_t slot_count;
};

/* gw_offload() fails. */
extern bool fake_host_pool_is_full;
/* What is offloaded comes back without a result, as when there is no memory for one. */
extern bool fake_host_pool_fails;
/* gw_sleep() and gw_waitlist_join() do not fail: the test itself ends the wait. */
extern bool fake_host_lets_wait;
extern unsigned fake_host_sleep_ms; /* of the last gw_sleep() */
extern unsigned fake_host_woken;    /* waitlists */

/* Read `text` (JSON); the number of errors, which are in host->diag. */
unsigned fake_host_load(struct fake_host *host, const struct gw_plugin *const *plugins,
                        const char *text);
void fake_host_done(struct fake_host *host);
/* Is there an error or warning whose message or remedy contains `text`? */
bool fake_host_complains(const struct fake_host *host, const char *text);

/* A request with "name: value" lines; `query` may be NULL.  Ended by fake_host_end(). */
struct gw_request *fake_host_run(struct fake_host *host, const char *route,
                                 const char *const *lines, const char *query);
/* A request to a path (with its query) that a plugin answers by itself; `body` may be NULL. */
struct gw_request *fake_host_ask(struct fake_host *host, const char *path, const char *const *lines,
                                 const char *body);
/* The upstream's answer to a request that fake_host_run() has let through. */
void fake_host_respond(struct gw_request *req, unsigned status, const char *const *lines,
                       const char *body);
void fake_host_end(struct gw_request *req);
