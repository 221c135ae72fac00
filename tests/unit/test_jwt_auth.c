/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/fake_host.h"
#include "tests/support/hs256.h"

#define NOW    1800000000
#define SECRET "0123456789abcdef0123456789abcdef"

static const char config[] =
    "{\"providers\": {"
    "\"main\": {\"issuer\": \"https://a/\", \"audiences\": [\"api\", \"other\"],"
    " \"algorithms\": [\"HS256\"], \"max_lifetime\": \"1h\","
    " \"keys\": [{\"kid\": \"k1\", \"secret\": {\"env\": \"JWTGATE_TEST_SECRET\"}}]},"
    "\"second\": {\"issuer\": \"https://b/\", \"audiences\": \"any\", \"algorithms\": [\"HS256\"],"
    " \"keys\": [{\"kid\": \"k1\", \"secret\": {\"env\": \"JWTGATE_TEST_OTHER\"}}]},"
    "\"cookie\": {\"issuer\": \"https://a/\", \"audiences\": \"any\", \"algorithms\": [\"HS256\"],"
    " \"keys\": [{\"kid\": \"k1\", \"secret\": {\"env\": \"JWTGATE_TEST_SECRET\"}}],"
    " \"token\": {\"cookie\": \"sid\"}},"
    "\"bound\": {\"issuer\": \"https://a/\", \"audiences\": \"any\", \"algorithms\": [\"HS256\"],"
    " \"keys\": [{\"kid\": \"k1\", \"secret\": {\"env\": \"JWTGATE_TEST_SECRET\"}}],"
    " \"accept_bound_tokens\": true},"
    "\"query\": {\"issuer\": \"https://a/\", \"audiences\": \"any\", \"algorithms\": [\"HS256\"],"
    " \"keys\": [{\"kid\": \"k1\", \"secret\": {\"env\": \"JWTGATE_TEST_SECRET\"}}],"
    " \"token\": {\"query\": \"access_token\"}}},"
    "\"routes\": {"
    "\"open\": {\"auth\": \"none\"},"
    "\"main\": {\"auth\": {\"provider\": \"main\"},"
    " \"claims_to_headers\": {\"sub\": \"X-User-Id\", \"/org/id\": \"X-Org\"}},"
    "\"forward\": {\"auth\": {\"provider\": \"main\"}, \"forward_token\": true},"
    "\"optional\": {\"auth\": {\"optional\": {\"provider\": \"main\"}}},"
    "\"any\": {\"auth\": {\"any_of\": [{\"provider\": \"main\", \"scopes\": [\"w\"]},"
    " {\"provider\": \"main\", \"scopes\": [\"r\"]}, {\"provider\": \"second\"}]}},"
    "\"cookie\": {\"auth\": {\"provider\": \"cookie\"}},"
    "\"bound\": {\"auth\": {\"provider\": \"bound\"}},"
    "\"query\": {\"auth\": {\"provider\": \"query\"}},"
    "\"scopes\": {\"auth\": {\"provider\": \"main\", \"scopes\": [\"a\", \"b\"]}},"
    "\"rules\": {\"auth\": {\"provider\": \"main\", \"claims\": {\"tenant\": [\"x\", \"y\"],"
    " \"/realm/roles\": {\"contains\": \"ops\"}}}}}}";

static struct fake_host host;

static void setup(void)
{
    setenv("JWTGATE_TEST_SECRET", SECRET, 1);
    setenv("JWTGATE_TEST_OTHER", "another-secret-another-secret-another", 1);
    clock_set(1000, (uint64_t)NOW * 1000000u);
    unsigned errors = fake_host_load(&host, builtin_plugins, config);
    if (errors > 0) {
        diag_print(&host.diag, stderr);
    }
    ck_assert_uint_eq(errors, 0);
}

static void teardown(void)
{
    fake_host_done(&host);
    clock_unset();
}

static struct gw_request *run(const char *route, const char *token)
{
    static char line[70000];
    const char *lines[] = { line, NULL };

    snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
    return fake_host_run(&host, route, lines, NULL);
}

static void expect(const char *route, const char *header, const char *claims, const char *reason)
{
    char *token = hs256_token(header, claims, SECRET);
    for (int i = 0; i < 2; i++) { /* the second time from the cache, when it was good */
        struct gw_request *req = run(route, token);
        ck_assert_msg(strcmp(req->decision, reason) == 0, "%s instead of %s for %s %s",
                      req->decision, reason, header, claims);
        ck_assert_int_eq(req->verdict, strcmp(reason, "ok") == 0 ? GW_NEXT : GW_REPLY);
        fake_host_end(req);
    }
    free(token);
}

#define GOOD  "{\"alg\":\"HS256\",\"kid\":\"k1\"}"
#define BASE  "\"iss\":\"https://a/\",\"aud\":\"api\""
#define EXP   "\"exp\":1800000600"
#define TOKEN "{" BASE "," EXP "}"

static const struct {
    const char *header, *claims, *reason;
} cases[] = {
    { GOOD, TOKEN, "ok" },
    { "{\"alg\":\"HS256\"}", TOKEN, "ok" },
    { "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", TOKEN, "ok" },
    { "{\"alg\":\"HS256\",\"typ\":\"application/at+jwt\"}", TOKEN, "ok" },
    { GOOD, "{\"iss\":\"https://a/\",\"aud\":[\"x\",\"other\"],\"exp\":1800000600.5}", "ok" },
    { GOOD, "{" BASE ",\"exp\":1799999971}", "ok" }, /* within the skew */
    { GOOD, "{" BASE "," EXP ",\"nbf\":1800000030,\"iat\":1800000030}", "ok" },
    /* J01, J02, J03 */
    { "{\"alg\":\"none\"}", TOKEN, "alg_not_allowed" },
    { "{\"alg\":\"nOnE\"}", TOKEN, "alg_not_allowed" },
    { "{\"kid\":\"k1\"}", TOKEN, "alg_not_allowed" },
    { "{\"alg\":[\"HS256\"]}", TOKEN, "alg_not_allowed" },
    { "{\"alg\":\"RS256\",\"kid\":\"k1\"}", TOKEN, "alg_not_allowed" },
    { "{\"alg\":\"HS512\",\"kid\":\"k1\"}", TOKEN, "alg_not_allowed" },
    /* J04 */
    { "{\"alg\":\"HS256\",\"kid\":\"k1\",\"jku\":\"http://x/\",\"jwk\":{}}", TOKEN, "ok" },
    /* J05 */
    { "{\"alg\":\"HS256\",\"kid\":\"../k1\"}", TOKEN, "kid_unknown" },
    { "{\"alg\":\"HS256\",\"kid\":\"\"}", TOKEN, "kid_unknown" },
    { "{\"alg\":\"HS256\",\"kid\":1}", TOKEN, "token_malformed" },
    { "{\"alg\":\"HS256\",\"kid\":\"k1\\u0000\"}", TOKEN, "token_malformed" },
    /* J06 */
    { "{\"alg\":\"HS256\",\"crit\":[\"x\"]}", TOKEN, "crit_unsupported" },
    { "{\"alg\":\"HS256\",\"crit\":[]}", TOKEN, "crit_unsupported" },
    { "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN, "crit_unsupported" },
    { "{\"alg\":\"HS256\",\"typ\":\"logout+jwt\"}", TOKEN, "token_type_rejected" },
    { "{\"alg\":\"HS256\",\"typ\":1}", TOKEN, "token_type_rejected" },
    /* J07 */
    { "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", TOKEN, "token_malformed" },
    { GOOD, "{" BASE "," EXP ",\"\\u0065xp\":1}", "token_malformed" },
    /* J10 */
    { GOOD, "{" BASE "}", "claim_missing" },
    { GOOD, "{" BASE ",\"exp\":\"1800000600\"}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":null}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":[1800000600]}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":1e400}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":9223372036854775808}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":18446744075509552216}", "token_malformed" },
    { GOOD, "{" BASE ",\"exp\":-1}", "token_expired" },
    { GOOD, "{" BASE ",\"exp\":1799999970}", "token_expired" },
    { GOOD, "{" BASE "," EXP ",\"nbf\":1800000031}", "token_not_yet_valid" },
    { GOOD, "{" BASE "," EXP ",\"nbf\":\"x\"}", "token_malformed" },
    { GOOD, "{" BASE "," EXP ",\"iat\":1800000031}", "issued_in_future" },
    { GOOD, "{" BASE ",\"exp\":1800003631}", "lifetime_too_long" },
    /* J11 */
    { GOOD, "{\"aud\":\"api\"," EXP "}", "claim_missing" },
    { GOOD, "{\"iss\":\"https://a\",\"aud\":\"api\"," EXP "}", "issuer_mismatch" },
    { GOOD, "{\"iss\":\"https://A/\",\"aud\":\"api\"," EXP "}", "issuer_mismatch" },
    { GOOD, "{\"iss\":[\"https://a/\"],\"aud\":\"api\"," EXP "}", "issuer_mismatch" },
    { GOOD, "{\"iss\":\"https://a/\\u0000evil\",\"aud\":\"api\"," EXP "}", "token_malformed" },
    { GOOD, "{\"iss\":\"https://a/\"," EXP "}", "claim_missing" },
    { GOOD, "{\"iss\":\"https://a/\",\"aud\":\"ap\"," EXP "}", "audience_mismatch" },
    { GOOD, "{\"iss\":\"https://a/\",\"aud\":\"api,other\"," EXP "}", "audience_mismatch" },
    { GOOD, "{\"iss\":\"https://a/\",\"aud\":[[\"api\"]]," EXP "}", "audience_mismatch" },
    { GOOD, "{\"iss\":\"https://a/\",\"aud\":[]," EXP "}", "audience_mismatch" },
    /* J12 */
    { GOOD, TOKEN "x", "token_malformed" },
    { GOOD, "/**/" TOKEN, "token_malformed" },
    { GOOD, "\xef\xbb\xbf" TOKEN, "token_malformed" },
    { GOOD, "{" BASE "," EXP ",\"x\":\"\xff\"}", "token_malformed" },
    { GOOD, "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "token_malformed" },
    { GOOD, "[]", "token_malformed" },
    { GOOD, "{" BASE "," EXP ",\"cnf\":{\"jkt\":\"x\"}}", "bound_token_unsupported" },
    { GOOD, "{" BASE "," EXP ",\"sub\":1}", "token_malformed" },
};

