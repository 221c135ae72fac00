/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/host.h"
#include "gateway/reply.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/gateway_fixture.h"

#define HEAD "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"

static struct request *req;
static char body[4096];

static void setup(void)
{
    fixture_setup();
    fixture_add_target(false);
    fixture_start();
    req = fixture_request(HEAD);
}

static void teardown(void)
{
    fixture_teardown();
}

static void build(enum outcome outcome, const char *reason)
{
    req->outcome = outcome;
    req->reason = reason;
    buf_clear(&req->reply_body);
    ck_assert_int_eq(reply_build(req), 0);
    struct slice front = buf_front(&req->reply_body);
    ck_assert_uint_lt(front.len, sizeof(body));
    memcpy(body, front.ptr, front.len);
    body[front.len] = '\0';
    ck_assert_uint_eq(req->response.content_length, front.len);
    ck_assert_int_eq(req->response.body, HTTP_BODY_LENGTH);
}

static void expect_field(const char *name, const char *value)
{
    struct slice got = headers_get(&req->response.headers, slice_str(name));

    ck_assert_uint_le(headers_count(&req->response.headers, slice_str(name)), 1);
    ck_assert_msg(value == NULL ? slice_is_absent(got) : slice_eq(got, slice_str(value)),
                  "%s: \"%.*s\"", name, SLICE_FMT(got));
}

static void expect_in_body(const char *part)
{
    ck_assert_msg(strstr(body, part) != NULL, "no %s in %s", part, body);
}

START_TEST(an_outcome_is_told_as_problem_details)
{
    char id[100];

    build(OUTCOME_NO_ROUTE, "why");
    ck_assert_uint_eq(req->response.status, 404);
    expect_field("content-type", "application/problem+json");
    expect_field("cache-control", "no-store");
    expect_field("retry-after", NULL);
    expect_field("allow", NULL);
    expect_field("www-authenticate", NULL);
    ck_assert_uint_eq(headers_get(&req->response.headers, SLICE("date")).len, 29);
    expect_in_body("\"type\":\"about:blank\"");
    expect_in_body("\"title\":\"Not Found\"");
    expect_in_body("\"status\":404");
    snprintf(id, sizeof(id), "\"request_id\":\"%.*s\"", SLICE_FMT(req->id));
    expect_in_body(id);
    snprintf(id, sizeof(id), "%.*s", SLICE_FMT(req->id));
    expect_field("x-request-id", id);
}
END_TEST

START_TEST(the_reason_is_told_only_when_configured)
{
    build(OUTCOME_BAD_REQUEST, "bare_cr");
    ck_assert_ptr_null(strstr(body, "bare_cr"));
    ck_assert_ptr_null(strstr(body, "reason"));
    fx.config.server.error_detail = CONFIG_DETAIL_REASON;
    build(OUTCOME_BAD_REQUEST, "bare_cr");
    expect_in_body("\"reason\":\"bare_cr\"");
}
END_TEST

START_TEST(every_outcome_has_an_answer)
{
    for (enum outcome outcome = OUTCOME_NONE + 1; outcome < OUTCOMES; outcome++) {
        char status[32];

        if (outcome_status(outcome) < 400 || outcome == OUTCOME_CLIENT_GONE) {
            continue;
        }
        build(outcome, NULL);
        ck_assert_uint_eq(req->response.status, outcome_status(outcome));
        snprintf(status, sizeof(status), "\"status\":%u", outcome_status(outcome));
        expect_in_body(status);
        ck_assert_ptr_null(strstr(body, "Unknown"));
    }
}
END_TEST

START_TEST(allow_names_the_methods_of_the_path)
{
    req->allowed_methods = (1u << HTTP_GET) | (1u << HTTP_POST) | (1u << HTTP_DELETE);
    build(OUTCOME_METHOD_NOT_ALLOWED, NULL);
    expect_field("allow", "GET, POST, DELETE");
    req->allowed_methods = 1u << HTTP_PATCH;
    build(OUTCOME_METHOD_NOT_ALLOWED, NULL);
    expect_field("allow", "PATCH");
    req->allowed_methods = UINT32_MAX; /* the longest list fits */
    build(OUTCOME_METHOD_NOT_ALLOWED, NULL);
    expect_field("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE, CONNECT");
}
END_TEST

START_TEST(what_may_be_tried_again_says_when)
{
    build(OUTCOME_OVERLOADED, NULL);
    ck_assert_uint_eq(req->response.status, 503);
    expect_field("retry-after", "1");
}
END_TEST

START_TEST(a_plugin_may_say_why_and_when)
{
    struct gw_call call = { .req = gw_request_of(req) };
    const struct gw_reply reply = {
        .status = 401,
        .reason = "token_expired",
        .detail = "The access token \"x\" expired",
        .www_authenticate = SLICE("Bearer error=\"invalid_token\""),
        .retry_after_s = 7,
    };

    req->running = true; /* the driver would send it */
    ck_assert_int_eq(gw_reply(&call, &reply), GW_REPLY);
    build(req->outcome, req->reason);
    req->running = false;
    ck_assert_uint_eq(req->response.status, 401);
    expect_field("www-authenticate", "Bearer error=\"invalid_token\"");
    expect_field("retry-after", "7");
    expect_field("content-type", "application/problem+json");
    expect_in_body("\"title\":\"Unauthorized\"");
    expect_in_body("\"detail\":\"The access token \\\"x\\\" expired\"");
    ck_assert_ptr_null(strstr(body, "token_expired"));
    ck_assert_int_eq(req->outcome, OUTCOME_DENIED);
}
END_TEST

START_TEST(a_plugin_may_answer_with_a_body_of_its_own)
{
    struct gw_call call = { .req = gw_request_of(req) };
    const struct gw_reply reply = {
        .status = 200,
        .content_type = SLICE("text/plain"),
        .body = SLICE("hello"),
    };

    req->running = true;
    ck_assert_int_eq(gw_reply(&call, &reply), GW_REPLY);
    req->running = false;
    ck_assert_int_eq(req->outcome, OUTCOME_LOCAL);
    ck_assert_int_eq(reply_build(req), 0);
    ck_assert_uint_eq(req->response.status, 200);
    ck_assert_uint_eq(req->response.content_length, 5);
    ck_assert(slice_eq(buf_front(&req->reply_body), SLICE("hello")));
    expect_field("content-type", "text/plain");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reply");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, an_outcome_is_told_as_problem_details);
    tcase_add_test(cases, the_reason_is_told_only_when_configured);
    tcase_add_test(cases, every_outcome_has_an_answer);
    tcase_add_test(cases, allow_names_the_methods_of_the_path);
    tcase_add_test(cases, what_may_be_tried_again_says_when);
    tcase_add_test(cases, a_plugin_may_say_why_and_when);
    tcase_add_test(cases, a_plugin_may_answer_with_a_body_of_its_own);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
