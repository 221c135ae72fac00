/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/fake_host.h"

static unsigned load(struct fake_host *host, const char *map)
{
    char text[1024];

    setenv("JWTGATE_TEST_SECRET", "0123456789abcdef0123456789abcdef", 1);
    snprintf(text, sizeof(text),
             "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
             "[\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": "
             "\"JWTGATE_TEST_SECRET\"}}]}}, \"routes\": {\"r\": {\"auth\": {\"provider\": \"p\"}, "
             "\"claims_to_headers\": %s}, \"open\": {\"auth\": \"none\"}}}",
             map);
    return fake_host_load(host, builtin_plugins, text);
}

START_TEST(headers_with_a_meaning_of_their_own_cannot_carry_claims)
{
    static const char *const bad[] = { "Host",
                                       "authorization",
                                       "Content_Length",
                                       "Connection",
                                       "TE",
                                       "Transfer-Encoding",
                                       "Keep-Alive",
                                       "Upgrade",
                                       "Proxy-Authorization",
                                       "X User",
                                       "",
                                       "X:Y" };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fake_host host;
        char map[128];
        snprintf(map, sizeof(map), "{\"sub\": \"%s\"}", bad[i]);
        ck_assert_msg(load(&host, map) > 0, "%s", bad[i]);
        fake_host_done(&host);
    }
}
END_TEST

START_TEST(two_claims_for_one_header_are_an_error)
{
    struct fake_host host;

    ck_assert_uint_gt(load(&host, "{\"sub\": \"X-User\", \"name\": \"x_user\"}"), 0);
    ck_assert(fake_host_complains(&host, "two claims for one header"));
    fake_host_done(&host);
    ck_assert_uint_gt(load(&host, "[]"), 0);
    fake_host_done(&host);
}
END_TEST

START_TEST(claim_headers_of_one_route_are_stripped_on_all)
{
    static const char *const lines[] = { "X-User: a", "x_uSER: b", "X-Other: c", NULL };
    struct fake_host host;

    ck_assert_uint_eq(load(&host, "{\"sub\": \"X_User\"}"), 0);
    struct gw_request *req = fake_host_run(&host, "open", lines, NULL);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-user")), 0);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x_user")), 0);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-other")), 1);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-request-id")), 1);
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(without_jwt_before_them_nothing_passes)
{
    static const struct gw_plugin *plugins[4];
    struct fake_host host;

    plugins[0] = &authorize_plugin;
    ck_assert_uint_eq(
        fake_host_load(&host, plugins, "{\"routes\": {\"r\": {\"auth\": {\"provider\": \"p\"}}}}"),
        0);
    struct gw_request *req = fake_host_run(&host, "r", NULL, NULL);
    ck_assert_int_eq(req->verdict, GW_FAIL);
    fake_host_end(req);
    fake_host_done(&host);
    plugins[0] = &identity_plugin;
    ck_assert_uint_eq(fake_host_load(&host, plugins,
                                     "{\"routes\": {\"r\": {\"auth\": {\"provider\": \"p\"}, "
                                     "\"claims_to_headers\": {\"sub\": \"X-A\"}}}}"),
                      0);
    req = fake_host_run(&host, "r", NULL, NULL);
    ck_assert_int_eq(req->verdict, GW_FAIL);
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity");
    TCase *tcase = tcase_create("identity");

    tcase_add_test(tcase, headers_with_a_meaning_of_their_own_cannot_carry_claims);
    tcase_add_test(tcase, two_claims_for_one_header_are_an_error);
    tcase_add_test(tcase, claim_headers_of_one_route_are_stripped_on_all);
    tcase_add_test(tcase, without_jwt_before_them_nothing_passes);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
