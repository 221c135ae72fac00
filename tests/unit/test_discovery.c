/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/discovery.h"

#include <check.h>

#include <stdlib.h>

static const struct {
    const char *issuer, *openid, *oauth;
} issuers[] = {
    { "https://a.test", "https://a.test/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server" },
    { "https://a.test/", "https://a.test/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server" },
    { "https://a.test:8443/x/y", "https://a.test:8443/x/y/.well-known/openid-configuration",
      "https://a.test:8443/.well-known/oauth-authorization-server/x/y" },
    { "https://a.test/x/", "https://a.test/x/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server/x" },
};

START_TEST(metadata_are_where_the_standards_put_them)
{
    struct slice issuer = slice_str(issuers[_i].issuer);
    char *openid = discovery_url(issuer, DISCOVERY_OPENID);
    char *oauth = discovery_url(issuer, DISCOVERY_OAUTH);

    ck_assert_str_eq(openid, issuers[_i].openid);
    ck_assert_str_eq(oauth, issuers[_i].oauth);
    free(openid);
    free(oauth);
    ck_assert_ptr_null(discovery_url(SLICE("corporate"), DISCOVERY_OPENID));
}
END_TEST

START_TEST(metadata_must_be_of_exactly_our_issuer)
{
    static const char *const bad[] = {
        "{\"issuer\":\"https://a.test/\",\"jwks_uri\":\"https://a.test/k\"}",
        "{\"issuer\":\"https://A.test\",\"jwks_uri\":\"https://a.test/k\"}",
        "{\"jwks_uri\":\"https://a.test/k\"}",
        "{\"issuer\":\"https://a.test\"}",
        "{\"issuer\":\"https://a.test\",\"jwks_uri\":5}",
        "[]",
        "",
    };
    const char *why;
    char *uri = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(
            discovery_read(slice_str(bad[i]), 4096, SLICE("https://a.test"), &uri, &why),
            ERR_BAD_INPUT);
    }
    ck_assert_int_eq(
        discovery_read(SLICE("{\"issuer\":\"https://a.test\",\"jwks_uri\":\"https://b.test/k\"}"),
                       4096, SLICE("https://a.test"), &uri, &why),
        0);
    ck_assert_str_eq(uri, "https://b.test/k");
    free(uri);
}
END_TEST

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("discovery");
    TCase *tcase = tcase_create("discovery");

    tcase_add_loop_test(tcase, metadata_are_where_the_standards_put_them, 0, COUNT(issuers));
    tcase_add_test(tcase, metadata_must_be_of_exactly_our_issuer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
