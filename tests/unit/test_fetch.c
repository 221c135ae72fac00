/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/fetch.h"

#include <check.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A server of one thread: for each connection it reads a head, sends `len` bytes of `text` and ends, or
 * does what `script` does. */
struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    const char *text;
    size_t len;
    void (*script)(int fd);
    bool is_deaf; /* does not read */
    char head[4096];
    unsigned connections;
};

struct result {
    bool done;
    int err;
    unsigned status;
    char body[256];
    char etag[64], cache_control[64];
};

static struct loop *loop;
static struct fetcher *fetcher;
static struct server server;

static void pause_ms(long ms)
{
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    nanosleep(&time, NULL);
}

static void *serve(void *arg)
{
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);
        size_t len = 0;

        if (fd < 0) {
            return NULL;
        }
        server.connections++;
        while (!server.is_deaf && len < sizeof(server.head) - 1) {
            ssize_t n = recv(fd, server.head + len, sizeof(server.head) - 1 - len, 0);
            if (n <= 0) {
                break;
            }
            len += (size_t)n;
            server.head[len] = '\0';
            if (strstr(server.head, "\r\n\r\n") != NULL) {
                break;
            }
        }
        if (server.script != NULL) {
            server.script(fd);
        } else {
            (void)!send(fd, server.text, server.len, MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void setup(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    server = (struct server){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.fd, 64), 0);
    getsockname(server.fd, (struct sockaddr *)&addr, &len);
    server.port = ntohs(addr.sin_port);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
    loop = loop_new();
    fetcher = fetcher_new(loop);
    ck_assert_ptr_nonnull(fetcher);
}

static void teardown(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    fetcher_free(fetcher);
    loop_free(loop);
}

static void copy_text(char *to, size_t size, struct slice text)
{
    snprintf(to, size, "%.*s", (int)text.len, text.ptr == NULL ? "" : text.ptr);
}

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    struct result *result = arg;

    ck_assert(!result->done);
    result->done = true;
    result->err = answer->err;
    result->status = answer->status;
    copy_text(result->body, sizeof(result->body), answer->body);
    copy_text(result->etag, sizeof(result->etag), answer->etag);
    copy_text(result->cache_control, sizeof(result->cache_control), answer->cache_control);
    ck_assert(answer->err == 0 || answer->detail != NULL);
}

static struct result run(const char *host, struct fetch_options options)
{
    struct result result = { 0 };
    char url[128];

    snprintf(url, sizeof(url), "http://%s:%u/keys", host, server.port);
    options.url = options.url == NULL ? url : options.url;
    options.allow_http = true;
    options.connect_timeout_ms = 10000;
    options.timeout_ms = options.timeout_ms == 0 ? 20000 : options.timeout_ms;
    options.max_bytes = options.max_bytes == 0 ? 100 : options.max_bytes;
    ck_assert_ptr_nonnull(fetch_start(fetcher, &options, on_answer, &result));
    ck_assert(!result.done);
    while (!result.done) {
        loop_turn(loop, true);
    }
    return result;
}

static struct result answer_with(const char *text)
{
    server.text = text;
    server.len = strlen(text);
    return run("127.0.0.1", (struct fetch_options){ 0 });
}

START_TEST(a_body_and_its_fields_arrive)
{
    struct result result =
        answer_with("HTTP/1.1 200 OK\r\nETag: \"a\"\r\nCache-Control:  max-age=5 \r\n"
                    "Content-Length: 5\r\n\r\nhello");

    ck_assert_int_eq(result.err, 0);
    ck_assert_uint_eq(result.status, 200);
    ck_assert_str_eq(result.body, "hello");
    ck_assert_str_eq(result.etag, "\"a\"");
    ck_assert_str_eq(result.cache_control, "max-age=5");
}
END_TEST

