/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/forward.h"
#include "gateway/host.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/gateway_fixture.h"

static struct config_cidr everybody;
static struct buf out;
static char written[32768];

static void setup(void)
{
    fixture_setup();
    fixture_add_target(false);
    fixture_start();
    buf_init(&out, loop_pool(fx.worker->loop));
}

static void teardown(void)
{
    buf_clear(&out);
    fixture_teardown();
}

static const char *write_head(struct request *req)
{
    buf_clear(&out);
    ck_assert_int_eq(forward_write(req, &out), 0);
    struct slice front = buf_front(&out);
    ck_assert_uint_eq(front.len, out.len);
    ck_assert_uint_lt(front.len, sizeof(written));
    memcpy(written, front.ptr, front.len);
    written[front.len] = '\0';
    return written;
}

static struct request *request_with(const char *fields)
{
    char head[2048];

    snprintf(head, sizeof(head), "GET /a/b?c=d HTTP/1.1\r\nHost: example.com\r\n%s\r\n", fields);
    return fixture_request(head);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

#define expect(text, part) ck_assert_msg(has(text, part), "no \"%s\" in \"%s\"", part, text)
#define refuse(text, part) ck_assert_msg(!has(text, part), "\"%s\" in \"%s\"", part, text)

START_TEST(the_request_line_and_host_are_kept)
{
    const char *text = write_head(request_with("User-Agent: x\r\nX-A: 1\r\nX-A: 2\r\n"));

    ck_assert_ptr_eq(strstr(text, "GET /a/b?c=d HTTP/1.1\r\nhost: example.com\r\n"), text);
    expect(text, "\r\nuser-agent: x\r\n");
    expect(text, "\r\nx-a: 1\r\n");
    expect(text, "\r\nx-a: 2\r\n");
    expect(text, "\r\nvia: 1.1 jwtgate\r\n");
    expect(text, "\r\nx-forwarded-for: 192.0.2.1\r\n");
    expect(text, "\r\nx-forwarded-proto: http\r\n");
    expect(text, "\r\nx-forwarded-host: example.com\r\n");
    expect(text, "\r\ntraceparent: 00-");
}
END_TEST

START_TEST(fields_of_the_connection_end_here)
{
    static const char *const fields[] = {
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: trailers",
        "Trailer: Expires",
        "Upgrade: websocket",
        "Expect: 100-continue",
        "HTTP2-Settings: x",
        "Proxy-Authorization: Basic eDp5",
        "Forwarded: for=1.1.1.1",
        "X-Real-IP: 1.1.1.1",
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-Host: evil",
        "X-Forwarded-Proto: evil",
        "X-Forwarded-Port: 1",
        "X_User_Id: 1",
        "X-User_Id: 1",
    };

    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char line[100];
        snprintf(line, sizeof(line), "%s\r\n", fields[i]);
        const char *text = write_head(request_with(line));
        for (char *c = line; *c != ':'; c++) {
            *c = ascii_lower(*c);
        }
        refuse(text, line);
    }
}
END_TEST

START_TEST(what_connection_names_ends_here)
{
    const char *text = write_head(request_with("Connection: close, X-Hop ,x-other,,Via\r\n"
                                               "X-Hop: 1\r\nX-Other: 2\r\nX-Stays: 3\r\n"
                                               "Via: 1.0 before\r\n"
                                               "Connection: x-last\r\nX-Last: 4\r\n"));

    refuse(text, "x-hop");
    refuse(text, "x-other");
    refuse(text, "x-last");
    refuse(text, "connection:");
    refuse(text, "1.0 before");
    expect(text, "x-stays: 3\r\n");
    expect(text, "via: 1.1 jwtgate\r\n");
}
END_TEST

START_TEST(our_own_fields_cannot_be_named_away)
{
    struct request *req =
        request_with("Connection: x-user, x-forwarded-for, x-forwarded-proto, traceparent, host\r\n"
                     "X-User: evil\r\nX_User: evil\r\n");

    ck_assert_int_eq(gw_header_set(gw_request_of(req), SLICE("x-user"), SLICE("me")), 0);
    const char *text = write_head(req);
    expect(text, "\r\nx-user: me\r\n");
    refuse(text, "evil");
    expect(text, "\r\nx-forwarded-for: 192.0.2.1\r\n");
    expect(text, "\r\nx-forwarded-proto: http\r\n");
    expect(text, "\r\ntraceparent: 00-");
    expect(text, "\r\nhost: example.com\r\n");
}
END_TEST

START_TEST(a_second_try_sends_the_same)
{
    static char first[sizeof(written)];
    struct request *req = request_with("Connection: x-a\r\nX-A: 1\r\nX-B: 1\r\n");

    ck_assert_int_eq(gw_header_set(gw_request_of(req), SLICE("x-user"), SLICE("me")), 0);
    memcpy(first, write_head(req), sizeof(first));
    ck_assert_str_eq(first, write_head(req));
}
END_TEST

