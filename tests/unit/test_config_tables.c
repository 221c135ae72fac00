/* SPDX-License-Identifier: Apache-2.0 */
/* The keys at the top: server, listeners, upstreams, logs. */
#include <check.h>

#include "tests/support/config_file.h"

/* The whole file behind HEAD, or by itself; the first line that is printed. */
static const struct config_error errors[] = {
    { "{\"version\": 2,\n" LISTENERS UPSTREAMS ROUTES,
      "t.jsonc:1:13: error: version: 2 is not a version that is known; write 1" },
    { "{" LISTENERS UPSTREAMS ROUTES,
      "t.jsonc:1:1: error: \"version\" is missing; write \"version\": 1" },
    { "[]", "t.jsonc:1:1: error: must be an object, not an array" },
    { HEAD "\"routs\": {},\n" ROUTES,
      "t.jsonc:4:1: error: unknown key \"routs\"; did you mean \"routes\"?" },
    { HEAD "\"provider\": {},\n" ROUTES,
      "t.jsonc:4:1: error: unknown key \"provider\"; did you mean \"providers\"?" },
    { HEAD "\"server\": {\"workers\": 0},\n" ROUTES,
      "t.jsonc:4:23: error: server.workers: is not a number of workers; write \"auto\" or 1 to "
      "256" },
    { HEAD "\"server\": {\"limits\": {\"header_bytes\": \"1MiB\"}},\n" ROUTES,
      "t.jsonc:4:39: error: server.limits.header_bytes: \"1MiB\" is too large; "
      "write \"1KiB\" to \"256KiB\"" },
    { "{\"version\": 1,\n\"listeners\": {},\n" UPSTREAMS ROUTES,
      "t.jsonc:2:14: error: listeners: must not be empty" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"0.0.0.0:80\", \"tls\": "
      "{}}},\n" UPSTREAMS ROUTES,
      "t.jsonc:2:46: error: listeners.l.tls: \"certificates\" is missing; write" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"127.0.0.1:80\"},\n"
      "\"m\": {\"address\": \"127.0.0.1:80\"}},\n" UPSTREAMS ROUTES,
      "t.jsonc:3:6: error: listeners.m: has the address of \"l\"; change one of them" },
    { HEAD "\"admin\": {},\n" ROUTES,
      "t.jsonc:4:1: error: admin: \"address\" is missing; write \"address\": \"127.0.0.1:9901\"" },
    { "{\"version\": 1,\n" LISTENERS "\"upstreams\": {\"u\": {}},\n" ROUTES,
      "t.jsonc:3:15: error: upstreams.u: \"targets\" is missing; "
      "write \"targets\": [\"127.0.0.1:9001\"]" },
    { "{\"version\": 1,\n" LISTENERS "\"upstreams\": {\"u\": {\"targets\": []}},\n" ROUTES,
      "t.jsonc:3:32: error: upstreams.u.targets: must not be empty; write [\"127.0.0.1:9001\"]" },
    { "{\"version\": 1,\n" LISTENERS
      "\"upstreams\": {\"u\": {\"targets\": [{\"address\": \"x:1\", \"weight\": 0}]}},\n" ROUTES,
      "t.jsonc:3:62: error: upstreams.u.targets[0].weight: 0 is too small; write 1 to 100" },
    { "{\"version\": 1,\n" LISTENERS
      "\"upstreams\": {\"u\": {\"targets\": [\"x:1\"], \"timeouts\": {\"connect\": 5}}},\n" ROUTES,
      "t.jsonc:3:65: error: upstreams.u.timeouts.connect: 5 has no unit; write \"5s\"" },
    { HEAD "\"access_log\": true,\n" ROUTES,
      "t.jsonc:4:15: error: access_log: is not an access log; "
      "write \"off\" or {\"path\": \"-\"}" },
    { HEAD "\"tracing\": {\"trust\": \"none\"},\n" ROUTES,
      "t.jsonc:4:22: error: tracing.trust: \"none\" is not a choice; "
      "write \"any\" or \"trusted_proxies\"" },
    { HEAD "\"server\": {\"error_detail\": \"none\",}," ROUTES,
      "t.jsonc:4:34: error: trailing comma; remove it" },
};

START_TEST(every_error_names_its_place_and_the_remedy)
{
    config_file_expect_error(&errors[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_tables");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_loop_test(tc, every_error_names_its_place_and_the_remedy, 0,
                        (int)(sizeof(errors) / sizeof(errors[0])));
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
