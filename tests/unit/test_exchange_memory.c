/* SPDX-License-Identifier: Apache-2.0 */
/* Exchanges in which the Nth allocation fails, for every N: nothing crashes, hangs or leaks, and the
 * client gets an answer or the end of its connection.  Links with --wrap for malloc and its kin. */
#include "gateway/inherit.h"
#include "gateway/listener.h"
#include "gateway/peers.h"
#include "plugins/plugin.h"

#include <check.h>
#include <event2/event.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define ROUNDS_MOST 5000u

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *ptr, size_t size);
void *__real_reallocarray(void *ptr, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *ptr, size_t size);
void *__wrap_reallocarray(void *ptr, size_t count, size_t size);

static bool armed, entered, keeps_failing;
static unsigned allocations, fails_at;

/* Only the gateway's own allocations fail, not those of the test. */
static void on_enter(bool enters)
{
    entered = enters;
}

static bool fails_now(void)
{
    if (!armed || !entered) {
        return false;
    }
    allocations++;
    return keeps_failing ? allocations >= fails_at : allocations == fails_at;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *ptr, size_t size)
{
    return fails_now() ? NULL : __real_realloc(ptr, size);
}

void *__wrap_reallocarray(void *ptr, size_t count, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(ptr, count, size);
}

/* ---- A plugin that uses what the gateway offers ---- */

static enum gw_verdict after_sleep(struct gw_call *call)
{
    return gw_header_set(call->req, SLICE("x-user"), SLICE("me")) == 0 ? GW_NEXT : GW_FAIL;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    return gw_sleep(call, 5, after_sleep);
}

static bool reads_response; /* and answers in its place */

static enum gw_verdict after_body(struct gw_call *call)
{
    const struct gw_reply reply = { .status = 201,
                                    .content_type = SLICE("text/plain"),
                                    .body = gw_response_body(call->req) };

    return gw_reply(call, &reply);
}

static enum gw_verdict on_response(struct gw_call *call)
{
    if (reads_response) {
        return gw_read_response_body(call, GW_BODY_MAX, after_body);
    }
    return gw_response_header_set(call->req, SLICE("x-seen"), SLICE("yes")) == 0 ? GW_NEXT
                                                                                 : GW_FAIL;
}

static const struct gw_plugin plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "sleeper",
    .on_request = on_request,
    .on_response = on_response,
};

/* ---- Exchanges ---- */

#define BODY_BYTES 100000u
static char head_text[24000], body_text[BODY_BYTES + 1], answer_text[BODY_BYTES + 100];

static void make_texts(void)
{
    int len = snprintf(head_text, sizeof(head_text),
                       "POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n");

    for (unsigned i = 0; i < 90; i++) { /* more than a block */
        len += snprintf(head_text + len, sizeof(head_text) - (size_t)len, "X-Field-%u: %0220u\r\n",
                        i, i);
    }
    snprintf(head_text + len, sizeof(head_text) - (size_t)len, "\r\n");
    memset(body_text, 'b', BODY_BYTES);
    snprintf(answer_text, sizeof(answer_text),
             "HTTP/1.1 200 OK\r\nContent-Length: %u\r\nServer: x\r\n\r\n%s", BODY_BYTES, body_text);
}

/* The other side may be gone, or not read. */
static void try_send(int fd, const char *text)
{
    size_t len = strlen(text), sent = 0;

    for (unsigned stalls = 0; stalls < 3 && sent < len;) {
        ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);
        stalls = n > 0 ? 0 : stalls + 1;
        sent += n > 0 ? (size_t)n : 0;
        fixture_spin();
    }
}

struct seen {
    unsigned answers; /* final ones */
    unsigned status;  /* of the last */
    bool closed;
};

static void look(int client, struct seen *seen)
{
    bool closed;
    const char *text = fixture_receive(client, &closed);

    for (const char *at = text; (at = strstr(at, "HTTP/1.1 ")) != NULL; at += 9) {
        if (at[9] != '1') {
            seen->answers++;
            seen->status = (unsigned)strtoul(at + 9, NULL, 10);
        }
    }
    seen->closed = seen->closed || closed;
}

static void serve(const char *answer)
{
    bool closed;
    int server = fixture_accept(0);

    if (server >= 0) {
        fixture_receive(server, &closed);
        try_send(server, answer);
        fixture_spin();
        close(server);
        fixture_spin();
    }
}

static void post_chunked(int client, struct seen *seen)
{
    try_send(client, head_text);
    fixture_advance(5);
    try_send(client, "5\r\nhello\r\n");
    try_send(client, "0\r\n\r\n");
    serve(answer_text);
    look(client, seen);
}

