/* SPDX-License-Identifier: Apache-2.0 */
/* Which answers of an upstream become a token, and of what. */
#include "core/base64url.h"
#include "core/clock.h"
#include "plugins/builtin.h"
#include "plugins/issuer/issuer.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fake_host.h"

#define NOW  1800000000
#define JSON "Content-Type: application/json"
#define ISSUER                                                                                     \
    "\"token_issuer\":{\"issuer\":\"https://i.test/\",\"access_token\":{\"algorithm\":\"HS256\"},"
#define KEYS  "\"signing_keys\":[{\"key_file\":\"login-test.key\",\"use\":\"%s\"}]},"
#define ROUTE "\"upstream\":\"users\",\"issue_token\":{\"audiences\":[\"orders\"],"
#define CLAIMS                                                                                     \
    "\"ttl\":\"5m\",\"claims\":{\"sub\":\"id\",\"scope\":\"may\",\"roles\":\"/user/roles\","       \
    "\"name\":\"name\",\"x\":\"x\"}}"

static const struct gw_plugin *const plugins[] = { &issuer_plugin, &login_plugin, NULL };
static struct fake_host host;

static unsigned load(const char *use, const char *route)
{
    char text[2048];

    snprintf(text, sizeof(text), "{" ISSUER KEYS "\"routes\":{\"login\":{%s}}}", use, route);
    return fake_host_load(&host, plugins, text);
}

static void setup(void)
{
    FILE *file = fopen("login-test.key", "w");

    ck_assert_ptr_nonnull(file);
    fputs("0123456789abcdef0123456789abcdef", file);
    fclose(file);
    chmod("login-test.key", 0600);
    clock_set(1000, (uint64_t)NOW * 1000000u);
}

static void teardown(void)
{
    unlink("login-test.key");
    clock_unset();
}

/* The claims of the token in the reply. */
static const char *claims_of(const struct gw_request *req)
{
    static char text[8192];
    struct arena arena;

    arena_init(&arena, NULL, 0, 1u << 20);
    const struct json *reply = json_parse(&arena, req->reply.body, &json_limits_config, NULL);
    const struct json *token = json_get(reply, SLICE("access_token"));
    size_t len = 0;

    ck_assert_ptr_nonnull(token);
    const char *start = memchr(token->text.ptr, '.', token->text.len);
    ck_assert_ptr_nonnull(start);
    struct slice rest = slice_skip(token->text, (size_t)(start - token->text.ptr) + 1);
    const char *end = memchr(rest.ptr, '.', rest.len);
    ck_assert_ptr_nonnull(end);
    ck_assert_int_eq(
        base64url_decode(slice_of(rest.ptr, (size_t)(end - rest.ptr)), (uint8_t *)text, &len), 0);
    text[len] = '\0';
    arena_done(&arena);
    return text;
}