START_TEST(what_a_trusted_proxy_says_is_kept)
{
    fx.config.server.trusted_proxies = &everybody;
    fx.config.server.trusted_proxy_count = 1;
    const char *text = write_head(request_with(
        "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\n"
        "X-Forwarded-Host: outside\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.1.1.1\r\n"));

    expect(text, "\r\nx-forwarded-for: 1.1.1.1, 2.2.2.2, 192.0.2.1\r\n");
    expect(text, "\r\nx-forwarded-proto: https\r\n");
    expect(text, "\r\nx-forwarded-host: outside\r\n");
    expect(text, "\r\nx-forwarded-port: 443\r\n");
    refuse(text, "x-forwarded-proto: http\r\n");
    refuse(text, "x-forwarded-host: example.com");
}
END_TEST

START_TEST(a_prefix_is_stripped)
{
    static const struct {
        const char *path, *prefix, *line;
    } vectors[] = {
        { "/api/v1", "/api", "GET /v1 HTTP/1.1\r\n" }, { "/api", "/api", "GET / HTTP/1.1\r\n" },
        { "/api?x", "/api", "GET /?x HTTP/1.1\r\n" },  { "/api/", "/api", "GET / HTTP/1.1\r\n" },
        { "/api/v1", "", "GET /api/v1 HTTP/1.1\r\n" },
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char head[200];
        snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", vectors[i].path);
        fx.route.strip_prefix = slice_str(vectors[i].prefix);
        const char *text = write_head(fixture_request(head));
        ck_assert_msg(strstr(text, vectors[i].line) == text, "%s", text);
    }
}
END_TEST

START_TEST(framing_is_made_anew)
{
    const char *text =
        write_head(fixture_request("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n"));

    expect(text, "\r\ncontent-length: 7\r\n");
    refuse(text, ": 007"); /* a trace id may have the digits */
    text = write_head(
        fixture_request("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    expect(text, "\r\ntransfer-encoding: chunked\r\n");
    refuse(text, "content-length");
    text = write_head(request_with(""));
    refuse(text, "content-length");
    refuse(text, "transfer-encoding");
}
END_TEST

START_TEST(a_head_without_a_host_gets_the_targets)
{
    const char *text = write_head(fixture_request("GET /a HTTP/1.0\r\n\r\n"));
    char host[100];

    snprintf(host, sizeof(host), "\r\nhost: 127.0.0.1:%u\r\n", (unsigned)fx.targets[0].port);
    expect(text, host);
    refuse(text, "x-forwarded-host");
}
END_TEST

START_TEST(the_responses_connection_fields_end_here)
{
    char head[] = "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\n"
                  "Upgrade: h2c\r\nContent-Length: 3\r\nX_Stays: 1\r\nServer: x\r\n\r\n";
    struct request *req = request_with("");

    ck_assert_int_eq(h1_parse_response(head, sizeof(head) - 1, &fx.config.server.limits.h1,
                                       &req->arena, HTTP_GET, &req->response),
                     H1_OK);
    ck_assert_int_eq(forward_response(req), 0);
    const struct headers *headers = &req->response.headers;
    ck_assert_int_eq(req->outcome, OUTCOME_NONE);
    ck_assert_uint_eq(headers_count(headers, SLICE("x-hop")), 0);
    ck_assert_uint_eq(headers_count(headers, SLICE("connection")), 0);
    ck_assert_uint_eq(headers_count(headers, SLICE("keep-alive")), 0);
    ck_assert_uint_eq(headers_count(headers, SLICE("upgrade")), 0);
    ck_assert_uint_eq(headers_count(headers, SLICE("content-length")), 1);
    ck_assert_uint_eq(headers_count(headers, SLICE("x_stays")), 1);
    ck_assert_uint_eq(headers_count(headers, SLICE("server")), 1);
    ck_assert(slice_eq(headers_get_id(headers, HEADER_VIA), SLICE("1.1 jwtgate")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, the_request_line_and_host_are_kept);
    tcase_add_test(cases, fields_of_the_connection_end_here);
    tcase_add_test(cases, what_connection_names_ends_here);
    tcase_add_test(cases, our_own_fields_cannot_be_named_away);
    tcase_add_test(cases, a_second_try_sends_the_same);
    tcase_add_test(cases, what_a_trusted_proxy_says_is_kept);
    tcase_add_test(cases, a_prefix_is_stripped);
    tcase_add_test(cases, framing_is_made_anew);
    tcase_add_test(cases, a_head_without_a_host_gets_the_targets);
    tcase_add_test(cases, the_responses_connection_fields_end_here);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