static void get_close_delimited(int client, struct seen *seen)
{
    try_send(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    serve("HTTP/1.1 200 OK\r\n\r\nbody");
    look(client, seen);
}

static void bad_request(int client, struct seen *seen)
{
    try_send(client, "GET /a HTTP/1.1\r\n\r\n");
    look(client, seen);
}

static void no_server(int client, struct seen *seen)
{
    close(fx.servers[0]);
    fx.servers[0] = -1;
    try_send(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    look(client, seen);
}

static void named_server(int client, struct seen *seen)
{
    fx.targets[0].host = SLICE("localhost");
    fx.targets[0].is_literal = false;
    try_send(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    fixture_advance(1); /* the answer for the name is a timer of its own */
    serve("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    look(client, seen);
}

/* The kept connection ends under the second request. */
static void two_requests(int client, struct seen *seen)
{
    bool closed;

    try_send(client, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    int server = fixture_accept(0);
    if (server >= 0) {
        fixture_receive(server, &closed);
        try_send(server, "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n");
        try_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        try_send(server, "0\r\n\r\n");
        fixture_advance(5);
        fixture_receive(server, &closed);
        close(server);
        fixture_spin();
    }
    look(client, seen);
    serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    look(client, seen);
}

static void client_that_does_not_read(int client, struct seen *seen)
{
    static char much[1000001];

    memset(much, 'x', sizeof(much) - 1);
    try_send(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    int server = fixture_accept(0);
    if (server >= 0) {
        try_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        try_send(server, much);
        look(client, seen);
        look(client, seen);
        close(server);
    }
    look(client, seen);
}

static void response_read_by_a_plugin(int client, struct seen *seen)
{
    static char chunk[20001];

    memset(chunk, 'x', sizeof(chunk) - 1);
    reads_response = true;
    try_send(client, "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_advance(5);
    int server = fixture_accept(0);
    if (server >= 0) {
        try_send(server, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n");
        try_send(server, chunk);
        try_send(server, "\r\n0\r\n\r\n");
        close(server);
    }
    fixture_spin();
    look(client, seen);
    reads_response = false;
}

typedef void exchange_fn(int client, struct seen *seen);

/* How many allocations there were. */
static unsigned run_once(exchange_fn *exchange, unsigned at, struct seen *ret)
{
    struct seen seen = { 0 };

    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&plugin);
    fixture_start();
    allocations = 0;
    fails_at = at;
    armed = true;
    int client = fixture_connect();
    exchange(client, &seen);
    armed = false;
    if (seen.answers == 0 && !seen.closed) {
        fixture_advance(70000); /* a deadline ends it: memory came back too late to be told */
        look(client, &seen);
    }
    ck_assert_msg(seen.answers > 0 || seen.closed, "hangs when allocation %u fails", at);
    close(client);
    fixture_spin();
    ck_assert_msg(fx.worker->conn_count == 0, "connection left when allocation %u fails", at);
    ck_assert_msg(fx.worker->requests_in_flight == 0, "request left when allocation %u fails", at);
    fixture_teardown();
    *ret = seen;
    return allocations;
}

static exchange_fn *const exchanges[] = { post_chunked,
                                          get_close_delimited,
                                          bad_request,
                                          no_server,
                                          named_server,
                                          two_requests,
                                          client_that_does_not_read,
                                          response_read_by_a_plugin };
static const unsigned statuses[] = { 200, 200, 400, 502, 200, 200, 200, 201 };
#define EXCHANGES (sizeof(exchanges) / sizeof(exchanges[0]))

START_TEST(every_allocation_may_fail)
{
    struct seen seen;

    keeps_failing = (size_t)_i >= EXCHANGES;
    for (unsigned at = 1; at < ROUNDS_MOST; at++) {
        unsigned count = run_once(exchanges[_i % EXCHANGES], at, &seen);
        if (count < at) {
            ck_assert_uint_gt(at, 10);
            ck_assert_uint_eq(seen.status, statuses[_i % EXCHANGES]);
            return;
        }
        ck_assert_msg(seen.answers == 0 || seen.status == statuses[_i % EXCHANGES] ||
                          seen.status == 503 || seen.status == 500 || seen.status == 502,
                      "status %u when allocation %u fails", seen.status, at);
    }
    ck_abort_msg("no end of allocations");
}
END_TEST

/* ---- Connections ---- */

#define CONNECTIONS 70u /* the timers' memory grows on the way */

static void listen_on_loopback(uint16_t *ret_port)
{
    static struct inherit nothing = { .parent_fd = -1 };
    struct sockaddr_in *addr = (struct sockaddr_in *)&fx.listener.address;

    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fx.listener.address_len = sizeof(*addr);
    fx.config.server.limits.connections_per_ip = 1000;
    fx.gateway.worker_count = 2;
    fixture_start();
    *ret_port = 0;
    ck_assert_int_eq(listeners_open(fx.worker, &nothing, ret_port), 0);
}

static int dial(uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* So many of 127.0.0.1 are counted, no less and no more. */
static void expect_counted(unsigned count)
{
    const struct sockaddr_in addr = { .sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    uint8_t key[PEERS_KEY_BYTES];

    peers_key_of((const struct sockaddr *)&addr, key);
    fx.config.server.limits.connections_per_ip = (int64_t)count + 1;
    ck_assert(peers_enter(fx.worker, (const struct sockaddr *)&addr));
    ck_assert(!peers_enter(fx.worker, (const struct sockaddr *)&addr));
    peers_leave(fx.worker, key);
    fx.config.server.limits.connections_per_ip = 1000;
}

START_TEST(who_is_closed_for_want_of_memory_is_not_counted_any_more)
{
    int fds[CONNECTIONS];
    uint16_t port;
    unsigned failures = 0;

    fixture_setup();
    listen_on_loopback(&port);
    keeps_failing = false;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        for (fails_at = 1; fx.worker->conn_count == i; fails_at++) {
            fds[i] = dial(port);
            allocations = 0;
            armed = true;
            fixture_spin();
            armed = false;
            expect_counted(fx.worker->conn_count);
            if (fx.worker->conn_count == i) {
                failures++;
                close(fds[i]);
            }
        }
    }
    ck_assert_uint_gt(failures, CONNECTIONS);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        close(fds[i]);
    }
    fixture_spin();
    ck_assert_uint_eq(fx.worker->peers.count, 0);
    fixture_teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exchange_memory");
    TCase *cases = tcase_create("all");

    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    fixture_on_enter = on_enter;
    make_texts();
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, every_allocation_may_fail, 0, 2 * EXCHANGES);
    tcase_add_test(cases, who_is_closed_for_want_of_memory_is_not_counted_any_more);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
