/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_source.h"

#include <check.h>

#include "tests/support/json_text.h"

static struct json_comments at_end;

static const struct json_source *read_source(const char *text)
{
    const struct json_source *root;

    json_text(text); /* it is accepted */
    root = json_source_read(&json_arena, slice_str(text), &at_end);
    ck_assert_ptr_nonnull(root);
    return root;
}

/* The comments' texts with a space behind each. */
static void assert_comments(const struct json_comments *comments, const char *texts)
{
    for (const struct json_comment *c = comments->first; c != NULL; c = c->next) {
        ck_assert_msg(strncmp(texts, c->text.ptr, c->text.len) == 0, "%.*s", SLICE_FMT(c->text));
        ck_assert_int_eq(texts[c->text.len], ' ');
        ck_assert(c->next != NULL || c == comments->last);
        texts += c->text.len + 1;
    }
    ck_assert_str_eq(texts, "");
}

START_TEST(tokens_are_as_they_were_written)
{
    const struct json_source *root = read_source("{\"a\\u0041\" : 1.50e1,\"b\":[true,\"\\/,]\"]}");
    const struct json_source *a = root->child, *b = a->next;

    ck_assert_int_eq(root->open, '{');
    ck_assert(slice_is_absent(root->key));
    ck_assert(slice_eq(a->key, SLICE("\"a\\u0041\"")));
    ck_assert(slice_eq(a->text, SLICE("1.50e1")));
    ck_assert_int_eq(a->open, 0);
    ck_assert_int_eq(b->open, '[');
    ck_assert(slice_eq(b->child->text, SLICE("true")));
    ck_assert(slice_eq(b->child->next->text, SLICE("\"\\/,]\"")));
    ck_assert_ptr_null(b->child->next->next);
    ck_assert_ptr_null(b->next);
}
END_TEST

START_TEST(each_comment_has_its_place)
{
    const struct json_source *root = read_source("// 0\n"
                                                 "{ // 1\n"
                                                 "  // 2\n"
                                                 "  \"a\" /* 3 */ : /* 4 */ [ // 5\n"
                                                 "    1 /* 6 */ // 7\n"
                                                 "    // 8\n"
                                                 "  ] // 9\n"
                                                 "  , \"b\": 2\n"
                                                 "  // 10\n"
                                                 "} // 11\n"
                                                 "// 12\n");
    const struct json_source *a = root->child, *one = a->child;

    assert_comments(&root->before, "// 0 ");
    assert_comments(&root->after_open, "// 1 ");
    assert_comments(&a->before, "// 2 /* 3 */ /* 4 */ ");
    assert_comments(&a->after_open, "// 5 ");
    assert_comments(&one->behind, "/* 6 */ // 7 ");
    assert_comments(&a->at_end, "// 8 ");
    assert_comments(&a->behind, "// 9 ");
    assert_comments(&root->at_end, "// 10 ");
    assert_comments(&root->behind, "// 11 ");
    assert_comments(&at_end, "// 12 ");
}
END_TEST

START_TEST(a_comment_on_the_line_of_the_next_value_is_before_that)
{
    const struct json_source *one = read_source("[1, /* a */ 2]")->child;

    assert_comments(&one->behind, "");
    assert_comments(&one->next->before, "/* a */ ");
}
END_TEST

START_TEST(a_comment_knows_its_column_and_the_lines_above_it)
{
    const struct json_source *two = read_source("[1,\n\n\n  /* a\n b */ // c\n2]")->child->next;
    const struct json_comment *a = two->before.first;

    ck_assert_uint_eq(a->column, 2);
    ck_assert_uint_eq(a->lines, 3);
    ck_assert_uint_eq(a->next->column, 6);
    ck_assert_uint_eq(a->next->lines, 0);
}
END_TEST

START_TEST(an_empty_line_sets_a_value_apart)
{
    const struct json_source *one = read_source("[1,\n2,\n\n3, // a\n\n4]")->child;

    ck_assert(!one->is_apart);
    ck_assert(!one->next->is_apart);
    ck_assert(one->next->next->is_apart);
    ck_assert(one->next->next->next->is_apart);
}
END_TEST

START_TEST(no_memory_is_told_at_any_point)
{
    static const char text[] = "/*a*/[1,{\"b\":[2]}/*c*/]//d";
    bool done = false;

    for (size_t bytes = 0; !done; bytes += 16) {
        struct arena small;

        arena_init(&small, NULL, 0, bytes);
        done = json_source_read(&small, slice_str(text), &at_end) != NULL;
        arena_done(&small);
        ck_assert(done || bytes < 16000);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_source");
    TCase *tc = tcase_create("all");

    json_text_use(tc);
    tcase_add_test(tc, tokens_are_as_they_were_written);
    tcase_add_test(tc, each_comment_has_its_place);
    tcase_add_test(tc, a_comment_on_the_line_of_the_next_value_is_before_that);
    tcase_add_test(tc, a_comment_knows_its_column_and_the_lines_above_it);
    tcase_add_test(tc, an_empty_line_sets_a_value_apart);
    tcase_add_test(tc, no_memory_is_told_at_any_point);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