static const struct {
    unsigned status;
    const char *line, *body;
    unsigned replied;   /* 0: it passes */
    const char *reason; /* or, of 200, a part of the claims */
} answers[] = {
    { 200, JSON, "{\"id\":\"alice\"}", 200,
      "\"sub\":\"alice\",\"aud\":\"orders\",\"iat\":1800000000,"
      "\"nbf\":1800000000,\"exp\":1800000300," },
    { 201, JSON "; charset=utf-8", "{\"id\":7}", 200, "\"sub\":\"7\"" },
    { 202, "content-type: APPLICATION/vnd.x+JSON ;a=b", "{\"id\":\"a\"}", 200, "\"sub\":\"a\"" },
    { 200, JSON,
      "{\"id\":\"a\",\"user\":{\"roles\":[\"x\",{\"y\":[1]}]},\"name\":null,\"x\":false}", 200,
      "\"roles\":[\"x\",{\"y\":[1]}],\"x\":false}" },
    { 200, JSON, "{\"id\":\"a\",\"may\":\"read write\",\"password\":\"hunter2\"}", 200,
      "\"scope\":\"read write\"}" },
    { 200, JSON, "{\"id\":\"a\",\"name\":\"\\u0022}\\n\"}", 200, "\"name\":\"\\\"}\\n\"}" },
    /* what is not an answer in JSON passes */
    { 200, "Content-Type: text/html", "<p>", 0, NULL },
    { 200, "Content-Type: application/jsonp", "{}", 0, NULL },
    { 200, "X: y", "{\"id\":\"a\"}", 0, NULL },
    { 204, JSON, "", 0, NULL },
    { 304, JSON, "", 0, NULL },
    { 302, JSON, "{\"id\":\"a\"}", 0, NULL },
    { 401, JSON, "{\"id\":\"a\"}", 0, NULL },
    { 500, JSON, "{\"id\":\"a\"}", 0, NULL },
    /* what is, never does */
    { 200, JSON, "", 502, "login_answer_json" },
    { 200, JSON, "[]", 502, "login_answer_json" },
    { 200, JSON, "\"alice\"", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\"", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\"} x", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\",\"id\":\"b\"}", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\",\"i\\u0064\":\"b\"}", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\",\"user\":{\"roles\":1,\"roles\":2}}", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"a\" /**/}", 502, "login_answer_json" },
    { 200, JSON, "{\"id\":\"\xff\"}", 502, "login_answer_json" },
    { 200, JSON, "\xef\xbb\xbf{\"id\":\"a\"}", 502, "login_answer_json" },
    { 200, JSON, "{}", 502, "login_subject" },
    { 200, JSON, "{\"id\":\"\"}", 502, "login_subject" },
    { 200, JSON, "{\"id\":null}", 502, "login_subject" },
    { 200, JSON, "{\"id\":1.5}", 502, "login_subject" },
    { 200, JSON, "{\"id\":[\"a\"]}", 502, "login_subject" },
    { 200, JSON, "{\"id\":\"a\",\"may\":[\"read\"]}", 502, "login_scope" },
    { 205, JSON, "{}", 502, "login_subject" },
    { 206, JSON, "{\"id\":\"a\"}", 502, "login_answer_partial" },
    { 200, JSON "|Content-Encoding: gzip", "{\"id\":\"a\"}", 502, "login_answer_encoded" },
    { 200, JSON "|Content-Encoding: identity|Content-Encoding: br", "{\"id\":\"a\"}", 502,
      "login_answer_encoded" },
    { 200, JSON "|Content-Encoding: identity", "{\"id\":\"a\"}", 200, "\"sub\":\"a\"" },
    { 200, "Content-Type: text/html|" JSON, "<p>", 502, "login_answer_json" },
    { 200, "Content-Type: text/html, application/json", "<p>", 502, "login_answer_json" },
    { 200, "Content-Type: application/json, text/html", "<p>", 502, "login_answer_json" },
    { 200, "Content-Type: ,,application/json", "{\"id\":\"a\"}", 200, "\"sub\":\"a\"" },
    { 200, "Content-Type: text/html; x=\"a, b\", c/d", "<p>", 0, NULL },
    { 200, "Content-Type:", "<p>", 0, NULL },
    { 200, JSON "|Content-Encoding: identity, gzip", "x", 502, "login_answer_encoded" },
    { 200, JSON "|Content-Encoding:", "{\"id\":\"a\"}", 502, "login_answer_encoded" },
};

/* "a|b" as lines. */
static void split_lines(char *text, const char *ret[4])
{
    size_t count = 0;

    while (text != NULL && count < 3) {
        char *bar = strchr(text, '|');

        ret[count++] = text;
        text = bar == NULL ? NULL : bar + 1;
        if (bar != NULL) {
            *bar = '\0';
        }
    }
    ret[count] = NULL;
}

static struct gw_request *answer(unsigned status, const char *line, const char *body)
{
    char text[256];
    const char *lines[4];
    struct gw_request *req = fake_host_run(&host, "login", NULL, NULL);

    ck_assert_int_eq(req->verdict, GW_NEXT);
    snprintf(text, sizeof(text), "%s", line);
    split_lines(text, lines);
    fake_host_respond(req, status, lines, body);
    return req;
}

