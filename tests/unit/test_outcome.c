/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/outcome.h"

#include <check.h>

#include <string.h>

START_TEST(every_way_to_end_has_a_word_of_its_own_and_a_status)
{
    for (unsigned i = OUTCOME_NONE + 1; i < OUTCOMES; i++) {
        const char *word = outcome_word((enum outcome)i);
        unsigned status = outcome_status((enum outcome)i);

        ck_assert_uint_gt(strlen(word), 0);
        ck_assert_uint_eq(strspn(word, "abcdefghijklmnopqrstuvwxyz_"), strlen(word));
        ck_assert(i == OUTCOME_UPSTREAM ? status == 0 : status >= 200 && status < 600);
        for (unsigned j = OUTCOME_NONE + 1; j < i; j++) {
            ck_assert_str_ne(word, outcome_word((enum outcome)j));
        }
    }
}
END_TEST

START_TEST(the_words_of_the_contract_stand)
{
    ck_assert_str_eq(outcome_word(OUTCOME_UPSTREAM_TIMEOUT), "upstream_timeout");
    ck_assert_uint_eq(outcome_status(OUTCOME_UPSTREAM_TIMEOUT), 504);
    ck_assert_str_eq(outcome_word(OUTCOME_CLIENT_GONE), "client_gone");
    ck_assert_uint_eq(outcome_status(OUTCOME_CLIENT_GONE), 499);
    ck_assert_uint_eq(outcome_status(OUTCOME_NO_ROUTE), 404);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("outcome");
    TCase *tc = tcase_create("all");

    tcase_add_test(tc, every_way_to_end_has_a_word_of_its_own_and_a_status);
    tcase_add_test(tc, the_words_of_the_contract_stand);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
