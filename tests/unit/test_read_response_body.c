/* SPDX-License-Identifier: Apache-2.0 */
/* gw_read_response_body(): plugins that read a response's body, and answer in its place or let it pass. */
#include "plugins/plugin.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define LIMIT 16u
#define GET   "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST  "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
#define OK    "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n"

static int client, server;
static bool closed;
static unsigned bodies, ends;
static gw_hook_fn *response_hook,
    *body_hook; /* what the plugin does with the response, and its body */

static enum gw_verdict go_on(struct gw_call *call)
{
    return GW_NEXT;
}

static enum gw_verdict give_up(struct gw_call *call)
{
    return GW_FAIL;
}

/* "<the body>" in its place. */
static enum gw_verdict answer(struct gw_call *call)
{
    struct slice body = gw_response_body(call->req);
    struct gw_reply reply = { .status = 201, .content_type = SLICE("text/plain") };
    char text[LIMIT + 3];

    ck_assert(!slice_is_absent(body));
    int len = snprintf(text, sizeof(text), "<%.*s>", SLICE_FMT(body));
    reply.body = slice_of(text, (size_t)len);
    return gw_reply(call, &reply);
}

static enum gw_verdict sleep_10(struct gw_call *call)
{
    return gw_sleep(call, 10, go_on);
}

static enum gw_verdict sleep_long(struct gw_call *call)
{
    return gw_sleep(call, 60000, go_on);
}

static enum gw_verdict on_body(struct gw_call *call)
{
    bodies++;
    return body_hook(call);
}

static enum gw_verdict read_body(struct gw_call *call)
{
    ck_assert(slice_is_absent(gw_response_body(call->req)));
    return gw_read_response_body(call, LIMIT, on_body);
}

static enum gw_verdict read_for_10(struct gw_call *call)
{
    enum gw_verdict verdict = read_body(call);
    return verdict == GW_WAIT ? gw_sleep(call, 10, go_on) : verdict;
}

static enum gw_verdict read_too_much(struct gw_call *call)
{
    return gw_read_response_body(call, GW_BODY_MAX + 1, on_body);
}

static enum gw_verdict read_twice(struct gw_call *call)
{
    return read_body(call) == GW_WAIT ? gw_read_response_body(call, LIMIT, on_body) : GW_NEXT;
}

static enum gw_verdict on_request(struct gw_call *call)
{
    ck_assert(gw_read_response_body(call, LIMIT, on_body) == GW_FAIL); /* there is none yet */
    return GW_NEXT;
}

static enum gw_verdict on_response(struct gw_call *call)
{
    return response_hook(call);
}

static void on_end(struct gw_call *call)
{
    ends++;
}

static const struct gw_plugin reader = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "reader",
    .on_request = on_request,
    .on_response = on_response,
    .on_end = on_end,
};

static void setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&reader);
    fixture_start();
    client = fixture_connect();
    server = -1;
    response_hook = read_body;
    body_hook = answer;
    bodies = ends = 0;
}

static void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void teardown(void)
{
    hang_up(&client);
    hang_up(&server);
    fixture_teardown();
    ck_assert_uint_eq(ends, fx.end_count);
}

static void ask(const char *request)
{
    if (client < 0) {
        client = fixture_connect();
    }
    fixture_send(client, request);
    int fresh = fixture_accept(0);
    if (fresh >= 0) {
        hang_up(&server);
        server = fresh;
    }
    ck_assert(strstr(fixture_receive(server, &closed), " /a HTTP/1.1\r\n") != NULL);
}

static const char *expect(const char *part)
{
    const char *text = fixture_receive(client, &closed);

    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in \"%s\"", part, text);
    return text;
}

