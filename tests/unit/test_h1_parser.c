/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_parser.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#define R "GET / HTTP/1.1\r\n"
#define H "Host: a\r\n"
#define E "\r\n"

/* What h1_scan() and h1_parse_request() say together about a head. */
struct verdict {
    enum h1_error error;
    bool more;
    size_t len;
};

/* `step` bytes more a call; each prefix is a copy of its own, so that the sanitizer sees its end. */
static struct verdict scan_in_steps(struct slice in, size_t step, bool is_request,
                                    const struct h1_limits *limits)
{
    struct verdict verdict = { 0 };
    struct h1_scan scan = { 0 };

    for (size_t len = step < in.len ? step : in.len;;
         len = len + step < in.len ? len + step : in.len) {
        char *copy = malloc(len > 0 ? len : 1);
        enum parse parse;

        ck_assert_ptr_nonnull(copy);
        memcpy(copy, in.ptr, len);
        parse =
            h1_scan(&scan, slice_of(copy, len), limits, is_request, &verdict.len, &verdict.error);
        free(copy);
        if (parse != PARSE_MORE) {
            return verdict;
        }
        if (len == in.len) {
            verdict.more = true;
            return verdict;
        }
    }
}

static struct verdict scan(struct slice in, bool is_request, const struct h1_limits *limits)
{
    struct verdict whole = scan_in_steps(in, in.len, is_request, limits);

    for (size_t step = 1; step < 4; step++) {
        struct verdict cut = scan_in_steps(in, step, is_request, limits);

        ck_assert_int_eq(cut.more, whole.more);
        ck_assert_msg(cut.error == whole.error, "%s, in pieces %s", h1_error_word(whole.error),
                      h1_error_word(cut.error));
        ck_assert_uint_eq(cut.len, whole.len);
    }
    return whole;
}

struct message {
    struct arena arena;
    char *head;
    struct http_request req;
    struct http_response res;
    const char *detail;
    enum h1_error error;
};

static void message_init(struct message *message, struct slice in)
{
    *message = (struct message){ 0 };
    arena_init(&message->arena, NULL, 0, 1 << 20);
    message->head = malloc(in.len > 0 ? in.len : 1);
    ck_assert_ptr_nonnull(message->head);
    memcpy(message->head, in.ptr, in.len);
}

static void message_done(struct message *message)
{
    arena_done(&message->arena);
    free(message->head);
}

static void read_request(struct message *message, struct slice in, const struct h1_limits *limits)
{
    struct verdict verdict = scan(in, true, limits);

    ck_assert(!verdict.more);
    message_init(message, in);
    message->error = verdict.error;
    if (verdict.error == H1_OK) {
        ck_assert_uint_eq(verdict.len, in.len);
        message->error = h1_parse_request(message->head, in.len, limits, &message->arena,
                                          SLICE("http"), &message->req, &message->detail);
    }
}

static void read_response(struct message *message, struct slice in, enum http_method method)
{
    struct verdict verdict = scan(in, false, &h1_limits_default);

    ck_assert(!verdict.more);
    message_init(message, in);
    message->error = verdict.error;
    if (verdict.error == H1_OK) {
        ck_assert_uint_eq(verdict.len, in.len);
        message->error = h1_parse_response(message->head, in.len, &h1_limits_default,
                                           &message->arena, method, &message->res);
    }
}

#define V(text, why)                                                                               \
    {                                                                                              \
        { .ptr = (text), .len = sizeof(text) - 1 }, H1_##why                                       \
    }

