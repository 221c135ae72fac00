/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_body.h"
#include "core/h1_parser.h"
#include "core/h1_writer.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

static struct block_pool *pool;
static struct buf out;
static struct arena arena;
static struct headers headers;

static void setup(void)
{
    pool = block_pool_new(4);
    ck_assert_ptr_nonnull(pool);
    buf_init(&out, pool);
    arena_init(&arena, NULL, 0, 1 << 22);
    ck_assert_int_eq(headers_init(&headers, &arena, 4), 0);
}

static void teardown(void)
{
    buf_clear(&out);
    block_pool_free(pool);
    arena_done(&arena);
}

static void add(const char *name, struct slice value)
{
    ck_assert_int_eq(headers_add(&headers, slice_str(name), value), 0);
}

static struct slice written(void)
{
    ck_assert_int_eq(buf_pullup(&out, out.len, out.len), 0);
    return buf_front(&out);
}

static void check_written(const char *expected)
{
    struct slice text = written();

    ck_assert_msg(slice_eq(text, slice_str(expected)), "%.*s", SLICE_FMT(text));
}

static struct h1_request_line line_of(const char *method, const char *target)
{
    return (struct h1_request_line){ .method = slice_str(method),
                                     .path = slice_str(target),
                                     .query = SLICE_ABSENT,
                                     .host = SLICE("a:1") };
}

static int write_request(const struct h1_request_line *line, enum http_body body, uint64_t length)
{
    return h1_write_request(&out, line, &headers, body, length, true);
}

static int write_response(unsigned status, uint8_t minor, bool keep_alive, bool head_only,
                          enum http_body body, uint64_t length)
{
    struct h1_status_line line = {
        .status = status, .minor = minor, .keep_alive = keep_alive, .head_only = head_only
    };

    return h1_write_response(&out, &line, &headers, body, length);
}

START_TEST(a_request_is_written_with_computed_framing)
{
    struct h1_request_line line = line_of("POST", "/p");

    line.query = SLICE("q");
    add("host", SLICE("other"));
    add("x-a", SLICE("1"));
    add("content-length", SLICE("99"));
    add("transfer-encoding", SLICE("x"));
    add("connection", SLICE("x-a"));
    add("keep-alive", SLICE("5"));
    add("x-b", SLICE(""));
    ck_assert_int_eq(write_request(&line, HTTP_BODY_LENGTH, 18446744073709551615u), 0);
    check_written("POST /p?q HTTP/1.1\r\nhost: a:1\r\ncontent-length: 18446744073709551615\r\n"
                  "x-a: 1\r\nx-b: \r\n\r\n");
}
END_TEST

