/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/credentials.h"

#include <check.h>

#include <stdlib.h>

static struct arena arena;
static struct headers headers;
static struct form form;
static struct credentials found;

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1u << 16);
    ck_assert_int_eq(headers_init(&headers, &arena, 4), 0);
    form.count = 0;
}

static void teardown(void)
{
    arena_done(&arena);
}

static enum credentials_result find(const char *authorization, const char *body)
{
    headers_remove_id(&headers, HEADER_AUTHORIZATION);
    if (authorization != NULL) {
        ck_assert_int_eq(headers_add_id(&headers, HEADER_AUTHORIZATION, slice_str(authorization)),
                         0);
    }
    ck_assert_int_eq(form_read(&arena, slice_str(body), &form), 0);
    return credentials_find(&headers, &form, &arena, &found);
}

static bool are(const char *id, const char *secret)
{
    return slice_eq(found.id, slice_str(id)) && slice_eq(found.secret, slice_str(secret));
}

START_TEST(basic_holds_a_form_encoded_pair)
{
    /* "s6BhdRkqt3:gX1fBat3bV", the example of RFC 6749 section 2.3.1 */
    ck_assert_int_eq(find("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", ""), CREDENTIALS_FOUND);
    ck_assert(are("s6BhdRkqt3", "gX1fBat3bV"));
    /* "a%3Ab:c+d%2B:e": the colon of the id is escaped, that of the secret need not be */
    ck_assert_int_eq(find("bAsIc   YSUzQWI6YytkJTJCOmU=", ""), CREDENTIALS_FOUND);
    ck_assert(are("a:b", "c d+:e"));
    ck_assert_int_eq(find("Basic YTpi", "client_id=a"), CREDENTIALS_FOUND);
    ck_assert_int_eq(find("Basic YTo=", ""), CREDENTIALS_FOUND);
    ck_assert(are("a", ""));
}
END_TEST

START_TEST(a_form_holds_them_too)
{
    ck_assert_int_eq(find(NULL, "client_id=a%3Ab&client_secret=c+d"), CREDENTIALS_FOUND);
    ck_assert(are("a:b", "c d"));
    credentials_wipe_secret(&found);
    ck_assert(slice_is_absent(found.secret));
    ck_assert(slice_eq(form_get(&form, SLICE("client_secret")), slice_of("\0\0\0", 3)));
}
END_TEST

START_TEST(something_missing_is_nothing)
{
    ck_assert_int_eq(find(NULL, ""), CREDENTIALS_NONE);
    ck_assert_int_eq(find(NULL, "client_id=a"), CREDENTIALS_NONE);
    ck_assert_int_eq(find(NULL, "client_secret=a"), CREDENTIALS_NONE);
    ck_assert_int_eq(find(NULL, "client_id=a&client_secret="), CREDENTIALS_NONE);
}
END_TEST

START_TEST(two_ways_or_two_clients_are_refused)
{
    ck_assert_int_eq(find("Basic YTpi", "client_id=a&client_secret=b"), CREDENTIALS_SEVERAL);
    ck_assert_int_eq(find("Basic YTpi", "client_secret=b"), CREDENTIALS_SEVERAL);
    ck_assert_int_eq(find("Basic YTpi", "client_id=c"), CREDENTIALS_SEVERAL);
    ck_assert_int_eq(find("Basic YTpi", ""), CREDENTIALS_FOUND);
    ck_assert_int_eq(headers_add_id(&headers, HEADER_AUTHORIZATION, SLICE("Basic YTpi")), 0);
    ck_assert_int_eq(credentials_find(&headers, &form, &arena, &found), CREDENTIALS_SEVERAL);
}
END_TEST

START_TEST(what_is_no_basic_is_malformed)
{
    static const char *const bad[] = {
        "",
        "Basic",
        "Basic ",
        "Bearer YTpi",
        "BasicYTpi",
        "Basic YTp",
        "Basic YWI" /* no padding */,
        "Basic YWI==",
        "Basic YTo===",
        "Basic ====",
        "Basic YTp i",
        "Basic YTpi\t",
        "Basic YTpi YTpi",
        "Basic _-pi",
        "Basic YTr/",
        "Basic YWJj" /* no colon */,
        "Basic YTolZzA=" /* %g0 */,
        "Basic YToA" /* NUL */,
        "Basic YTr+" /* not UTF-8 */,
        "Basic YTp=",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(find(bad[i], "") == CREDENTIALS_MALFORMED, "%s", bad[i]);
    }
}
END_TEST

START_TEST(no_memory_is_said)
{
    struct arena small;

    ck_assert_int_eq(find("Basic YTpi", ""), CREDENTIALS_FOUND);
    arena_init(&small, NULL, 0, 1);
    ck_assert_int_eq(credentials_find(&headers, &form, &small, &found), CREDENTIALS_NO_MEMORY);
    arena_done(&small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("credentials");
    TCase *cases = tcase_create("credentials");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, basic_holds_a_form_encoded_pair);
    tcase_add_test(cases, a_form_holds_them_too);
    tcase_add_test(cases, something_missing_is_nothing);
    tcase_add_test(cases, two_ways_or_two_clients_are_refused);
    tcase_add_test(cases, what_is_no_basic_is_malformed);
    tcase_add_test(cases, no_memory_is_said);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
