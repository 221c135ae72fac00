/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nearest.h"

#include <check.h>

static const struct {
    const char *word;
    const char *nearest;
} nearest[] = {
    { "audience", "audiences" },
    { "isuer", "issuer" },
    { "kyes", "keys" },
    { "issuer", "issuer" },
    { "completely", NULL },
    { "x", NULL },
    { "", NULL },
    { "key", "keys" },
    { "algoritms", "algorithms" },
};

START_TEST(the_nearest_name_is_found_only_when_it_is_near)
{
    const char *const names[] = { "issuer", "audiences", "keys", "algorithms" };
    const char *found = nearest_name(slice_str(nearest[_i].word), names, 4);

    if (nearest[_i].nearest == NULL) {
        ck_assert_ptr_null(found);
    } else {
        ck_assert_ptr_nonnull(found);
        ck_assert_str_eq(found, nearest[_i].nearest);
    }
}
END_TEST

START_TEST(words_without_end_are_near_to_nothing)
{
    char word[1000];
    const char *const names[] = { word, "aaaa" };

    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    ck_assert_ptr_null(nearest_name(slice_str(word), names, 2));
    ck_assert_ptr_eq(nearest_name(SLICE("aaab"), names, 2), names[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("nearest");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, the_nearest_name_is_found_only_when_it_is_near, 0,
                        (int)(sizeof(nearest) / sizeof(nearest[0])));
    tcase_add_test(tc, words_without_end_are_near_to_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
