/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/token: what is answered to which request. */
#include "plugins/jwt/jwk_write.h"
#include "plugins/jwt/jws.h"

#include <check.h>

#include <stdio.h>

#include "tests/support/issuer_fixture.h"

/* client "shop" */
#define BASIC "authorization: Basic c2hvcDpjb3JyZWN0K2hvcnNlK2JhdHRlcnkrc3RhcGxl"
#define POST  CLIENT_FORM("shop") "&"
#define GRANT "grant_type=client_credentials"

static void setup(void)
{
    issuer_fixture_setup("\"shop\":{\"secret_hash\":\"" CLIENT_HASH "\",\"scopes\":[\"read\","
                         "\"write\"],\"audiences\":[\"orders\",\"https://b.test\"],\"claims\":"
                         "{\"tenant\":7}},\"bare\":{\"secret_hash\":\"" CLIENT_HASH "\"}");
    issuer_fixture_load("sign", "");
    fake_host_pool_is_full = fake_host_pool_fails = false;
}

static struct gw_request *ask(const char *line, const char *body)
{
    const char *lines[] = { FORM_LINE, line, NULL };

    return fake_host_ask(&issuer_host, "/oauth2/token", lines, body);
}

static struct slice text_of(const struct json *root, const char *name)
{
    const struct json *value = json_get(root, slice_str(name));

    return value == NULL ? SLICE("") : value->text;
}

/* The answer, and the payload of its token. */
static const struct json *payload_of(struct gw_request *req, const struct json **ret_answer)
{
    struct jws jws;
    struct slice payload;

    ck_assert_msg(req->reply.status == 200, "%u: %.*s", req->reply.status,
                  SLICE_FMT(req->reply.body));
    *ret_answer = json_parse(&req->arena, req->reply.body, &json_limits_token, NULL);
    ck_assert_ptr_nonnull(*ret_answer);
    ck_assert_int_eq(jws_split(text_of(*ret_answer, "access_token"), &jws), 0);
    ck_assert_int_eq(jws_decode(&req->arena, jws.payload, &payload), 0);
    return json_parse(&req->arena, payload, &json_limits_token, NULL);
}

