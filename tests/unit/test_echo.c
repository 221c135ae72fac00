/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json.h"
#include "gateway/echo.h"

#include <check.h>

#include <string.h>

#include "tests/support/exchange.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1 << 20);
    fixture_setup();
    fixture_add_plugin(&echo_plugin);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

static void teardown(void)
{
    exchange_teardown();
    arena_done(&arena);
}

static const struct json *answer(const char *request)
{
    fixture_send(client, request);
    const char *text = fixture_receive(client, &closed);
    const char *body = strstr(text, "\r\n\r\n");

    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "content-type: application/json\r\n"));
    ck_assert_ptr_nonnull(body);
    const struct json *json = json_parse(&arena, slice_str(body + 4), &json_limits_config, NULL);
    ck_assert_ptr_nonnull(json);
    return json;
}

START_TEST(what_arrived_comes_back)
{
    const struct json *json =
        answer("PUT /a/b?c=d HTTP/1.1\r\nHost: Example.com\r\nX-A: 1\r\nX-A: \"2\"\r\n"
               "Content-Length: 0\r\n\r\n");

    ck_assert(slice_eq(json_get(json, SLICE("method"))->text, SLICE("PUT")));
    ck_assert(slice_eq(json_get(json, SLICE("host"))->text, SLICE("example.com")));
    ck_assert(slice_eq(json_get(json, SLICE("path"))->text, SLICE("/a/b")));
    ck_assert(slice_eq(json_get(json, SLICE("query"))->text, SLICE("c=d")));
    unsigned seen = 0;
    for (const struct json *one = json_get(json, SLICE("headers"))->child; one != NULL;
         one = one->next) {
        if (slice_eq(json_get(one, SLICE("name"))->text, SLICE("x-a"))) {
            struct slice value = json_get(one, SLICE("value"))->text;

            ck_assert(slice_eq(value, seen == 0 ? SLICE("1") : SLICE("\"2\"")));
            seen++;
        }
    }
    ck_assert_uint_eq(seen, 2);
}
END_TEST

START_TEST(without_a_query_there_is_none)
{
    ck_assert_ptr_null(json_get(answer(GET), SLICE("query")));
    expect_end(OUTCOME_LOCAL, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("echo");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_arrived_comes_back);
    tcase_add_test(tc, without_a_query_there_is_none);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