START_TEST(requests_say_how_their_body_ends)
{
    static const struct {
        const char *method;
        enum http_body body;
        bool keep_alive;
        const char *text;
    } rows[] = {
        { "GET", HTTP_BODY_NONE, true, "" },
        { "POST", HTTP_BODY_NONE, true, "content-length: 0\r\n" },
        { "PUT", HTTP_BODY_NONE, true, "content-length: 0\r\n" },
        { "GET", HTTP_BODY_LENGTH, true, "content-length: 7\r\n" },
        { "GET", HTTP_BODY_CHUNKED, false, "transfer-encoding: chunked\r\nconnection: close\r\n" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct h1_request_line line = line_of(rows[i].method, "/");
        char expected[200];

        buf_clear(&out);
        ck_assert_int_eq(
            h1_write_request(&out, &line, &headers, rows[i].body, 7, rows[i].keep_alive), 0);
        snprintf(expected, sizeof(expected), "%s / HTTP/1.1\r\nhost: a:1\r\n%s\r\n", rows[i].method,
                 rows[i].text);
        check_written(expected);
    }
}
END_TEST

START_TEST(responses_say_how_their_body_ends)
{
    static const struct {
        unsigned status;
        uint8_t minor;
        bool keep_alive, head_only;
        enum http_body body;
        const char *text;
    } rows[] = {
        { 200, 1, true, false, HTTP_BODY_NONE, "200 OK\r\ncontent-length: 0\r\n" },
        { 200, 1, true, false, HTTP_BODY_LENGTH, "200 OK\r\ncontent-length: 7\r\n" },
        { 200, 1, true, false, HTTP_BODY_CHUNKED, "200 OK\r\ntransfer-encoding: chunked\r\n" },
        { 200, 1, true, false, HTTP_BODY_CLOSE, "200 OK\r\nconnection: close\r\n" },
        { 200, 0, true, false, HTTP_BODY_LENGTH,
          "200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n" },
        { 200, 0, false, false, HTTP_BODY_CLOSE, "200 OK\r\nconnection: close\r\n" },
        { 200, 1, true, true, HTTP_BODY_LENGTH, "200 OK\r\ncontent-length: 7\r\n" },
        { 200, 1, true, true, HTTP_BODY_CHUNKED, "200 OK\r\ntransfer-encoding: chunked\r\n" },
        { 200, 1, true, true, HTTP_BODY_NONE, "200 OK\r\n" },
        { 200, 1, true, true, HTTP_BODY_CLOSE, "200 OK\r\n" },
        { 204, 1, true, false, HTTP_BODY_LENGTH, "204 No Content\r\n" },
        { 304, 1, true, false, HTTP_BODY_NONE, "304 Not Modified\r\n" },
        { 304, 1, true, false, HTTP_BODY_LENGTH, "304 Not Modified\r\ncontent-length: 7\r\n" },
        { 304, 1, true, false, HTTP_BODY_CHUNKED, "304 Not Modified\r\n" },
        { 100, 1, false, false, HTTP_BODY_NONE, "100 Continue\r\n" },
        { 299, 1, true, false, HTTP_BODY_NONE, "299 Unknown\r\ncontent-length: 0\r\n" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char expected[200];

        buf_clear(&out);
        ck_assert_int_eq(write_response(rows[i].status, rows[i].minor, rows[i].keep_alive,
                                        rows[i].head_only, rows[i].body, 7),
                         0);
        snprintf(expected, sizeof(expected), "HTTP/1.1 %s\r\n", rows[i].text);
        check_written(expected);
    }
}
END_TEST

START_TEST(upgrade_is_named_in_connection)
{
    struct h1_request_line line = line_of("GET", "/");

    add("upgrade", SLICE("websocket"));
    ck_assert_int_eq(write_request(&line, HTTP_BODY_NONE, 0), 0);
    check_written("GET / HTTP/1.1\r\nhost: a:1\r\nconnection: upgrade\r\n"
                  "upgrade: websocket\r\n\r\n");
    buf_clear(&out);
    ck_assert_int_eq(write_response(101, 1, false, false, HTTP_BODY_NONE, 0), 0);
    check_written("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                  "upgrade: websocket\r\n\r\n");
}
END_TEST

static const struct {
    struct slice name, value;
} bad_fields[] = {
    { { "", 0 }, { "b", 1 } },          { { "a b", 3 }, { "b", 1 } },
    { { "a:", 2 }, { "b", 1 } },        { { "a\r\nb", 4 }, { "b", 1 } },
    { { "a\0", 2 }, { "b", 1 } },       { { "\xc3\xa4", 2 }, { "b", 1 } },
    { { "a", 1 }, { "b\r\nc: d", 7 } }, { { "a", 1 }, { "b\n", 2 } },
    { { "a", 1 }, { "b\r", 2 } },       { { "a", 1 }, { "b\0c", 3 } },
    { { "a", 1 }, { "\x7f", 1 } },      { { "a", 1 }, { "\x1b", 1 } },
};

START_TEST(fields_that_would_not_parse_back_are_refused)
{
    struct h1_request_line line = line_of("GET", "/");

    ck_assert_int_eq(buf_append(&out, SLICE("before")), 0);
    add("x-a", SLICE("1"));
    ck_assert_int_eq(headers_add(&headers, bad_fields[_i].name, bad_fields[_i].value), 0);
    ck_assert_int_eq(write_request(&line, HTTP_BODY_NONE, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(write_response(200, 1, true, false, HTTP_BODY_NONE, 0), ERR_BAD_INPUT);
    check_written("before");
    headers_remove(&headers, bad_fields[_i].name);
    ck_assert_int_eq(write_request(&line, HTTP_BODY_NONE, 0), 0);
}
END_TEST

static const struct {
    struct slice method, path, query, host;
} bad_lines[] = {
    { { "", 0 }, { "/", 1 }, { NULL, 0 }, { "a", 1 } },
    { { "G T", 3 }, { "/", 1 }, { NULL, 0 }, { "a", 1 } },
    { { "GET\r\n", 5 }, { "/", 1 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "", 0 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "a", 1 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "/ ", 2 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "/\r\n", 3 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "/\0", 2 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "/\xff", 2 }, { NULL, 0 }, { "a", 1 } },
    { { "GET", 3 }, { "/", 1 }, { "a b", 3 }, { "a", 1 } },
    { { "GET", 3 }, { "/", 1 }, { "a\n", 2 }, { "a", 1 } },
    { { "GET", 3 }, { "/", 1 }, { NULL, 0 }, { NULL, 0 } },
    { { "GET", 3 }, { "/", 1 }, { NULL, 0 }, { "a\r\n", 3 } },
    { { "GET", 3 }, { "/", 1 }, { NULL, 0 }, { "a@b", 3 } },
};

START_TEST(request_lines_that_would_not_parse_back_are_refused)
{
    struct h1_request_line line = { .method = bad_lines[_i].method,
                                    .path = bad_lines[_i].path,
                                    .query = bad_lines[_i].query,
                                    .host = bad_lines[_i].host };

    ck_assert_int_eq(write_request(&line, HTTP_BODY_NONE, 0), ERR_BAD_INPUT);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(what_cannot_be_framed_is_refused)
{
    struct h1_request_line line = line_of("GET", "/");

    ck_assert_int_eq(write_request(&line, HTTP_BODY_CLOSE, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(write_response(200, 0, true, false, HTTP_BODY_CHUNKED, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(write_response(99, 1, true, false, HTTP_BODY_NONE, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(write_response(600, 1, true, false, HTTP_BODY_NONE, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(h1_write_chunk_start(&out, 0), ERR_BAD_INPUT);
    ck_assert_int_eq(h1_write_chunk_start(&out, 0x100000000u), ERR_BAD_INPUT);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(heads_over_a_block_are_written_whole)
{
    struct h1_request_line line = line_of("GET", "/");
    char *value = arena_alloc(&arena, 16000);
    struct http_request req;
    const char *detail;
    struct h1_limits limits = h1_limits_default;
    struct slice text;

    ck_assert_ptr_nonnull(value);
    memset(value, 'v', 16000);
    for (int i = 0; i < 5; i++) {
        add("x-a", slice_of(value, 16000));
    }
    ck_assert_int_eq(write_request(&line, HTTP_BODY_NONE, 0), 0);
    ck_assert_uint_gt(out.len, 5 * 16000);
    text = written();
    limits.head_bytes = 100000;
    char *head = arena_alloc(&arena, text.len);
    ck_assert_ptr_nonnull(head);
    memcpy(head, text.ptr, text.len);
    ck_assert_int_eq(
        h1_parse_request(head, text.len, &limits, &arena, SLICE("http"), &req, &detail), H1_OK);
    ck_assert_uint_eq(headers_count(&req.headers, SLICE("x-a")), 5);
}
END_TEST

START_TEST(a_request_parses_back_to_itself)
{
    struct h1_request_line line = line_of("PATCH", "/a/b");
    struct http_request req;
    const char *detail;
    struct slice text;
    char head[512];

    line.query = SLICE("");
    add("x-a", SLICE("b\tc \xff"));
    add("x-a", SLICE("2"));
    ck_assert_int_eq(write_request(&line, HTTP_BODY_CHUNKED, 0), 0);
    text = written();
    ck_assert_uint_le(text.len, sizeof(head));
    memcpy(head, text.ptr, text.len);
    ck_assert_int_eq(
        h1_parse_request(head, text.len, &h1_limits_default, &arena, SLICE("http"), &req, &detail),
        H1_OK);
    ck_assert_int_eq(req.method, HTTP_PATCH);
    ck_assert(slice_eq(req.path, line.path) && slice_eq(req.authority, line.host));
    ck_assert(!slice_is_absent(req.query) && req.query.len == 0);
    ck_assert_int_eq(req.body, HTTP_BODY_CHUNKED);
    ck_assert_uint_eq(headers_count(&req.headers, SLICE("x-a")), 2);
    ck_assert(slice_eq(headers_get(&req.headers, SLICE("x-a")), SLICE("b\tc \xff")));
}
END_TEST

START_TEST(chunks_are_written_and_parse_back)
{
    struct h1_body body;
    size_t skip, data;
    enum h1_error error;
    struct slice text;

    ck_assert_int_eq(h1_write_chunk_start(&out, 26), 0);
    ck_assert_int_eq(buf_append(&out, SLICE("abcdefghijklmnopqrstuvwxyz")), 0);
    ck_assert_int_eq(h1_write_chunk_end(&out), 0);
    ck_assert_int_eq(h1_write_last_chunk(&out), 0);
    check_written("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n");
    h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
    text = written();
    ck_assert_int_eq(h1_body_next(&body, text, &skip, &data, &error), PARSE_MORE);
    ck_assert_uint_eq(data, 26);
    text = slice_skip(text, skip + data);
    ck_assert_int_eq(h1_body_next(&body, text, &skip, &data, &error), PARSE_DONE);
    buf_clear(&out);
    ck_assert_int_eq(h1_write_chunk_start(&out, 0xffffffffu), 0);
    check_written("ffffffff\r\n");
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("h1_writer");
    TCase *tc = tcase_create("h1_writer");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_request_is_written_with_computed_framing);
    tcase_add_test(tc, requests_say_how_their_body_ends);
    tcase_add_test(tc, responses_say_how_their_body_ends);
    tcase_add_test(tc, upgrade_is_named_in_connection);
    tcase_add_loop_test(tc, fields_that_would_not_parse_back_are_refused, 0, COUNT(bad_fields));
    tcase_add_loop_test(tc, request_lines_that_would_not_parse_back_are_refused, 0,
                        COUNT(bad_lines));
    tcase_add_test(tc, what_cannot_be_framed_is_refused);
    tcase_add_test(tc, heads_over_a_block_are_written_whole);
    tcase_add_test(tc, a_request_parses_back_to_itself);
    tcase_add_test(tc, chunks_are_written_and_parse_back);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
