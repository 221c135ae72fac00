/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_body.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

struct body_result {
    enum parse parse;
    enum h1_error error;
    size_t used;
    size_t len;
    char data[256];
};

static struct body_result read_body(enum http_body kind, uint64_t length, struct slice in,
                                    size_t step)
{
    struct body_result result = { .parse = PARSE_MORE };
    struct h1_body body;
    size_t pos = 0;

    h1_body_init(&body, kind, length);
    while (pos < in.len && result.parse == PARSE_MORE) {
        size_t offered = in.len - pos < step ? in.len - pos : step;
        size_t skip, data;

        result.parse =
            h1_body_next(&body, slice_of(in.ptr + pos, offered), &skip, &data, &result.error);
        if (result.parse == PARSE_BAD) {
            break;
        }
        ck_assert_uint_le(skip + data, offered);
        ck_assert(skip + data > 0 || result.parse == PARSE_DONE);
        ck_assert_uint_le(result.len + data, sizeof(result.data));
        memcpy(result.data + result.len, in.ptr + pos + skip, data);
        result.len += data;
        pos += skip + data;
    }
    result.used = pos;
    return result;
}

#define B(text, parse, error, payload)                                                             \
    {                                                                                              \
        { .ptr = (text), .len = sizeof(text) - 1 }, PARSE_##parse, H1_##error, (payload)           \
    }

