/* SPDX-License-Identifier: Apache-2.0 */
/* gw_read_body(): plugins that read a request's body, over an exchange from socket to socket. */
#include "plugins/plugin.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/gateway_fixture.h"

#define LIMIT 16u
#define HEAD  "POST /a HTTP/1.1\r\nHost: a\r\n"
#define GET   "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

static int client;
static bool closed;
static bool forwards; /* the plugin lets the request pass when it has the body */
static unsigned bodies, ends;

static enum gw_verdict on_body(struct gw_call *call)
{
    struct gw_reply reply = { .status = 200, .content_type = SLICE("text/plain") };

    bodies++;
    reply.body = gw_body(call->req);
    ck_assert(!slice_is_absent(reply.body));
    return forwards ? GW_NEXT : gw_reply(call, &reply);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    ck_assert(slice_is_absent(gw_body(call->req)));
    return gw_read_body(call, LIMIT, on_body);
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
    .on_end = on_end,
};

static void setup(void)
{
    fixture_setup();
    fixture_add_target(true);
    fixture_add_plugin(&reader);
    fixture_start();
    client = fixture_connect();
    forwards = false;
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
    fixture_teardown();
    ck_assert_uint_eq(ends, fx.end_count);
}

static void expect(const char *part)
{
    const char *text = fixture_receive(client, &closed);

    ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in \"%s\"", part, text);
}

START_TEST(a_body_is_read_however_it_comes)
{
    static const char *const vectors[][2] = {
        { HEAD "Content-Length: 5\r\n\r\nhello", "\r\n\r\nhello" },
        { HEAD "Content-Length: 16\r\n\r\n0123456789abcdef", "\r\n\r\n0123456789abcdef" },
        { HEAD "Content-Length: 0\r\n\r\n", "content-length: 0\r\n" },
        { GET, "content-length: 0\r\n" },
        { HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
          "\r\n\r\nhello" },
        { HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "content-length: 0\r\n" },
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        fixture_send(client, vectors[i][0]);
        expect(vectors[i][1]);
        for (const char *at = vectors[i][0]; *at != '\0'; at++) {
            char piece[2] = { *at, '\0' };
            fixture_send(client, piece);
        }
        expect(vectors[i][1]);
        ck_assert(!closed);
        ck_assert_uint_eq(bodies, 2 * (i + 1));
    }
}
END_TEST

START_TEST(a_request_behind_the_body_is_served_next)
{
    fixture_send(client,
                 HEAD "Content-Length: 3\r\n\r\none" HEAD "Content-Length: 3\r\n\r\ntwo" GET);
    const char *text = fixture_receive(client, &closed);
    const char *one = strstr(text, "\r\n\r\none"), *two = strstr(text, "\r\n\r\ntwo");
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_nonnull(two);
    ck_assert(one < two);
    ck_assert(!closed);
    ck_assert_uint_eq(fx.end_count, 3);
}
END_TEST

START_TEST(a_body_over_the_limit_is_refused)
{
    static const char *const vectors[] = {
        HEAD "Content-Length: 17\r\n\r\n0123456789abcdefg",
        HEAD "Content-Length: 17\r\n\r\n",
        HEAD "Content-Length: 9999\r\nExpect: 100-continue\r\n\r\n",
        HEAD "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg",
        HEAD "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\na\r\n0123456789\r\n",
    };

    for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        hang_up(&client);
        client = fixture_connect();
        fixture_send(client, vectors[i]);
        expect("HTTP/1.1 413 ");
        ck_assert_uint_eq(fx.end_count, i + 1);
        ck_assert_uint_eq(fixture_last_end()->status, 413);
    }
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_client_may_go_while_its_body_is_read)
{
    fixture_send(client, HEAD "Content-Length: 5\r\n\r\nhel");
    ck_assert_uint_eq(fx.end_count, 0);
    hang_up(&client);
    fixture_spin();
    ck_assert_uint_eq(fx.end_count, 1);
    ck_assert_int_eq(fixture_last_end()->outcome, OUTCOME_CLIENT_GONE);
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_body_that_does_not_come_has_a_deadline)
{
    fixture_send(client, HEAD "Content-Length: 5\r\n\r\nhel");
    fixture_advance(9000);
    ck_assert_uint_eq(fx.end_count, 0);
    fixture_advance(1100);
    expect("HTTP/1.1 408 ");
    ck_assert(closed);
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

START_TEST(a_client_that_expects_it_is_told_to_continue)
{
    fixture_send(client, HEAD "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    expect("HTTP/1.1 100 Continue\r\n\r\n");
    fixture_send(client, "hello");
    expect("\r\n\r\nhello");
    ck_assert(!closed);
}
END_TEST

START_TEST(a_body_that_was_read_can_be_forwarded)
{
    forwards = true;
    fixture_send(client, HEAD "Content-Length: 5\r\n\r\nhe");
    ck_assert_int_eq(fixture_accept(0), -1);
    fixture_send(client, "llo");
    int server = fixture_accept(0);
    const char *text = fixture_receive(server, &closed);
    ck_assert_msg(strstr(text, "\r\n\r\nhello") != NULL, "%s", text);
    fixture_send(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect("\r\n\r\nok");
    ck_assert_uint_eq(bodies, 1);
    hang_up(&server);
}
END_TEST

START_TEST(a_bad_body_is_refused)
{
    fixture_send(client, HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\nnonsense\r\n");
    expect("HTTP/1.1 400 ");
    ck_assert(closed);
    ck_assert_uint_eq(bodies, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("read_body");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_body_is_read_however_it_comes);
    tcase_add_test(cases, a_request_behind_the_body_is_served_next);
    tcase_add_test(cases, a_body_over_the_limit_is_refused);
    tcase_add_test(cases, a_client_may_go_while_its_body_is_read);
    tcase_add_test(cases, a_body_that_does_not_come_has_a_deadline);
    tcase_add_test(cases, a_client_that_expects_it_is_told_to_continue);
    tcase_add_test(cases, a_body_that_was_read_can_be_forwarded);
    tcase_add_test(cases, a_bad_body_is_refused);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
