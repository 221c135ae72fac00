/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/claims.h"

#include <check.h>

#define NOW 1000000

static bool read_date(const char *text, int64_t *ret)
{
    struct json value = { .type = JSON_NUMBER, .text = slice_str(text) };

    return claims_numeric_date(&value, ret);
}

START_TEST(dates_are_decimal_numbers_rounded_down)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } rows[] = {
        { "0", 0 },     { "-0", 0 },    { "1", 1 },           { "1.5", 1 },
        { "-1.5", -2 }, { "-1.0", -1 }, { "1.999999999", 1 }, { "999999999999", 999999999999 },
    };
    int64_t seconds;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(read_date(rows[i].text, &seconds), "%s", rows[i].text);
        ck_assert_int_eq(seconds, rows[i].seconds);
    }
}
END_TEST

START_TEST(other_numbers_are_no_dates)
{
    static const char *const bad[] = { "",    "-",    "1.",           ".5",           "1e3",
                                       "1E3", "0x10", "NaN",          "1.0e1",        "--1",
                                       "+1",  "1 ",   "1.0000000000", "1000000000000" };
    struct json text = { .type = JSON_STRING, .text = SLICE("1") };
    int64_t seconds;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!read_date(bad[i], &seconds), "%s", bad[i]);
    }
    ck_assert(!claims_numeric_date(&text, &seconds));
    ck_assert(!claims_numeric_date(NULL, &seconds));
}
END_TEST

START_TEST(times_are_compared_with_the_skew)
{
    static const struct {
        struct claims_times times;
        enum jwt_reason reason;
    } rows[] = {
        { { .exp = NOW + 1 }, JWT_OK },
        { { .exp = NOW - 9 }, JWT_OK },
        { { .exp = NOW - 10 }, JWT_TOKEN_EXPIRED },
        { { .exp = NOW + 9, .nbf = NOW + 10, .has_nbf = true }, JWT_OK },
        { { .exp = NOW + 9, .nbf = NOW + 11, .has_nbf = true }, JWT_TOKEN_NOT_YET_VALID },
        { { .exp = NOW + 9, .iat = NOW + 11, .has_iat = true }, JWT_ISSUED_IN_FUTURE },
        { { .exp = NOW + 110 }, JWT_OK },
        { { .exp = NOW + 111 }, JWT_LIFETIME_TOO_LONG },
    };
    const struct claims_policy policy = { .clock_skew_s = 10, .max_lifetime_s = 100 };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_int_eq(claims_check_times(&rows[i].times, &policy, NOW), rows[i].reason);
    }
}
END_TEST

static enum jwt_reason check(const char *text, const struct claims_policy *policy)
{
    struct claims_times times;
    struct arena arena;

    arena_init(&arena, NULL, 0, 1u << 18);
    const struct json *root = json_parse(&arena, slice_str(text), &json_limits_token, NULL);
    enum jwt_reason reason = claims_check(root, policy, NOW, &times);
    arena_done(&arena);
    return reason;
}

START_TEST(the_policy_decides_about_audience_and_bound_tokens)
{
    const struct slice audience = SLICE("api");
    struct claims_policy policy = { .issuer = SLICE("i"),
                                    .audiences = &audience,
                                    .audience_count = 1 };

    ck_assert_int_eq(check("{\"iss\":\"i\",\"aud\":\"api\",\"exp\":1000001}", &policy), JWT_OK);
    ck_assert_int_eq(check("{\"iss\":\"i\",\"aud\":[\"api\",1],\"exp\":1000001}", &policy),
                     JWT_AUDIENCE_MISMATCH);
    ck_assert_int_eq(check("{\"iss\":\"i\",\"exp\":1000001}", &policy), JWT_CLAIM_MISSING);
    ck_assert_int_eq(check("{\"iss\":\"i\",\"aud\":\"api\",\"exp\":1000001,\"cnf\":1}", &policy),
                     JWT_BOUND_TOKEN_UNSUPPORTED);
    policy.any_audience = true;
    policy.accept_bound_tokens = true;
    ck_assert_int_eq(check("{\"iss\":\"i\",\"exp\":1000001,\"cnf\":{}}", &policy), JWT_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claims");
    TCase *tcase = tcase_create("claims");

    tcase_add_test(tcase, dates_are_decimal_numbers_rounded_down);
    tcase_add_test(tcase, other_numbers_are_no_dates);
    tcase_add_test(tcase, times_are_compared_with_the_skew);
    tcase_add_test(tcase, the_policy_decides_about_audience_and_bound_tokens);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