START_TEST(what_we_have_is_named_in_the_request)
{
    struct result result;

    server.text = "HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n";
    server.len = strlen(server.text);
    result = run("localhost", (struct fetch_options){ .etag = "\"b\"",
                                                      .last_modified = "Tue, 24 Nov 2026",
                                                      .accept = "application/json" });
    ck_assert_int_eq(result.err, 0);
    ck_assert_uint_eq(result.status, 304);
    ck_assert_ptr_nonnull(strstr(server.head, "If-None-Match: \"b\"\r\n"));
    ck_assert_ptr_nonnull(strstr(server.head, "If-Modified-Since: Tue, 24 Nov 2026\r\n"));
    ck_assert_ptr_nonnull(strstr(server.head, "Accept: application/json\r\n"));
    ck_assert_ptr_null(strstr(server.head, "Accept-Encoding"));
}
END_TEST

START_TEST(something_can_be_told_by_who_may)
{
    struct result result;

    server.text = "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";
    server.len = strlen(server.text);
    result = run("localhost", (struct fetch_options){ .posts = true, .authorization = "Bearer x" });
    ck_assert_int_eq(result.err, 0);
    ck_assert_uint_eq(result.status, 202);
    ck_assert_int_eq(strncmp(server.head, "POST ", 5), 0);
    ck_assert_ptr_nonnull(strstr(server.head, "Content-Length: 0\r\n"));
    ck_assert_ptr_nonnull(strstr(server.head, "Authorization: Bearer x\r\n"));
}
END_TEST

START_TEST(a_body_without_length_stops_at_the_limit)
{
    struct result result =
        answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3c\r\n012345678901234567890123456789012345678901234567890123456789\r\n"
                    "3c\r\n012345678901234567890123456789012345678901234567890123456789\r\n"
                    "0\r\n\r\n");

    ck_assert_int_eq(result.err, ERR_TOO_BIG);
}
END_TEST

START_TEST(a_redirect_is_not_followed)
{
    struct result result =
        answer_with("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");

    ck_assert_int_eq(result.err, 0);
    ck_assert_uint_eq(result.status, 302);
    ck_assert_uint_eq(server.connections, 1);
}
END_TEST

static void drip(int fd)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    for (unsigned i = 0; i < 50; i++) {
        if (send(fd, &text[i], 1, MSG_NOSIGNAL) < 0) {
            return;
        }
        pause_ms(20);
    }
}

START_TEST(a_slow_answer_ends_with_the_time)
{
    struct result result;

    server.script = drip;
    result = run("127.0.0.1", (struct fetch_options){ .timeout_ms = 200 });
    ck_assert_int_eq(result.err, ERR_TIMEOUT);
}
END_TEST

START_TEST(nobody_there_is_an_error)
{
    struct result result = run("127.0.0.1", (struct fetch_options){ .url = "http://127.0.0.1:1/" });

    ck_assert_int_eq(result.err, ERR_CONNECT);
}
END_TEST

START_TEST(plain_text_where_tls_is_due_is_an_error)
{
    char url[64];

    server.is_deaf = true;
    snprintf(url, sizeof(url), "https://127.0.0.1:%u/", server.port);
    server.text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    server.len = strlen(server.text);
    ck_assert_int_eq(run("", (struct fetch_options){ .url = url }).err, ERR_CRYPTO);
}
END_TEST

START_TEST(only_http_addresses_are_taken)
{
    static const char *const bad[] = { "",          "keys.json", "ftp://a/b", "file:///etc/passwd",
                                       "http:///x", "https://" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!fetch_url_is_valid(bad[i], true), "%s", bad[i]);
    }
    ck_assert(fetch_url_is_valid("https://a.example/keys?x=1", false));
    ck_assert(fetch_url_is_valid("http://a.example:80/", true));
    ck_assert(!fetch_url_is_valid("http://a.example/", false));
}
END_TEST

START_TEST(a_proxy_of_the_environment_is_ignored)
{
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    ck_assert_uint_eq(answer_with("HTTP/1.1 204 No Content\r\n\r\n").status, 204);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}
END_TEST