START_TEST(each_bad_token_is_refused_for_its_reason)
{
    expect("main", cases[_i].header, cases[_i].claims, cases[_i].reason);
}
END_TEST

static void expect_text(const char *token, const char *reason)
{
    struct gw_request *req = run("main", token);
    ck_assert_msg(strcmp(req->decision, reason) == 0, "%s instead of %s", req->decision, reason);
    fake_host_end(req);
}

START_TEST(other_texts_of_a_good_token_are_refused)
{
    char *good = hs256_token(GOOD, TOKEN, SECRET), *bad = malloc(70000);
    size_t len = strlen(good);
    const char *sig = strrchr(good, '.') + 1;

    expect_text(good, "ok");
    static const char *const suffixes[] = { "=", "==", ".", ".e30", ", Bearer x", "A", "\t" };
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(bad, 70000, "%s%s", good, suffixes[i]);
        expect_text(bad, i == 5 ? "signature_invalid" : "token_malformed");
    }
    for (size_t i = 0; i < len; i++) { /* every changed byte, also in spare bits (J08) */
        memcpy(bad, good, len + 1);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        struct gw_request *req = run("main", bad);
        ck_assert_str_ne(req->decision, "ok");
        fake_host_end(req);
    }
    snprintf(bad, 70000, "%.*s", (int)(sig - good), good);
    expect_text(bad, "signature_invalid");
    snprintf(bad, 70000, "%.*s%.10s", (int)(sig - good), good, sig);
    bad[sig - good + 8] = '\0';
    expect_text(bad, "signature_invalid");
    expect_text("", "token_malformed");
    expect_text("a.b", "token_malformed");
    expect_text("..", "token_malformed");
    memset(bad, '.', 3000);
    bad[3000] = '\0';
    expect_text(bad, "token_malformed");
    memset(bad, 'a', 8193);
    bad[8193] = '\0';
    expect_text(bad, "token_too_large");
    free(bad);
    free(good);
}
END_TEST

