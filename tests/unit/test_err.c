/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"
#include "core/log.h"

#include <check.h>

#include <limits.h>
#include <signal.h>
#include <stdlib.h>

START_TEST(every_code_has_a_text)
{
    ck_assert_str_eq(err_text(0), "ok");
    ck_assert_str_eq(err_text(ERR_NO_MEMORY), "out of memory");
    ck_assert_str_eq(err_text(ERR_BUG), "internal error");
    for (int err = -1; err > -ERR_CODES; err--) {
        ck_assert_ptr_nonnull(err_text(err));
        ck_assert_str_ne(err_text(err), "unknown error");
    }
}
END_TEST

START_TEST(unknown_codes_are_said_to_be_so)
{
    ck_assert_str_eq(err_text(1), "unknown error");
    ck_assert_str_eq(err_text(-ERR_CODES), "unknown error");
    ck_assert_str_eq(err_text(INT_MIN), "unknown error");
    ck_assert_str_eq(err_text(INT_MAX), "unknown error");
}
END_TEST

START_TEST(a_bug_is_counted_and_survived)
{
    uint64_t before = err_bug_count();
    int none = 0;

    ck_assert(!bug_if(none != 0));
    ck_assert_uint_eq(err_bug_count(), before);
    ck_assert(bug_if(none == 0));
    ck_assert_uint_eq(err_bug_count(), before + 1);
}
END_TEST

START_TEST(a_broken_requirement_aborts)
{
    require(1 + 1 == 2);
    err_require_failed("test", __FILE__, __LINE__);
}
END_TEST

int main(void)
{
    const char *fork_mode = getenv("CK_FORK");
    Suite *suite = suite_create("err");
    TCase *tc = tcase_create("err");

    tcase_add_test(tc, every_code_has_a_text);
    tcase_add_test(tc, unknown_codes_are_said_to_be_so);
    tcase_add_test(tc, a_bug_is_counted_and_survived);
    if (fork_mode == NULL || strcmp(fork_mode, "no") != 0) {
        tcase_add_test_raise_signal(tc, a_broken_requirement_aborts, SIGABRT);
    }
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
