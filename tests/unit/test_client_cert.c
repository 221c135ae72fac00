/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/builtin.h"

#include <check.h>

#include <stdio.h>

#include "tests/support/fake_host.h"

static struct fake_host host;

static unsigned load(const char *map)
{
    static const struct gw_plugin *const plugins[] = { &identity_strip_plugin, &client_cert_plugin,
                                                       NULL };
    char text[512];

    snprintf(text, sizeof(text),
             "{\"routes\": {\"r\": {\"claims_to_headers\": {\"sub\": \"X-User\"}, "
             "\"client_cert_to_headers\": %s}, \"open\": {\"auth\": \"none\"}}}",
             map);
    return fake_host_load(&host, plugins, text);
}

#define MAP "{\"subject\": \"X-Client_Name\", \"thumbprint\": \"X-Client-Print\"}"

START_TEST(the_upstream_hears_which_certificate_it_was)
{
    static const char *const lines[] = { "X-Client-Name: forged", "x_client_print: forged", NULL };

    ck_assert_uint_eq(load(MAP), 0);
    host.cert_subject = SLICE("CN=shop");
    host.cert_thumbprint = SLICE("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2");
    struct gw_request *req = fake_host_run(&host, "r", lines, NULL);
    ck_assert(slice_eq(headers_get(&req->headers, SLICE("x-client_name")), SLICE("CN=shop")));
    ck_assert(slice_eq(headers_get(&req->headers, SLICE("x-client-print")), host.cert_thumbprint));
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x-client-name")), 0);
    ck_assert_uint_eq(headers_count(&req->headers, SLICE("x_client_print")), 0);
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(without_a_certificate_and_on_other_routes_there_is_none)
{
    static const char *const routes[] = { "r", "open" };
    static const char *const lines[] = { "X-Client-Name: forged", "X-Client-Print: forged",
                                         "X-User: forged", "X-Other: kept", NULL };

    ck_assert_uint_eq(load(MAP), 0);
    for (size_t i = 0; i < 2; i++) {
        struct gw_request *req = fake_host_run(&host, routes[i], lines, NULL);
        ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("x-client-name"))));
        ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("x-client-print"))));
        ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("x-user"))));
        ck_assert(!slice_is_absent(headers_get(&req->headers, SLICE("x-other"))));
        fake_host_end(req);
    }
    /* A subject that cannot be written is absent; the thumbprint still says who it was. */
    host.cert_thumbprint = SLICE("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2");
    struct gw_request *req = fake_host_run(&host, "r", NULL, NULL);
    ck_assert(slice_is_absent(headers_get(&req->headers, SLICE("x-client_name"))));
    ck_assert(!slice_is_absent(headers_get(&req->headers, SLICE("x-client-print"))));
    fake_host_end(req);
    fake_host_done(&host);
}
END_TEST

START_TEST(what_cannot_be_configured)
{
    static const struct {
        const char *map, *message;
    } rows[] = {
        { "[]", "must be an object" },
        { "{\"issuer\": \"X-A\"}", "the facts are" },
        { "{\"subject\": 1}", "not the name of a header" },
        { "{\"subject\": \"Host\"}", "a meaning of its own" },
        { "{\"subject\": \"a b\"}", "no header may have" },
        { "{\"subject\": \"X-A\", \"thumbprint\": \"x_a\"}", "two facts for one header" },
        { "{\"subject\": \"x_user\"}", "two facts for one header" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_uint_gt(load(rows[i].map), 0);
        ck_assert_msg(fake_host_complains(&host, rows[i].message), "%s", rows[i].map);
        fake_host_done(&host);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_cert");
    TCase *tcase = tcase_create("client_cert");

    tcase_add_test(tcase, the_upstream_hears_which_certificate_it_was);
    tcase_add_test(tcase, without_a_certificate_and_on_other_routes_there_is_none);
    tcase_add_test(tcase, what_cannot_be_configured);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
