/* SPDX-License-Identifier: Apache-2.0 */
/* The main file and what it includes. */
#include <check.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/config_file.h"

/* The whole file behind HEAD, or by itself; the first line that is printed. */
static const struct config_error errors[] = {
    { HEAD "\"include\": [\"nothing.jsonc\"],\n" ROUTES,
      "t.jsonc:4:13: error: include[0]: nothing.jsonc cannot be opened: No such file or "
      "directory" },
    { HEAD "\"include\": [\"t.jsonc\"],\n" ROUTES,
      "t.jsonc:4:13: error: include[0]: t.jsonc is included twice" },
    { HEAD "\"include\": \"x\",\n" ROUTES,
      "t.jsonc:4:12: error: include: must be an array, not a string; "
      "write [\"conf.d/*.jsonc\"]" },
};

START_TEST(every_error_names_its_place_and_the_remedy)
{
    config_file_expect_error(&errors[_i]);
}
END_TEST

START_TEST(included_maps_are_united)
{
    write_file("inc-a.jsonc", "{\"upstreams\": {\"a\": {\"targets\": [\"127.0.0.1:1\"]}}}");
    write_file("inc-b.jsonc",
               "{\"version\": 1, \"routes\": {\"b\": {\"match\": {\"exact\": \"/b\"},\n"
               "\"upstream\": \"a\", \"auth\": \"none\"}}}");
    struct config *config = load(HEAD "\"include\": [\"inc-*.jsonc\", \"none-*.jsonc\"],\n" ROUTES);

    assert_loads(config);
    ck_assert_uint_eq(config->upstream_count, 2);
    ck_assert_uint_eq(config->route_count, 2);
    ck_assert(slice_eq(config->routes[1].upstream->element.name, SLICE("a")));
    config_unref(config);
    unlink("inc-a.jsonc");
    unlink("inc-b.jsonc");
}
END_TEST

START_TEST(a_name_in_two_files_is_an_error_that_quotes_both)
{
    write_file("inc-a.jsonc", "{\n  \"upstreams\": {\"u\": {\"targets\": [\"127.0.0.1:1\"]}},\n"
                              "  \"server\": {}, \"include\": []}");
    struct config *config = load(HEAD "\"server\": {}, \"include\": [\"inc-a.jsonc\"],\n" ROUTES);

    ck_assert_ptr_null(config);
    char *text = printed();

    ck_assert_msg(strstr(text, "inc-a.jsonc:2:17: error: upstreams: \"u\" is also at t.jsonc:3:15; "
                               "change one of them\n") != NULL,
                  "%s", text);
    ck_assert_msg(strstr(text, "inc-a.jsonc:3:3: error: \"server\" is also at t.jsonc:4:1; "
                               "change one of them\n") != NULL,
                  "%s", text);
    ck_assert_msg(strstr(text, "inc-a.jsonc:3:17: error: an included file cannot include others; "
                               "include the files from the main file\n") != NULL,
                  "%s", text);
    free(text);
    unlink("inc-a.jsonc");
}
END_TEST

START_TEST(a_missing_file_is_told_from_a_bad_one)
{
    bool missing = false;

    ck_assert_ptr_null(config_load("absent.jsonc", &diag, &missing));
    ck_assert(missing);
    ck_assert_uint_eq(diag.errors, 1);
    diag_done(&diag);
    diag_init(&diag);
    write_file("t.jsonc", "{");
    ck_assert_ptr_null(config_load("t.jsonc", &diag, &missing));
    ck_assert(!missing);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_files");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_loop_test(tc, every_error_names_its_place_and_the_remedy, 0,
                        (int)(sizeof(errors) / sizeof(errors[0])));
    tcase_add_test(tc, included_maps_are_united);
    tcase_add_test(tc, a_name_in_two_files_is_an_error_that_quotes_both);
    tcase_add_test(tc, a_missing_file_is_told_from_a_bad_one);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
