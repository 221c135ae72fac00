/* SPDX-License-Identifier: Apache-2.0 */
/* Who may read, reload and change things on the admin listener. */
#include "gateway/admin_guard.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/exchange.h"

#define TOKEN "0123456789abcdef"

static enum admin_need need;

static enum gw_verdict guard(struct gw_call *call)
{
    static const struct gw_reply done = { .status = 204 };
    enum gw_verdict verdict = admin_guard(call, need);

    return verdict == GW_NEXT ? gw_reply(call, &done) : verdict;
}

static const struct gw_plugin guarded_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "guarded",
    .on_request = guard,
};

static void begin(bool with_token)
{
    fixture_setup();
    if (with_token) {
        struct diag diag;
        struct option_context ctx = { .diag = &diag, .arena = &diag.arena };

        diag_init(&diag);
        setenv("JWTGATE_TEST_TOKEN", TOKEN, 1);
        fx.config.admin_token.source.env = SLICE("JWTGATE_TEST_TOKEN");
        admin_token_read(&fx.config.admin_token, &ctx, NULL, "admin.token");
        ck_assert(fx.config.admin_token.is_set);
        diag_done(&diag);
    }
    fx.listener.service = CONFIG_ADMIN;
    fx.listener.address_text = SLICE("gate.internal:9901");
    fx.config.service_routes[CONFIG_ADMIN] = fx.route;
    fixture_add_plugin(&guarded_plugin);
    fx.config.service_routes[CONFIG_ADMIN] = fx.route;
    fixture_start();
    client = fixture_connect(); /* from 192.0.2.1: not this machine */
    server = -1;
}

static void expect_status(const char *fields, unsigned status)
{
    char text[512], line[32];

    snprintf(text, sizeof(text), "POST / HTTP/1.1\r\nContent-Length: 0\r\n%s\r\n", fields);
    fixture_send(client, text);
    snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
    const char *got = fixture_receive(client, &closed);
    ck_assert_msg(strncmp(got, line, strlen(line)) == 0, "%s\n%s", fields, got);
}

static const struct {
    const char *fields;
    unsigned status; /* of reading */
} names[] = {
    { "Host: 127.0.0.1:9901\r\n", 204 },
    { "Host: [::1]:9901\r\n", 204 },
    { "Host: localhost\r\n", 204 },
    { "Host: LOCALHOST:1\r\n", 204 },
    { "Host: gate.internal\r\n", 204 },
    { "Host: 10.1.2.3\r\n", 204 },
    { "Host: evil.example\r\n", 403 },
    { "Host: localhost.evil.example\r\n", 403 },
    { "Host: 127.0.0.1.evil.example\r\n", 403 },
};

START_TEST(a_name_that_is_not_ours_is_refused)
{
    need = ADMIN_READ;
    begin(false);
    expect_status(names[_i].fields, names[_i].status);
    exchange_teardown();
}
END_TEST

static const struct {
    const char *fields;
    unsigned status; /* of a change, with a token configured */
} changes[] = {
    { "Authorization: Bearer " TOKEN "\r\n", 204 },
    { "Authorization: bearer " TOKEN "\r\n", 204 },
    { "", 401 },
    { "Authorization: Bearer " TOKEN "0\r\n", 401 },
    { "Authorization: Basic " TOKEN "\r\n", 401 },
    { "Authorization: Bearer \r\n", 401 },
    { "Authorization: Bearer " TOKEN "\r\nAuthorization: Bearer " TOKEN "\r\n", 401 },
    { "Authorization: Bearer " TOKEN "\r\nSec-Fetch-Site: same-origin\r\n", 204 },
    { "Authorization: Bearer " TOKEN "\r\nSec-Fetch-Site: none\r\n", 204 },
    { "Authorization: Bearer " TOKEN "\r\nSec-Fetch-Site: cross-site\r\n", 403 },
    { "Authorization: Bearer " TOKEN "\r\nSec-Fetch-Site: same-site\r\n", 403 },
    { "Authorization: Bearer " TOKEN "\r\nOrigin: http://localhost\r\n", 204 },
    { "Authorization: Bearer " TOKEN "\r\nOrigin: http://evil.example\r\n", 403 },
    { "Authorization: Bearer " TOKEN "\r\nOrigin: null\r\n", 403 },
};

START_TEST(a_change_needs_the_token_and_no_other_site)
{
    char fields[256];

    need = ADMIN_CHANGE;
    begin(true);
    snprintf(fields, sizeof(fields), "Host: localhost\r\n%s", changes[_i].fields);
    expect_status(fields, changes[_i].status);
    exchange_teardown();
}
END_TEST

START_TEST(a_refusal_asks_for_the_token)
{
    need = ADMIN_CHANGE;
    begin(true);
    fixture_send(client, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    expect(client, "www-authenticate: Bearer realm=\"jwtgate admin\"\r\n");
    exchange_teardown();
}
END_TEST

START_TEST(without_a_token_nothing_is_changed_from_elsewhere)
{
    for (need = ADMIN_RELOAD; need <= ADMIN_CHANGE; need++) {
        begin(false);
        expect_status("Host: localhost\r\n", 403);
        expect_status("Host: localhost\r\nAuthorization: Bearer " TOKEN "\r\n", 403);
        exchange_teardown();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admin_guard");
    TCase *tc = tcase_create("all");

    tcase_add_loop_test(tc, a_name_that_is_not_ours_is_refused, 0,
                        (int)(sizeof(names) / sizeof(names[0])));
    tcase_add_loop_test(tc, a_change_needs_the_token_and_no_other_site, 0,
                        (int)(sizeof(changes) / sizeof(changes[0])));
    tcase_add_test(tc, a_refusal_asks_for_the_token);
    tcase_add_test(tc, without_a_token_nothing_is_changed_from_elsewhere);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
