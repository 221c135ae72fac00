/* SPDX-License-Identifier: Apache-2.0 */
/* A worker for the tests of the gateway's modules: a configuration made by hand with one listener,
 * one upstream and one route; clients on socket pairs and servers on loopback that the test itself
 * plays, in the same thread; a clock that only moves when the test says so.  The router and the access
 * log are replaced: every request finds the one route, ended requests are remembered. */
#pragma once

#include "gateway/config.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/outcome.h"
#include "gateway/request.h"
#include "gateway/router.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"

#define FIXTURE_TARGETS 4u
#define FIXTURE_LINKS   4u
#define FIXTURE_ENDS    64u

struct fixture_end { /* what the access log was told */
    enum outcome outcome;
    unsigned status, upstream_status, tries;
    const char *reason;
    uint64_t request_bytes, response_bytes;
};

struct fixture {
    struct gateway gateway;
    struct config config;
    struct config_listener listener;
    struct config_upstream upstream;
    struct config_target targets[FIXTURE_TARGETS];
    struct config_route route;
    struct config_link links[FIXTURE_LINKS];
    const struct gw_plugin *plugins[FIXTURE_LINKS];
    void *tops[FIXTURE_LINKS];
    int servers[FIXTURE_TARGETS]; /* listening sockets, by target; -1: none */
    struct worker *worker;
    uint64_t now_ms;
    enum router_result routing;
    uint32_t allowed_methods;
    struct fixture_end ends[FIXTURE_ENDS];
    unsigned end_count;
};

extern struct fixture fx;
/* Called with true before code of the gateway runs, with false after; NULL: nothing. */
extern void (*fixture_on_enter)(bool enters);

/* Defaults; then the test changes fx.config and adds targets and plugins; then fixture_start(). */
void fixture_setup(void);
void fixture_teardown(void);
/* Without a server nobody listens on the target's port. */
void fixture_add_target(bool with_server);
void fixture_add_plugin(const struct gw_plugin *plugin);
void fixture_start(void);

/* Run turns of the loop until nothing more can happen at this time. */
void fixture_spin(void);
void fixture_advance(uint64_t ms);

/* A client; our end of its connection. */
int fixture_connect(void);
void fixture_send(int fd, const char *text);
/* All that has arrived, as text valid until the next call; *ret_closed: and then the end (or a reset). */
const char *fixture_receive(int fd, bool *ret_closed);
/* A connection that the gateway has made to the target; -1: none. */
int fixture_accept(unsigned target);
/* A request with this head, parsed but not run; on a connection of 192.0.2.1 of its own, whose
 * client is gone, unnoticed.  No turn may run; fixture_teardown() ends it. */
struct request *fixture_request(const char *head);
/* The last request that has ended. */
const struct fixture_end *fixture_last_end(void);