static const struct {
    struct slice in;
    enum parse parse;
    enum h1_error error;
    const char *payload;
} body_vectors[] = {
    B("0\r\n\r\n", DONE, OK, ""),
    B("00000000\r\n\r\n", DONE, OK, ""),
    B("5\r\nhello\r\n0\r\n\r\n", DONE, OK, "hello"),
    B("0000000A\r\n0123456789\r\n0\r\n\r\n", DONE, OK, "0123456789"),
    B("a\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\n", DONE, OK, "0123456789!"),
    B("2;a\r\nhi\r\n0;b=\"c\"\r\n\r\n", DONE, OK, "hi"),
    B("2; a = b\t\r\nhi\r\n0\r\n\r\n", DONE, OK, "hi"),
    B("2\r\nhi\r\n0\r\nA: b\r\nHost:\r\n\r\n", DONE, OK, "hi"),
    B("2\r\n\r\n\r\n0\r\n\r\n", DONE, OK, "\r\n"),
    B("2\r\nhi\r\n0\r\n", MORE, OK, "hi"),
    B("2\r\nh", MORE, OK, "h"),
    B("0x2\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("x\r\n", BAD, CHUNK_SIZE, ""),
    B("+2\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("-2\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B(" 2\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2 \r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2 ;a\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2\t\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2,\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("\r\n", BAD, CHUNK_SIZE, ""),
    B(";a\r\n", BAD, CHUNK_SIZE, ""),
    B("2\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2\rhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2\r\rhi\r\n", BAD, CHUNK_SIZE, ""),
    B("000000002\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("123456789\r\n", BAD, CHUNK_SIZE, ""),
    B("FFFFFFFFFFFFFFFF\r\n", BAD, CHUNK_SIZE, ""),
    B("\x02\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2\0\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2;a\nhi\r\n", BAD, CHUNK_EXTENSION, ""),
    B("2;\0\r\nhi\r\n", BAD, CHUNK_EXTENSION, ""),
    B("2;a\rb\r\nhi\r\n", BAD, CHUNK_SIZE, ""),
    B("2\r\nhi0\r\n\r\n", BAD, CHUNK_END, "hi"),
    B("2\r\nhi\n0\r\n\r\n", BAD, CHUNK_END, "hi"),
    B("2\r\nhi\r0\r\n\r\n", BAD, CHUNK_END, "hi"),
    B("2\r\nhi!\r\n0\r\n\r\n", BAD, CHUNK_END, "hi"),
    B("0\r\n\n", BAD, TRAILER, ""),
    B("0\r\n\r\r", BAD, CHUNK_END, ""),
    B("0\r\nA\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\nA : b\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\n: b\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\n A: b\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\nA: b\r\n c\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\nA: b\n\r\n", BAD, TRAILER, ""),
    B("0\r\nA: b\rc\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\nA: \0\r\n\r\n", BAD, TRAILER, ""),
    B("0\r\nGET / HTTP/1.1\r\n\r\n", BAD, TRAILER, ""),
};

START_TEST(chunked_bodies_are_read_one_way_or_refused)
{
    for (size_t step = 1; step <= body_vectors[_i].in.len; step++) {
        struct body_result result = read_body(HTTP_BODY_CHUNKED, 0, body_vectors[_i].in, step);

        ck_assert_msg(result.parse == body_vectors[_i].parse &&
                          result.error == body_vectors[_i].error,
                      "%.*s: %s", SLICE_FMT(body_vectors[_i].in), h1_error_word(result.error));
        ck_assert(slice_eq(slice_of(result.data, result.len), slice_str(body_vectors[_i].payload)));
        ck_assert(result.parse != PARSE_DONE || result.used == body_vectors[_i].in.len);
    }
}
END_TEST

START_TEST(what_follows_a_body_is_not_taken)
{
    struct slice in = SLICE("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n");
    struct body_result result = read_body(HTTP_BODY_CHUNKED, 0, in, in.len);

    ck_assert_int_eq(result.parse, PARSE_DONE);
    ck_assert_uint_eq(result.used, 11);
    for (size_t step = 1; step < 7; step++) {
        result = read_body(HTTP_BODY_LENGTH, 3, SLICE("abcdef"), step);
        ck_assert_int_eq(result.parse, PARSE_DONE);
        ck_assert_uint_eq(result.used, 3);
    }
}
END_TEST

START_TEST(bodies_without_framing_bytes_are_passed)
{
    struct body_result result = read_body(HTTP_BODY_CLOSE, 0, SLICE("abc"), 2);
    struct h1_body body;
    size_t skip, data;
    enum h1_error error;

    ck_assert_int_eq(result.parse, PARSE_MORE);
    ck_assert_uint_eq(result.len, 3);
    h1_body_init(&body, HTTP_BODY_NONE, 0);
    ck_assert(h1_body_is_done(&body));
    ck_assert_int_eq(h1_body_next(&body, SLICE("abc"), &skip, &data, &error), PARSE_DONE);
    ck_assert_uint_eq(skip + data, 0);
    h1_body_init(&body, HTTP_BODY_LENGTH, 0);
    ck_assert(h1_body_is_done(&body));
    h1_body_init(&body, HTTP_BODY_LENGTH, 1);
    ck_assert(!h1_body_is_done(&body));
}
END_TEST

static enum parse feed(struct h1_body *body, struct slice in, enum h1_error *ret_error)
{
    enum parse parse = PARSE_MORE;

    while (in.len > 0 && parse == PARSE_MORE) {
        size_t skip, data;

        parse = h1_body_next(body, in, &skip, &data, ret_error);
        in = slice_skip(in, skip + data);
    }
    return parse;
}

/* How many `piece`s behind `start` a chunked body accepts, up to `max`. */
static size_t count_accepted(struct slice start, struct slice piece, size_t max,
                             enum h1_error *ret_error)
{
    struct h1_body body;

    h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
    ck_assert_int_eq(feed(&body, start, ret_error), PARSE_MORE);
    for (size_t i = 0; i < max; i++) {
        if (feed(&body, piece, ret_error) == PARSE_BAD) {
            return i;
        }
    }
    return max;
}

START_TEST(extensions_and_trailers_are_bounded)
{
    enum h1_error error;
    size_t accepted;

    ck_assert_uint_eq(count_accepted(SLICE("1;"), SLICE("x"), 10000, &error), 4096);
    ck_assert_int_eq(error, H1_CHUNK_EXTENSION);
    accepted = count_accepted(SLICE("1;x\r\na\r\n"), SLICE("4;xx\r\nabcd\r\n"), 10000, &error);
    ck_assert_uint_eq(accepted, 4094);
    ck_assert_int_eq(error, H1_CHUNK_EXTENSION);
    accepted = count_accepted(SLICE("1;x\r\na\r\n"), SLICE("8;xx\r\nabcdefgh\r\n"), 10000, &error);
    ck_assert_uint_eq(accepted, 10000);
    ck_assert_uint_eq(count_accepted(SLICE("0\r\nA:"), SLICE("x"), 10000, &error), 4094);
    ck_assert_int_eq(error, H1_TRAILER);
    ck_assert_uint_lt(count_accepted(SLICE("0\r\n"), SLICE("a: b\r\n"), 10000, &error), 1000);
    ck_assert_int_eq(error, H1_TRAILER);
    ck_assert_uint_eq(count_accepted(SLICE("0\r\n"), SLICE("x"), 10000, &error), 256);
}
END_TEST

START_TEST(a_body_that_is_mostly_framing_is_refused)
{
    struct h1_body body;
    enum h1_error error;
    enum parse parse = PARSE_MORE;
    size_t accepted;

    accepted = count_accepted(SLICE(""), SLICE("1\r\nx\r\n"), 50000, &error);
    ck_assert_int_eq(error, H1_CHUNK_OVERHEAD);
    ck_assert_uint_eq(accepted, 20480);
    accepted = count_accepted(SLICE(""), SLICE("00000001\r\nx\r\n"), 50000, &error);
    ck_assert_int_eq(error, H1_CHUNK_OVERHEAD);
    ck_assert_uint_eq(accepted, 8533);
    ck_assert_uint_eq(count_accepted(SLICE(""), SLICE("2\r\nxx\r\n"), 50000, &error), 50000);
    h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
    body.any_framing = true;
    for (unsigned i = 0; i < 50000 && parse == PARSE_MORE; i++) {
        parse = feed(&body, SLICE("1\r\nx\r\n"), &error);
    }
    ck_assert_int_eq(parse, PARSE_MORE);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("h1_body");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, chunked_bodies_are_read_one_way_or_refused, 0, COUNT(body_vectors));
    tcase_add_test(tc, what_follows_a_body_is_not_taken);
    tcase_add_test(tc, bodies_without_framing_bytes_are_passed);
    tcase_add_test(tc, extensions_and_trailers_are_bounded);
    tcase_add_test(tc, a_body_that_is_mostly_framing_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
