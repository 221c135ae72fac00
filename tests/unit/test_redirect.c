/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/redirect.h"

#include <check.h>

#include <arpa/inet.h>
#include <stdio.h>

#include "tests/support/gateway_fixture.h"

static struct config_listener listeners[2]; /* plain on 8080, and one with TLS */

static void set_port(struct config_listener *listener, uint16_t port)
{
    struct sockaddr_in *addr = (struct sockaddr_in *)(void *)&listener->address;

    addr->sin_family = AF_INET;
    addr->sin_port = htons(port);
}

static void setup(void)
{
    fixture_setup();
    fixture_add_target(false);
    fixture_start();
    listeners[0] = *fx.config.listeners;
    listeners[0].redirect = CONFIG_REDIRECT_HTTPS;
    set_port(&listeners[0], 8080);
    listeners[1] = (struct config_listener){ .service = CONFIG_PUBLIC };
    fx.config.listeners = listeners;
}

static void teardown(void)
{
    fx.config.listeners = &fx.listener;
    fx.config.listener_count = 1;
    fixture_teardown();
}

/* The TLS listener is only looked at for its port. */
static void add_secure(uint16_t port)
{
    static int any;

    listeners[1].tls = (struct tls_server *)(void *)&any;
    set_port(&listeners[1], port);
    fx.config.listener_count = port == 0 ? 1 : 2;
}

static struct request *ask(const char *target, const char *host)
{
    char head[512];

    snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, host);
    return fixture_request(head);
}

static const struct {
    uint16_t secure_port;
    const char *target, *host, *location;
} rows[] = {
    { 443, "/", "a.test", "https://a.test/" },
    { 8443, "/x?y=%20z", "a.test", "https://a.test/x?y=%20z" },
    { 443, "/?", "a.test", "https://a.test/?" },
    /* A client that knows our port reaches our ports; another is before a port of its own. */
    { 8443, "/", "a.test:8080", "https://a.test:8443/" },
    { 443, "/", "a.test:8080", "https://a.test/" },
    { 8443, "/", "a.test:80", "https://a.test/" },
    { 0, "/", "a.test:8080", "https://a.test/" },
    { 8443, "/", "[::1]:8080", "https://[::1]:8443/" },
};

START_TEST(the_location_is_the_same_with_https)
{
    add_secure(rows[_i].secure_port);
    struct request *req = ask(rows[_i].target, rows[_i].host);
    struct slice location = redirect_location(req);

    ck_assert(redirect_is_due(req));
    ck_assert_msg(slice_eq(location, slice_str(rows[_i].location)), "%.*s instead of %s",
                  SLICE_FMT(location), rows[_i].location);
}
END_TEST

START_TEST(the_gateways_own_path_is_served)
{
    fx.config.public_path = "/-";
    struct request *own = ask("/-", "a.test");
    ck_assert(!redirect_is_due(own));
    struct request *below = ask("/-/x", "a.test");
    ck_assert(redirect_is_due(below));
}
END_TEST

START_TEST(other_listeners_serve)
{
    listeners[0].redirect = CONFIG_REDIRECT_NONE;
    struct request *req = ask("/", "a.test");

    ck_assert(!redirect_is_due(req));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redirect");
    TCase *tcase = tcase_create("all");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, the_location_is_the_same_with_https, 0,
                        (int)(sizeof(rows) / sizeof(rows[0])));
    tcase_add_test(tcase, the_gateways_own_path_is_served);
    tcase_add_test(tcase, other_listeners_serve);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
