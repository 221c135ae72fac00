/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/clients_edit.h"

#include <check.h>

#include <stdlib.h>

static void expect_add(const char *text, const char *expected)
{
    char *changed = NULL;

    ck_assert_int_eq(clients_edit_add(slice_str(text), SLICE("n"), SLICE("{1}"), &changed), 0);
    ck_assert_str_eq(changed, expected);
    free(changed);
}

static void expect_remove(const char *text, const char *id, const char *expected)
{
    char *changed = NULL;

    ck_assert_int_eq(clients_edit_remove(slice_str(text), slice_str(id), &changed), 0);
    ck_assert_str_eq(changed, expected);
    free(changed);
}

START_TEST(a_client_is_added_behind_the_last_one)
{
    expect_add(clients_edit_empty, "// Who may ask for tokens.  Change it with: jwtgate client\n"
                                   "{\n  \"clients\": {\n    \"n\": {1}\n  }\n}\n");
    expect_add("{\"clients\": {}}", "{\"clients\": {\"n\": {1}}}");
    expect_add("{\"clients\": {\"a\": {}}}", "{\"clients\": {\"a\": {}, \"n\": {1}}}");
    expect_add("{\n  \"clients\": {\n    \"a\": {}\n  }\n}\n",
               "{\n  \"clients\": {\n    \"a\": {},\n    \"n\": {1}\n  }\n}\n");
}
END_TEST

START_TEST(comments_stay_where_they_are)
{
    expect_add("// top\n{ // {\n  \"clients\": { // \"}\"\n    \"a\": {/* } */} // of a: \"x\"\n"
               "    // last }\n  } /* , */\n} // end\n",
               "// top\n{ // {\n  \"clients\": { // \"}\"\n    \"a\": {/* } */}, // of a: \"x\"\n"
               "    // last }\n    \"n\": {1}\n  } /* , */\n} // end\n");
    expect_add("{\"clients\": {/* none */}}", "{\"clients\": {/* none */\"n\": {1}}}");
    expect_add("{\"clients\":\n{}}", "{\"clients\":\n{\"n\": {1}}}");
    expect_remove("{\n  \"clients\": {\n    // of a\n    \"a\": {}, // too\n    \"b\": {} // of b\n"
                  "  }\n}\n",
                  "a",
                  "{\n  \"clients\": {\n    // of a\n     // too\n    \"b\": {} // of b\n  }\n}\n");
    expect_remove("{\"clients\": {\"a\": {} /* 1 */, /* 2 */ \"b\": {} /* 3 */}}", "a",
                  "{\"clients\": { /* 1 */ /* 2 */ \"b\": {} /* 3 */}}");
    expect_remove("{\"clients\": {\"a\": {} /* 1, */, /* 2 */ \"b\": {} /* 3 */}}", "b",
                  "{\"clients\": {\"a\": {} /* 1, */ /* 2 */  /* 3 */}}");
}
END_TEST

START_TEST(a_client_leaves_with_its_comma_and_its_lines)
{
    static const char three[] =
        "{\n  \"clients\": {\n    \"a\": {\n      \"x\": 1\n    },\n"
        "    \"b\": {\n      \"x\": 2 // two\n    },\n    \"c\": {}\n  }\n}\n";

    expect_remove(three, "a",
                  "{\n  \"clients\": {\n    \"b\": {\n      \"x\": 2 // two\n    },\n"
                  "    \"c\": {}\n  }\n}\n");
    expect_remove(three, "b",
                  "{\n  \"clients\": {\n    \"a\": {\n      \"x\": 1\n    },\n"
                  "    \"c\": {}\n  }\n}\n");
    expect_remove(three, "c",
                  "{\n  \"clients\": {\n    \"a\": {\n      \"x\": 1\n    },\n"
                  "    \"b\": {\n      \"x\": 2 // two\n    }\n  }\n}\n");
    expect_remove("{\"clients\": {\"a\": {}}}", "a", "{\"clients\": {}}");
    expect_remove("{\"clients\": {\"a\": {}, \"b\": {}}}", "b", "{\"clients\": {\"a\": {} }}");
    expect_remove("{\"clients\": {\"a\": {}, \"b\": {}}}", "a", "{\"clients\": { \"b\": {}}}");
    expect_remove("{\"clients\": {\n\"a\": {}\n, \"b\": {}}}", "a",
                  "{\"clients\": {\n \"b\": {}}}");
}
END_TEST

/* The id is found by what it means, not by how it is written. */
START_TEST(who_is_there_and_who_is_not)
{
    char *changed = NULL;

    ck_assert_int_eq(clients_edit_add(SLICE("{\"clients\": {\"\\u006e\": {}}}"), SLICE("n"),
                                      SLICE("{}"), &changed),
                     ERR_EXISTS);
    ck_assert_int_eq(
        clients_edit_remove(SLICE("{\"clients\": {\"a\": {\"n\": {}}}}"), SLICE("n"), &changed),
        ERR_NOT_FOUND);
    ck_assert_int_eq(
        clients_edit_add(SLICE("{\"clients\": []}"), SLICE("n"), SLICE("{}"), &changed),
        ERR_BAD_INPUT);
    ck_assert_int_eq(clients_edit_remove(SLICE("{"), SLICE("n"), &changed), ERR_BAD_INPUT);
    ck_assert_ptr_null(changed);
    expect_remove("{\"clients\": {\"\\u006e\": {}}}", "n", "{\"clients\": {}}");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clients_edit");
    TCase *cases = tcase_create("clients_edit");

    tcase_add_test(cases, a_client_is_added_behind_the_last_one);
    tcase_add_test(cases, comments_stay_where_they_are);
    tcase_add_test(cases, a_client_leaves_with_its_comma_and_its_lines);
    tcase_add_test(cases, who_is_there_and_who_is_not);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