START_TEST(an_answer_becomes_a_token_or_an_error_or_passes)
{
    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    struct gw_request *req = answer(answers[_i].status, answers[_i].line, answers[_i].body);

    ck_assert_int_eq(req->verdict, answers[_i].replied == 0 ? GW_NEXT : GW_REPLY);
    ck_assert_uint_eq(req->reply.status, answers[_i].replied);
    if (answers[_i].replied == 200) {
        const char *claims = claims_of(req);
        ck_assert_msg(strstr(claims, answers[_i].reason) != NULL, "%s", claims);
        ck_assert_ptr_null(strstr(claims, "hunter2"));
    } else if (answers[_i].replied != 0) {
        ck_assert_str_eq(req->reply.reason, answers[_i].reason);
        ck_assert(slice_is_absent(req->reply.body));
    }
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(the_reply_is_that_of_rfc_6749)
{
    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    struct gw_request *req = answer(200, JSON, "{\"id\":\"a\",\"may\":\"read\"}");

    ck_assert(slice_eq(req->reply.content_type, SLICE("application/json")));
    ck_assert_ptr_nonnull(memmem(req->reply.body.ptr, req->reply.body.len,
                                 "\"token_type\":\"Bearer\",\"expires_in\":300,\"scope\":\"read\"}",
                                 54));
    ck_assert(slice_eq(req->attrs[GW_ATTR_SUBJECT], SLICE("a")));
    ck_assert(!slice_is_absent(req->attrs[GW_ATTR_JTI]));
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(without_a_key_that_signs_there_is_no_token_and_no_answer)
{
    ck_assert_uint_eq(load("publish", ROUTE CLAIMS), 0);
    struct gw_request *req = answer(200, JSON, "{\"id\":\"a\"}");

    ck_assert_int_eq(req->verdict, GW_REPLY);
    ck_assert_uint_eq(req->reply.status, 503);
    ck_assert_str_eq(req->reply.reason, "signing_key_missing");
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(what_is_not_signed_never_passes)
{
    static const char *const reasons[] = { "signing_queue_full", "signing_failed" };

    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    for (unsigned i = 0; i < 2; i++) {
        fake_host_pool_is_full = i == 0;
        fake_host_pool_fails = i == 1;
        struct gw_request *req = answer(200, JSON, "{\"id\":\"a\"}");

        ck_assert_int_eq(req->verdict, GW_REPLY);
        ck_assert_uint_eq(req->reply.status, 503);
        ck_assert_str_eq(req->reply.reason, reasons[i]);
        ck_assert(slice_is_absent(req->reply.body));
        fake_host_end(req);
    }
    fake_host_pool_fails = false;
    fake_host_done(&host);
}
END_TEST

START_TEST(claims_that_make_no_token_are_502)
{
    char body[10000];

    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    snprintf(body, sizeof(body), "{\"id\":\"a\",\"name\":\"%08000d\",\"x\":\"%0500d\"}", 0, 0);
    struct gw_request *req = answer(200, JSON, body);
    ck_assert_uint_eq(req->reply.status, 502);
    ck_assert_str_eq(req->reply.reason, "login_claims_too_long");
    fake_host_end(req);
    snprintf(body, sizeof(body), "{\"id\":\"%01025d\"}", 0);
    req = answer(200, JSON, body);
    ck_assert_str_eq(req->reply.reason, "login_subject");
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(the_answer_to_a_head_passes)
{
    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    static const char *const lines[] = { JSON, NULL };
    struct gw_request *req = fake_host_run(&host, "login", NULL, NULL);

    req->method = HTTP_HEAD;
    fake_host_respond(req, 200, lines, NULL);
    ck_assert_int_eq(req->verdict, GW_NEXT);
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(the_upstream_is_asked_for_a_whole_answer_in_plain_text)
{
    static const char *const lines[] = { "Accept-Encoding: gzip", "Range: bytes=3-9", "If-Range: x",
                                         "Accept: */*", NULL };

    ck_assert_uint_eq(load("sign", ROUTE CLAIMS), 0);
    struct gw_request *req = fake_host_run(&host, "login", lines, NULL);
    ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("accept-encoding"))));
    ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("range"))));
    ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("if-range"))));
    ck_assert(!slice_is_absent(headers_get(&req->headers, SLICE("accept"))));
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(mistakes_are_told)
{
    static const struct {
        const char *route, *what;
    } vectors[] = {
        { "\"upstream\":\"u\",\"issue_token\":{\"audiences\":[\"a\"]}", "claims" },
        { "\"upstream\":\"u\",\"issue_token\":{\"claims\":{\"sub\":\"id\"}}", "audiences" },
        { "\"issue_token\":{\"audiences\":[\"a\"],\"claims\":{\"sub\":\"id\"}}", "upstream" },
        { ROUTE "\"claims\":{}}", "with \"sub\"" },
        { ROUTE "\"claims\":[]}", "with \"sub\"" },
        { ROUTE "\"claims\":{\"roles\":\"x\"}}", "with \"sub\"" },
        { ROUTE "\"claims\":{\"sub\":5}}", "needs the name of a member" },
        { ROUTE "\"claims\":{\"sub\":\"\"}}", "needs the name of a member" },
        { ROUTE "\"claims\":{\"sub\":\"id\",\"iss\":\"x\"}}", "written by the issuer alone" },
        { ROUTE "\"claims\":{\"sub\":\"id\",\"exp\":\"x\"}}", "written by the issuer alone" },
        { ROUTE "\"claims\":{\"sub\":\"id\",\"\":\"x\"}}", "written by the issuer alone" },
        { ROUTE "\"claims\":{\"sub\":\"id\"},\"ttl\":\"2d\"}", "1d" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ck_assert_uint_gt(load("sign", vectors[i].route), 0);
        ck_assert_msg(fake_host_complains(&host, vectors[i].what), "%s: %s", vectors[i].route,
                      host.diag.entries[0].message);
        fake_host_done(&host);
    }
    ck_assert_uint_gt(fake_host_load(&host, plugins, "{\"routes\":{\"login\":{" ROUTE CLAIMS "}}}"),
                      0);
    ck_assert(fake_host_complains(&host, "nothing signs tokens"));
    fake_host_done(&host);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("login");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_loop_test(cases, an_answer_becomes_a_token_or_an_error_or_passes, 0,
                        sizeof(answers) / sizeof(answers[0]));
    tcase_add_test(cases, the_reply_is_that_of_rfc_6749);
    tcase_add_test(cases, without_a_key_that_signs_there_is_no_token_and_no_answer);
    tcase_add_test(cases, what_is_not_signed_never_passes);
    tcase_add_test(cases, claims_that_make_no_token_are_502);
    tcase_add_test(cases, the_answer_to_a_head_passes);
    tcase_add_test(cases, the_upstream_is_asked_for_a_whole_answer_in_plain_text);
    tcase_add_test(cases, mistakes_are_told);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
