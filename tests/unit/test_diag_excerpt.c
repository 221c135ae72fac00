/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag_excerpt.h"

#include <check.h>

#include <stdlib.h>

static char *text; /* what was printed */

static void teardown(void)
{
    free(text);
    text = NULL;
}

static void print(struct slice source, const struct diag_entry *entry)
{
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(out);
    diag_print_excerpt(out, source, entry);
    fclose(out);
}

START_TEST(the_place_is_marked)
{
    const struct diag_entry entry = { .line = 2, .column = 5, .width = 3 };

    print(SLICE("{\n\t \xc3\xa9"
                "a12\r\n}"),
          &entry);
    ck_assert_str_eq(text, "    2 |   \xc3\xa9"
                           "a12\n"
                           "      |    ^~~\n");
}
END_TEST

static const struct diag_entry outside[] = {
    { .line = 1, .column = 9, .width = 1 },
    { .line = 7, .column = 1, .width = 1 },
    { .line = 2, .column = 1, .width = 1 }, /* an empty one */
};

START_TEST(a_place_outside_of_the_text_has_no_excerpt)
{
    print(SLICE("{}\n\n"), &outside[_i]);
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_long_line_is_cut_around_the_place)
{
    const struct diag_entry entry = { .line = 1, .column = 500, .width = 400 };
    char line[1000];

    memset(line, 'a', sizeof(line));
    line[499] = 'X';
    print(slice_of(line, sizeof(line)), &entry);
    ck_assert_ptr_nonnull(strchr(text, 'X'));
    ck_assert_uint_lt(strlen(text), 500);
}
END_TEST

static const struct {
    const char *text;
    uint32_t line;
    const char *secret; /* must not be seen */
    const char *seen;   /* must be seen */
} excerpts[] = {
    { "{\"secret\": \"hunter2\", \"x\": 1}", 1, "hunter2", "\"x\": 1" },
    { "{\"secret\":\n  \"hunter2\"}", 2, "hunter2", "*********" },
    { "{\"sekret\": \"hunter2\"}", 1, "hunter2", "sekret" },
    { "{\"PASSWORD\" : \"a\\\"hunter2\"}", 1, "hunter2", "PASSWORD" },
    { "{\"secret\": {\"value\": \"hunter2\"}}", 1, "hunter2", "value" },
    { "{\"secret\": [\"a\", \"hunter2\"]}", 1, "hunter2", "[" },
    { "{\"secret\": {\"env\": \"NAME\"}}", 1, "hunter2", "\"NAME\"" },
    { "{\"secret\": /* \" */ \"hunter2\"}", 1, "hunter2", "secret" },
    { "{\"secret\": /*/ \" */ \"hunter2\"}", 1, "hunter2", "secret" },
    { "{\"secret\": \"hunter2", 1, "hunter2", "secret" },
    { "{\"secret\": 1234567}", 1, "1234567", "secret" },
    { "{\"keys\": [{\"kty\": \"oct\", \"k\": \"hunter2\"}]}", 1, "hunter2", "\"oct\"" },
    { "{\"p\": {\"a\": \"shown\"}}", 1, "hunter2", "\"shown\"" },
    { "{\"client_token\": \"hunter2\"}", 1, "hunter2", "client_token" },
};

START_TEST(excerpts_do_not_show_secrets)
{
    const struct diag_entry entry = { .line = excerpts[_i].line, .column = 1, .width = 1 };

    print(slice_str(excerpts[_i].text), &entry);
    ck_assert_msg(strstr(text, excerpts[_i].secret) == NULL, "%s", text);
    ck_assert_msg(strstr(text, excerpts[_i].seen) != NULL, "%s", text);
}
END_TEST

static const struct {
    const char *name;
    bool is_secret;
} names[] = {
    { "secret", true },
    { "Client_Secret", true },
    { "db_password", true },
    { "api_key", true },
    { "refresh_token", true },
    { "token", true },
    { "key", true },
    { "qi", true },
    { "paswword", true },
    { "tokens", false },
    { "keys", false },
    { "key_file", false },
    { "kid", false },
    { "n", false },
    { "", false },
    { "_token", false },
};

START_TEST(names_of_secrets_are_known)
{
    ck_assert_msg(diag_is_secret_name(slice_str(names[_i].name)) == names[_i].is_secret, "%s",
                  names[_i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("diag_excerpt");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_add_test(tc, the_place_is_marked);
    tcase_add_loop_test(tc, a_place_outside_of_the_text_has_no_excerpt, 0,
                        (int)(sizeof(outside) / sizeof(outside[0])));
    tcase_add_test(tc, a_long_line_is_cut_around_the_place);
    tcase_add_loop_test(tc, excerpts_do_not_show_secrets, 0,
                        (int)(sizeof(excerpts) / sizeof(excerpts[0])));
    tcase_add_loop_test(tc, names_of_secrets_are_known, 0, (int)(sizeof(names) / sizeof(names[0])));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
