/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/json.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/json_text.h"

struct refusal {
    struct slice text;
    uint32_t line, column;
    const char *why; /* part of the error's text */
};
#define BAD(text, line, column, why)                                                               \
    {                                                                                              \
        { (text), sizeof(text) - 1 }, (line), (column), (why)                                      \
    }

static void check_refusals(const struct refusal *refusals, size_t count,
                           const struct json_limits *limits)
{
    for (size_t i = 0; i < count; i++) {
        const struct refusal *r = &refusals[i];
        struct json_error error = { 0 };
        /* On the heap, so that a read behind the end is seen. */
        char *copy = malloc(r->text.len + 1);
        ck_assert_ptr_nonnull(copy);
        char *text = copy + 1;
        memcpy(text, r->text.ptr, r->text.len);
        struct json *json = json_parse(&json_arena, slice_of(text, r->text.len), limits, &error);
        ck_assert_msg(json == NULL, "accepted: %s", r->text.ptr);
        ck_assert_msg(strstr(error.text, r->why) != NULL, "%s: %s", r->text.ptr, error.text);
        ck_assert_msg(error.line == r->line && error.column == r->column, "%s: at %u:%u: %s",
                      r->text.ptr, error.line, error.column, error.text);
        free(copy);
    }
}

START_TEST(malformed_text_is_refused_with_its_place)
{
    static const struct refusal refusals[] = {
        BAD("", 1, 1, "no value"),
        BAD(" \n ", 2, 2, "no value"),
        BAD("[", 1, 2, "ends in the middle"),
        BAD("{\"a\":1", 1, 7, "ends in the middle"),
        BAD("{\"a\":", 1, 6, "ends in the middle"),
        BAD("{\"a\"", 1, 5, "ends in the middle"),
        BAD("{\"exp\":1", 1, 9, "ends in the middle"),
        BAD("[1,2,]", 1, 5, "trailing comma"),
        BAD("{\n \"a\":1,\n}", 2, 7, "trailing comma"),
        BAD("[1,,2]", 1, 4, "value must stand here"),
        BAD("[,1]", 1, 2, "value must stand here"),
        BAD("{,}", 1, 2, "member's name"),
        BAD("{a:1}", 1, 2, "double quotes"),
        BAD("{1:1}", 1, 2, "member's name"),
        BAD("['a']", 1, 2, "double quotes"),
        BAD("{\"a\":1 \"b\":2}", 1, 8, "must follow a member"),
        BAD("{\"a\" 1}", 1, 6, "must stand between"),
        BAD("{\"a\",1}", 1, 5, "must stand between"),
        BAD("[1 2]", 1, 4, "must follow an element"),
        BAD("[1}", 1, 3, "must follow an element"),
        BAD("{\"a\":1]", 1, 7, "must follow a member"),
        BAD("{\"a\":1}}", 1, 8, "text after the end"),
        BAD("{}{}", 1, 3, "text after the end"),
        BAD("1 2", 1, 3, "text after the end"),
        BAD("{} x", 1, 4, "text after the end"),
        BAD("01", 1, 2, "text after the end"),
        BAD("[+1]", 1, 2, "value must stand here"),
        BAD("[.5]", 1, 2, "value must stand here"),
        BAD("[1.]", 1, 2, "digit"),
        BAD("[1e]", 1, 2, "digit"),
        BAD("[-]", 1, 2, "digit"),
        BAD("-", 1, 1, "digit"),
        BAD("[NaN]", 1, 2, "value must stand here"),
        BAD("[Infinity]", 1, 2, "value must stand here"),
        BAD("[0x10]", 1, 3, "value must stand here"),
        BAD("tru", 1, 1, "value must stand here"),
        BAD("\"abc", 1, 1, "no end"),
        BAD("\"abc\\\"", 1, 1, "no end"),
        BAD("\"a\\qb\"", 1, 3, "unknown escape"),
        BAD("\"ab\\u00zz\"", 1, 8, "four hexadecimal"),
        BAD("\"a\tb\"", 1, 3, "control"),
        BAD("\"a\nb\"", 1, 3, "control"),
        BAD("// x\n1", 1, 1, "comments are not allowed"),
        BAD("[1, /* x */ 2]", 1, 5, "comments are not allowed"),
    };
    check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]), &json_limits_token);
}
END_TEST

