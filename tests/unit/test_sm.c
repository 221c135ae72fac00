/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sm.h"

#include <check.h>

#include <signal.h>
#include <stdlib.h>

enum { CLOSED, OPEN, BROKEN };

static const struct sm_state states[] = {
    [CLOSED] = { "closed", SM_BIT(OPEN) },
    [OPEN] = { "open", SM_BIT(CLOSED) | SM_BIT(BROKEN) },
    [BROKEN] = { "broken", 0 },
};

START_TEST(legal_moves_change_the_state)
{
    struct sm sm;

    sm_init(&sm, states, CLOSED);
    ck_assert_str_eq(sm_name(&sm), "closed");
    sm_move(&sm, OPEN, "test");
    ck_assert_uint_eq(sm.state, OPEN);
    sm_move(&sm, CLOSED, "test");
    sm_move(&sm, OPEN, "test");
    sm_move(&sm, BROKEN, "test");
    ck_assert_str_eq(sm_name(&sm), "broken");
}
END_TEST

START_TEST(an_illegal_move_aborts)
{
    struct sm sm;

    sm_init(&sm, states, CLOSED);
    sm_move(&sm, BROKEN, "test of an illegal move");
}
END_TEST

START_TEST(a_state_that_does_not_exist_aborts)
{
    struct sm sm;

    sm_init(&sm, states, CLOSED);
    sm_move(&sm, 200, "test of an unknown state");
}
END_TEST

int main(void)
{
    const char *fork_mode = getenv("CK_FORK");
    Suite *suite = suite_create("sm");
    TCase *tc = tcase_create("sm");

    tcase_add_test(tc, legal_moves_change_the_state);
    if (fork_mode == NULL || strcmp(fork_mode, "no") != 0) {
        tcase_add_test_raise_signal(tc, an_illegal_move_aborts, SIGABRT);
        tcase_add_test_raise_signal(tc, a_state_that_does_not_exist_aborts, SIGABRT);
    }
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