START_TEST(the_place_of_the_token_decides)
{
    char *good = hs256_token(GOOD, TOKEN, SECRET);
    char bearer[2048], lower[2048], cookie[2048], query[2048];

    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", good);
    snprintf(lower, sizeof(lower), "authorization: bearer   %s", good);
    snprintf(cookie, sizeof(cookie), "Cookie: a=1; sid=%s; b=2", good);
    snprintf(query, sizeof(query), "x=1&access_token=%s", good);
    const struct {
        const char *route, *lines[4], *query, *reason;
        unsigned status;
    } places[] = {
        { "main", { lower }, NULL, "ok", 0 },
        { "main", { NULL }, NULL, "token_missing", 401 },
        { "main", { "Authorization: Basic eDp5" }, NULL, "auth_scheme_unsupported", 401 },
        { "main", { "Authorization: Bearerx y" }, NULL, "auth_scheme_unsupported", 401 },
        { "main", { bearer, bearer }, NULL, "multiple_tokens", 400 },
        { "main", { cookie }, query, "token_missing", 401 },
        { "cookie", { cookie }, NULL, "ok", 0 },
        { "cookie", { cookie, cookie }, NULL, "multiple_tokens", 400 },
        { "cookie", { cookie, bearer }, NULL, "multiple_tokens", 400 },
        { "cookie", { bearer }, NULL, "token_missing", 401 },
        { "query", { NULL }, query, "ok", 0 },
        { "query", { bearer }, query, "multiple_tokens", 400 },
        { "optional", { NULL }, NULL, "ok", 0 },
        { "optional", { "Authorization: Bearer x.y.z" }, NULL, "token_malformed", 401 },
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct gw_request *req =
            fake_host_run(&host, places[i].route, places[i].lines, places[i].query);
        ck_assert_msg(strcmp(req->decision, places[i].reason) == 0, "%zu: %s", i, req->decision);
        ck_assert_uint_eq(req->reply.status, places[i].status);
        fake_host_end(req);
    }
    free(good);
}
END_TEST

#define THUMBPRINT "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
#define OTHER      "cwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"
#define CNF(text)  "{" BASE "," EXP ",\"cnf\":" text "}"
#define BOUND      CNF("{\"x5t#S256\":\"" THUMBPRINT "\"}")