START_TEST(bad_bytes_and_escapes_are_refused)
{
    static const struct refusal refusals[] = {
        BAD("\xef\xbb\xbf{}", 1, 1, "byte-order mark"),
        BAD("\xff\xfe{\0}\0", 1, 1, "UTF-8"),
        BAD("[\"\xff\"]", 1, 3, "0xff is not valid UTF-8"),
        BAD("[\"\x80\"]", 1, 3, "UTF-8"),
        BAD("[\"\xc0\x80\"]", 1, 3, "UTF-8"), /* overlong */
        BAD("[\"\xc1\xbf\"]", 1, 3, "UTF-8"),
        BAD("[\"\xe0\x80\xaf\"]", 1, 3, "UTF-8"),
        BAD("[\"\xf0\x80\x80\xaf\"]", 1, 3, "UTF-8"),
        BAD("[\"\xed\xa0\x80\"]", 1, 3, "UTF-8"), /* surrogate */
        BAD("[\"\xed\xbf\xbf\"]", 1, 3, "UTF-8"),
        BAD("[\"\xf4\x90\x80\x80\"]", 1, 3, "UTF-8"), /* beyond U+10FFFF */
        BAD("[\"\xf5\x80\x80\x80\"]", 1, 3, "UTF-8"),
        BAD("[\"\xc3\"]", 1, 3, "UTF-8"), /* cut */
        BAD("[\"\xf0\x9f\x98", 1, 3, "UTF-8"),
        BAD("{\"a\0b\":1}", 1, 4, "control byte 0x00"),
        BAD("[1,\v2]", 1, 4, "control byte 0x0b"),
        BAD("[1,\f2]", 1, 4, "control byte 0x0c"),
        BAD("[\"\x1f\"]", 1, 3, "control byte 0x1f"),
        BAD("[\"\\u0000\"]", 1, 3, "\\u0000"),
        BAD("{\"a\\u0000b\":1}", 1, 4, "\\u0000"),
        BAD("[\"\\ud800\"]", 1, 3, "surrogate"),
        BAD("[\"\\udc00\"]", 1, 3, "surrogate"),
        BAD("[\"\\ud800\\u0041\"]", 1, 3, "surrogate"),
        BAD("[\"\\ud800\\ud800\"]", 1, 3, "surrogate"),
        BAD("[\"\\ud83dx\\ude00\"]", 1, 3, "surrogate"),
        BAD("[\"\\udbff\\\\dfff\"]", 1, 3, "surrogate"),
        BAD("{\"\\uD800\":1}", 1, 3, "surrogate"),
    };
    check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]), &json_limits_config);
}
END_TEST

START_TEST(duplicate_members_are_refused_after_unescaping)
{
    static const struct refusal refusals[] = {
        BAD("{\"a\":1,\n\"a\":2}", 2, 1, "\"a\" is there twice; first at line 1"),
        BAD("{\"a\":1,\"\\u0061\":2}", 1, 8, "twice"),
        BAD("{\"x\":[],\"b\":{\"c\":1,\"d\":2,\"c\":3}}", 1, 26, "\"c\" is there twice"),
        BAD("{\"\":1,\"\":2}", 1, 7, "twice"),
        BAD("{\"\\n\":1,\"\\n\":2}", 1, 9, "\"\\n\""),
    };
    check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]), &json_limits_config);
    json_text("{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}],\"A\":1}");
}
END_TEST

