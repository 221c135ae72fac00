/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of listeners, targets and trusted networks. */
#include "gateway/config_build.h"

#include <check.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "tests/support/config_file.h"

/* The whole file behind HEAD, or by itself; the first line that is printed. */
static const struct config_error errors[] = {
    { HEAD "\"server\": {\"trusted_proxies\": [\"10.0.0.1/8\"]},\n" ROUTES,
      "t.jsonc:4:32: error: server.trusted_proxies: \"10.0.0.1/8\" has bits set behind its prefix; "
      "write the network's first address, or a longer prefix" },
    { HEAD "\"admin\": {\"address\": \"unix:run/a.sock\"},\n" ROUTES,
      "t.jsonc:4:22: error: admin.address: \"unix:run/a.sock\" is no absolute path of a socket; "
      "write it "
      "like \"unix:/run/jwtgate/admin.sock\", at most 107 bytes of path" },
    { HEAD "\"admin\": {\"address\": \"unix:/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
           "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"},\n" ROUTES,
      "t.jsonc:4:22: error: admin.address: \"unix:/xxx" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"unix:/run/a.sock\"}},\n" UPSTREAMS
          ROUTES,
      "t.jsonc:2:32: error: listeners.l.address: \"unix:/run/a.sock\" is not an IP address and a "
      "port; "
      "write it like \"0.0.0.0:8080\" or \"[::]:8080\"" },
    { HEAD "\"server\": {\"trusted_proxies\": [\"all\"]},\n" ROUTES,
      "t.jsonc:4:32: error: server.trusted_proxies: is not a network; write it like "
      "\"10.0.0.0/8\"" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"localhost:80\"}},\n" UPSTREAMS
          ROUTES,
      "t.jsonc:2:32: error: listeners.l.address: \"localhost:80\" is not an IP address and a port; "
      "write it like \"0.0.0.0:8080\" or \"[::]:8080\"" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"::1:80\"}},\n" UPSTREAMS ROUTES,
      "t.jsonc:2:32: error: listeners.l.address: \"::1:80\" is not an IP address and a port; "
      "write it like \"0.0.0.0:8080\" or \"[::]:8080\"" },
    { "{\"version\": 1,\n" LISTENERS
      "\"upstreams\": {\"u\": {\"targets\": [\"http://x:1\"]}},\n" ROUTES,
      "t.jsonc:3:33: error: upstreams.u.targets[0]: \"http://x:1\" is not a host and a port; "
      "leave out the scheme and the path" },
    { "{\"version\": 1,\n" LISTENERS "\"upstreams\": {\"u\": {\"targets\": [\"x\"]}},\n" ROUTES,
      "t.jsonc:3:33: error: upstreams.u.targets[0]: \"x\" is not a host and a port; "
      "write it like \"127.0.0.1:9001\" or \"orders.internal:9001\"" },
};

START_TEST(every_error_names_its_place_and_the_remedy)
{
    config_file_expect_error(&errors[_i]);
}
END_TEST

static const struct {
    const char *address;
    bool trusted;
} trusted[] = {
    { "10.0.0.1", true },    { "10.255.255.255", true }, { "11.0.0.0", false },
    { "192.168.1.7", true }, { "192.168.1.8", false },   { "::ffff:10.1.2.3", true },
    { "2001:db8::1", true }, { "2001:db9::1", false },   { "::1", false },
};

START_TEST(trusted_proxies_are_found_by_network)
{
    struct config *config =
        load(HEAD "\"server\": {\"trusted_proxies\": [\"10.0.0.0/8\", \"192.168.1.7\",\n"
                  "\"2001:db8::/32\"]}," ROUTES);
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    const struct sockaddr *addr = (const struct sockaddr *)&in;

    assert_loads(config);
    if (inet_pton(AF_INET, trusted[_i].address, &in.sin_addr) != 1) {
        ck_assert_int_eq(inet_pton(AF_INET6, trusted[_i].address, &in6.sin6_addr), 1);
        addr = (const struct sockaddr *)&in6;
    }
    ck_assert_int_eq(config_is_trusted(&config->server, addr), trusted[_i].trusted);
    config_unref(config);
}
END_TEST

static const struct {
    const char *text;
    int family; /* AF_UNSPEC: refused */
    unsigned port;
} addresses[] = {
    { "127.0.0.1:80", AF_INET, 80 },     { "0.0.0.0:0", AF_INET, 0 },
    { "[::]:8080", AF_INET6, 8080 },     { "[2001:db8::1]:65535", AF_INET6, 65535 },
    { "127.0.0.1", AF_UNSPEC, 0 },       { "127.0.0.1:", AF_UNSPEC, 0 },
    { "127.0.0.1:65536", AF_UNSPEC, 0 }, { "127.0.0.1:-1", AF_UNSPEC, 0 },
    { "127.0.0.1: 80", AF_UNSPEC, 0 },   { "127.1:80", AF_UNSPEC, 0 },
    { "::1:80", AF_UNSPEC, 0 },          { "[::1]80", AF_UNSPEC, 0 },
    { "[::1:80", AF_UNSPEC, 0 },         { "[127.0.0.1]:80", AF_UNSPEC, 0 },
    { "localhost:80", AF_UNSPEC, 0 },    { "", AF_UNSPEC, 0 },
};

START_TEST(an_address_is_literal_with_a_port)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = 0;
    bool ok = config_address_of(slice_str(addresses[_i].text), &addr, &len);

    ck_assert_msg(ok == (addresses[_i].family != AF_UNSPEC), "%s", addresses[_i].text);
    if (addresses[_i].family == AF_INET) {
        ck_assert_uint_eq(len, sizeof(struct sockaddr_in));
        ck_assert_uint_eq(ntohs(((struct sockaddr_in *)&addr)->sin_port), addresses[_i].port);
    } else if (ok) {
        ck_assert_uint_eq(len, sizeof(struct sockaddr_in6));
        ck_assert_uint_eq(ntohs(((struct sockaddr_in6 *)&addr)->sin6_port), addresses[_i].port);
    }
    if (ok) {
        ck_assert_int_eq(addr.ss_family, addresses[_i].family);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_address");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_loop_test(tc, every_error_names_its_place_and_the_remedy, 0,
                        (int)(sizeof(errors) / sizeof(errors[0])));
    tcase_add_loop_test(tc, trusted_proxies_are_found_by_network, 0,
                        (int)(sizeof(trusted) / sizeof(trusted[0])));
    tcase_add_loop_test(tc, an_address_is_literal_with_a_port, 0,
                        (int)(sizeof(addresses) / sizeof(addresses[0])));
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