START_TEST(a_token_that_is_bound_to_a_certificate_is_good_with_it_alone)
{
    static const struct {
        const char *route, *claims, *shown, *reason;
    } rows[] = {
        { "main", BOUND, THUMBPRINT, "ok" },
        { "main", BOUND, OTHER, "certificate_mismatch" },
        { "main", BOUND, NULL, "certificate_mismatch" },
        { "main", TOKEN, OTHER, "ok" },
        { "main", CNF("{\"x5t#S256\":\"\"}"), THUMBPRINT, "bound_token_unsupported" },
        { "main", CNF("{\"x5t#S256\":1}"), THUMBPRINT, "bound_token_unsupported" },
        { "main", CNF("[\"" THUMBPRINT "\"]"), THUMBPRINT, "bound_token_unsupported" },
        /* With a second proof it must not be enough to give one. */
        { "main", CNF("{\"x5t#S256\":\"" THUMBPRINT "\",\"jkt\":\"x\"}"), THUMBPRINT,
          "bound_token_unsupported" },
        { "bound", BOUND, THUMBPRINT, "ok" },
        { "bound", BOUND, OTHER, "certificate_mismatch" },
        { "bound", BOUND, NULL, "ok" },
        { "bound", CNF("{\"jkt\":\"x\"}"), THUMBPRINT, "ok" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        host.cert_thumbprint = slice_str(rows[i].shown);
        expect(rows[i].route, GOOD, rows[i].claims, rows[i].reason);
    }
}
END_TEST

/* The cache knows the token, not who sends it. */
START_TEST(a_cached_token_is_still_of_its_certificate)
{
    char *token = hs256_token(GOOD, BOUND, SECRET);
    static const char *const shown[] = { THUMBPRINT, OTHER, THUMBPRINT };
    static const char *const reasons[] = { "ok", "certificate_mismatch", "ok" };

    for (size_t i = 0; i < 3; i++) {
        host.cert_thumbprint = slice_str(shown[i]);
        struct gw_request *req = run("main", token);
        ck_assert_str_eq(req->decision, reasons[i]);
        fake_host_end(req);
    }
    free(token);
}
END_TEST

START_TEST(answers_say_what_rfc_6750_asks_and_no_more)
{
    struct gw_request *req = fake_host_run(&host, "main", NULL, NULL);
    ck_assert(slice_eq(req->reply.www_authenticate, SLICE("Bearer realm=\"jwtgate\"")));
    ck_assert(slice_eq(req->attrs[GW_ATTR_PROVIDER], SLICE("main")));
    fake_host_end(req);

    req = run("main", "x.y.z");
    ck_assert(slice_eq(req->reply.www_authenticate,
                       SLICE("Bearer realm=\"jwtgate\", error=\"invalid_token\", "
                             "error_description=\"The access token is invalid\"")));
    ck_assert_str_eq(req->reply.detail, "The access token is invalid");
    fake_host_end(req);

    char *token = hs256_token(GOOD, "{" BASE "," EXP ",\"scope\":\"a c\"}", SECRET);
    req = run("scopes", token);
    ck_assert_uint_eq(req->reply.status, 403);
    ck_assert(slice_eq(req->reply.www_authenticate,
                       SLICE("Bearer realm=\"jwtgate\", error=\"insufficient_scope\", "
                             "error_description=\"The access token lacks a scope\", "
                             "scope=\"a b\"")));
    fake_host_end(req);
    free(token);
}
END_TEST

START_TEST(scopes_and_claim_rules_decide_with_403)
{
    static const struct {
        const char *route, *claims, *reason;
    } rows[] = {
        { "scopes", "\"scope\":\"b a\"", "ok" },
        { "scopes", "\"scope\":[\"a\",\"b\"]", "ok" },
        { "scopes", "\"scp\":[\"a\",\"b\"]", "ok" },
        { "scopes", "\"scope\":\"ab\"", "scope_insufficient" },
        { "scopes", "\"scope\":7", "scope_insufficient" },
        { "scopes", "\"x\":1", "scope_insufficient" },
        { "rules", "\"tenant\":\"y\",\"realm\":{\"roles\":[\"dev\",\"ops\"]}", "ok" },
        { "rules", "\"tenant\":\"z\",\"realm\":{\"roles\":[\"ops\"]}", "claim_mismatch" },
        { "rules", "\"tenant\":\"x\",\"realm\":{\"roles\":\"ops\"}", "claim_mismatch" },
        { "rules", "\"realm\":{\"roles\":[\"ops\"]}", "claim_mismatch" },
        { "any", "\"scope\":\"r\"", "ok" },
        { "any", "\"scope\":\"w\"", "ok" },
        { "any", "\"scope\":\"x\"", "scope_insufficient" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char claims[512];
        snprintf(claims, sizeof(claims), "{" BASE "," EXP ",%s}", rows[i].claims);
        expect(rows[i].route, GOOD, claims, rows[i].reason);
    }
}
END_TEST

START_TEST(the_issuer_chooses_the_provider_and_its_key_alone_counts)
{
    static const char claims[] = "{\"iss\":\"https://b/\"," EXP "}";
    char *mine = hs256_token(GOOD, claims, "another-secret-another-secret-another");
    char *foreign = hs256_token(GOOD, claims, SECRET);
    char *unknown = hs256_token(GOOD, "{\"iss\":\"https://c/\"," EXP "}", SECRET);

    struct gw_request *req = run("any", mine);
    ck_assert_str_eq(req->decision, "ok");
    ck_assert(slice_eq(req->attrs[GW_ATTR_PROVIDER], SLICE("second")));
    fake_host_end(req);
    req = run("any", foreign);
    ck_assert_str_eq(req->decision, "signature_invalid");
    fake_host_end(req);
    req = run("any", unknown);
    ck_assert_str_eq(req->decision, "issuer_mismatch");
    ck_assert(slice_is_absent(req->attrs[GW_ATTR_PROVIDER]));
    fake_host_end(req);
    req = run("main", mine); /* cached for the other provider only */
    ck_assert_str_eq(req->decision, "signature_invalid");
    fake_host_end(req);
    free(mine);
    free(foreign);
    free(unknown);
}
END_TEST

START_TEST(a_cached_token_expires_by_the_clock)
{
    char *token = hs256_token(GOOD, TOKEN, SECRET);

    for (int i = 0; i < 2; i++) {
        struct gw_request *req = run("main", token);
        ck_assert_str_eq(req->decision, "ok");
        fake_host_end(req);
    }
    clock_set(1000, (uint64_t)(NOW + 629) * 1000000u);
    struct gw_request *req = run("main", token);
    ck_assert_str_eq(req->decision, "ok");
    fake_host_end(req);
    clock_set(1000, (uint64_t)(NOW + 630) * 1000000u);
    for (int i = 0; i < 2; i++) {
        req = run("main", token);
        ck_assert_str_eq(req->decision, "token_expired");
        fake_host_end(req);
    }
    free(token);
}
END_TEST

START_TEST(claims_travel_as_headers_that_no_client_can_set)
{
    char *token = hs256_token(GOOD,
                              "{" BASE "," EXP
                              ",\"sub\":\"joe\",\"jti\":\"j\",\"azp\":\"app\",\"org\":{\"id\":42}}",
                              SECRET);
    char bearer[2048];
    snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s", token);
    const char *lines[] = { bearer, "X-User-Id: admin", "X_User_Id: admin", "x-org: 1", NULL };

    for (int i = 0; i < 2; i++) {
        struct gw_request *req = fake_host_run(&host, "main", lines, NULL);
        ck_assert_str_eq(req->decision, "ok");
        ck_assert(slice_eq(headers_get(&req->headers, SLICE("x-user-id")), SLICE("joe")));
        ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-user-id")), 1);
        ck_assert_uint_eq(headers_count(&req->headers, SLICE("x_user_id")), 0);
        ck_assert(slice_eq(headers_get(&req->headers, SLICE("x-org")), SLICE("42")));
        ck_assert_uint_eq(headers_count_id(&req->headers, HEADER_AUTHORIZATION), 0);
        ck_assert(slice_eq(req->attrs[GW_ATTR_CLIENT_ID], SLICE("app")));
        ck_assert(slice_eq(req->attrs[GW_ATTR_KID], SLICE("k1")));
        fake_host_end(req);
    }
    struct gw_request *req = fake_host_run(&host, "open", lines, NULL);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-user-id")), 0);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x_user_id")), 0);
    ck_assert_uint_eq(headers_count_id(&req->headers, HEADER_AUTHORIZATION), 1);
    fake_host_end(req);
    req = fake_host_run(&host, "forward", lines, NULL);
    ck_assert_uint_eq(headers_count_id(&req->headers, HEADER_AUTHORIZATION), 1);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-user-id")), 0);
    fake_host_end(req);
    free(token);
}
END_TEST

