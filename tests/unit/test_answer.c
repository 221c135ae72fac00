/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/answer.h"

#include <check.h>

static const struct {
    int err;
    unsigned status;
    const char *type, *fault; /* fault NULL: its body can be read */
} answers[] = {
    { 0, 200, "application/jwk-set+json", NULL },
    { 0, 200, "application/json; charset=utf-8", NULL },
    { 0, 200, "Application/JSON", NULL },
    { 0, 200, NULL, NULL },
    { 0, 200, "text/plain", NULL }, /* of files that lie around */
    { 0, 200, "application/octet-stream", NULL },
    { 0, 200, "text/html", "parse" },
    { 0, 200, "", "parse" },
    { 0, 204, NULL, "http_error" },
    { 0, 301, NULL, "http_error" },
    { 0, 304, NULL, "http_error" },
    { 0, 404, "application/json", "http_error" },
    { 0, 500, NULL, "http_error" },
    { ERR_TIMEOUT, 0, NULL, "timeout" },
    { ERR_CRYPTO, 0, NULL, "tls" },
    { ERR_TOO_BIG, 0, NULL, "too_large" },
    { ERR_RESOLVE, 0, NULL, "connect" },
    { ERR_CONNECT, 0, NULL, "connect" },
    { ERR_IO, 0, NULL, "connect" },
    { ERR_NO_MEMORY, 0, NULL, "connect" },
};

START_TEST(each_useless_answer_has_its_word)
{
    struct fetch_answer answer = { .err = answers[_i].err,
                                   .detail = "as it was told",
                                   .status = answers[_i].status,
                                   .content_type = slice_str(answers[_i].type) };
    const char *detail = NULL;
    const char *fault = jwks_answer_fault(&answer, &detail);

    if (answers[_i].fault == NULL) {
        ck_assert_ptr_null(fault);
        return;
    }
    ck_assert_str_eq(fault, answers[_i].fault);
    ck_assert_ptr_nonnull(detail);
    ck_assert(answers[_i].err == 0 || strcmp(detail, "as it was told") == 0);
}
END_TEST

START_TEST(a_question_is_as_the_options_say)
{
    struct jwks_options options = { .allow_http = true,
                                    .ca = SLICE("pem"),
                                    .proxy = SLICE("http://proxy:3128"),
                                    .timeout_ms = 700,
                                    .max_bytes = 5000 };
    struct fetch_options question = jwks_question(&options, "https://a.test/keys");

    ck_assert_str_eq(question.url, "https://a.test/keys");
    ck_assert(question.allow_http && slice_eq(question.ca, SLICE("pem")));
    ck_assert_str_eq(question.proxy, "http://proxy:3128");
    ck_assert_uint_eq(question.timeout_ms, 700);
    ck_assert_uint_eq(question.max_bytes, 5000);
    ck_assert_ptr_null(question.etag);
    ck_assert_ptr_nonnull(strstr(question.accept, "application/jwk-set+json"));
    options = (struct jwks_options){ .timeout_ms = 1 };
    question = jwks_question(&options, "https://a.test/keys");
    ck_assert(!question.allow_http && slice_is_absent(question.ca) && question.proxy == NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answer");
    TCase *tcase = tcase_create("answer");

    tcase_add_loop_test(tcase, each_useless_answer_has_its_word, 0,
                        (int)(sizeof(answers) / sizeof(answers[0])));
    tcase_add_test(tcase, a_question_is_as_the_options_say);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
