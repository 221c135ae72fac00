/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/reason.h"

#include <check.h>

#include <string.h>

START_TEST(each_reason_is_a_word_and_an_answer)
{
    enum jwt_reason reason = (enum jwt_reason)_i;
    const char *name = jwt_reason_name(reason);
    struct slice challenge = jwt_reason_challenge(reason);
    unsigned status = jwt_reason_status(reason);

    ck_assert_uint_gt(strlen(name), 1);
    ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
    for (int other = 0; other < _i; other++) {
        ck_assert_str_ne(name, jwt_reason_name((enum jwt_reason)other));
    }
    ck_assert(status == 200 || status == 400 || status == 401 || status == 403 || status == 503);
    /* A token that is refused is answered with a challenge; what cannot be told is not the token's fault. */
    ck_assert(slice_is_absent(challenge) == (status == 503) || reason == JWT_OK);
    if (status == 401 || status == 403 || status == 400) {
        ck_assert(slice_starts_with(challenge, SLICE(JWT_REALM)));
    }
}
END_TEST

/* The client learns a class, never the reason: all ways in which a token can be bad look the same. */
START_TEST(bad_tokens_are_told_alike)
{
    static const enum jwt_reason alike[] = { JWT_TOKEN_MALFORMED, JWT_ALG_NOT_ALLOWED,
                                             JWT_KID_UNKNOWN,     JWT_SIGNATURE_INVALID,
                                             JWT_ISSUER_MISMATCH, JWT_AUDIENCE_MISMATCH,
                                             JWT_TOKEN_REVOKED,   JWT_CLAIM_MISSING };

    for (size_t i = 1; i < sizeof(alike) / sizeof(alike[0]); i++) {
        ck_assert_str_eq(jwt_reason_detail(alike[i]), jwt_reason_detail(alike[0]));
        ck_assert(slice_eq(jwt_reason_challenge(alike[i]), jwt_reason_challenge(alike[0])));
    }
}
END_TEST

START_TEST(challenges_are_those_of_rfc_6750)
{
    ck_assert(slice_eq(jwt_reason_challenge(JWT_TOKEN_MISSING), SLICE(JWT_REALM)));
    ck_assert(slice_starts_with(jwt_reason_challenge(JWT_KID_UNKNOWN),
                                SLICE(JWT_REALM ", error=\"invalid_token\"")));
    ck_assert(slice_starts_with(jwt_reason_challenge(JWT_MULTIPLE_TOKENS),
                                SLICE(JWT_REALM ", error=\"invalid_request\"")));
    ck_assert(slice_starts_with(jwt_reason_challenge(JWT_SCOPE_INSUFFICIENT),
                                SLICE(JWT_REALM ", error=\"insufficient_scope\"")));
    ck_assert_uint_eq(jwt_reason_status(JWT_JWKS_UNAVAILABLE), 503);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reason");
    TCase *tcase = tcase_create("reason");

    tcase_add_loop_test(tcase, each_reason_is_a_word_and_an_answer, 0, JWT_REASONS);
    tcase_add_test(tcase, bad_tokens_are_told_alike);
    tcase_add_test(tcase, challenges_are_those_of_rfc_6750);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
