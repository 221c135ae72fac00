/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/answer.h"

#include <check.h>

#include <string.h>

static const struct {
    struct fetch_answer answer;
    const char *word; /* NULL: its body can be read */
} answers[] = {
    { { .status = 200, .content_type = { "application/json", 16 } }, NULL },
    { { .status = 200, .content_type = { "application/jwk-set+json", 24 } }, NULL },
    { { .status = 200, .content_type = { "text/plain; charset=utf-8", 25 } }, NULL },
    { { .status = 200, .content_type = { "application/octet-stream", 24 } }, NULL },
    { { .status = 200 }, NULL },
    { { .status = 200, .content_type = { "text/html", 9 } }, "parse" },
    { { .status = 200, .content_type = { "", 0 } }, "parse" },
    { { .status = 301 }, "http_error" },
    { { .status = 404, .content_type = { "application/json", 16 } }, "http_error" },
    { { .status = 500 }, "http_error" },
    { { .status = 204 }, "http_error" },
    { { .err = ERR_TIMEOUT, .detail = "late" }, "timeout" },
    { { .err = ERR_CRYPTO, .detail = "certificate" }, "tls" },
    { { .err = ERR_TOO_BIG, .detail = "large" }, "too_large" },
};

START_TEST(an_answer_is_of_use_or_has_a_word)
{
    const char *detail = NULL;
    const char *word = jwks_answer_fault(&answers[_i].answer, &detail);

    if (answers[_i].word == NULL) {
        ck_assert_ptr_null(word);
    } else {
        ck_assert_str_eq(word, answers[_i].word);
        ck_assert_ptr_nonnull(detail);
    }
}
END_TEST

START_TEST(the_question_is_as_the_options_say)
{
    const struct jwks_options options = { .allow_http = true,
                                          .timeout_ms = 2000,
                                          .max_bytes = 4096 };
    struct fetch_options question = jwks_question(&options, "http://keys.test/");

    ck_assert_str_eq(question.url, "http://keys.test/");
    ck_assert(question.allow_http);
    ck_assert_uint_eq(question.timeout_ms, 2000);
    ck_assert_uint_eq(question.max_bytes, 4096);
    ck_assert_ptr_null(question.proxy); /* the environment's does not count */
    ck_assert_ptr_null(question.etag);
    ck_assert_ptr_nonnull(strstr(question.accept, "application/jwk-set+json"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jwks_answer");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, an_answer_is_of_use_or_has_a_word, 0,
                        (int)(sizeof(answers) / sizeof(answers[0])));
    tcase_add_test(tc, the_question_is_as_the_options_say);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
