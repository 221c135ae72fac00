/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag.h"

#include <check.h>

#include <stdlib.h>

static struct diag diag;
static struct arena arena;

static void setup(void)
{
    diag_init(&diag);
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
}

static void teardown(void)
{
    diag_done(&diag);
    arena_done(&arena);
}

static const struct json *parse(const char *text)
{
    struct json_limits limits = json_limits_config;
    struct json_error error;
    int file = diag_add_file(&diag, "f.jsonc", slice_str(text));

    ck_assert_int_ge(file, 0);
    limits.file = (uint16_t)file;
    const struct json *root = json_parse(&arena, slice_str(text), &limits, &error);

    ck_assert_msg(root != NULL, "%s", text);
    return root;
}

static void assert_printed(const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(out);
    diag_print(&diag, out);
    fclose(out);
    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(entries_are_printed_in_the_order_of_the_text)
{
    const struct json *root = parse("{\n  \"a\": 12,\n  \"b\": \"x\"\n}\n");

    diag_at(&diag, DIAG_ERROR, json_get(root, SLICE("b")), "b", "write 1", "must be %s",
            "a number");
    diag_at_key(&diag, DIAG_ERROR, json_get(root, SLICE("a")), "", NULL, "unknown key \"a\"");
    assert_printed("f.jsonc:2:3: error: unknown key \"a\"\n"
                   "    2 |   \"a\": 12,\n"
                   "      |   ^~~\n"
                   "f.jsonc:3:8: error: b: must be a number; write 1\n"
                   "    3 |   \"b\": \"x\"\n"
                   "      |        ^~~\n"
                   "2 errors, nothing was changed\n");
}
END_TEST

START_TEST(a_warning_shows_its_rule_and_changes_no_count_of_errors)
{
    const struct json *root = parse("{\"a\": 1}");

    diag_lint(&diag, "audience-any", json_get(root, SLICE("a")), "a", NULL, "any audience");
    ck_assert_uint_eq(diag.errors, 0);
    assert_printed("f.jsonc:1:7: warning: a: any audience [audience-any]\n"
                   "    1 | {\"a\": 1}\n"
                   "      |       ^\n"
                   "1 warning\n");
}
END_TEST

START_TEST(at_most_twenty_are_kept_and_errors_displace_warnings)
{
    const struct json *root = parse("{}");

    for (int i = 0; i < 25; i++) {
        diag_at(&diag, DIAG_WARNING, root, "w", NULL, "warning %d", i);
    }
    for (int i = 0; i < 30; i++) {
        diag_at(&diag, DIAG_ERROR, root, "e", NULL, "error %d", i);
    }
    ck_assert_uint_eq(diag.count, DIAG_MAX_ENTRIES);
    ck_assert_uint_eq(diag.errors, 30);
    ck_assert_uint_eq(diag.warnings, 25);
    for (unsigned i = 0; i < diag.count; i++) {
        ck_assert_int_eq(diag.entries[i].severity, DIAG_ERROR);
    }
}
END_TEST

START_TEST(the_json_form_has_all_fields)
{
    const struct json *root = parse("{\"a\": 1}");
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    diag_at(&diag, DIAG_ERROR, json_get(root, SLICE("a")), "a", "write 2", "is \"one\"");
    diag_print_json(&diag, out);
    fclose(out);
    ck_assert_str_eq(text,
                     "[{\"file\":\"f.jsonc\",\"line\":1,\"column\":7,\"severity\":\"error\","
                     "\"path\":\"a\",\"message\":\"is \\\"one\\\"\",\"remedy\":\"write 2\"}]\n");
    free(text);
}
END_TEST

START_TEST(a_place_outside_of_the_text_has_no_excerpt)
{
    struct json where = { .type = JSON_NULL, .line = 7, .column = 9 };

    ck_assert_int_eq(diag_add_file(&diag, "f", SLICE("{}")), 0);
    diag_at(&diag, DIAG_ERROR, &where, "", NULL, "x");
    assert_printed("f:7:9: error: x\n1 error, nothing was changed\n");
}
END_TEST

START_TEST(an_error_without_a_place_names_the_first_file)
{
    diag_at(&diag, DIAG_ERROR, NULL, NULL, NULL, "out of memory");
    assert_printed("error: out of memory\n1 error, nothing was changed\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("diag");
    TCase *tc = tcase_create("diag");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, entries_are_printed_in_the_order_of_the_text);
    tcase_add_test(tc, a_warning_shows_its_rule_and_changes_no_count_of_errors);
    tcase_add_test(tc, at_most_twenty_are_kept_and_errors_displace_warnings);
    tcase_add_test(tc, the_json_form_has_all_fields);
    tcase_add_test(tc, a_place_outside_of_the_text_has_no_excerpt);
    tcase_add_test(tc, an_error_without_a_place_names_the_first_file);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