START_TEST(limits_are_held)
{
    static const struct json_limits limits = {
        .max_bytes = 60, .max_depth = 3, .max_nodes = 6, .max_string = 5
    };
    static const struct refusal refusals[] = {
        BAD("[[[[1]]]]", 1, 4, "nested deeper than 3"),
        BAD("{\"a\":{\"b\":[{}]}}", 1, 12, "nested deeper than 3"),
        BAD("[1,2,3,4,5,6]", 1, 12, "more than 6 values"),
        BAD("[\"123456\"]", 1, 2, "at most 5"),
        BAD("{\"123456\":1}", 1, 2, "at most 5"),
        BAD("[123456]", 1, 2, "at most 5"),
        BAD("[                                                           1]", 1, 1, "at most 60"),
    };
    check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]), &limits);

    struct slice fits = SLICE("[[[\"12345\"]],1,\"\\u00e9\\n\"]");
    ck_assert_ptr_nonnull(json_parse(&json_arena, fits, &limits, NULL));
    ck_assert_ptr_null(json_parse(&json_arena, SLICE("[[[[1]]]]"), &limits, NULL));
    ck_assert_ptr_null(json_parse(&json_arena, SLICE_ABSENT, &limits, NULL));
}
END_TEST

START_TEST(open_comments_are_refused_closed_ones_skipped)
{
    static const struct refusal refusals[] = {
        BAD("[1 /* open", 1, 4, "comment has no end"),
        BAD("[1] /* open", 1, 5, "comment has no end"),
        BAD("/*/", 1, 1, "comment has no end"),
        BAD("// only", 1, 8, "no value"),
        BAD("[1, // x\n ]", 1, 3, "trailing comma"),
        BAD("1 /", 1, 3, "text after the end"),
    };
    check_refusals(refusals, sizeof(refusals) / sizeof(refusals[0]), &json_limits_config);
    const struct json *json = json_text("// a\n/* b\n*/ [1/*,*/,//]\n\"//\"/***/] // c");
    ck_assert_uint_eq(json->count, 2);
    ck_assert_uint_eq(json->line, 3);
    ck_assert_uint_eq(json->column, 4);
    ck_assert_uint_eq(json->child->next->line, 4);
    ck_assert(slice_eq(json->child->next->text, SLICE("//")));
}
END_TEST

