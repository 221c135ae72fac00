/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fetch_response.h"

#include <check.h>

static struct fetch_response response;

static void setup(void)
{
    response = (struct fetch_response){ .max_bytes = 10000 };
}

static void teardown(void)
{
    fetch_response_done(&response);
}

static struct fetch_answer answer(void)
{
    struct fetch_answer found = { 0 };

    fetch_response_answer(&response, &found);
    return found;
}

static void lines(const char *const *texts)
{
    for (; *texts != NULL; texts++) {
        fetch_response_line(&response, slice_str(*texts));
    }
}

START_TEST(nothing_is_an_empty_body_without_fields)
{
    ck_assert(!slice_is_absent(answer().body));
    ck_assert_uint_eq(answer().body.len, 0);
    ck_assert(slice_is_absent(answer().etag));
    ck_assert(!response.head_is_whole);
    ck_assert_int_eq(fetch_response_body(&response, SLICE("")), 0);
    ck_assert_uint_eq(answer().body.len, 0);
}
END_TEST

START_TEST(a_body_is_put_together_up_to_its_limit)
{
    static char piece[999];

    for (unsigned i = 0; i < 10; i++) {
        memset(piece, 'a' + (int)i, sizeof(piece));
        ck_assert_int_eq(fetch_response_body(&response, slice_of(piece, sizeof(piece))), 0);
    }
    ck_assert_int_eq(fetch_response_body(&response, SLICE("12345678901")), ERR_TOO_BIG);
    ck_assert_int_eq(fetch_response_body(&response, SLICE("1234567890")), 0);
    ck_assert_int_eq(fetch_response_body(&response, SLICE("1")), ERR_TOO_BIG);
    ck_assert_uint_eq(answer().body.len, 10000);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_int_eq(answer().body.ptr[i * sizeof(piece)], 'a' + (int)i);
    }
    ck_assert_int_eq(answer().body.ptr[9999], '0');
}
END_TEST

START_TEST(each_field_goes_to_its_place)
{
    lines((const char *const[]){ "HTTP/1.1 200 OK\r\n", "Content-Type:text/plain\r\n",
                                 "CACHE-CONTROL: \tno-store \r\n", "expires: 1\r\n", "Date: 2\n",
                                 "Age: 3\r\n", "ETag: \"4:5\"\r\n", "Last-Modified: 6\r\n",
                                 "X-Age: 7\r\n", "\r\n", NULL });
    ck_assert(slice_eq(answer().content_type, SLICE("text/plain")));
    ck_assert(slice_eq(answer().cache_control, SLICE("no-store")));
    ck_assert(slice_eq(answer().expires, SLICE("1")));
    ck_assert(slice_eq(answer().date, SLICE("2")));
    ck_assert(slice_eq(answer().age, SLICE("3")));
    ck_assert(slice_eq(answer().etag, SLICE("\"4:5\"")));
    ck_assert(slice_eq(answer().last_modified, SLICE("6")));
}
END_TEST

START_TEST(the_last_of_several_counts_and_long_ones_do_not)
{
    char line[1100] = "Age: ";

    memset(line + 5, '1', 1025);
    lines((const char *const[]){ "Age: 1\r\n", "Age: 2\r\n", line, NULL });
    ck_assert(slice_eq(answer().age, SLICE("2")));
}
END_TEST

START_TEST(a_head_is_whole_with_its_empty_line)
{
    lines((const char *const[]){ "HTTP/1.1 100 Continue\r\n", "\r\n", NULL });
    ck_assert(response.head_is_whole);
    lines((const char *const[]){ "HTTP/1.1 200 OK\r\n", "Age: 1\r\n", NULL });
    ck_assert(!response.head_is_whole);
    lines((const char *const[]){ "\r\n", NULL });
    ck_assert(response.head_is_whole);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch_response");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, nothing_is_an_empty_body_without_fields);
    tcase_add_test(tc, a_body_is_put_together_up_to_its_limit);
    tcase_add_test(tc, each_field_goes_to_its_place);
    tcase_add_test(tc, the_last_of_several_counts_and_long_ones_do_not);
    tcase_add_test(tc, a_head_is_whole_with_its_empty_line);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
