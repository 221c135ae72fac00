/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/gateway_fixture.h"

#include "core/clock.h"
#include "core/h1_parser.h"
#include "core/log.h"
#include "gateway/access_log.h"

#include <check.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define START_MS   1000000u
#define START_US   UINT64_C(1790000000000000)
#define SPIN_TURNS 12u
#define TEXT_BYTES ((size_t)8 << 20)

struct fixture fx;
void (*fixture_on_enter)(bool enters);
static char received[TEXT_BYTES + 1];

/* ---- What stands in for modules of the gateway ---- */

struct router *router_new(const struct config *config, struct diag *diag)
{
    return NULL;
}

void router_free(struct router *router)
{
}

enum router_result router_find(const struct router *router, struct slice host, struct slice path,
                               enum http_method method, const struct config_route **ret_route,
                               uint32_t *ret_methods)
{
    *ret_route = fx.routing == ROUTER_FOUND ? &fx.route : NULL;
    *ret_methods = fx.allowed_methods;
    return fx.routing;
}

struct slice access_log_name(const struct request *req, enum gw_attr attr,
                             char buf[ACCESS_LOG_NAME_BYTES])
{
    return req->attrs[attr];
}

void access_log_write(const struct request *req)
{
    fx.ends[fx.end_count++ % FIXTURE_ENDS] = (struct fixture_end){
        .outcome = req->outcome,
        .status = req->status,
        .upstream_status = req->upstream_status,
        .tries = req->tries,
        .reason = req->reason,
        .request_bytes = req->request_bytes,
        .response_bytes = req->response_bytes,
    };
}

const struct fixture_end *fixture_last_end(void)
{
    ck_assert_uint_gt(fx.end_count, 0);
    return &fx.ends[(fx.end_count - 1) % FIXTURE_ENDS];
}

/* ---- The worker ---- */

static void set_clock(void)
{
    clock_set(fx.now_ms, START_US + fx.now_ms * 1000);
}

static void set_defaults(struct config_server *server)
{
    server->limits = (struct config_limits){
        .header_bytes = 32768,
        .uri_bytes = 8192,
        .body_bytes = UINT64_C(10) << 20,
        .headers = 100,
        .connections = 1000,
        .requests_per_connection = 1000,
        .request_memory = 262144,
        .h1 = h1_limits_default,
    };
    server->timeouts = (struct config_timeouts){
        .request_header = 10000,
        .request_body = 30000,
        .keep_alive = 60000,
        .write = 30000,
    };
}

void fixture_setup(void)
{
    memset(&fx, 0, sizeof(fx));
    fx.now_ms = START_MS;
    set_clock();
    set_defaults(&fx.config.server);
    fx.config.refs = 1;
    fx.config.tracing.trust_any = true;
    fx.config.listeners = &fx.listener;
    fx.config.listener_count = 1;
    fx.config.upstreams = &fx.upstream;
    fx.config.upstream_count = 1;
    fx.config.routes = &fx.route;
    fx.config.route_count = 1;
    fx.config.plugins = fx.plugins;
    fx.config.tops = fx.tops;
    fx.listener.element.name = SLICE("public");
    fx.upstream.element.name = SLICE("backend");
    fx.upstream.targets = fx.targets;
    fx.upstream.timeouts.connect = 1000;
    fx.upstream.timeouts.response = 30000;
    fx.upstream.timeouts.idle = 60000;
    fx.upstream.max_connections = 1024;
    fx.upstream.retries = 1;
    fx.route.element.name = SLICE("all");
    fx.route.upstream = &fx.upstream;
    fx.route.response_timeout_ms = 30000;
    fx.route.chain = fx.links;
    for (unsigned i = 0; i < FIXTURE_TARGETS; i++) {
        fx.servers[i] = -1;
    }
}

static uint16_t open_server(bool listens, int *ret_fd)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert(!listens || listen(fd, 64) == 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_fd = fd;
    return ntohs(addr.sin_port);
}