static const struct {
    const char *request, *response, *body;
    bool ends; /* the server closes behind it */
} good[] = {
    { GET, OK "Content-Length: 5\r\n\r\nhello", "hello", false },
    { GET, OK "Content-Length: 16\r\n\r\n0123456789abcdef", "0123456789abcdef", false },
    { GET, OK "Content-Length: 0\r\n\r\n", "", false },
    { GET, OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello",
      false },
    { GET, OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", false },
    { GET, OK "\r\nhello", "hello", true },
    { GET, OK "\r\n", "", true },
    { GET, "HTTP/1.1 204 No Content\r\n\r\n", "", false },
    { "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", OK "Content-Length: 99\r\n\r\n", "", false },
};

START_TEST(a_reply_takes_the_place_of_a_body_however_it_comes)
{
    for (unsigned way = 0; way < 2; way++) {
        ask(good[_i].request);
        for (const char *at = good[_i].response; way == 1 && *at != '\0'; at++) {
            char piece[2] = { *at, '\0' };
            fixture_send(server, piece);
        }
        if (way == 0) {
            fixture_send(server, good[_i].response);
        }
        if (good[_i].ends) {
            hang_up(&server);
            fixture_spin();
        }
        const char *text = expect("HTTP/1.1 201 ");
        char body[64];

        snprintf(body, sizeof(body), "\r\n\r\n<%s>", good[_i].body);
        ck_assert(strncmp(good[_i].request, "HEAD", 4) == 0 || strstr(text, body) != NULL);
        ck_assert_ptr_null(strstr(text, "set-cookie"));
        ck_assert(!closed);
        ck_assert_uint_eq(bodies, way + 1);
        ck_assert_uint_eq(
            fixture_last_end()->upstream_status,
            good[_i].body[0] == '\0' && strstr(good[_i].response, "204") != NULL ? 204 : 200);
    }
}
END_TEST

START_TEST(a_body_that_passes_is_sent_as_it_came)
{
    body_hook = go_on;
    ask(good[_i].request);
    fixture_send(server, good[_i].response);
    if (good[_i].ends) {
        hang_up(&server);
        fixture_spin();
    }
    const char *text = expect("HTTP/1.1 20");
    const char *body = strstr(text, "\r\n\r\n");

    ck_assert_ptr_nonnull(body);
    if (strstr(text, "transfer-encoding: chunked") == NULL) {
        ck_assert_str_eq(body + 4, good[_i].body);
    } else {
        ck_assert(good[_i].body[0] == '\0' || strstr(body, good[_i].body) != NULL);
        ck_assert_str_eq(body + strlen(body) - 5, "0\r\n\r\n");
    }
    ck_assert(!closed);
    ck_assert_uint_eq(bodies, 1);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, strlen(good[_i].body));
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_UPSTREAM);
}
END_TEST

START_TEST(the_connection_of_a_body_that_was_read_serves_on)
{
    for (unsigned i = 0; i < 3; i++) {
        int before = server;

        ask(GET);
        ck_assert(i == 0 || server == before);
        fixture_send(server, good[3].response);
        expect("<hello>");
    }
}
END_TEST

START_TEST(requests_behind_it_are_served_next)
{
    fixture_send(client, GET GET);
    server = fixture_accept(0);
    fixture_send(server, good[0].response);
    ck_assert_ptr_nonnull(strstr(fixture_receive(client, &closed), "<hello>"));
    fixture_send(server, good[1].response);
    expect("<0123456789abcdef>");
    ck_assert_uint_eq(fx.end_count, 2);
}
END_TEST

START_TEST(a_body_that_cannot_be_had_is_502)
{
    static const struct {
        const char *response;
        bool ends;
    } vectors[] = {
        { OK "Content-Length: 17\r\n\r\n0123456789abcdefg", false },
        { OK "Content-Length: 17\r\n\r\n", false },
        { OK "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg", false },
        { OK "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
          false },
        { OK "\r\n0123456789abcdefg", false },
        { OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nnonsense\r\n", false },
        { OK "Content-Length: 5\r\n\r\nhel", true },
        { OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true },
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ask(GET);
        fixture_send(server, vectors[i].response);
        if (vectors[i].ends) {
            hang_up(&server);
            fixture_spin();
        }
        const char *text = expect("HTTP/1.1 502 ");
        ck_assert_ptr_null(strstr(text, "hel"));
        ck_assert_ptr_null(strstr(text, "0123"));
        ck_assert_uint_eq(fx.end_count, i + 1);
    }
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_body_that_does_not_come_is_504)
{
    ask(GET);
    fixture_send(server, OK "Content-Length: 16\r\n\r\n");
    for (unsigned i = 0; i < 8; i++) { /* a byte now and then does not help */
        ck_assert_uint_eq(fx.end_count, 0);
        fixture_send(server, "x");
        fixture_advance(fx.route.response_timeout_ms / 8 + 1);
    }
    expect("HTTP/1.1 504 ");
    ck_assert_str_eq(fixture_last_end()->reason, "response_timeout");
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_client_may_go_while_the_body_is_read)
{
    ask(GET);
    fixture_send(server, OK "Content-Length: 16\r\n\r\nhel");
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_CLIENT_GONE);
    ck_assert_uint_eq(bodies, 0);
    (void)fixture_receive(server, &closed);
    ck_assert(closed);
}
END_TEST

