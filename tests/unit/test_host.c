/* SPDX-License-Identifier: Apache-2.0 */
/* The gw_* functions on a request, as a plugin sees them. */
#include "gateway/host.h"

#include <check.h>

#include <string.h>

#include "tests/support/exchange.h"

#define HEAD                                                                                       \
    "POST /a%20b/c?x=1 HTTP/1.1\r\nHost: Example.com\r\nX-User-Id: forged\r\nX_User_Id: too\r\n"   \
    "Accept: */*\r\nContent-Length: 0\r\n\r\n"

static struct request *req;
static struct gw_request *gw;

static void setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_start();
    client = server = -1;
    req = fixture_request(HEAD);
    gw = gw_request_of(req);
}

START_TEST(the_head_is_what_was_parsed)
{
    ck_assert_int_eq(gw_method(gw), HTTP_POST);
    ck_assert(slice_eq(gw_method_name(gw), SLICE("POST")));
    ck_assert(slice_eq(gw_host(gw), SLICE("example.com")));
    ck_assert(slice_eq(gw_path(gw), SLICE("/a%20b/c")));
    ck_assert(slice_eq(gw_query(gw), SLICE("x=1")));
    ck_assert(slice_eq(gw_route_name(gw), SLICE("all")));
    ck_assert_uint_eq(headers_count(gw_headers(gw), SLICE("accept")), 1);
    ck_assert_ptr_eq(request_of(gw), req);
}
END_TEST

START_TEST(a_query_is_replaced_by_a_copy)
{
    char text[] = "y=2";

    ck_assert_int_eq(gw_query_set(gw, slice_str(text)), 0);
    text[0] = 'z';
    ck_assert(slice_eq(gw_query(gw), SLICE("y=2")));
    ck_assert_int_eq(gw_query_set(gw, SLICE_ABSENT), 0);
    ck_assert(slice_is_absent(gw_query(gw)));
}
END_TEST

START_TEST(a_field_that_is_set_replaces_all_that_would_fold_to_it)
{
    char value[] = "alice";

    ck_assert_int_eq(gw_header_set(gw, SLICE("x-user-id"), slice_str(value)), 0);
    value[0] = 'b';
    ck_assert_uint_eq(headers_count(gw_headers(gw), SLICE("x-user-id")), 0);
    ck_assert_uint_eq(headers_count(gw_headers(gw), SLICE("x_user_id")), 0);
    /* kept apart, so that no "Connection: x-user-id" of the client removes it */
    ck_assert(slice_eq(headers_get(&req->added_headers, SLICE("x-user-id")), SLICE("alice")));
}
END_TEST

START_TEST(slots_are_found_by_key_and_have_an_end)
{
    static const char keys[REQUEST_SLOTS + 1];
    int values[REQUEST_SLOTS + 1];

    ck_assert_ptr_null(gw_slot_get(gw, &keys[0]));
    for (unsigned i = 0; i < REQUEST_SLOTS; i++) {
        ck_assert_int_eq(gw_slot_set(gw, &keys[i], &values[i]), 0);
    }
    ck_assert_int_eq(gw_slot_set(gw, &keys[REQUEST_SLOTS], &values[0]), ERR_TOO_BIG);
    ck_assert_ptr_null(gw_slot_get(gw, &keys[REQUEST_SLOTS]));
    for (unsigned i = 0; i < REQUEST_SLOTS; i++) {
        ck_assert_ptr_eq(gw_slot_get(gw, &keys[i]), &values[i]);
    }
    ck_assert_int_eq(gw_slot_set(gw, &keys[0], &values[1]), 0);
    ck_assert_ptr_eq(gw_slot_get(gw, &keys[0]), &values[1]);
}
END_TEST

START_TEST(attributes_are_kept)
{
    ck_assert(slice_is_absent(gw_attr_get(gw, GW_ATTR_PROVIDER)));
    gw_attr_set(gw, GW_ATTR_PROVIDER, SLICE("corporate"));
    ck_assert(slice_eq(gw_attr_get(gw, GW_ATTR_PROVIDER), SLICE("corporate")));
}
END_TEST

/* Its text is gone before it is sent. */
static enum gw_verdict refuse(struct gw_call *call)
{
    char text[] = "word", type[] = "text/x";
    const struct gw_reply reply = {
        .status = 403,
        .reason = "because",
        .content_type = slice_str(type),
        .body = slice_str(text),
    };
    enum gw_verdict verdict = gw_reply(call, &reply);

    memset(text, '?', sizeof(text));
    memset(type, '?', sizeof(type));
    return verdict;
}

static const struct gw_plugin refusing_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "refusing",
    .on_request = refuse,
};

static void setup_refusing(void)
{
    fixture_setup();
    fixture_add_plugin(&refusing_plugin);
    fixture_start();
    client = fixture_connect();
    server = -1;
}

START_TEST(a_reply_copies_what_it_is_given)
{
    fixture_send(client, GET);
    const char *text = fixture_receive(client, &closed);
    ck_assert_ptr_nonnull(strstr(text, "HTTP/1.1 403 "));
    ck_assert_ptr_nonnull(strstr(text, "content-type: text/x\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nword"));
    expect_end(OUTCOME_DENIED, 1);
    ck_assert_str_eq(fixture_last_end()->reason, "because");
}
END_TEST

START_TEST(counters_are_by_family_and_known_ones_only)
{
    struct gw_worker *worker = gw_worker_of(fx.worker);
    uint64_t *hits = gw_counter(worker, "jwtgate_token_cache_lookups_total", "result=\"hit\"");

    ck_assert_ptr_nonnull(hits);
    ck_assert_ptr_eq(gw_counter(worker, "jwtgate_token_cache_lookups_total", "result=\"hit\""),
                     hits);
    ck_assert_ptr_null(gw_counter(worker, "jwtgate_no_such_thing", ""));
    ck_assert_ptr_null(gw_histogram(worker, "jwtgate_token_cache_lookups_total", ""));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("host");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, exchange_teardown);
    tcase_add_test(tc, the_head_is_what_was_parsed);
    tcase_add_test(tc, a_query_is_replaced_by_a_copy);
    tcase_add_test(tc, a_field_that_is_set_replaces_all_that_would_fold_to_it);
    tcase_add_test(tc, slots_are_found_by_key_and_have_an_end);
    tcase_add_test(tc, attributes_are_kept);
    tcase_add_test(tc, counters_are_by_family_and_known_ones_only);
    suite_add_tcase(suite, tc);
    TCase *refusing = tcase_create("refusing");
    tcase_add_checked_fixture(refusing, setup_refusing, exchange_teardown);
    tcase_add_test(refusing, a_reply_copies_what_it_is_given);
    suite_add_tcase(suite, refusing);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