/* The server plays the proxy: it gets the whole address, and only it has to know the name. */
START_TEST(a_proxy_of_the_options_is_asked_whatever_the_environment_says)
{
    char proxy[64];

    setenv("no_proxy", "*", 1);
    snprintf(proxy, sizeof(proxy), "http://localhost:%u", server.port);
    server.text = "HTTP/1.1 204 No Content\r\n\r\n";
    server.len = strlen(server.text);
    ck_assert_uint_eq(
        run("", (struct fetch_options){ .url = "http://keys.invalid/set", .proxy = proxy }).status,
        204);
    ck_assert_ptr_nonnull(strstr(server.head, "GET http://keys.invalid/set HTTP/1.1\r\n"));
    unsetenv("no_proxy");
}
END_TEST

START_TEST(a_proxy_that_refuses_a_tunnel_is_an_error)
{
    char proxy[64];

    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", server.port);
    server.text = "HTTP/1.1 403 Forbidden\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n";
    server.len = strlen(server.text);
    ck_assert_int_ne(run("", (struct fetch_options){ .url = "https://keys.invalid/set",
                                                     .accept = "application/json",
                                                     .proxy = proxy })
                         .err,
                     0);
    ck_assert_ptr_nonnull(strstr(server.head, "CONNECT keys.invalid:443 HTTP/1.1\r\n"));
    ck_assert_ptr_null(strstr(server.head, "Accept:"));
}
END_TEST

START_TEST(proxies_are_plain_and_have_a_port)
{
    static const char *const bad[] = { "",
                                       "proxy:3128",
                                       "http://proxy",
                                       "https://proxy:3128",
                                       "socks5://proxy:1080",
                                       "http://user@proxy:3128",
                                       "http://user:secret@proxy:3128",
                                       "http://proxy:3128/x",
                                       "http://proxy:3128/?x",
                                       "http://:3128" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!fetch_proxy_is_valid(bad[i]), "%s", bad[i]);
    }
    ck_assert(fetch_proxy_is_valid("http://proxy.example:3128"));
    ck_assert(fetch_proxy_is_valid("http://[::1]:3128/"));
}
END_TEST

START_TEST(a_cancelled_transfer_never_calls_back)
{
    struct result first = { 0 }, second = { 0 };
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", server.port);
    server.text = "HTTP/1.1 204 No Content\r\n\r\n";
    server.len = strlen(server.text);
    struct fetch_options options = { .url = url,
                                     .allow_http = true,
                                     .connect_timeout_ms = 1000,
                                     .timeout_ms = 1000,
                                     .max_bytes = 10 };
    struct fetch *fetch = fetch_start(fetcher, &options, on_answer, &first);
    ck_assert_ptr_nonnull(fetch_start(fetcher, &options, on_answer, &second));
    loop_turn(loop, true);
    fetch_cancel(fetch);
    while (!second.done) {
        loop_turn(loop, true);
    }
    ck_assert(!first.done);
    /* One more under way when all ends: teardown() frees it. */
    ck_assert_ptr_nonnull(fetch_start(fetcher, &options, on_answer, &first));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch");
    TCase *tcase = tcase_create("fetch");
    SRunner *runner = srunner_create(suite);
    int failed;

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_body_and_its_fields_arrive);
    tcase_add_test(tcase, what_we_have_is_named_in_the_request);
    tcase_add_test(tcase, something_can_be_told_by_who_may);
    tcase_add_test(tcase, a_body_without_length_stops_at_the_limit);
    tcase_add_test(tcase, a_redirect_is_not_followed);
    tcase_add_test(tcase, a_slow_answer_ends_with_the_time);
    tcase_add_test(tcase, nobody_there_is_an_error);
    tcase_add_test(tcase, plain_text_where_tls_is_due_is_an_error);
    tcase_add_test(tcase, only_http_addresses_are_taken);
    tcase_add_test(tcase, a_proxy_of_the_environment_is_ignored);
    tcase_add_test(tcase, a_proxy_of_the_options_is_asked_whatever_the_environment_says);
    tcase_add_test(tcase, a_proxy_that_refuses_a_tunnel_is_an_error);
    tcase_add_test(tcase, proxies_are_plain_and_have_a_port);
    tcase_add_test(tcase, a_cancelled_transfer_never_calls_back);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
