/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes and claim rules of a caller who is known. */
#include "core/clock.h"
#include "plugins/builtin.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_host.h"
#include "tests/support/hs256.h"

#define SECRET "0123456789abcdef0123456789abcdef"

static struct fake_host host;

static const struct {
    const char *auth;   /* keys of the route's "auth", behind the provider */
    const char *claims; /* members of the token, behind the registered ones */
    const char *reason;
} rules[] = {
    { "\"scopes\": [\"a\"]", "\"scope\": \"a\"", "ok" },
    { "\"scopes\": [\"a\", \"b\"]", "\"scope\": \"b x a\"", "ok" },
    { "\"scopes\": [\"a\", \"b\"]", "\"scope\": \"a\"", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"scope\": \"ab\"", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"scope\": \"\"", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"x\": 1", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"scope\": 1", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"scp\": [\"b\", \"a\"]", "ok" },
    { "\"scopes\": [\"a\"]", "\"scp\": [1, null]", "scope_insufficient" },
    { "\"scopes\": [\"a\"]", "\"scope\": \"b\", \"scp\": [\"a\"]", "scope_insufficient" },
    { "\"scopes\": {\"any\": [\"a\", \"b\"]}", "\"scope\": \"x b\"", "ok" },
    { "\"scopes\": {\"any\": [\"a\", \"b\"]}", "\"scope\": \"x\"", "scope_insufficient" },
    { "\"claims\": {\"tenant\": \"x\"}", "\"tenant\": \"x\"", "ok" },
    { "\"claims\": {\"tenant\": \"x\"}", "\"tenant\": \"X\"", "claim_mismatch" },
    { "\"claims\": {\"tenant\": \"x\"}", "\"tenant\": [\"x\"]", "claim_mismatch" },
    { "\"claims\": {\"tenant\": \"x\"}", "\"other\": \"x\"", "claim_mismatch" },
    { "\"claims\": {\"tenant\": [\"x\", \"y\"]}", "\"tenant\": \"y\"", "ok" },
    { "\"claims\": {\"staff\": true}", "\"staff\": true", "ok" },
    { "\"claims\": {\"staff\": true}", "\"staff\": false", "claim_mismatch" },
    { "\"claims\": {\"staff\": true}", "\"staff\": \"true\"", "claim_mismatch" },
    { "\"claims\": {\"/realm/roles\": {\"contains\": \"ops\"}}",
      "\"realm\": {\"roles\": [\"dev\", \"ops\"]}", "ok" },
    { "\"claims\": {\"/realm/roles\": {\"contains\": \"ops\"}}",
      "\"realm\": {\"roles\": [\"devops\"]}", "claim_mismatch" },
    { "\"claims\": {\"/realm/roles\": {\"contains\": \"ops\"}}", "\"realm\": {\"roles\": \"ops\"}",
      "claim_mismatch" },
    { "\"claims\": {\"/realm/roles\": {\"contains\": \"ops\"}}", "\"realm\": {}",
      "claim_mismatch" },
    { "\"claims\": {\"a\": \"1\", \"b\": \"2\"}", "\"a\": \"1\", \"b\": \"3\"", "claim_mismatch" },
};

static void load(const char *auth)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
             "[\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": "
             "\"JWTGATE_TEST_SECRET\"}}]}}, \"routes\": {\"r\": {\"auth\": %s}}}",
             auth);
    setenv("JWTGATE_TEST_SECRET", SECRET, 1);
    clock_set(1000, UINT64_C(1800000000000000));
    ck_assert_uint_eq(fake_host_load(&host, builtin_plugins, text), 0);
}

static struct gw_request *run(const char *claims)
{
    char text[512], line[2048];
    const char *const lines[] = { line, NULL };

    snprintf(text, sizeof(text), "{\"iss\": \"i\", \"exp\": 1800000600, %s}", claims);
    char *token = hs256_token("{\"alg\":\"HS256\",\"kid\":\"k\"}", text, SECRET);
    snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
    free(token);
    return fake_host_run(&host, "r", lines, NULL);
}

static void expect(const char *claims, const char *reason)
{
    for (unsigned i = 0; i < 2; i++) { /* the second time by what is remembered */
        struct gw_request *req = run(claims);
        ck_assert_str_eq(req->decision, reason);
        ck_assert_int_eq(req->verdict, strcmp(reason, "ok") == 0 ? GW_NEXT : GW_REPLY);
        ck_assert(req->verdict == GW_NEXT || req->reply.status == 403);
        fake_host_end(req);
    }
}

START_TEST(scopes_and_claims_decide)
{
    char auth[512];

    snprintf(auth, sizeof(auth), "{\"provider\": \"p\", %s}", rules[_i].auth);
    load(auth);
    expect(rules[_i].claims, rules[_i].reason);
    fake_host_done(&host);
    clock_unset();
}
END_TEST

START_TEST(any_alternative_will_do_and_the_first_one_says_why)
{
    load("{\"any_of\": [{\"provider\": \"p\", \"scopes\": [\"w\"]},"
         " {\"provider\": \"p\", \"claims\": {\"t\": \"x\"}}]}");
    expect("\"scope\": \"w\"", "ok");
    expect("\"t\": \"x\"", "ok");
    expect("\"t\": \"y\"", "scope_insufficient");
    fake_host_done(&host);
    clock_unset();
}
END_TEST

START_TEST(a_missing_scope_is_named_in_the_challenge)
{
    load("{\"provider\": \"p\", \"scopes\": [\"a\", \"b\"]}");
    struct gw_request *req = run("\"scope\": \"a\"");
    struct slice challenge = req->reply.www_authenticate;
    char text[256];

    snprintf(text, sizeof(text), "%.*s", SLICE_FMT(challenge));
    ck_assert_msg(strstr(text, "error=\"insufficient_scope\"") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "scope=\"a b\"") != NULL, "%s", text);
    fake_host_end(req);
    fake_host_done(&host);
    clock_unset();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("authorize");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, scopes_and_claims_decide, 0, (int)(sizeof(rules) / sizeof(rules[0])));
    tcase_add_test(tc, any_alternative_will_do_and_the_first_one_says_why);
    tcase_add_test(tc, a_missing_scope_is_named_in_the_challenge);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
