/* SPDX-License-Identifier: Apache-2.0 */
/* Routes: what they match, where they go, ties. */
#include <check.h>

#include "tests/support/config_file.h"

/* The whole file behind HEAD, or by itself; the first line that is printed. */
static const struct config_error errors[] = {
    { "{\"version\": 1,\n" LISTENERS UPSTREAMS "\"server\": {}}",
      "t.jsonc:1:1: error: \"routes\" is missing; write \"routes\": {}" },
    { HEAD "\"routes\": {\"r\": {\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:12: error: routes.r: \"match\" is missing; "
      "write \"match\": {\"path_prefix\": \"/\"}" },
    { HEAD "\"routes\": {\"r\": {\"match\": {}, \"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:27: error: routes.r.match: \"path_prefix\" or \"exact\" is missing; "
      "write \"path_prefix\": \"/\" for all paths" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"exact\": \"/\", \"path_prefix\": \"/\"},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:37: error: routes.r.match: \"exact\" and \"path_prefix\" exclude each other; "
      "leave out one of them" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"a\"},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:43: error: routes.r.match.path_prefix: must start with \"/\"; write \"/a\"" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/a//%7eb\"},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:43: error: routes.r.match.path_prefix: would never match, because paths are "
      "normalised first; write \"/a/~b\"" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/a?b\"},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:43: error: routes.r.match.path_prefix: is not a path" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\", \"hosts\": [\"a:80\"]},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:58: error: routes.r.match.hosts: \"a:80\" is not a host; "
      "write \"api.example.com\" or \"*.example.com\", without a port" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\", \"methods\": [\"get\"]},\n"
           "\"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:4:60: error: routes.r.match.methods: \"get\" is not a method that is known; "
      "write them like \"GET\"" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\"}, \"auth\": \"none\"}}}",
      "t.jsonc:4:12: error: routes.r: \"upstream\" is missing; there are: u" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\"}, \"upstream\": \"v\",\n"
           "\"auth\": \"none\"}}}",
      "t.jsonc:4:61: error: routes.r.upstream: no upstream \"v\"; there are: u" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/ab\"}, \"upstream\": \"u\",\n"
           "\"rewrite\": {\"strip_prefix\": \"/a\"}, \"auth\": \"none\"}}}",
      "t.jsonc:5:29: error: routes.r.rewrite.strip_prefix: is not a prefix of the path that is "
      "matched; write the path of \"match\" or its first segments" },
    { HEAD "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\"}, \"upstream\": \"u\",\n"
           "\"claims_to_header\": {}, \"auth\": \"none\"}}}",
      "t.jsonc:5:1: error: routes.r: unknown key \"claims_to_header\"; "
      "did you mean \"claims_to_headers\"?" },
    { HEAD
      "\"routes\": {\n"
      "\"a\": {\"match\": {\"path_prefix\": \"/a\"}, \"upstream\": \"u\", \"auth\": \"none\"},\n"
      "\"b\": {\"match\": {\"path_prefix\": \"/a/\"}, \"upstream\": \"u\", \"auth\": \"none\"}}}",
      "t.jsonc:6:7: error: routes.b.match: matches the same requests as \"a\" at t.jsonc:5:7; "
      "change one of them" },
    { HEAD "\"routes\": {\"r r\": {\"match\": {\"path_prefix\": \"/\"}, \"upstream\": \"u\",\n"
           "\"auth\": \"none\"}}}",
      "t.jsonc:4:12: error: routes: \"r r\" is not a name; "
      "use up to 64 letters, digits, \"-\", \"_\" and \".\"" },
};

START_TEST(every_error_names_its_place_and_the_remedy)
{
    config_file_expect_error(&errors[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_route");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_loop_test(tc, every_error_names_its_place_and_the_remedy, 0,
                        (int)(sizeof(errors) / sizeof(errors[0])));
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