START_TEST(claims_that_no_header_can_carry_refuse_the_request)
{
    static const char *const subs[] = { "a\\r\\nb", "\\u00e9", "\xc3\xa9", "a\\tb" };

    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++) {
        char claims[512];
        snprintf(claims, sizeof(claims), "{" BASE "," EXP ",\"sub\":\"%s\"}", subs[i]);
        expect("main", GOOD, claims, "claim_unusable");
    }
    expect("main", GOOD, "{" BASE "," EXP ",\"org\":{\"id\":{}}}", "claim_unusable");
    expect("main", GOOD, "{" BASE "," EXP ",\"org\":{\"id\":null}}", "claim_unusable");
    expect("main", GOOD, "{" BASE "," EXP ",\"org\":{\"id\":[\"a\",\"b\"]}}", "ok");
    expect("main", GOOD, "{" BASE "," EXP ",\"org\":{\"id\":[\"a,b\"]}}", "claim_unusable");
}
END_TEST

START_TEST(mistakes_in_the_configuration_are_named)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "{\"routes\": {\"a\": {}}}", "\"auth\" is missing" },
        { "{\"routes\": {\"a\": {}}}", "write \"auth\": \"none\" to make the route public" },
        { "{\"routes\": {\"a\": {\"auth\": {\"provider\": \"corp\"}}}}", "no provider \"corp\"" },
        { "{\"routes\": {\"a\": {\"auth\": true}}}", "not a way to authenticate" },
        { "{\"routes\": {\"a\": {\"auth\": \"none\", \"claims_to_headers\": {\"a\": \"B\"}}}}",
          "has no claims" },
        { "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
          "[\"HS256\", \"RS256\"], \"keys\": [{\"kid\": \"a\", \"secret\": {\"env\": \"X\"}}]}}}",
          "HS algorithms and others" },
        { "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
          "[\"HS256\"], \"keys\": [{\"kid\": \"a\", \"secret\": {\"env\": \"JWTGATE_SHORT\"}}]}}}",
          "has 5 bytes and needs 32" },
        { "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
          "[\"none\"], \"keys\": [{\"kid\": \"a\", \"secret\": {\"env\": \"JWTGATE_SHORT\"}}]}}}",
          "no algorithm \"none\"" },
        { "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
          "[\"HS256\"], \"keys\": [{\"kid\": \"a\", \"secret\": {\"env\": "
          "\"JWTGATE_TEST_SECRET\"}},"
          "{\"kid\": \"a\", \"secret\": {\"env\": \"JWTGATE_TEST_SECRET\"}}]}}}",
          "is there twice" },
    };
    setenv("JWTGATE_SHORT", "short", 1);
    setenv("JWTGATE_TEST_SECRET", SECRET, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_host bad;
        ck_assert_uint_gt(fake_host_load(&bad, builtin_plugins, rows[i].text), 0);
        ck_assert_msg(fake_host_complains(&bad, rows[i].message), "%s", rows[i].message);
        fake_host_done(&bad);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jwt_auth");
    TCase *requests = tcase_create("requests"), *files = tcase_create("configuration");

    tcase_add_checked_fixture(requests, setup, teardown);
    tcase_add_loop_test(requests, each_bad_token_is_refused_for_its_reason, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(requests, other_texts_of_a_good_token_are_refused);
    tcase_add_test(requests, the_place_of_the_token_decides);
    tcase_add_test(requests, a_token_that_is_bound_to_a_certificate_is_good_with_it_alone);
    tcase_add_test(requests, a_cached_token_is_still_of_its_certificate);
    tcase_add_test(requests, answers_say_what_rfc_6750_asks_and_no_more);
    tcase_add_test(requests, scopes_and_claim_rules_decide_with_403);
    tcase_add_test(requests, the_issuer_chooses_the_provider_and_its_key_alone_counts);
    tcase_add_test(requests, a_cached_token_expires_by_the_clock);
    tcase_add_test(requests, claims_travel_as_headers_that_no_client_can_set);
    tcase_add_test(requests, claims_that_no_header_can_carry_refuse_the_request);
    tcase_add_test(files, mistakes_in_the_configuration_are_named);
    suite_add_tcase(suite, requests);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
