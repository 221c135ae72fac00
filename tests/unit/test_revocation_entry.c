/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/body.h"
#include "plugins/revocation/entry.h"

#include <check.h>

#include <stdlib.h>

#define NOW INT64_C(1800000000)

static struct revocation_entry entry;

static bool key_is(const char *text)
{
    return slice_eq(revocation_entry_key(&entry), slice_str(text));
}

START_TEST(a_jti_is_kept_until_its_token_has_ended_for_the_slowest_clock)
{
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a:b"), NOW + 10, NOW), 0);
    ck_assert(key_is("blocklist:jti:a:b"));
    ck_assert_int_eq(entry.value, 1);
    ck_assert_int_eq(entry.expires_at, NOW + 10 + REVOCATION_SKEW_S);
}
END_TEST

START_TEST(a_token_that_ended_longer_ago_than_any_skew_is_over)
{
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a"), NOW - REVOCATION_SKEW_S, NOW),
                     REVOCATION_IS_OVER);
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a"), NOW - REVOCATION_SKEW_S + 1, NOW), 0);
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a"), 0, NOW), REVOCATION_IS_OVER);
}
END_TEST

START_TEST(ends_that_no_token_can_have_are_for_ever)
{
    static const int64_t ends[] = { REVOCATION_FOR_EVER, REVOCATION_FOR_EVER - 1,
                                    INT64_C(1000000000000) };

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a"), ends[i], NOW), 0);
        ck_assert_int_eq(entry.expires_at, REVOCATION_FOR_EVER);
    }
}
END_TEST

START_TEST(names_that_no_token_can_have_are_refused)
{
    static char text[REVOCATION_MAX_VALUE + 1];

    memset(text, 'x', sizeof(text));
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE(""), NOW, NOW), ERR_BAD_INPUT);
    ck_assert_int_eq(revocation_entry_jti(&entry, slice_of(text, REVOCATION_MAX_JTI + 1), NOW, NOW),
                     ERR_BAD_INPUT);
    ck_assert_int_eq(revocation_entry_jti(&entry, slice_of(text, REVOCATION_MAX_JTI), NOW, NOW), 0);
    ck_assert_int_eq(revocation_entry_jti(&entry, SLICE("a"), -1, NOW), ERR_BAD_INPUT);
    ck_assert_int_eq(revocation_entry_before(&entry, REVOCATION_SUB, SLICE(""), NOW, NOW, NOW),
                     ERR_BAD_INPUT);
    ck_assert_int_eq(
        revocation_entry_before(&entry, REVOCATION_SUB, slice_of(text, sizeof(text)), 5, NOW, NOW),
        ERR_BAD_INPUT);
    ck_assert_int_eq(revocation_entry_before(&entry, REVOCATION_SUB, SLICE("u"), 0, NOW, NOW),
                     ERR_BAD_INPUT);
    ck_assert_int_eq(
        revocation_entry_before(&entry, REVOCATION_SUB, SLICE("u"), INT64_MAX, NOW, NOW),
        ERR_BAD_INPUT);
}
END_TEST

static const char *const watermark_keys[REVOCATION_KINDS] = {
    "blocklist:before:sub:v",
    "blocklist:before:client:v",
    "blocklist:before:kid:v",
    "blocklist:before:iss:v",
};

START_TEST(each_kind_of_watermark_has_its_name)
{
    ck_assert_int_eq(revocation_entry_before(&entry, (enum revocation_kind)_i, SLICE("v"), NOW - 5,
                                             REVOCATION_FOR_EVER, NOW),
                     0);
    ck_assert(key_is(watermark_keys[_i]));
    ck_assert_int_eq(entry.value, NOW - 5);
}
END_TEST

START_TEST(long_names_stand_as_their_hash)
{
    static char text[300];
    char buf[REVOCATION_KEY_BYTES];

    memset(text, 'x', sizeof(text));
    struct slice key = revocation_before_key(buf, REVOCATION_SUB, slice_of(text, 257));
    ck_assert(slice_eq(key, SLICE("blocklist:before:sub:sha256:"
                                  "15eb95a462ee20bd91a415ae2d4aed34"
                                  "1288186ddaa2b37908f7d592f0c3f85f")));
    key = revocation_before_key(buf, REVOCATION_SUB, slice_of(text, 256));
    ck_assert_uint_eq(key.len, sizeof("blocklist:before:sub:") - 1 + 256);
}
END_TEST

