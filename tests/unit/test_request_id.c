/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/builtin.h"

#include <check.h>

#include <string.h>

#include "tests/support/exchange.h"

static void setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&request_id_plugin);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

/* The value behind `name` in a head; "" when it is not there. */
static const char *value_of(const char *text, const char *name, char ret[64])
{
    const char *at = strstr(text, name);
    size_t len = at == NULL ? 0 : strcspn(at + strlen(name), "\r");

    ck_assert_uint_lt(len, 64);
    memcpy(ret, at == NULL ? "" : at + strlen(name), len);
    ret[len] = '\0';
    return ret;
}

START_TEST(both_sides_see_one_id)
{
    char up[64], down[64];

    ask(GET);
    value_of(fixture_receive(server, &closed), "x-request-id: ", up);
    fixture_send(server, OK_2);
    value_of(fixture_receive(client, &closed), "x-request-id: ", down);
    ck_assert_str_eq(up, down);
    ck_assert_uint_eq(strlen(up), 26); /* a ULID */
}
END_TEST

START_TEST(the_next_request_has_another)
{
    char first[64], second[64];

    ask(GET GET);
    value_of(fixture_receive(server, &closed), "x-request-id: ", first);
    fixture_send(server, OK_2);
    value_of(fixture_receive(server, &closed), "x-request-id: ", second);
    ck_assert_uint_eq(strlen(second), 26);
    ck_assert_str_ne(first, second);
}
END_TEST

START_TEST(an_id_of_the_upstream_does_not_reach_the_client)
{
    ask(GET);
    fixture_send(server, "HTTP/1.1 200 OK\r\nX-Request-Id: evil\r\nContent-Length: 2\r\n\r\nok");
    const char *text = fixture_receive(client, &closed);
    ck_assert_uint_eq(occurrences(text, "x-request-id: "), 1);
    ck_assert_ptr_null(strstr(text, "evil"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request_id");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, exchange_teardown);
    tcase_add_test(tc, both_sides_see_one_id);
    tcase_add_test(tc, the_next_request_has_another);
    tcase_add_test(tc, an_id_of_the_upstream_does_not_reach_the_client);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