START_TEST(a_client_may_go_while_the_plugin_thinks)
{
    body_hook = sleep_10;
    ask(GET);
    fixture_send(server, good[0].response);
    ck_assert_uint_eq(bodies, 1);
    hang_up(&client);
    fixture_spin();
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_CLIENT_GONE);
    fixture_advance(20);
    ck_assert_uint_eq(fx.end_count, 1);
}
END_TEST

START_TEST(a_plugin_that_gives_up_is_503)
{
    body_hook = give_up;
    ask(GET);
    fixture_send(server, good[0].response);
    ck_assert_ptr_null(strstr(expect("HTTP/1.1 503 "), "hello"));
}
END_TEST

START_TEST(a_plugin_that_thinks_too_long_is_503)
{
    body_hook = sleep_long;
    ask(GET);
    fixture_send(server, good[0].response);
    fixture_advance(9000);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_advance(1100);
    expect("HTTP/1.1 503 ");
    ck_assert_str_eq(fixture_last_end()->reason, "chain_timeout");
}
END_TEST

START_TEST(what_cannot_be_read_is_503)
{
    static gw_hook_fn *const hooks[] = { read_too_much, read_twice };

    for (unsigned i = 0; i < 2; i++) {
        response_hook = hooks[i];
        ask(GET);
        fixture_send(server, good[0].response);
        ck_assert_ptr_null(strstr(expect("HTTP/1.1 503 "), "hello"));
    }
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_response_hook_may_wait_before_the_body_is_read)
{
    response_hook = sleep_10;
    ask(GET);
    fixture_send(server, OK "Content-Length: 40\r\n\r\n0123456789");
    fixture_send(server, "0123456789");
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    fixture_advance(10);
    expect("01234567890123456789");
    fixture_send(server, "01234567890123456789");
    expect("01234567890123456789");
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_UPSTREAM);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, 40);
}
END_TEST

START_TEST(a_server_may_end_while_the_hook_waits)
{
    response_hook = sleep_10;
    ask(GET);
    fixture_send(server, OK "\r\n0123456789");
    hang_up(&server);
    fixture_spin();
    fixture_advance(10);
    expect("0123456789");
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_UPSTREAM);
}
END_TEST

START_TEST(a_plugin_may_go_on_in_the_middle_of_the_body)
{
    response_hook = read_for_10;
    ask(GET);
    fixture_send(server, OK "Content-Length: 16\r\n\r\n0123");
    ck_assert_str_eq(fixture_receive(client, &closed), "");
    fixture_advance(10);
    expect("\r\n\r\n0123");
    fixture_send(server, "456789abcdef");
    expect("456789abcdef");
    ck_assert_uint_eq(bodies, 0);
    ck_assert_uint_eq(fixture_last_end()->response_bytes, 16);
}
END_TEST

START_TEST(the_request_may_still_be_on_its_way)
{
    ask(POST);
    fixture_send(client, "he");
    fixture_send(server, OK "Content-Length: 5\r\n\r\nhe");
    fixture_send(client, "llo");
    ck_assert_str_eq(fixture_receive(server, &closed), "hello");
    fixture_send(server, "llo");
    expect("<hello>");
    ck_assert(!closed);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read_response_body");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, a_reply_takes_the_place_of_a_body_however_it_comes, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_loop_test(cases, a_body_that_passes_is_sent_as_it_came, 0,
                        sizeof(good) / sizeof(good[0]));
    tcase_add_test(cases, the_connection_of_a_body_that_was_read_serves_on);
    tcase_add_test(cases, requests_behind_it_are_served_next);
    tcase_add_test(cases, a_body_that_cannot_be_had_is_502);
    tcase_add_test(cases, a_body_that_does_not_come_is_504);
    tcase_add_test(cases, a_client_may_go_while_the_body_is_read);
    tcase_add_test(cases, a_client_may_go_while_the_plugin_thinks);
    tcase_add_test(cases, a_plugin_that_gives_up_is_503);
    tcase_add_test(cases, a_plugin_that_thinks_too_long_is_503);
    tcase_add_test(cases, what_cannot_be_read_is_503);
    tcase_add_test(cases, a_response_hook_may_wait_before_the_body_is_read);
    tcase_add_test(cases, a_server_may_end_while_the_hook_waits);
    tcase_add_test(cases, a_plugin_may_go_on_in_the_middle_of_the_body);
    tcase_add_test(cases, the_request_may_still_be_on_its_way);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
