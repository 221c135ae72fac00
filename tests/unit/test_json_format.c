/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_format.h"

#include <check.h>

#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, (size_t)1 << 30);
}

static void teardown(void)
{
    arena_done(&arena);
}

static struct slice format(struct slice text)
{
    struct slice formatted = SLICE_ABSENT;

    ck_assert_int_eq(json_format(&arena, text, &json_limits_config, NULL, &formatted), 0);
    return formatted;
}

#define TEN(text) text text text text text text text text text text

static const struct {
    const char *text, *formatted;
} rows[] = {
    { "1", "1\n" },
    { " \"a\\u0041\\/\" ", "\"a\\u0041\\/\"\n" },
    { "{}", "{}\n" },
    { "[ ]", "[]\n" },
    { "[1,2]", "[\n  1,\n  2\n]\n" }, /* the outermost is never on one line */
    { "[[1,{\"a\":[]}]]", "[\n  [\n    1,\n    { \"a\": [] }\n  ]\n]\n" },
    { "{\"a\":{\"b\":[1,2]}}", "{\n  \"a\": { \"b\": [1, 2] }\n}\n" },
    { "{\"a\":{\"b\":[[1]]}}", "{\n  \"a\": {\n    \"b\": [[1]]\n  }\n}\n" },
    /* 100 columns, and 101 */
    { "[[\"" TEN("123456789") "123\"],1]", "[\n  [\"" TEN("123456789") "123\"],\n  1\n]\n" },
    { "[[\"" TEN("123456789") "1234\"],1]",
      "[\n  [\n    \"" TEN("123456789") "1234\"\n  ],\n  1\n]\n" },
    { "[[\"" TEN("123456789") "1234\"]]", "[\n  [\"" TEN("123456789") "1234\"]\n]\n" },
    /* empty lines */
    { "\n\n[\n\n1,\n\n\n2,\n3\n\n]\n\n", "[\n  1,\n\n  2,\n  3\n]\n" },
    { "//a\n\n\n//b\n\n1\n\n//c\n\n", "//a\n\n//b\n\n1\n\n//c\n" },
    /* comments */
    { "1//a", "1 //a\n" },
    { "[1,//a\n2]", "[\n  1, //a\n  2\n]\n" },
    { "[1//a\n,2]", "[\n  1, //a\n  2\n]\n" },
    { "[1//a\n,/*b*/\n2]", "[\n  1, //a\n  /*b*/\n  2\n]\n" },
    { "[1,/*a*/2]", "[\n  1,\n  /*a*/\n  2\n]\n" },
    { "[1/*a*/,2]", "[\n  1, /*a*/\n  2\n]\n" },
    { "[1,\n//a\n2\n//b\n]", "[\n  1,\n  //a\n  2\n  //b\n]\n" },
    { "[/*a*/]", "[ /*a*/\n]\n" },
    { "[//a\n]", "[ //a\n]\n" },
    { "[\n//a\n]", "[\n  //a\n]\n" },
    { "{\"a\"/*b*/:/*c*/1}", "{\n  /*b*/\n  /*c*/\n  \"a\": 1\n}\n" },
    { "[\"//\",\"/*\"]", "[\n  \"//\",\n  \"/*\"\n]\n" },
    { "//a \t\r\n1", "//a\n1\n" },
    /* the lines of a comment move together */
    { "[\n/*a\n  b\n\nc*/1]", "[\n  /*a\n    b\n\n  c*/\n  1\n]\n" },
    { "     /*a\n     b\n   c*/1", "/*a\nb\nc*/\n1\n" },
};

START_TEST(a_text_has_one_form)
{
    struct slice formatted = format(slice_str(rows[_i].text));

    ck_assert_msg(slice_eq(formatted, slice_str(rows[_i].formatted)), "%.*s", SLICE_FMT(formatted));
    ck_assert(slice_eq(format(formatted), formatted));
}
END_TEST

START_TEST(what_cannot_be_parsed_is_refused)
{
    struct json_error error;
    struct slice formatted;

    ck_assert_int_eq(json_format(&arena, SLICE("[1,]"), &json_limits_config, &error, &formatted),
                     ERR_BAD_INPUT);
    ck_assert_uint_eq(error.column, 3);
}
END_TEST

/* Deep inside each comment costs a line with its indent. */
START_TEST(a_form_that_grows_too_much_is_refused)
{
    struct json_limits limits = json_limits_config;
    struct slice formatted, text = SLICE("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[" TEN(
                                "/**//**//**/") "1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");

    limits.max_bytes = text.len;
    ck_assert_int_eq(json_format(&arena, text, &limits, NULL, &formatted), ERR_NO_MEMORY);
    limits.max_bytes = 2 * text.len;
    ck_assert_int_eq(json_format(&arena, text, &limits, NULL, &formatted), 0);
}
END_TEST

START_TEST(a_long_line_of_comments_takes_no_long_time)
{
    static char text[1000000];

    for (size_t i = 0; i + 5 < sizeof(text); i += 5) {
        memcpy(text + i, "/*a*/", 5);
    }
    text[sizeof(text) - 5] = '1';
    memset(text + sizeof(text) - 4, ' ', 4);
    ck_assert_uint_gt(format(slice_of(text, sizeof(text))).len, sizeof(text) / 5);
}
END_TEST

START_TEST(memory_is_limited)
{
    struct arena small;
    struct slice formatted;

    for (size_t bytes = 1; bytes < 6000; bytes += 37) {
        arena_init(&small, NULL, 0, bytes);
        int err = json_format(&small, SLICE("/*a*/[1,{\"b\":[]}]//c"), &json_limits_config, NULL,
                              &formatted);
        ck_assert(err == 0 || err == ERR_NO_MEMORY || err == ERR_BAD_INPUT);
        arena_done(&small);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_format");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, a_text_has_one_form, 0, sizeof(rows) / sizeof(rows[0]));
    tcase_add_test(cases, what_cannot_be_parsed_is_refused);
    tcase_add_test(cases, a_form_that_grows_too_much_is_refused);
    tcase_add_test(cases, a_long_line_of_comments_takes_no_long_time);
    tcase_add_test(cases, memory_is_limited);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
