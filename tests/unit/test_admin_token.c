/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin_token.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

static struct diag diag;
static struct arena arena;
static struct option_context ctx;

static void setup(void)
{
    diag_init(&diag);
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
    ctx = (struct option_context){ .diag = &diag, .arena = &arena };
}

static void teardown(void)
{
    diag_done(&diag);
    arena_done(&arena);
}

static struct admin_token read_token(const char *text)
{
    struct admin_token token = { .source = { .env = SLICE("JWTGATE_TEST_TOKEN") } };

    setenv("JWTGATE_TEST_TOKEN", text, 1);
    admin_token_read(&token, &ctx, NULL, "admin.token");
    return token;
}

START_TEST(only_the_token_is_the_token)
{
    struct admin_token token = read_token("0123456789abcdef");

    ck_assert(token.is_set);
    ck_assert(admin_token_is(&token, SLICE("0123456789abcdef")));
    ck_assert(!admin_token_is(&token, SLICE("0123456789abcdeF")));
    ck_assert(!admin_token_is(&token, SLICE("0123456789abcdef0")));
    ck_assert(!admin_token_is(&token, SLICE("0123456789abcde")));
    ck_assert(!admin_token_is(&token, SLICE("")));
}
END_TEST

START_TEST(its_text_is_not_kept)
{
    struct admin_token token = read_token("0123456789abcdef");

    ck_assert_ptr_null(memmem(&token, sizeof(token), "01234567", 8));
}
END_TEST

START_TEST(without_a_token_nothing_fits)
{
    struct admin_token none = { 0 };

    ck_assert(!admin_token_is(&none, SLICE("")));
    ck_assert(!admin_token_is(&none, SLICE("x")));
}
END_TEST

START_TEST(a_token_is_long_and_can_be_sent)
{
    static const char *const bad[] = { "0123456789abcde", "0123456789 abcdef", "0123456789abcde\t",
                                       "0123456789abcde\xc3\xa9" };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert(!read_token(bad[i]).is_set);
        ck_assert_uint_eq(diag.errors, i + 1);
        ck_assert_ptr_null(strstr(diag.entries[i].message, "0123"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin_token");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, only_the_token_is_the_token);
    tcase_add_test(tc, its_text_is_not_kept);
    tcase_add_test(tc, without_a_token_nothing_fits);
    tcase_add_test(tc, a_token_is_long_and_can_be_sent);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