void fixture_add_target(bool with_server)
{
    static char labels[FIXTURE_TARGETS][32];
    size_t i = fx.upstream.target_count++;
    struct config_target *target = &fx.targets[i];
    struct sockaddr_in *addr = (struct sockaddr_in *)&target->address;

    target->port = open_server(with_server, &fx.servers[i]);
    snprintf(labels[i], sizeof(labels[i]), "127.0.0.1:%u", (unsigned)target->port);
    target->host = SLICE("127.0.0.1");
    target->label = slice_str(labels[i]);
    target->weight = 1;
    target->is_literal = true;
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr->sin_port = htons(target->port);
    target->address_len = sizeof(*addr);
}

void fixture_add_plugin(const struct gw_plugin *plugin)
{
    unsigned i = fx.route.chain_length++;

    fx.plugins[i] = plugin;
    fx.config.plugin_count = i + 1;
    fx.links[i] = (struct config_link){
        .plugin = plugin,
        .plugin_index = i,
        .state_offset = fx.route.chain_state_bytes,
    };
    if (plugin->state_size > 0) {
        fx.route.chain_state_bytes += (plugin->state_size + 15) / 16 * 16;
    }
}

void fixture_start(void)
{
    fx.worker = worker_new(&fx.gateway, &fx.config, 1);
    ck_assert_ptr_nonnull(fx.worker);
}

void fixture_teardown(void)
{
    if (fx.worker != NULL) {
        worker_stop(fx.worker);
        fixture_spin();
        ck_assert_uint_eq(fx.worker->conn_count, 0);
        ck_assert_uint_eq(fx.worker->requests_in_flight, 0);
        worker_free(fx.worker);
        fx.worker = NULL;
    }
    ck_assert_int_eq(fx.config.refs, 1);
    for (unsigned i = 0; i < FIXTURE_TARGETS; i++) {
        if (fx.servers[i] >= 0) {
            close(fx.servers[i]);
        }
    }
    clock_unset();
}

static void tell_enter(bool enters)
{
    if (fixture_on_enter != NULL) {
        fixture_on_enter(enters);
    }
}

void fixture_spin(void)
{
    tell_enter(true);
    for (unsigned i = 0; i < SPIN_TURNS; i++) {
        loop_turn(fx.worker->loop, false);
    }
    tell_enter(false);
}

void fixture_advance(uint64_t ms)
{
    fx.now_ms += ms;
    set_clock();
    fixture_spin();
}

/* ---- Clients and servers ---- */

int fixture_connect(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(40000) };
    int fds[2];

    addr.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    tell_enter(true);
    (void)conn_new(fx.worker, &fx.listener, fds[1], (const struct sockaddr *)&addr);
    tell_enter(false);
    return fds[0];
}

struct request *fixture_request(const char *head)
{
    const char *detail = NULL;

    close(fixture_connect()); /* the gateway does not hear of it: no turn is run */
    struct request *req = request_new(fx.worker->conns);
    ck_assert_ptr_nonnull(req);
    char *copy = arena_strdup(&req->arena, slice_str(head));
    ck_assert_ptr_nonnull(copy);
    enum h1_error error = h1_parse_request(copy, strlen(copy), &fx.config.server.limits.h1,
                                           &req->arena, SLICE("http"), &req->head, &detail);
    ck_assert_msg(error == H1_OK, "%s: %s", h1_error_word(error), head);
    req->route = &fx.route;
    req->target = &fx.targets[0];
    return req;
}

void fixture_send(int fd, const char *text)
{
    size_t len = strlen(text), sent = 0;

    while (sent < len) {
        ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);
        ck_assert_msg(n > 0 || errno == EAGAIN, "send: %s", strerror(errno));
        sent += n > 0 ? (size_t)n : 0;
        fixture_spin();
    }
}

const char *fixture_receive(int fd, bool *ret_closed)
{
    size_t len = 0;

    *ret_closed = false;
    fixture_spin();
    while (len < TEXT_BYTES) {
        ssize_t n = recv(fd, received + len, TEXT_BYTES - len, 0);
        if (n <= 0) {
            *ret_closed = n == 0 || errno != EAGAIN;
            break;
        }
        len += (size_t)n;
        fixture_spin();
    }
    received[len] = '\0';
    return received;
}

int fixture_accept(unsigned target)
{
    int on = 1;

    fixture_spin();
    int fd = accept4(fx.servers[target], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) { /* what is sent arrives at once */
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    }
    return fd;
}
