/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include <check.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct diag diag;
static struct arena arena;
static struct option_context ctx;
static char file[] = "secret-XXXXXX";
static char secret[SECRET_MAX_BYTES];
static size_t secret_len;

static void setup(void)
{
    diag_init(&diag);
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
    ctx = (struct option_context){ .diag = &diag, .arena = &arena };
    memcpy(file, "secret-XXXXXX", sizeof(file));
    close(mkstemp(file)); /* mode 0600 */
    unsetenv("JWTGATE_TEST_SECRET");
}

static void teardown(void)
{
    unlink(file);
    diag_done(&diag);
    arena_done(&arena);
}

static void write_secret(const char *text, size_t len)
{
    FILE *out = fopen(file, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(text, 1, len, out), len);
    ck_assert_int_eq(fclose(out), 0);
}

static int read_from(struct secret_source source)
{
    return secret_read(&source, &ctx, NULL, "x.secret", secret, &secret_len);
}

static void expect_refusal(struct secret_source source, const char *why)
{
    ck_assert_int_eq(read_from(source), ERR_CONFIG);
    ck_assert_uint_eq(diag.errors, 1);
    ck_assert_msg(strstr(diag.entries[0].message, why) != NULL, "%s", diag.entries[0].message);
    ck_assert_str_eq(diag.entries[0].path, "x.secret");
}

static const struct {
    const char *text, *secret;
} texts[] = {
    { "abc", "abc" },       { "abc\n", "abc" },     { "abc\r\n", "abc" },
    { "abc\n\n", "abc\n" }, { " abc \n", " abc " }, { "a\nbc", "a\nbc" },
};

START_TEST(one_newline_at_the_end_is_dropped)
{
    write_secret(texts[_i].text, strlen(texts[_i].text));
    ck_assert_int_eq(read_from((struct secret_source){ .file = file }), 0);
    ck_assert(slice_eq(slice_of(secret, secret_len), slice_str(texts[_i].secret)));
    ck_assert_uint_eq(diag.errors, 0);
}
END_TEST

START_TEST(the_environment_names_it_too)
{
    setenv("JWTGATE_TEST_SECRET", "from-outside", 1);
    ck_assert_int_eq(read_from((struct secret_source){ .env = SLICE("JWTGATE_TEST_SECRET") }), 0);
    ck_assert(slice_eq(slice_of(secret, secret_len), SLICE("from-outside")));
}
END_TEST

START_TEST(exactly_one_source_is_named)
{
    ck_assert_int_eq(read_from((struct secret_source){ 0 }), ERR_CONFIG);
    ck_assert_int_eq(read_from((struct secret_source){ .env = SLICE("A"), .file = file }),
                     ERR_CONFIG);
    ck_assert_uint_eq(diag.errors, 2);
    ck_assert(!secret_is_named(&(struct secret_source){ 0 }));
    ck_assert(secret_is_named(&(struct secret_source){ .env = SLICE("A") }));
}
END_TEST

START_TEST(what_is_not_there_is_refused)
{
    expect_refusal((struct secret_source){ .env = SLICE("JWTGATE_TEST_SECRET") }, "is not set");
}
END_TEST

START_TEST(a_missing_file_is_refused)
{
    unlink(file);
    expect_refusal((struct secret_source){ .file = file }, "No such file");
}
END_TEST

START_TEST(an_empty_secret_is_refused)
{
    write_secret("\n", 1);
    expect_refusal((struct secret_source){ .file = file }, "is empty");
}
END_TEST

START_TEST(too_long_a_secret_is_refused)
{
    static char text[SECRET_MAX_BYTES];

    memset(text, 'a', sizeof(text));
    write_secret(text, sizeof(text));
    expect_refusal((struct secret_source){ .file = file }, "it has 4 KiB or more");
}
END_TEST

START_TEST(a_folder_is_no_secret)
{
    expect_refusal((struct secret_source){ .file = "." }, "not a regular file");
}
END_TEST

static const struct {
    mode_t mode;
    bool ok;
} modes[] = { { 0600, true },  { 0400, true },  { 0604, false },
              { 0644, false }, { 0660, false }, { 0601, false } };

START_TEST(a_file_that_others_can_read_is_refused)
{
    write_secret("abc", 3);
    ck_assert_int_eq(chmod(file, modes[_i].mode), 0);
    if (modes[_i].ok) {
        ck_assert_int_eq(read_from((struct secret_source){ .file = file }), 0);
    } else {
        expect_refusal((struct secret_source){ .file = file }, "others can read");
        ck_assert_str_eq(diag.entries[0].remedy, "chmod 600 it");
    }
}
END_TEST

static const struct {
    uid_t owner;
    mode_t mode;
    bool is_private;
} files[] = {
    { 1000, 0400, true },  { 1000, 0600, true },  { 1000, 0640, false }, { 1000, 0604, false },
    { 1000, 0610, false }, { 0, 0400, true },     { 0, 0640, true },     { 0, 0440, true },
    { 0, 0660, false },    { 0, 0650, false },    { 0, 0644, false },    { 0, 0601, false },
    { 1000, 0000, true },  { 1000, 0777, false },
};

START_TEST(a_group_may_read_what_root_lets_it)
{
    struct stat st = { .st_uid = files[_i].owner, .st_mode = S_IFREG | files[_i].mode };

    ck_assert(secret_file_is_private(&st) == files[_i].is_private);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secret");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, one_newline_at_the_end_is_dropped, 0,
                        (int)(sizeof(texts) / sizeof(texts[0])));
    tcase_add_test(tc, the_environment_names_it_too);
    tcase_add_test(tc, exactly_one_source_is_named);
    tcase_add_test(tc, what_is_not_there_is_refused);
    tcase_add_test(tc, a_missing_file_is_refused);
    tcase_add_test(tc, an_empty_secret_is_refused);
    tcase_add_test(tc, too_long_a_secret_is_refused);
    tcase_add_test(tc, a_folder_is_no_secret);
    tcase_add_loop_test(tc, a_file_that_others_can_read_is_refused, 0,
                        (int)(sizeof(modes) / sizeof(modes[0])));
    tcase_add_loop_test(tc, a_group_may_read_what_root_lets_it, 0,
                        (int)(sizeof(files) / sizeof(files[0])));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
