/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"

#include <check.h>

#include "tests/support/json_text.h"

START_TEST(pointers_find_their_value)
{
    const struct json *json = json_text("{\"a/b\":{\"m~n\":[10,{\"\":7},20]},\"\":8,\"0\":9}");
    static const struct {
        const char *pointer, *text; /* NULL: none */
    } vectors[] = {
        { "/a~1b/m~0n/0", "10" },
        { "/a~1b/m~0n/2", "20" },
        { "/a~1b/m~0n/1/", "7" },
        { "/", "8" },
        { "/0", "9" },
        { "/a/b", NULL },
        { "/a~1b/m~0n/3", NULL },
        { "/a~1b/m~0n/-", NULL },
        { "/a~1b/m~0n/01", NULL },
        { "/a~1b/m~0n/", NULL },
        { "/a~2b", NULL },
        { "/a~", NULL },
        { "a~1b", NULL },
        { "/0/x", NULL },
        { "/a~1b/m~0n/1e0", NULL },
        { "/a~1b/m~0n/4294967296", NULL },
    };

    ck_assert_ptr_eq(json_pointer(json, SLICE("")), json);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct json *found = json_pointer(json, slice_str(vectors[i].pointer));
        ck_assert_msg((found != NULL) == (vectors[i].text != NULL), "%s", vectors[i].pointer);
        ck_assert(found == NULL || slice_eq(found->text, slice_str(vectors[i].text)));
    }
    ck_assert_ptr_null(json_pointer(NULL, SLICE("/a")));
}
END_TEST

START_TEST(integers_are_exact_or_none)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } vectors[] = {
        { "0", true, 0 },      { "-0", true, 0 },
        { "42", true, 42 },    { "-42", true, -42 },
        { "1.0", false, 0 },   { "1e3", false, 0 },
        { "\"1\"", false, 0 }, { "9223372036854775807", true, INT64_MAX },
        { "null", false, 0 },  { "-9223372036854775808", true, INT64_MIN },
        { "1E2", false, 0 },   { "9223372036854775808", false, 0 },
        { "[1]", false, 0 },   { "-9223372036854775809", false, 0 },
        { "-1.5", false, 0 },  { "99999999999999999999999999", false, 0 },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        int64_t value = 0;
        ck_assert_msg(json_int(json_text(vectors[i].text), &value) == vectors[i].ok, "%s",
                      vectors[i].text);
        ck_assert(value == vectors[i].value);
    }
    int64_t value;
    ck_assert(!json_int(NULL, &value));
}
END_TEST

static const struct {
    const char *a, *b;
    bool same;
} pairs[] = {
    { "{}", "{}", true },
    { "{\"a\": 1, \"b\": [true, null]}", "{\"b\":[true,null],\"a\":1}", true },
    { "[1, 2]", "[2, 1]", false },
    { "[1, 2]", "[1]", false },
    { "{\"a\": 1}", "{\"b\": 1}", false },
    { "{\"a\": 1}", "{\"a\": 1, \"b\": 1}", false },
    { "{\"a\": \"1\"}", "{\"a\": 1}", false },
    { "{\"a\": {\"b\": \"x\"}}", "{\"a\": {\"b\": \"y\"}}", false },
    { "true", "false", false },
    { "\"\"", "\"\"", true },
};

START_TEST(trees_are_compared_by_value)
{
    ck_assert(json_equal(json_text(pairs[_i].a), json_text(pairs[_i].b)) == pairs[_i].same);
    ck_assert(json_equal(json_text(pairs[_i].b), json_text(pairs[_i].a)) == pairs[_i].same);
    ck_assert(json_equal(NULL, NULL));
    ck_assert(!json_equal(NULL, json_text(pairs[_i].a)));
}
END_TEST

START_TEST(a_copy_is_equal_and_needs_nothing_of_the_original)
{
    struct arena other, small;
    const struct json *copy;

    arena_init(&other, NULL, 0, 1 << 20);
    copy = json_copy(&other, json_text(pairs[_i].a));
    json_text_forget();
    ck_assert(json_equal(copy, json_text(pairs[_i].a)));
    ck_assert_uint_eq(copy->line, 1);
    arena_init(&small, NULL, 0, 0);
    ck_assert_ptr_null(json_copy(&small, copy));
    arena_done(&small);
    arena_done(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_tree");
    TCase *tc = tcase_create("all");

    json_text_use(tc);
    tcase_add_test(tc, pointers_find_their_value);
    tcase_add_test(tc, integers_are_exact_or_none);
    tcase_add_loop_test(tc, trees_are_compared_by_value, 0,
                        (int)(sizeof(pairs) / sizeof(pairs[0])));
    tcase_add_loop_test(tc, a_copy_is_equal_and_needs_nothing_of_the_original, 0,
                        (int)(sizeof(pairs) / sizeof(pairs[0])));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