static const struct {
    struct slice head;
    enum h1_error error;
} request_vectors[] = {
    V(R H E, OK),
    V("\r\n" R H E, OK),
    V("\r\n\r\n\r\n\r\n" R H E, OK),
    V("\r\n\r\n\r\n\r\n\r\n" R H E, REQUEST_LINE),
    V("\n" R H E, BARE_LF),
    /* line ends and control bytes */
    V("GET / HTTP/1.1\nHost: a\r\n\r\n", BARE_LF),
    V("GET / HTTP/1.1\r\nHost: a\n\r\n", BARE_LF),
    V(R H "\n", BARE_LF),
    V("GET / HTTP/1.1\rHost: a\r\n\r\n", BARE_CR),
    V(R "Host: a\rb\r\n\r\n", BARE_CR),
    V(R H "A: b\r\r\n\r\n", BARE_CR),
    V(R H "\r\r\n", BARE_CR),
    V(R "Host: a\0\r\n\r\n", CONTROL_BYTE),
    V(R H "A: \0\r\n\r\n", CONTROL_BYTE),
    V(R H "A\0: b\r\n\r\n", CONTROL_BYTE),
    V(R H "A: b\x01\r\n\r\n", CONTROL_BYTE),
    V(R H "A: b\x0b\r\n\r\n", CONTROL_BYTE),
    V(R H "A: b\x7f\r\n\r\n", CONTROL_BYTE),
    V(R H "A: \x1b[31m\r\n\r\n", CONTROL_BYTE),
    V("GET /\0 HTTP/1.1\r\n\r\n", CONTROL_BYTE),
    V("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", CONTROL_BYTE), /* TLS */
    V(R H "A: b\tc\r\n\r\n", OK),
    V(R H "A: \x80\xff\r\n\r\n", OK),
    /* request line */
    V("GET /\r\n\r\n", REQUEST_LINE),
    V("GET\r\n\r\n", REQUEST_LINE),
    V("GET  / HTTP/1.1\r\n" H E, REQUEST_LINE),
    V("GET /  HTTP/1.1\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/1.1 \r\n" H E, VERSION_SYNTAX),
    V("GET /a b HTTP/1.1\r\n" H E, VERSION_SYNTAX),
    V("GET\t/\tHTTP/1.1\r\n" H E, REQUEST_LINE),
    V("GET /\tHTTP/1.1\r\n" H E, REQUEST_LINE),
    V(" GET / HTTP/1.1\r\n" H E, METHOD),
    V("G@T / HTTP/1.1\r\n" H E, METHOD),
    V("G\xc3T / HTTP/1.1\r\n" H E, METHOD),
    V("(GET) / HTTP/1.1\r\n" H E, METHOD),
    V("GET: / HTTP/1.1\r\n" H E, METHOD),
    V("get / HTTP/1.1\r\n" H E, OK),
    V("BREW / HTTP/1.1\r\n" H E, OK),
    V("CONNECT a:443 HTTP/1.1\r\n" H E, METHOD_UNSUPPORTED),
    V("TRACE / HTTP/1.1\r\n" H E, METHOD_UNSUPPORTED),
    /* version */
    V("GET / HTTP/1.0\r\n\r\n", OK),
    V("GET / HTTP/1.2\r\n" H E, VERSION),
    V("GET / HTTP/1.9\r\n" H E, VERSION),
    V("GET / HTTP/2.0\r\n" H E, VERSION),
    V("GET / HTTP/0.9\r\n" H E, VERSION),
    V("GET / HTTP/1.10\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/1.\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/1\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/2\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/01.1\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/1,1\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/1.a\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTP/+.1\r\n" H E, VERSION_SYNTAX),
    V("GET / http/1.1\r\n" H E, VERSION_SYNTAX),
    V("GET / HTTPS/1.1\r\n" H E, VERSION_SYNTAX),
    V("GET / ICY/1.1\r\n" H E, VERSION_SYNTAX),
    V("PRI * HTTP/2.0\r\n\r\n", TARGET),
    /* target */
    V("GET * HTTP/1.1\r\n" H E, TARGET),
    V("OPTIONS * HTTP/1.1\r\n" H E, OK),
    V("GET a:80 HTTP/1.1\r\n" H E, TARGET),
    V("GET a HTTP/1.1\r\n" H E, TARGET),
    V("GET /../a HTTP/1.1\r\n" H E, TARGET),
    V("GET /%2f HTTP/1.1\r\n" H E, TARGET),
    V("GET /a#b HTTP/1.1\r\n" H E, TARGET),
    V("GET http://a/ HTTP/1.1\r\n" H E, OK),
    V("GET http://A/ HTTP/1.1\r\n" H E, OK),
    V("GET http://b/ HTTP/1.1\r\n" H E, HOST_INVALID),
    V("GET http://a:80/ HTTP/1.1\r\n" H E, HOST_INVALID),
    V("GET http://a@a/ HTTP/1.1\r\n" H E, TARGET),
    V("GET http://a/ HTTP/1.1\r\n\r\n", HOST_MISSING),
    V("GET http://a/ HTTP/1.0\r\n\r\n", OK),
    V("OPTIONS http://a HTTP/1.1\r\n" H E, OK),
    /* Host */
    V(R E, HOST_MISSING),
    V(R H H E, HOST_REPEATED),
    V(R H "HOST: b\r\n\r\n", HOST_REPEATED),
    V("GET / HTTP/1.0\r\n" H H E, HOST_REPEATED),
    V(R "Host:\r\n\r\n", HOST_INVALID),
    V(R "Host: a@b\r\n\r\n", HOST_INVALID),
    V(R "Host: a b\r\n\r\n", HOST_INVALID),
    V(R "Host: a/x\r\n\r\n", HOST_INVALID),
    V(R "Host: a,b\r\n\r\n", HOST_INVALID),
    V(R "Host: a:\r\n\r\n", HOST_INVALID),
    V(R "Host: a:80:80\r\n\r\n", HOST_INVALID),
    V(R "Host: http://a\r\n\r\n", HOST_INVALID),
    V(R "Host: [::1]:80\r\n\r\n", OK),
    /* field names */
    V(R H "A : b\r\n\r\n", SPACE_BEFORE_COLON),
    V(R H "A\t: b\r\n\r\n", SPACE_BEFORE_COLON),
    V(R "Host : a\r\n\r\n", SPACE_BEFORE_COLON),
    V(R H "Content-Length : 1\r\n\r\n", SPACE_BEFORE_COLON),
    V(R H " A: b\r\n\r\n", OBS_FOLD),
    V(R H "A: b\r\n c\r\n\r\n", OBS_FOLD),
    V(R H "A: b\r\n\tc\r\n\r\n", OBS_FOLD),
    V(R H "A: b\r\n \r\n\r\n", OBS_FOLD),
    V(R " " H E, OBS_FOLD),
    V(R H "Transfer-Encoding:\r\n chunked\r\n\r\n", OBS_FOLD),
    V(R H ": b\r\n\r\n", FIELD_NAME),
    V(R H "A\r\n\r\n", FIELD_NAME),
    V(R H "A b: c\r\n\r\n", SPACE_BEFORE_COLON),
    V(R H "A(: b\r\n\r\n", FIELD_NAME),
    V(R H "A\"B: c\r\n\r\n", FIELD_NAME),
    V(R H "A/B: c\r\n\r\n", FIELD_NAME),
    V(R H "\xc3\xa4: c\r\n\r\n", FIELD_NAME),
    V(R H "A_B: c\r\n\r\n", OK),
    V(R H "!#$%&'*+-.^_`|~: c\r\n\r\n", OK),
    V(R H "A:\r\n\r\n", OK),
    V(R H "A:b\r\n\r\n", OK),
    V(R H "A::b\r\n\r\n", OK),
    /* Content-Length */
    V(R H "Content-Length: 0\r\n\r\n", OK),
    V(R H "Content-Length: 5\r\n\r\n", OK),
    V(R H "Content-Length: 000005\r\n\r\n", OK),
    V(R H "Content-Length: \t5\t \r\n\r\n", OK),
    V(R H "Content-Length: 999999999999999999\r\n\r\n", OK),
    V(R H "Content-Length: 1000000000000000000\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 18446744073709551621\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length:\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: +5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: -5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5,5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5, 6\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5 5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 0x5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5.0\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5a\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: \"5\"\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5;\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", CONTENT_LENGTH),
    V(R H "Content-Length: 0\r\nContent-Length:\r\n\r\n", CONTENT_LENGTH),
    /* Transfer-Encoding */
    V(R H "Transfer-Encoding: chunked\r\n\r\n", OK),
    V(R H "transfer-encoding:CHUNKED \t\r\n\r\n", OK),
    V(R H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", TWO_FRAMINGS),
    V(R H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", TWO_FRAMINGS),
    V(R H "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n", TWO_FRAMINGS),
    V("GET / HTTP/1.0\r\n" H "Content-Length: 0\r\nTransfer-Encoding: identity\r\n\r\n",
      TWO_FRAMINGS),
    V("GET / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding:\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: ,chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked,\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked, chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked, identity\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: identity, chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: identity\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: gzip\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked, gzip\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: xchunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunkedx\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked;q=1\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: \"chunked\"\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: 'chunked'\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: x chunked\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunk\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: \xff"
          "chunked\r\n\r\n",
      TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: chunked\xa0\r\n\r\n", TRANSFER_ENCODING),
    V(R H "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
      CONTROL_BYTE),
    V(R H "Transfer-Encoding : chunked\r\n\r\n", SPACE_BEFORE_COLON),
    V(R H "Transfer-Encoding: gzip, chunked\r\n\r\n", TRANSFER_CODING),
    /* Expect */
    V(R H "Expect: 100-continue\r\n\r\n", OK),
    V(R H "Expect: 100-Continue\r\n\r\n", OK),
    V(R H "Expect: 100\r\n\r\n", EXPECTATION),
    V(R H "Expect:\r\n\r\n", EXPECTATION),
    V(R H "Expect: 100-continue, x\r\n\r\n", EXPECTATION),
    V(R H "Expect: 100-continue\r\nExpect: x\r\n\r\n", EXPECTATION),
    V("GET / HTTP/1.0\r\nExpect: x\r\n\r\n", OK),
};

START_TEST(requests_are_read_one_way_or_refused)
{
    struct message message;

    read_request(&message, request_vectors[_i].head, &h1_limits_default);
    ck_assert_msg(message.error == request_vectors[_i].error, "%.*s: %s",
                  SLICE_FMT(request_vectors[_i].head), h1_error_word(message.error));
    message_done(&message);
}
END_TEST

START_TEST(a_request_is_read_into_its_parts)
{
    struct message message;
    struct http_request *req = &message.req;

    read_request(&message,
                 SLICE("POST /a/../b%2e?c=%20 HTTP/1.1\r\nHOST: Example.com:80\r\nX-A: \t b  c \r\n"
                       "content-LENGTH: 12\r\nExpect: 100-continue\r\nX-A:\r\n\r\n"),
                 &h1_limits_default);
    ck_assert_int_eq(message.error, H1_OK);
    ck_assert_int_eq(req->method, HTTP_POST);
    ck_assert(slice_eq(req->method_name, SLICE("POST")));
    ck_assert(slice_eq(req->scheme, SLICE("http")));
    ck_assert(slice_eq(req->authority, SLICE("example.com:80")));
    ck_assert(slice_eq(req->path, SLICE("/b.")));
    ck_assert(slice_eq(req->query, SLICE("c=%20")));
    ck_assert_uint_eq(req->headers.count, 5);
    ck_assert(slice_eq(req->headers.items[0].name, SLICE("host")));
    ck_assert(slice_eq(req->headers.items[1].name, SLICE("x-a")));
    ck_assert(slice_eq(req->headers.items[1].value, SLICE("b  c")));
    ck_assert_uint_eq(req->headers.items[4].value.len, 0);
    ck_assert_int_eq(req->body, HTTP_BODY_LENGTH);
    ck_assert_uint_eq(req->content_length, 12);
    ck_assert(req->keep_alive && req->expect_continue);
    ck_assert_uint_eq(req->minor, 1);
    message_done(&message);
}
END_TEST

START_TEST(a_refused_request_still_has_method_and_target)
{
    struct message message;

    read_request(&message, SLICE("PUT /x?y HTTP/1.1\r\n" H H E), &h1_limits_default);
    ck_assert_int_eq(message.error, H1_HOST_REPEATED);
    ck_assert_int_eq(message.req.method, HTTP_PUT);
    ck_assert(slice_eq(message.req.path, SLICE("/x")));
    message_done(&message);
}
END_TEST

static const struct {
    const char *version, *connection;
    bool keep_alive;
} persistence[] = {
    { "1.1", "X: y", true },
    { "1.1", "Connection: close", false },
    { "1.1", "Connection: Keep-Alive, CLOSE", false },
    { "1.1", "Connection: keep-alive\r\nConnection: x,close", false },
    { "1.1", "Connection: closed", true },
    { "1.0", "X: y", false },
    { "1.0", "Connection: Keep-Alive", true },
    { "1.0", "Connection: keep-alive, close", false },
};

START_TEST(persistence_follows_version_and_connection)
{
    struct message message;
    char head[200];
    int len = snprintf(head, sizeof(head), "GET / HTTP/%s\r\nHost: a\r\n%s\r\n\r\n",
                       persistence[_i].version, persistence[_i].connection);

    read_request(&message, slice_of(head, (size_t)len), &h1_limits_default);
    ck_assert_int_eq(message.error, H1_OK);
    ck_assert_int_eq(message.req.keep_alive, persistence[_i].keep_alive);
    message_done(&message);
    len = snprintf(head, sizeof(head), "HTTP/%s 200 OK\r\nContent-Length: 0\r\n%s\r\n\r\n",
                   persistence[_i].version, persistence[_i].connection);
    read_response(&message, slice_of(head, (size_t)len), HTTP_GET);
    ck_assert_int_eq(message.error, H1_OK);
    ck_assert_int_eq(message.res.keep_alive, persistence[_i].keep_alive);
    message_done(&message);
}
END_TEST

static const struct h1_limits small_limits = {
    .head_bytes = 100, .line_bytes = 20, .fields = 3, .name_bytes = 10, .value_bytes = 20
};

static const struct {
    struct slice head;
    enum h1_error error;
} limit_vectors[] = {
    V("GET /12345 HTTP/1.1\r\n" H E, OK),
    V("GET /123456 HTTP/1.1\r\n" H E, OK),
    V("GET /1234567 HTTP/1.1\r\n" H E, URI_TOO_LONG),
    V("GET /1234567890123456789", URI_TOO_LONG),
    V("GET /1234567890123456\x01", URI_TOO_LONG),
    V(R H "A: b\r\nA: b\r\n\r\n", OK),
    V(R H "A: b\r\nA: b\r\nA: b\r\n", TOO_MANY_FIELDS),
    V(R H "1234567890: b\r\n\r\n", OK),
    V(R H "12345678901: b\r\n\r\n", HEAD_TOO_LARGE),
    V(R H "A: 12345678901234567890\r\n\r\n", OK),
    V(R H "A: 123456789012345678901\r\n\r\n", HEAD_TOO_LARGE),
    V(R H "A: 1234567890123456\r\nA: 123456789012345678901234567890123456789012345678\r\n\r\n",
      HEAD_TOO_LARGE),
    V(R H "A: 12345678901234567890123456789012345678901234567890123456789012345678901234\r\n",
      HEAD_TOO_LARGE),
};

START_TEST(limits_are_kept)
{
    struct message message;

    read_request(&message, limit_vectors[_i].head, &small_limits);
    ck_assert_msg(message.error == limit_vectors[_i].error, "%.*s: %s",
                  SLICE_FMT(limit_vectors[_i].head), h1_error_word(message.error));
    message_done(&message);
}
END_TEST

START_TEST(a_head_may_have_exactly_head_bytes)
{
    struct h1_limits limits = h1_limits_default;
    struct slice head = SLICE(R H E "surplus");

    limits.head_bytes = sizeof(R H E) - 1;
    ck_assert_uint_eq(scan(head, true, &limits).error, H1_OK);
    ck_assert_uint_eq(scan(head, true, &limits).len, limits.head_bytes);
    limits.head_bytes--;
    ck_assert_uint_eq(scan(head, true, &limits).error, H1_HEAD_TOO_LARGE);
}
END_TEST

START_TEST(what_follows_a_head_is_not_looked_at)
{
    struct verdict verdict = scan(SLICE(R H E "\0\n\r\x01"), true, &h1_limits_default);

    ck_assert_uint_eq(verdict.error, H1_OK);
    ck_assert_uint_eq(verdict.len, sizeof(R H E) - 1);
}
END_TEST

START_TEST(a_part_of_a_head_needs_more)
{
    struct slice head = SLICE("\r\n" R H E);

    for (size_t len = 0; len < head.len; len++) {
        ck_assert(scan(slice_of(head.ptr, len), true, &h1_limits_default).more);
    }
}
END_TEST

START_TEST(the_parser_does_not_trust_the_scan)
{
    static const struct slice heads[] = {
        { "", 0 },
        { "\r\n", 2 },
        { "\r\n\r\n", 4 },
        { "\r\n\r\n\r\n", 6 },
        { "GET / HTTP/1.1\r\nA: b", 20 },
        { "GET / HTTP/1.1\nA: b\r\n\r\n", 23 },
        { "GET / HTTP/1.1\r\nA: b\0\r\n\r\n", 25 },
        { "GET / HTTP/1.1\r\nA: b\n\r\n\r\n", 25 },
        { "GET / HTTP/1.1\r\nA: b\r\r\n\r\n", 25 },
        { "GET / HTTP/1.1\r\n\r\nA: b\r\n\r\n", 26 },
    };

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct message message;

        message_init(&message, heads[i]);
        ck_assert_int_ne(h1_parse_request(message.head, heads[i].len, &h1_limits_default,
                                          &message.arena, SLICE("http"), &message.req,
                                          &message.detail),
                         H1_OK);
        arena_done(&message.arena);
        arena_init(&message.arena, NULL, 0, 4096);
        ck_assert_int_ne(h1_parse_response(message.head, heads[i].len, &h1_limits_default,
                                           &message.arena, HTTP_GET, &message.res),
                         H1_OK);
        message_done(&message);
    }
}
END_TEST

START_TEST(no_memory_is_an_answer)
{
    struct message message;
    struct slice head = SLICE(R H E);

    message_init(&message, head);
    message.arena.max_bytes = 0;
    ck_assert_int_eq(h1_parse_request(message.head, head.len, &h1_limits_default, &message.arena,
                                      SLICE("http"), &message.req, &message.detail),
                     H1_MEMORY);
    message_done(&message);
}
END_TEST

#define S "HTTP/1.1 200 OK\r\n"
#define A(text, method, error, body, length)                                                       \
    {                                                                                              \
        { .ptr = (text), .len = sizeof(text) - 1 }, HTTP_##method, H1_##error, HTTP_BODY_##body,   \
            (length)                                                                               \
    }

static const struct {
    struct slice head;
    enum http_method method;
    enum h1_error error;
    enum http_body body;
    uint64_t length;
} response_vectors[] = {
    A(S E, GET, OK, CLOSE, 0),
    A(S "Content-Length: 5\r\n\r\n", GET, OK, LENGTH, 5),
    A(S "Transfer-Encoding: Chunked\r\n\r\n", GET, OK, CHUNKED, 0),
    A(S "Content-Length: 5\r\n\r\n", HEAD, OK, NONE, 5),
    A(S "Transfer-Encoding: chunked\r\n\r\n", HEAD, OK, NONE, 0),
    A(S E, HEAD, OK, NONE, 0),
    A("HTTP/1.1 204 No Content\r\n\r\n", GET, OK, NONE, 0),
    A("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", GET, OK, NONE, 5),
    A("HTTP/1.1 100 Continue\r\n\r\n", GET, OK, NONE, 0),
    A("HTTP/1.1 101 x\r\n\r\n", GET, OK, NONE, 0),
    A("HTTP/1.0 200 OK\r\n\r\n", GET, OK, CLOSE, 0),
    A("HTTP/1.1 200 \r\n\r\n", GET, OK, CLOSE, 0),
    A("HTTP/1.1 200\r\n\r\n", GET, OK, CLOSE, 0),
    A("HTTP/1.1 200 a  b \xff\t(c)\r\n\r\n", GET, OK, CLOSE, 0),
    A("HTTP/1.1 599 x\r\n\r\n", GET, OK, CLOSE, 0),
    A("HTTP/1.1 600 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 099 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 20 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 2000 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 +20 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 2x0 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1  200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1\t200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 200\tx\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.2 200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/2.0 200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/0.9 200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("http/1.1 200 x\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("ICY 200 OK\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("\r\n" S E, GET, STATUS_LINE, NONE, 0),
    A("<html></html>\r\n\r\n", GET, STATUS_LINE, NONE, 0),
    A("HTTP/1.1 200 x\0\r\n\r\n", GET, CONTROL_BYTE, NONE, 0),
    A("HTTP/1.1 200 x\r\nA: \0\r\n\r\n", GET, CONTROL_BYTE, NONE, 0),
    A("HTTP/1.1 200 x\n\n", GET, BARE_LF, NONE, 0),
    A(S "A: b\r\n c\r\n\r\n", GET, OBS_FOLD, NONE, 0),
    A(S "A : b\r\n\r\n", GET, SPACE_BEFORE_COLON, NONE, 0),
    A(S "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", GET, CONTENT_LENGTH, NONE, 0),
    A(S "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", GET, CONTENT_LENGTH, NONE, 0),
    A(S "Content-Length: 5, 5\r\n\r\n", GET, CONTENT_LENGTH, NONE, 0),
    A(S "Content-Length: -1\r\n\r\n", GET, CONTENT_LENGTH, NONE, 0),
    A(S "Content-Length: x\r\n\r\n", HEAD, CONTENT_LENGTH, NONE, 0),
    A(S "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", GET, TWO_FRAMINGS, NONE, 0),
    A(S "Transfer-Encoding: gzip\r\n\r\n", GET, TRANSFER_ENCODING, NONE, 0),
    A(S "Transfer-Encoding: gzip, chunked\r\n\r\n", GET, TRANSFER_CODING, NONE, 0),
    A("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", GET, TRANSFER_ENCODING, NONE, 0),
};

START_TEST(responses_are_read_one_way_or_refused)
{
    struct message message;

    read_response(&message, response_vectors[_i].head, response_vectors[_i].method);
    ck_assert_msg(message.error == response_vectors[_i].error, "%.*s: %s",
                  SLICE_FMT(response_vectors[_i].head), h1_error_word(message.error));
    if (message.error == H1_OK) {
        ck_assert_int_eq(message.res.body, response_vectors[_i].body);
        ck_assert_uint_eq(message.res.content_length, response_vectors[_i].length);
        ck_assert(message.res.body != HTTP_BODY_CLOSE || !message.res.keep_alive);
    }
    message_done(&message);
}
END_TEST

START_TEST(every_error_has_a_status_and_a_word)
{
    for (unsigned error = H1_OK + 1; error < H1_ERRORS; error++) {
        ck_assert_uint_ge(h1_error_status((enum h1_error)error), 400);
        ck_assert_ptr_nonnull(h1_error_word((enum h1_error)error));
    }
    ck_assert_uint_eq(h1_error_status(H1_URI_TOO_LONG), 414);
    ck_assert_str_eq(h1_error_word(H1_TWO_FRAMINGS), "two_framings");
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("h1_parser");
    TCase *tc = tcase_create("h1_parser");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, requests_are_read_one_way_or_refused, 0, COUNT(request_vectors));
    tcase_add_test(tc, a_request_is_read_into_its_parts);
    tcase_add_test(tc, a_refused_request_still_has_method_and_target);
    tcase_add_loop_test(tc, persistence_follows_version_and_connection, 0, COUNT(persistence));
    tcase_add_loop_test(tc, limits_are_kept, 0, COUNT(limit_vectors));
    tcase_add_test(tc, a_head_may_have_exactly_head_bytes);
    tcase_add_test(tc, what_follows_a_head_is_not_looked_at);
    tcase_add_test(tc, a_part_of_a_head_needs_more);
    tcase_add_test(tc, the_parser_does_not_trust_the_scan);
    tcase_add_test(tc, no_memory_is_an_answer);
    tcase_add_loop_test(tc, responses_are_read_one_way_or_refused, 0, COUNT(response_vectors));
    tcase_add_test(tc, every_error_has_a_status_and_a_word);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
