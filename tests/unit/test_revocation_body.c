/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/body.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1800000000)

static struct revocation_body body;
static const char *why;

static struct slice space_of(const void *arg, struct slice issuer)
{
    return slice_eq(issuer, SLICE("https://spaced.test/")) ? SLICE("ns") : SLICE_ABSENT;
}

static const struct revocation_spaces spaces = { space_of, NULL };

static int read_body(const char *text)
{
    why = NULL;
    return revocation_body_read(slice_str(text), NOW, &spaces, &body, &why);
}

static const struct {
    const char *text, *key;
    int64_t value, expires_at;
} good[] = {
    { "{\"jti\": \"a\", \"expires_at\": 1800000600}", "jti:", 1, 1800000600 + REVOCATION_SKEW_S },
    { "{\"jti\": \"a\"}", "jti:", 1, REVOCATION_FOR_EVER },
    { "{\"before\": {\"sub\": \"alice\", \"time\": 1800000000}}", "before:sub:", 1800000000,
      REVOCATION_FOR_EVER },
    { "{\"before\": {\"time\": 5, \"client\": \"web\"}, \"expires_at\": 1800000001}",
      "before:client:", 5, 1800000001 + REVOCATION_SKEW_S },
    { "[{\"before\": {\"kid\": \"k\", \"time\": 1}}]", "before:kid:", 1, REVOCATION_FOR_EVER },
    { "[{\"before\": {\"iss\": \"https://i/\", \"time\": 1}}]", "before:iss:", 1,
      REVOCATION_FOR_EVER },
    /* {"alg":"none"} . {"jti":"t-1","exp":1800000600} . */
    { "{\"token\": \"eyJhbGciOiJub25lIn0.eyJqdGkiOiJ0LTEiLCJleHAiOjE4MDAwMDA2MDB9.\"}", "jti:", 1,
      1800000600 + REVOCATION_SKEW_S },
};

START_TEST(what_is_to_be_revoked_is_read)
{
    ck_assert_msg(read_body(good[_i].text) == 0, "%s: %s", good[_i].text, why);
    ck_assert_uint_eq(body.count, 1);
    struct slice key = revocation_entry_key(&body.entries[0]);
    ck_assert_msg(memmem(key.ptr, key.len, good[_i].key, strlen(good[_i].key)) != NULL, "%.*s",
                  SLICE_FMT(key));
    ck_assert(body.entries[0].value == good[_i].value);
    ck_assert(body.entries[0].expires_at == good[_i].expires_at);
    revocation_body_done(&body);
}
END_TEST

static const char *const bad[] = {
    "",
    "[]",
    "{}",
    "1",
    "[1]",
    "{\"jti\": \"\"}",
    "{\"jti\": 1}",
    "{\"jti\": \"a\", \"jti\": \"b\"}",
    "{\"jti\": \"a\", \"expires_at\": -1}",
    "{\"jti\": \"a\", \"expires_at\": 1.5}",
    "{\"jti\": \"a\", \"expires_at\": \"1800000600\"}",
    "{\"jti\": \"a\", \"before\": {\"sub\": \"x\", \"time\": 1}}",
    "{\"jti\": \"a\", \"more\": 1}",
    "{\"jti\": \"a\", \"wait_replicas\": 17}",
    "{\"jti\": \"a\", \"wait_replicas\": -1}",
    "{\"before\": {\"sub\": \"x\"}}",
    "{\"before\": {\"sub\": \"x\", \"client\": \"y\", \"time\": 1}}",
    "{\"before\": {\"name\": \"x\", \"time\": 1}}",
    "{\"before\": {\"sub\": \"\", \"time\": 1}}",
    "{\"before\": {\"sub\": \"x\", \"time\": 0}}",
    "{\"token\": \"a.b.c\"}",
    "{\"token\": \"\"}",
    "{\"token\": \"eyJhbGciOiJub25lIn0.e30.\"}",
    "{\"token\": \"eyJhbGciOiJub25lIn0.eyJqdGkiOiJ0LTEiLCJleHAiOjE4MDAwMDA2MDB9.\", "
    "\"expires_at\": 1}",
    "[{\"jti\": \"a\"}, {\"jti\": \"\"}]",
};

START_TEST(all_of_it_is_good_or_none_is_taken)
{
    ck_assert_msg(read_body(bad[_i]) == ERR_BAD_INPUT, "%s", bad[_i]);
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_null(body.entries);
}
END_TEST

START_TEST(several_come_at_once_and_the_largest_wish_counts)
{
    ck_assert_int_eq(read_body("[{\"jti\": \"a\", \"wait_replicas\": 1}, {\"jti\": \"b\", "
                               "\"wait_replicas\": 3}, {\"jti\": \"c\"}]"),
                     0);
    ck_assert_uint_eq(body.count, 3);
    ck_assert_uint_eq(body.replicas, 3);
    revocation_body_done(&body);
}
END_TEST

START_TEST(an_expired_token_needs_no_entry)
{
    ck_assert_int_eq(read_body("[{\"jti\": \"a\", \"expires_at\": 1799990000}, {\"jti\": \"b\"}]"),
                     0);
    ck_assert_uint_eq(body.count, 1);
    ck_assert_uint_eq(body.expired, 1);
    revocation_body_done(&body);
    /* within the skew that a provider may allow it still counts */
    ck_assert_int_eq(read_body("{\"jti\": \"a\", \"expires_at\": 1799999800}"), 0);
    ck_assert_uint_eq(body.count, 1);
    revocation_body_done(&body);
}
END_TEST

START_TEST(there_is_a_limit)
{
    char *text = calloc(REVOCATION_BODY_MAX_ENTRIES + 4, 16);

    for (unsigned count = REVOCATION_BODY_MAX_ENTRIES; count <= REVOCATION_BODY_MAX_ENTRIES + 1;
         count++) {
        size_t len = 0;

        for (unsigned i = 0; i < count; i++) {
            len += (size_t)snprintf(text + len, 17, "%c{\"jti\":\"%u\"}", i == 0 ? '[' : ',', i);
        }
        text[len] = ']';
        text[len + 1] = '\0';
        int err = read_body(text);
        ck_assert_int_eq(err, count > REVOCATION_BODY_MAX_ENTRIES ? ERR_TOO_BIG : 0);
        if (err == 0) {
            ck_assert_uint_eq(body.count, count);
            revocation_body_done(&body);
        }
    }
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revocation_body");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, what_is_to_be_revoked_is_read, 0,
                        (int)(sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(tc, all_of_it_is_good_or_none_is_taken, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(tc, several_come_at_once_and_the_largest_wish_counts);
    tcase_add_test(tc, an_expired_token_needs_no_entry);
    tcase_add_test(tc, there_is_a_limit);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
