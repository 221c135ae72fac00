/* SPDX-License-Identifier: Apache-2.0 */
/* Where the token of a request is, and what of it the upstream sees. */
#include "plugins/builtin.h"
#include "plugins/jwt/token_source.h"

#include <check.h>

#include <stdlib.h>

#include "tests/support/fake_host.h"

static struct fake_host host; /* any: requests are made by it */
static struct provider bearer, own, cookie, query;
static struct jwt_alternative alternatives[4];

static void setup(void)
{
    ck_assert_uint_eq(
        fake_host_load(&host, builtin_plugins, "{\"routes\": {\"r\": {\"auth\": \"none\"}}}"), 0);
    bearer.source =
        (struct token_source){ .name = SLICE("authorization"), .scheme = SLICE("Bearer") };
    own.source = (struct token_source){ .name = SLICE("x-token"), .scheme = SLICE("") };
    cookie.source = (struct token_source){ .place = TOKEN_IN_COOKIE,
                                           .name = SLICE("sid"),
                                           .scheme = SLICE("") };
    query.source =
        (struct token_source){ .place = TOKEN_IN_QUERY, .name = SLICE("t"), .scheme = SLICE("") };
    alternatives[0].provider = &bearer;
    alternatives[1].provider = &own;
    alternatives[2].provider = &cookie;
    alternatives[3].provider = &query;
}

static void teardown(void)
{
    fake_host_done(&host);
}

static const struct {
    unsigned alternatives; /* mask */
    const char *lines[4];
    const char *query;
    enum jwt_reason reason;
    const char *token;
} requests[] = {
    { 1, { 0 }, NULL, JWT_TOKEN_MISSING, NULL },
    { 1, { "Authorization: Bearer a.b.c" }, NULL, JWT_OK, "a.b.c" },
    { 1, { "Authorization: bEARER   a.b.c" }, NULL, JWT_OK, "a.b.c" },
    { 1, { "Authorization: Bearera.b.c" }, NULL, JWT_AUTH_SCHEME_UNSUPPORTED, NULL },
    { 1, { "Authorization: Basic YTpi" }, NULL, JWT_AUTH_SCHEME_UNSUPPORTED, NULL },
    { 1,
      { "Authorization: Bearer a.b.c", "Authorization: Bearer a.b.c" },
      NULL,
      JWT_MULTIPLE_TOKENS,
      NULL },
    { 1, { "Cookie: sid=a.b.c" }, "t=a.b.c", JWT_TOKEN_MISSING, NULL },
    { 2, { "X-Token: a.b.c" }, NULL, JWT_OK, "a.b.c" },
    { 2, { "X-Token: a", "X-Token: b" }, NULL, JWT_MULTIPLE_TOKENS, NULL },
    { 4, { "Cookie: x=1; sid=a.b.c; y=2" }, NULL, JWT_OK, "a.b.c" },
    { 4, { "Cookie: x=1", "Cookie: sid=a.b.c" }, NULL, JWT_OK, "a.b.c" },
    { 4, { "Cookie: xsid=no; SID=no" }, NULL, JWT_TOKEN_MISSING, NULL },
    { 4, { "Cookie: sid=a; sid=b" }, NULL, JWT_MULTIPLE_TOKENS, NULL },
    { 4, { "Cookie: sid=a", "Authorization: Bearer b" }, NULL, JWT_MULTIPLE_TOKENS, NULL },
    { 4, { "Cookie: sid=a", "Authorization: Basic b" }, NULL, JWT_OK, "a" },
    { 8, { 0 }, "x=1&t=a.b.c", JWT_OK, "a.b.c" },
    { 8, { 0 }, "t=a&t=b", JWT_MULTIPLE_TOKENS, NULL },
    { 8, { 0 }, "tt=a&T=b&t", JWT_TOKEN_MISSING, NULL },
    { 15, { "X-Token: a" }, "t=b", JWT_MULTIPLE_TOKENS, NULL },
    { 15, { "Authorization: Bearer a" }, "x=b", JWT_OK, "a" },
};

static struct jwt_route route_with(unsigned mask, struct jwt_alternative *ret)
{
    struct jwt_route route = { .alternatives = ret };

    for (unsigned i = 0; i < 4; i++) {
        if ((mask & (1u << i)) != 0) {
            ret[route.alternative_count++] = alternatives[i];
        }
    }
    return route;
}

START_TEST(one_place_and_one_token)
{
    struct jwt_alternative some[4];
    struct jwt_route route = route_with(requests[_i].alternatives, some);
    struct gw_request *req = fake_host_run(&host, "r", requests[_i].lines, requests[_i].query);
    struct token_found found;

    ck_assert_str_eq(jwt_reason_name(token_find(req, &route, &found)),
                     jwt_reason_name(requests[_i].reason));
    if (requests[_i].token != NULL) {
        ck_assert(slice_eq(found.token, slice_str(requests[_i].token)));
    }
    fake_host_end(req);
}
END_TEST

START_TEST(the_upstream_does_not_see_it)
{
    static const char *lines[] = { "Authorization: Basic YTpi", "Cookie: a=1; sid=x.y.z;  b=2",
                                   "Cookie: sid=again", NULL };
    struct jwt_route route = { 0 };
    struct gw_request *req = fake_host_run(&host, "r", lines, "a=1&t=x.y.z&b=2");

    ck_assert_int_eq(token_hide(req, &route, &cookie.source), 0);
    ck_assert_int_eq(token_hide(req, &route, &query.source), 0);
    ck_assert(slice_is_absent(headers_get(gw_headers(req), SLICE("authorization"))));
    ck_assert_uint_eq(headers_count(gw_headers(req), SLICE("cookie")), 1);
    ck_assert(slice_eq(headers_get(gw_headers(req), SLICE("cookie")), SLICE("a=1; b=2")));
    ck_assert(slice_eq(gw_query(req), SLICE("a=1&b=2")));
    fake_host_end(req);
}
END_TEST

START_TEST(a_route_may_forward_it)
{
    static const char *lines[] = { "Authorization: Bearer x.y.z", NULL };
    struct jwt_route route = { .forward_token = true };
    struct gw_request *req = fake_host_run(&host, "r", lines, NULL);

    ck_assert_int_eq(token_hide(req, &route, &bearer.source), 0);
    ck_assert(!slice_is_absent(headers_get(gw_headers(req), SLICE("authorization"))));
    route.forward_token = false;
    ck_assert_int_eq(token_hide(req, &route, NULL),
                     0); /* there was none: it is not passed on either */
    ck_assert(slice_is_absent(headers_get(gw_headers(req), SLICE("authorization"))));
    fake_host_end(req);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token_source");
    TCase *tcase = tcase_create("token_source");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, one_place_and_one_token, 0,
                        (int)(sizeof(requests) / sizeof(requests[0])));
    tcase_add_test(tcase, the_upstream_does_not_see_it);
    tcase_add_test(tcase, a_route_may_forward_it);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
