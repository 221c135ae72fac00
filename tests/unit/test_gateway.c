/* SPDX-License-Identifier: Apache-2.0 */
/* The whole process, but in the test's own: control thread, workers, admin listener, echo backend; an
 * operator on another thread asks, reloads and stops it. */
#include "gateway/gateway.h"

#include <check.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/config_file.h"

#define ANSWER_BYTES (256u * 1024u)
#define PATIENCE_S   20

static char *answer; /* the last one */

/* What a thread must not assert: only the main thread may leave a test. */
struct operator
{
    pthread_t thread;
    void (*work)(struct operator* operator);
    uint16_t public, admin, echo;
    bool has_stopped;   /* it has told the gateway to stop */
    const char *failed; /* the first expectation that did not hold; NULL: all did */
};

/* ---- asking ---- */

static int dial(uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
    const struct timeval patience = { .tv_sec = PATIENCE_S };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0 ||
        connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The status of one request on a connection of its own; 0: there was no answer. */
static unsigned ask(uint16_t port, const char *method, const char *path)
{
    char text[256];
    size_t len = 0;
    ssize_t n;
    int fd = dial(port);

    snprintf(text, sizeof(text),
             "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
             method, path);
    answer[0] = '\0';
    if (fd < 0 || send(fd, text, strlen(text), MSG_NOSIGNAL) != (ssize_t)strlen(text)) {
        close(fd);
        return 0;
    }
    while (len + 1 < ANSWER_BYTES && (n = recv(fd, answer + len, ANSWER_BYTES - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    answer[len] = '\0';
    close(fd);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (unsigned)strtoul(answer + 9, NULL, 10) : 0;
}

static void expect(struct operator* operator, bool holds, const char *what)
{
    if (!holds && operator->failed == NULL) {
        operator->failed = what;
    }
}

/* Until the metrics have the line, for a while. */
static bool metrics_come_to_say(const struct operator* operator, const char * line)
{
    const struct timespec pause = { .tv_nsec = 20000000 };

    for (unsigned i = 0; i < 50 * PATIENCE_S; i++) {
        if (ask(operator->admin, "GET", "/metrics") == 200 && strstr(answer, line) != NULL) {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

/* ---- serving ---- */

static void *run_operator(void *arg)
{
    struct operator* operator= arg;

    operator->work(operator);
    if (!operator->has_stopped) {
        kill(getpid(), SIGTERM);
    }
    return NULL;
}

static void on_ready(struct gateway *gateway, const uint16_t *ports, void *arg)
{
    struct operator* operator= arg;
    const struct config *config = gateway->config;

    for (size_t i = 0; i < config->listener_count; i++) {
        switch (config->listeners[i].service) {
        case CONFIG_PUBLIC: operator->public = ports[i]; break;
        case CONFIG_ADMIN: operator->admin = ports[i]; break;
        case CONFIG_ECHO: operator->echo = ports[i]; break;
        }
    }
    ck_assert_int_eq(pthread_create(&operator->thread, NULL, run_operator, operator), 0);
}

#define CONFIG_HEAD                                                                                \
    "{\"version\": 1,\n\"server\": {\"workers\": 2, \"shutdown_grace\": \"5s\"},\n"                \
    "\"listeners\": {\"public\": {\"address\": \"127.0.0.1:0\"}},\n"                               \
    "\"admin\": {\"address\": \"127.0.0.1:0\"},\n\"access_log\": \"off\",\n"                       \
    "\"upstreams\": {\"echo\": {\"targets\": [\"127.0.0.1:%u\"]},\n"                               \
    "\"slow\": {\"targets\": [\"127.0.0.1:%u\"]}},\n"
#define ROUTE_A                                                                                    \
    "\"a\": {\"match\": {\"path_prefix\": \"/a\"}, \"upstream\": \"echo\", \"auth\": \"none\"}"
#define ROUTE_B                                                                                    \
    "\"b\": {\"match\": {\"path_prefix\": \"/b\"}, \"upstream\": \"echo\", \"auth\": \"none\"}"

#define ROUTE_SLOW                                                                                 \
    ",\"s\": {\"match\": {\"path_prefix\": \"/slow\"}, \"upstream\": \"slow\", \"auth\": "         \
    "\"none\"}"

static uint16_t echo_port, slow_port;
static int slow_fd; /* listens there */

static void write_config(const char *routes)
{
    char text[2048];

    snprintf(text, sizeof(text), CONFIG_HEAD "\"routes\": {%s" ROUTE_SLOW "}}", echo_port,
             slow_port, routes);
    write_file("t.jsonc", text);
}

/* A socket that is bound to a port of its own. */
static int bind_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static void serve(void (*work)(struct operator* operator))
{
    char echo[32];
    struct config_load_options options = { .echo_address = echo };
    struct operator operator= { .work = work };

    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &stop, NULL); /* a gateway that has stopped leaves them blocked */
    answer = calloc(1, ANSWER_BYTES);
    close(bind_somewhere(&echo_port)); /* the echo listener's, a moment later */
    slow_fd = bind_somewhere(&slow_port);
    ck_assert_int_eq(listen(slow_fd, 4), 0);
    snprintf(echo, sizeof(echo), "127.0.0.1:%u", echo_port);
    write_config(ROUTE_A);
    struct config *config = config_load_with("t.jsonc", &options, &diag, NULL);

    assert_loads(config);
    ck_assert_int_eq(gateway_serve(config, on_ready, &operator), 0);
    pthread_join(operator.thread, NULL);
    close(slow_fd);
    config_unref(config);
    ck_assert_msg(operator.failed == NULL, "%s\n%s", operator.failed, answer);
    free(answer);
}

/* ---- the tests ---- */

static void look_around(struct operator* operator)
{
    expect(operator, ask(operator->public, "GET", "/a/b") == 200, "the backend answers");
    expect(operator, strstr(answer, "\"path\":\"/a/b\"") != NULL, "it saw the path");
    expect(operator, ask(operator->public, "GET", "/b") == 404, "no route");
    expect(operator, ask(operator->admin, "GET", "/livez") == 200, "alive");
    expect(operator, ask(operator->admin, "GET", "/readyz") == 200, "ready");
    expect(operator, ask(operator->admin, "GET", "/nothing") == 404, "no such page");
    expect(operator, ask(operator->admin, "GET", "/metrics") == 200, "metrics");
    static const char *const lines[] = {
        "\njwtgate_build_info{version=\"",
        "\njwtgate_http_requests_total{listener=\"public\",route=\"a\",method=\"GET\","
        "code=\"200\"} 1\n",
        "\njwtgate_http_requests_total{listener=\"public\",route=\"-\",method=\"GET\","
        "code=\"404\"} 1\n",
        "\njwtgate_connections{listener=\"admin\"} 1\n",
        "\njwtgate_config_last_reload_successful 1\n",
        "\nprocess_open_fds ",
        "\nprocess_resident_memory_bytes ",
        "\njwtgate_config_info{hash=\"",
    };
    for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        expect(operator, strstr(answer, lines[i]) != NULL, lines[i]);
    }
}

START_TEST(it_serves_and_says_how_it_is)
{
    serve(look_around);
}
END_TEST

static void reload(struct operator* operator)
{
    write_config(ROUTE_A ",\n" ROUTE_B);
    kill(getpid(), SIGHUP);
    expect(operator,
           metrics_come_to_say(operator, "\njwtgate_config_reloads_total{result=\"success\"} 1\n"),
           "a good file is taken");
    expect(operator, ask(operator->public, "GET", "/b") == 200, "the new route");
    write_config(ROUTE_A ", \"b\": {}");
    kill(getpid(), SIGHUP);
    expect(operator,
           metrics_come_to_say(operator, "\njwtgate_config_reloads_total{result=\"failure\"} 1\n"),
           "a bad file is refused");
    expect(operator, strstr(answer, "\njwtgate_config_last_reload_successful 0\n") != NULL,
           "and it is told");
    expect(operator, ask(operator->public, "GET", "/b") == 200, "all is as it was");
}

START_TEST(it_reloads_by_signal)
{
    serve(reload);
}
END_TEST

static bool comes_to_refuse(const struct operator* operator)
{
    const struct timespec pause = { .tv_nsec = 20000000 };

    for (unsigned i = 0; i < 50 * PATIENCE_S; i++) {
        int fd = dial(operator->public);

        if (fd < 0) {
            return true;
        }
        close(fd);
        nanosleep(&pause, NULL);
    }
    return false;
}

/* A request whose backend, the test itself, has not answered when the signal comes. */
static void leave_one_waiting(struct operator* operator)
{
    static const char request[] = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char response[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    int client = dial(operator->public);

    expect(operator, send(client, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0, "it is sent");
    int server = accept4(slow_fd, NULL, NULL, SOCK_CLOEXEC);
    expect(operator, server >= 0 && recv(server, answer, ANSWER_BYTES, 0) > 0, "it arrived");
    operator->has_stopped = true;
    kill(getpid(), SIGTERM);
    expect(operator, comes_to_refuse(operator), "new connections are refused");
    expect(operator, send(server, response, sizeof(response) - 1, MSG_NOSIGNAL) > 0, "answered");
    ssize_t n = recv(client, answer, ANSWER_BYTES - 1, 0);
    answer[n > 0 ? n : 0] = '\0';
    expect(operator, strncmp(answer, "HTTP/1.1 200 ", 13) == 0, "and the answer passed on");
    close(client);
    close(server);
}

START_TEST(it_ends_what_is_under_way_before_it_stops)
{
    serve(leave_one_waiting);
}
END_TEST

START_TEST(a_port_that_is_taken_is_an_end)
{
    char text[512];
    uint16_t port;
    int fd = bind_somewhere(&port);

    ck_assert_int_eq(listen(fd, 1), 0);
    snprintf(text, sizeof(text),
             "{\"version\": 1, \"listeners\": {\"l\": {\"address\": \"127.0.0.1:%u\"}},\n" UPSTREAMS
                 ROUTES,
             port);
    struct config *config = load(text);

    assert_loads(config);
    ck_assert_int_eq(gateway_serve(config, NULL, NULL), 1);
    config_unref(config);
    close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gateway");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, it_serves_and_says_how_it_is);
    tcase_add_test(tc, it_reloads_by_signal);
    tcase_add_test(tc, it_ends_what_is_under_way_before_it_stops);
    tcase_add_test(tc, a_port_that_is_taken_is_an_end);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