static const struct {
    const char *text;
    int64_t time; /* -1: refused */
} times[] = {
    { "0", 0 },
    { "1700000000", 1700000000 },
    { "999999999999", INT64_C(999999999999) },
    { "", -1 },
    { "1000000000000", -1 },
    { "-1", -1 },
    { "1.5", -1 },
    { " 1", -1 },
    { "1 ", -1 },
    { "0x10", -1 },
    { "1e9", -1 },
};

START_TEST(times_are_digits_and_nothing_else)
{
    int64_t time = -1;
    int err = revocation_read_time(slice_str(times[_i].text), &time);

    ck_assert_int_eq(err, times[_i].time < 0 ? ERR_BAD_INPUT : 0);
    ck_assert_int_eq(time, times[_i].time);
}
END_TEST

/* ---- bodies ---- */

START_TEST(a_body_counts_what_has_expired_apart)
{
    struct revocation_body body;
    const char *why = NULL;

    ck_assert_int_eq(revocation_body_read(SLICE("[{\"jti\":\"a\",\"expires_at\":1900000000},"
                                                "{\"jti\":\"b\",\"expires_at\":1},"
                                                "{\"before\":{\"kid\":\"k\",\"time\":7},"
                                                "\"wait_replicas\":2}]"),
                                          NOW, NULL, &body, &why),
                     0);
    ck_assert_uint_eq(body.count, 2);
    ck_assert_uint_eq(body.expired, 1);
    ck_assert_uint_eq(body.replicas, 2);
    entry = body.entries[1];
    ck_assert(key_is("blocklist:before:kid:k"));
    ck_assert_int_eq(entry.expires_at, REVOCATION_FOR_EVER);
    revocation_body_done(&body);
}
END_TEST

START_TEST(a_token_in_a_body_gives_its_jti_and_its_end)
{
    /* {"alg":"none"}.{"jti":"a","exp":1900000000.5}: nothing is verified */
    struct slice token = SLICE("eyJhbGciOiJub25lIn0.eyJqdGkiOiJhIiwiZXhwIjoxOTAwMDAwMDAwLjV9.AA");
    struct arena arena;
    struct slice jti;
    int64_t expires_at;

    arena_init(&arena, NULL, 0, 65536);
    ck_assert_int_eq(revocation_read_token(&arena, NULL, token, &jti, &expires_at), 0);
    ck_assert(slice_eq(jti, SLICE("a")));
    ck_assert_int_eq(expires_at, 1900000000);
    ck_assert_int_eq(revocation_read_token(&arena, NULL, SLICE("e30.e30.AA"), &jti, &expires_at),
                     ERR_BAD_INPUT);
    ck_assert_int_eq(revocation_read_token(&arena, NULL, SLICE("a.b"), &jti, &expires_at),
                     ERR_BAD_INPUT);
    arena_done(&arena);
}
END_TEST

int main(void)
{
    int count = sizeof(times) / sizeof(times[0]);
    Suite *suite = suite_create("revocation_entry");
    TCase *tc = tcase_create("revocation_entry");

    tcase_add_test(tc, a_jti_is_kept_until_its_token_has_ended_for_the_slowest_clock);
    tcase_add_test(tc, a_token_that_ended_longer_ago_than_any_skew_is_over);
    tcase_add_test(tc, ends_that_no_token_can_have_are_for_ever);
    tcase_add_test(tc, names_that_no_token_can_have_are_refused);
    tcase_add_loop_test(tc, each_kind_of_watermark_has_its_name, 0, REVOCATION_KINDS);
    tcase_add_test(tc, long_names_stand_as_their_hash);
    tcase_add_loop_test(tc, times_are_digits_and_nothing_else, 0, count);
    tcase_add_test(tc, a_body_counts_what_has_expired_apart);
    tcase_add_test(tc, a_token_in_a_body_gives_its_jti_and_its_end);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