START_TEST(values_are_read)
{
    const struct json *json =
        json_text("{\"s\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\ude00\","
                  "\"n\":-1.5e+3,\"t\":true,\"f\":false,\"z\":null,\"a\":[],\"o\":{}}");
    static const enum json_type types[] = { JSON_STRING, JSON_NUMBER, JSON_BOOL,  JSON_BOOL,
                                            JSON_NULL,   JSON_ARRAY,  JSON_OBJECT };

    ck_assert_int_eq(json->type, JSON_OBJECT);
    ck_assert_uint_eq(json->count, 7);
    ck_assert(slice_is_absent(json->key));
    const struct json *member = json->child;
    for (size_t i = 0; i < 7; i++, member = member->next) {
        ck_assert_int_eq(member->type, types[i]);
    }
    ck_assert_ptr_null(member);
    ck_assert(slice_eq(json_get(json, SLICE("s"))->text,
                       SLICE("a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
    ck_assert(slice_eq(json_get(json, SLICE("n"))->text, SLICE("-1.5e+3")));
    ck_assert(json_get(json, SLICE("t"))->boolean);
    ck_assert(!json_get(json, SLICE("f"))->boolean);
    ck_assert_ptr_null(json_get(json, SLICE("S")));
    ck_assert_ptr_null(json_get(json_get(json, SLICE("a")), SLICE("x")));
    ck_assert_int_eq(json_text(" 12 ")->type, JSON_NUMBER);
    ck_assert(slice_eq(json_text("1e400")->text, SLICE("1e400")));
    ck_assert(slice_eq(json_text("9223372036854775808")->text, SLICE("9223372036854775808")));
}
END_TEST

START_TEST(every_value_knows_its_place)
{
    const struct json *json =
        json_text("{\n  \"first\": [1, \"t\\u0061\"],\r\n\t\"b\" :\n{ }\n}\n");
    const struct json *first = json_get(json, SLICE("first"));
    const struct json *text = first->child->next;
    const struct json *b = json_get(json, SLICE("b"));
    const struct {
        const struct json *json;
        uint32_t line, column, end_line, end_column, key_line, key_column;
    } places[] = {
        { json, 1, 1, 5, 2, 0, 0 },
        { first, 2, 12, 2, 26, 2, 3 },
        { first->child, 2, 13, 2, 14, 0, 0 },
        { text, 2, 16, 2, 25, 0, 0 },
        { b, 4, 1, 4, 4, 3, 2 },
    };

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const struct json *at = places[i].json;
        ck_assert_uint_eq(at->line, places[i].line);
        ck_assert_uint_eq(at->column, places[i].column);
        ck_assert_uint_eq(at->end_line, places[i].end_line);
        ck_assert_uint_eq(at->end_column, places[i].end_column);
        ck_assert_uint_eq(at->key_line, places[i].key_line);
        ck_assert_uint_eq(at->key_column, places[i].key_column);
    }
}
END_TEST

START_TEST(no_memory_is_an_error_at_any_point)
{
    struct slice text = SLICE("{\"a\":[1,2,{\"b\":\"text\\n\"}],\"c\":{\"d\":null,\"e\":true}}");
    bool done = false;

    for (size_t max = 0; max < 100000 && !done; max += 40) {
        char first[16];
        struct arena small;
        struct json_error error = { 0 };
        arena_init(&small, first, sizeof(first), max);
        done = json_parse(&small, text, &json_limits_token, &error) != NULL;
        ck_assert(done || strcmp(error.text, "out of memory") == 0);
        arena_done(&small);
    }
    ck_assert(done);
}
END_TEST

START_TEST(large_texts_are_read_in_linear_time)
{
    const unsigned members = 60000;
    char *text = calloc(members + 1, 24);
    size_t len = 1;
    struct json_error error = { 0 };

    ck_assert_ptr_nonnull(text);
    text[0] = '{';
    for (unsigned i = 0; i < members; i++) {
        len += (size_t)snprintf(text + len, 24, "%s\n\"k%06u\":{}", i == 0 ? "" : ",", i);
    }
    text[len] = '}';
    uint64_t start = clock_precise_ns();
    const struct json *json =
        json_parse(&json_arena, slice_of(text, len + 1), &json_limits_config, &error);
    ck_assert_msg(json != NULL, "%s", error.text);
    ck_assert_uint_eq(json->count, members);
    ck_assert_uint_lt(clock_precise_ns() - start, UINT64_C(3000000000));

    size_t more = (size_t)snprintf(text + len, 24, ",\n\"k000017\":{}}");
    ck_assert_ptr_null(
        json_parse(&json_arena, slice_of(text, len + more), &json_limits_config, &error));
    ck_assert_uint_eq(error.line, members + 2);
    ck_assert_ptr_nonnull(strstr(error.text, "\"k000017\" is there twice; first at line 19"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tc = tcase_create("json");

    tcase_add_test(tc, malformed_text_is_refused_with_its_place);
    tcase_add_test(tc, bad_bytes_and_escapes_are_refused);
    tcase_add_test(tc, duplicate_members_are_refused_after_unescaping);
    tcase_add_test(tc, limits_are_held);
    tcase_add_test(tc, open_comments_are_refused_closed_ones_skipped);
    tcase_add_test(tc, values_are_read);
    tcase_add_test(tc, every_value_knows_its_place);
    tcase_add_test(tc, no_memory_is_an_error_at_any_point);
    tcase_add_test(tc, large_texts_are_read_in_linear_time);
    json_text_use(tc);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
