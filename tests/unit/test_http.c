/* SPDX-License-Identifier: Apache-2.0 */
#include "core/http.h"

#include <check.h>

START_TEST(methods_are_found_by_exact_name)
{
    for (unsigned method = HTTP_OTHER + 1; method < HTTP_METHODS; method++) {
        ck_assert_uint_eq(http_method_of(http_method_name((enum http_method)method)), method);
    }
    ck_assert_uint_eq(http_method_of(SLICE("get")), HTTP_OTHER);
    ck_assert_uint_eq(http_method_of(SLICE("GETS")), HTTP_OTHER);
    ck_assert_uint_eq(http_method_of(SLICE_ABSENT), HTTP_OTHER);
    ck_assert(slice_eq(http_method_name(HTTP_OTHER), SLICE("_OTHER")));
}
END_TEST

START_TEST(post_patch_and_unknown_methods_are_not_idempotent)
{
    ck_assert(http_method_is_idempotent(HTTP_GET));
    ck_assert(http_method_is_idempotent(HTTP_PUT));
    ck_assert(http_method_is_idempotent(HTTP_DELETE));
    ck_assert(!http_method_is_idempotent(HTTP_POST));
    ck_assert(!http_method_is_idempotent(HTTP_PATCH));
    ck_assert(!http_method_is_idempotent(HTTP_OTHER));
}
END_TEST

START_TEST(some_responses_never_have_a_body)
{
    ck_assert(http_response_may_have_body(HTTP_GET, 200));
    ck_assert(http_response_may_have_body(HTTP_POST, 500));
    ck_assert(!http_response_may_have_body(HTTP_HEAD, 200));
    ck_assert(!http_response_may_have_body(HTTP_GET, 100));
    ck_assert(!http_response_may_have_body(HTTP_GET, 204));
    ck_assert(!http_response_may_have_body(HTTP_GET, 304));
}
END_TEST

START_TEST(statuses_have_texts)
{
    ck_assert(slice_eq(http_status_text(404), SLICE("Not Found")));
    ck_assert(slice_eq(http_status_text(299), SLICE("Unknown")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http");
    TCase *tc = tcase_create("http");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tc);
    tcase_add_test(tc, methods_are_found_by_exact_name);
    tcase_add_test(tc, post_patch_and_unknown_methods_are_not_idempotent);
    tcase_add_test(tc, some_responses_never_have_a_body);
    tcase_add_test(tc, statuses_have_texts);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