START_TEST(a_client_gets_a_token)
{
    static const struct {
        const char *line, *body;
    } vectors[] = {
        { BASIC, GRANT },
        { NULL, POST GRANT },
        { BASIC, GRANT "&client_id=shop&unknown=1&scope=" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct json *answer;
        struct gw_request *req = ask(vectors[i].line, vectors[i].body);
        const struct json *claims = payload_of(req, &answer);
        ck_assert(slice_eq(req->reply.content_type, SLICE("application/json")));
        ck_assert(slice_is_absent(req->reply.cache_control)); /* which is no-store */
        ck_assert(req->reply.pragma_no_cache);
        ck_assert(slice_eq(text_of(answer, "token_type"), SLICE("Bearer")));
        ck_assert(slice_eq(text_of(answer, "expires_in"), SLICE("900")));
        ck_assert(slice_eq(text_of(answer, "scope"), SLICE("read write")));
        ck_assert(slice_eq(text_of(claims, "sub"), SLICE("shop")));
        ck_assert(slice_eq(text_of(claims, "client_id"), SLICE("shop")));
        ck_assert(slice_eq(text_of(claims, "scope"), SLICE("read write")));
        ck_assert(slice_eq(text_of(claims, "tenant"), SLICE("7")));
        ck_assert_uint_eq(json_get(claims, SLICE("aud"))->count, 2);
        ck_assert(slice_eq(gw_attr_get(req, GW_ATTR_CLIENT_ID), SLICE("shop")));
        ck_assert(slice_eq(gw_attr_get(req, GW_ATTR_JTI), text_of(claims, "jti")));
        ck_assert_uint_eq(gw_attr_get(req, GW_ATTR_KID).len, JWK_THUMBPRINT_BYTES);
        fake_host_end(req);
    }
    uint64_t *issued = gw_counter(NULL, "jwtgate_tokens_issued_total",
                                  "client=\"shop\",grant=\"client_credentials\"");
    ck_assert_uint_eq(*issued, 3);
}
END_TEST

START_TEST(scopes_and_audiences_are_those_that_it_may_have)
{
    static const struct {
        const char *more, *scope, *audience; /* audience NULL: both */
        const char *error;                   /* NULL: none */
    } vectors[] = {
        { "&scope=read", "read", NULL, NULL },
        { "&scope=write%20read", "read write", NULL, NULL },
        { "&scope=write+write", "write", NULL, NULL },
        { "&scope=admin", NULL, NULL, "invalid_scope" },
        { "&scope=read+admin", NULL, NULL, "invalid_scope" },
        { "&scope=read++write", NULL, NULL, "invalid_scope" },
        { "&scope=+read", NULL, NULL, "invalid_scope" },
        { "&scope=read+", NULL, NULL, "invalid_scope" },
        { "&scope=rea", NULL, NULL, "invalid_scope" },
        { "&scope=READ", NULL, NULL, "invalid_scope" },
        { "&audience=orders", "read write", "orders", NULL },
        { "&resource=https%3A%2F%2Fb.test", "read write", "https://b.test", NULL },
        { "&audience=", "read write", NULL, NULL },
        { "&audience=billing", NULL, NULL, "invalid_target" },
        { "&audience=orders+https://b.test", NULL, NULL, "invalid_target" },
        { "&audience=orders&resource=orders", NULL, NULL, "invalid_request" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char body[256];
        const struct json *answer;

        snprintf(body, sizeof(body), GRANT "%s", vectors[i].more);
        struct gw_request *req = ask(BASIC, body);
        if (vectors[i].error != NULL) {
            ck_assert_msg(req->reply.status == 400, "%s", body);
            answer = json_parse(&req->arena, req->reply.body, &json_limits_token, NULL);
            ck_assert_msg(slice_eq(text_of(answer, "error"), slice_str(vectors[i].error)), "%s",
                          body);
        } else {
            const struct json *claims = payload_of(req, &answer);
            ck_assert(slice_eq(text_of(answer, "scope"), slice_str(vectors[i].scope)));
            ck_assert(slice_eq(text_of(claims, "scope"), slice_str(vectors[i].scope)));
            ck_assert(vectors[i].audience == NULL ||
                      slice_eq(text_of(claims, "aud"), slice_str(vectors[i].audience)));
        }
        fake_host_end(req);
    }
}
END_TEST

START_TEST(what_is_wrong_is_said_as_the_standard_has_it)
{
    static const struct {
        const char *line, *body;
        unsigned status;
        const char *error;
    } vectors[] = {
        { NULL, GRANT, 401, "invalid_client" },
        { NULL, POST GRANT "&client_secret=x", 400, "invalid_request" },
        { NULL, "client_id=shop&client_secret=wrong&" GRANT, 401, "invalid_client" },
        { NULL, "client_id=nobody&client_secret=wrong&" GRANT, 401, "invalid_client" },
        { "authorization: Bearer x", GRANT, 401, "invalid_client" },
        { BASIC, POST GRANT, 400, "invalid_request" },
        { BASIC, "", 400, "invalid_request" },
        { BASIC, "grant_type=", 400, "invalid_request" },
        { BASIC, GRANT "&" GRANT, 400, "invalid_request" },
        { BASIC, GRANT "&scope=a&scope=b", 400, "invalid_request" },
        { BASIC, "grant_type=%zz", 400, "invalid_request" },
        { BASIC, "grant_type=password&username=a&password=b", 400, "unsupported_grant_type" },
        { BASIC, "grant_type=client_credentials+", 400, "unsupported_grant_type" },
        { NULL, CLIENT_FORM("bare") "&" GRANT, 400, "invalid_target" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct gw_request *req = ask(vectors[i].line, vectors[i].body);
        const struct json *answer =
            json_parse(&req->arena, req->reply.body, &json_limits_token, NULL);
        ck_assert_msg(req->reply.status == vectors[i].status, "%s: %u", vectors[i].body,
                      req->reply.status);
        ck_assert_msg(slice_eq(text_of(answer, "error"), slice_str(vectors[i].error)), "%s: %.*s",
                      vectors[i].body, SLICE_FMT(req->reply.body));
        ck_assert_uint_eq(!slice_is_absent(req->reply.www_authenticate), vectors[i].status == 401);
        ck_assert_ptr_nonnull(req->reply.reason);
        fake_host_end(req);
    }
}
END_TEST

static uint64_t count_of(const char *endpoint, const char *reason)
{
    char labels[128];

    snprintf(labels, sizeof(labels), "endpoint=\"%s\",reason=\"%s\"", endpoint, reason);
    return *gw_counter(NULL, "jwtgate_client_auth_decisions_total", labels);
}

START_TEST(how_clients_authenticate_is_counted_by_endpoint)
{
    static const struct {
        const char *line, *body, *reason;
    } vectors[] = {
        { BASIC, GRANT, "ok" },
        { NULL, POST GRANT "&scope=none", "ok" },
        { NULL, GRANT, "client_missing" },
        { "authorization: Bearer x", GRANT, "client_credentials_malformed" },
        { BASIC, POST GRANT, "client_credentials_several" },
        { NULL, "client_id=nobody&client_secret=wrong&" GRANT, "client_unknown" },
        { NULL, "client_id=shop&client_secret=wrong&" GRANT, "client_secret_wrong" },
    };

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint64_t before = count_of("token", vectors[i].reason);

        fake_host_end(ask(vectors[i].line, vectors[i].body));
        ck_assert_msg(count_of("token", vectors[i].reason) == before + 1, "%s", vectors[i].reason);
    }
    for (unsigned i = 0; i < 19; i++) { /* and two before: client_failures.per_address is 20 */
        ck_assert_uint_eq(count_of("token", "client_failures_limited"), 0);
        fake_host_end(ask(NULL, "client_id=shop&client_secret=wrong"));
    }
    ck_assert_uint_eq(count_of("token", "client_failures_limited"), 1);
    ck_assert_uint_eq(count_of("introspect", "ok"), 0); /* and there, though nobody has asked */
}
END_TEST

START_TEST(a_request_that_is_no_form_is_refused_unread)
{
    static const char *const lines[][3] = {
        { "content-type: application/json", BASIC, NULL },
        { BASIC, NULL, NULL },
        { FORM_LINE, BASIC, NULL },
    };

    for (size_t i = 0; i < 3; i++) {
        const char *path = i == 2 ? "/oauth2/token?client_id=shop" : "/oauth2/token";
        struct gw_request *req = fake_host_ask(&issuer_host, path, lines[i], GRANT);
        ck_assert_uint_eq(req->reply.status, 400);
        ck_assert(slice_is_absent(req->body));
        fake_host_end(req);
    }
}
END_TEST

START_TEST(without_a_key_there_is_no_token)
{
    fake_host_done(&issuer_host);
    issuer_fixture_load("publish", "");
    struct gw_request *req = ask(BASIC, GRANT);
    ck_assert_uint_eq(req->reply.status, 503);
    ck_assert_str_eq(req->reply.reason, "no_signing_key");
    ck_assert_uint_gt(req->reply.retry_after_s, 0);
    fake_host_end(req);
}
END_TEST

START_TEST(a_full_pool_is_answered_503)
{
    fake_host_pool_is_full = true;
    struct gw_request *req = ask(BASIC, GRANT);
    ck_assert_uint_eq(req->reply.status, 503);
    ck_assert_str_eq(req->reply.reason, "signing_queue_full");
    ck_assert_ptr_null(memmem(req->reply.body.ptr, req->reply.body.len, "access_token", 12));
    fake_host_end(req);
}
END_TEST

START_TEST(a_signature_that_fails_is_answered_503)
{
    fake_host_pool_fails = true;
    struct gw_request *req = ask(BASIC, GRANT);
    ck_assert_uint_eq(req->reply.status, 503);
    ck_assert_str_eq(req->reply.reason, "signing_failed");
    ck_assert_ptr_null(memmem(req->reply.body.ptr, req->reply.body.len, "access_token", 12));
    fake_host_end(req);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token_endpoint");
    TCase *cases = tcase_create("all");

    tcase_add_checked_fixture(cases, setup, issuer_fixture_teardown);
    tcase_add_test(cases, a_client_gets_a_token);
    tcase_add_test(cases, scopes_and_audiences_are_those_that_it_may_have);
    tcase_add_test(cases, what_is_wrong_is_said_as_the_standard_has_it);
    tcase_add_test(cases, how_clients_authenticate_is_counted_by_endpoint);
    tcase_add_test(cases, a_request_that_is_no_form_is_refused_unread);
    tcase_add_test(cases, without_a_key_there_is_no_token);
    tcase_add_test(cases, a_full_pool_is_answered_503);
    tcase_add_test(cases, a_signature_that_fails_is_answered_503);
    suite_add_tcase(suite, cases);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
