/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config.h"
#include "gateway/router.h"

#include <check.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct diag diag;
static char *conf_dir; /* of the source tree; NULL: not found */

static void setup(void)
{
    diag_init(&diag);
    setenv("JWTGATE_HS256_SECRET", "0123456789-abcdefghij-KLMNOPQRST-uvwxyz", 1);
}

static void teardown(void)
{
    diag_done(&diag);
}

static void write_file(const char *name, const char *text)
{
    FILE *out = fopen(name, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_int_ge(fputs(text, out), 0);
    ck_assert_int_eq(fclose(out), 0);
}

static struct config *load(const char *text)
{
    write_file("t.jsonc", text);
    return config_load("t.jsonc", &diag, NULL);
}

static char *printed(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    diag_print(&diag, out);
    fclose(out);
    return text;
}

static void assert_loads(struct config *config)
{
    char *text = printed();

    ck_assert_msg(config != NULL, "%s", text);
    free(text);
}

#define UPSTREAMS "\"upstreams\": {\"u\": {\"targets\": [\"127.0.0.1:9\"]}},\n"
#define LISTENERS "\"listeners\": {\"l\": {\"address\": \"127.0.0.1:0\"}},\n"
#define HEAD      "{\"version\": 1,\n" LISTENERS UPSTREAMS
#define ROUTES                                                                                     \
    "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/\"}, "                                   \
    "\"upstream\": \"u\", \"auth\": \"none\"}}}\n"

START_TEST(a_small_file_gets_all_defaults)
{
    struct config *config = load(HEAD ROUTES);

    assert_loads(config);
    ck_assert_int_eq(config->server.workers, 0);
    ck_assert_uint_eq(config->server.shutdown_grace_ms, 30000);
    ck_assert_int_eq(config->server.error_detail, CONFIG_DETAIL_NONE);
    ck_assert_uint_eq(config->server.limits.header_bytes, 32768);
    ck_assert_uint_eq(config->server.limits.body_bytes, 10485760);
    ck_assert_int_eq(config->server.limits.connections, 10000);
    ck_assert_int_eq(config->server.limits.requests_per_connection, 1000);
    ck_assert_uint_eq(config->server.limits.request_memory, 262144);
    ck_assert_uint_eq(config->server.limits.h1.head_bytes, 32768);
    ck_assert_uint_eq(config->server.timeouts.write, 30000);
    ck_assert_uint_eq(config->listener_count, 1);
    ck_assert_int_eq(config->listeners[0].service, CONFIG_PUBLIC);
    ck_assert_uint_eq(config->upstreams[0].timeouts.connect, 1000);
    ck_assert_uint_eq(config->upstreams[0].timeouts.idle, 60000);
    ck_assert_int_eq(config->upstreams[0].retries, 1);
    ck_assert_int_eq(config->upstreams[0].max_connections, 1024);
    ck_assert_int_eq(config->upstreams[0].targets[0].weight, 1);
    ck_assert(config->upstreams[0].targets[0].is_literal);
    ck_assert_uint_eq(config->routes[0].response_timeout_ms, 30000);
    ck_assert_ptr_eq(config->routes[0].upstream, &config->upstreams[0]);
    ck_assert_str_eq(config->access_log.path, "-");
    ck_assert(config->access_log.enabled);
    ck_assert(config->tracing.trust_any);
    ck_assert_uint_eq(strlen(config->hash), 16);
    config_unref(config);
}
END_TEST

START_TEST(what_is_written_is_what_is_built)
{
    struct config *config =
        load("{\"$schema\": \"x\", \"version\": 1,\n"
             "\"server\": {\"workers\": 3, \"trusted_proxies\": [\"10.0.0.0/8\", \"::1\"]},\n"
             "\"listeners\": {\"six\": {\"address\": \"[::1]:8080\"}},\n"
             "\"admin\": {\"address\": \"127.0.0.1:9901\", \"public_path\": \"/-\"},\n"
             "\"upstreams\": {\"u\": {\"targets\": [{\"address\": \"orders.internal:80\", "
             "\"weight\": 7}],\n"
             "  \"load_balancing\": \"least_request\", \"retries\": {\"attempts\": 0}}},\n"
             "\"access_log\": \"off\", \"tracing\": {\"trust\": \"trusted_proxies\"},\n"
             "\"routes\": {\"r\": {\"match\": {\"path_prefix\": \"/api/v1/\", \"hosts\": "
             "[\"*.Example.com\"],\n"
             "  \"methods\": [\"GET\"]}, \"rewrite\": {\"strip_prefix\": \"/api/\"}, \"upstream\": "
             "\"u\",\n"
             "  \"timeouts\": {\"response\": \"3s\"}, \"auth\": \"none\"}}}");

    assert_loads(config);
    ck_assert_int_eq(config->server.workers, 3);
    ck_assert_uint_eq(config->server.trusted_proxy_count, 2);
    ck_assert_uint_eq(config->listener_count, 2);
    ck_assert_int_eq(config->listeners[0].service, CONFIG_ADMIN);
    ck_assert_int_eq(config->listeners[1].address.ss_family, AF_INET6);
    ck_assert_str_eq(config->public_path, "/-");
    ck_assert_int_eq(config->upstreams[0].balancing, CONFIG_LEAST_REQUEST);
    ck_assert_int_eq(config->upstreams[0].retries, 0);
    const struct config_target *target = &config->upstreams[0].targets[0];

    ck_assert(slice_eq(target->host, SLICE("orders.internal")));
    ck_assert(!target->is_literal);
    ck_assert_int_eq(target->weight, 7);
    ck_assert(!config->access_log.enabled);
    ck_assert(!config->tracing.trust_any);
    const struct config_route *route = &config->routes[0];

    ck_assert(slice_eq(route->match.path_prefix, SLICE("/api/v1")));
    ck_assert(slice_eq(route->match.hosts[0], SLICE("*.example.com")));
    ck_assert_uint_eq(route->match.methods, UINT32_C(1) << HTTP_GET);
    ck_assert(slice_eq(route->strip_prefix, SLICE("/api")));
    ck_assert_uint_eq(route->response_timeout_ms, 3000);
    config_unref(config);
}
END_TEST

/* Errors: the whole file behind HEAD, or by itself; the first line that is printed. */
static const struct {
    const char *text;
    const char *line;
} errors[] = {
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
    { HEAD "\"server\": {\"trusted_proxies\": [\"10.0.0.1/8\"]},\n" ROUTES,
      "t.jsonc:4:32: error: server.trusted_proxies: \"10.0.0.1/8\" has bits set behind its prefix; "
      "write the network's first address, or a longer prefix" },
    { HEAD "\"server\": {\"trusted_proxies\": [\"all\"]},\n" ROUTES,
      "t.jsonc:4:32: error: server.trusted_proxies: is not a network; write it like "
      "\"10.0.0.0/8\"" },
    { HEAD "\"server\": {\"limits\": {\"header_bytes\": \"1MiB\"}},\n" ROUTES,
      "t.jsonc:4:39: error: server.limits.header_bytes: \"1MiB\" is too large; "
      "write \"1KiB\" to \"256KiB\"" },
    { "{\"version\": 1,\n\"listeners\": {},\n" UPSTREAMS ROUTES,
      "t.jsonc:2:14: error: listeners: must not be empty" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"localhost:80\"}},\n" UPSTREAMS
          ROUTES,
      "t.jsonc:2:32: error: listeners.l.address: \"localhost:80\" is not an IP address and a port; "
      "write it like \"0.0.0.0:8080\" or \"[::]:8080\"" },
    { "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"::1:80\"}},\n" UPSTREAMS ROUTES,
      "t.jsonc:2:32: error: listeners.l.address: \"::1:80\" is not an IP address and a port; "
      "write it like \"0.0.0.0:8080\" or \"[::]:8080\"" },
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
      "\"upstreams\": {\"u\": {\"targets\": [\"http://x:1\"]}},\n" ROUTES,
      "t.jsonc:3:33: error: upstreams.u.targets[0]: \"http://x:1\" is not a host and a port; "
      "leave out the scheme and the path" },
    { "{\"version\": 1,\n" LISTENERS "\"upstreams\": {\"u\": {\"targets\": [\"x\"]}},\n" ROUTES,
      "t.jsonc:3:33: error: upstreams.u.targets[0]: \"x\" is not a host and a port; "
      "write it like \"127.0.0.1:9001\" or \"orders.internal:9001\"" },
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
    /* routes */
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
    { HEAD "\"include\": [\"nothing.jsonc\"],\n" ROUTES,
      "t.jsonc:4:13: error: include[0]: nothing.jsonc cannot be opened: No such file or "
      "directory" },
    { HEAD "\"include\": [\"t.jsonc\"],\n" ROUTES,
      "t.jsonc:4:13: error: include[0]: t.jsonc is included twice" },
    { HEAD "\"include\": \"x\",\n" ROUTES,
      "t.jsonc:4:12: error: include: must be an array, not a string; "
      "write [\"conf.d/*.jsonc\"]" },
};

START_TEST(every_error_names_its_place_and_the_remedy)
{
    struct config *config = load(errors[_i].text);

    ck_assert_msg(config == NULL, "%s", errors[_i].text);
    char *text = printed();

    ck_assert_msg(strncmp(text, errors[_i].line, strlen(errors[_i].line)) == 0,
                  "\n  expected %s\n  printed  %s", errors[_i].line, text);
    free(text);
}
END_TEST

START_TEST(all_errors_of_a_file_come_at_once)
{
    struct config *config = load("{\"version\": 3,\n\"listeners\": {\"l\": {\"address\": 1}},\n"
                                 "\"upstreams\": {\"u\": {\"targets\": [\"x\"]}},\n"
                                 "\"routes\": {\"r\": {\"match\": {}, \"upstream\": \"w\"}}}");

    ck_assert_ptr_null(config);
    ck_assert_uint_eq(diag.errors, 6);
}
END_TEST

START_TEST(included_maps_are_united)
{
    write_file("inc-a.jsonc", "{\"upstreams\": {\"a\": {\"targets\": [\"127.0.0.1:1\"]}}}");
    write_file("inc-b.jsonc",
               "{\"version\": 1, \"routes\": {\"b\": {\"match\": {\"exact\": \"/b\"},\n"
               "\"upstream\": \"a\", \"auth\": \"none\"}}}");
    struct config *config = load(HEAD "\"include\": [\"inc-*.jsonc\", \"none-*.jsonc\"],\n" ROUTES);

    assert_loads(config);
    ck_assert_uint_eq(config->upstream_count, 2);
    ck_assert_uint_eq(config->route_count, 2);
    ck_assert(slice_eq(config->routes[1].upstream->element.name, SLICE("a")));
    config_unref(config);
    unlink("inc-a.jsonc");
    unlink("inc-b.jsonc");
}
END_TEST

START_TEST(a_name_in_two_files_is_an_error_that_quotes_both)
{
    write_file("inc-a.jsonc", "{\n  \"upstreams\": {\"u\": {\"targets\": [\"127.0.0.1:1\"]}},\n"
                              "  \"server\": {}, \"include\": []}");
    struct config *config = load(HEAD "\"server\": {}, \"include\": [\"inc-a.jsonc\"],\n" ROUTES);

    ck_assert_ptr_null(config);
    char *text = printed();

    ck_assert_msg(strstr(text, "inc-a.jsonc:2:17: error: upstreams: \"u\" is also at t.jsonc:3:15; "
                               "change one of them\n") != NULL,
                  "%s", text);
    ck_assert_msg(strstr(text, "inc-a.jsonc:3:3: error: \"server\" is also at t.jsonc:4:1; "
                               "change one of them\n") != NULL,
                  "%s", text);
    ck_assert_msg(strstr(text, "inc-a.jsonc:3:17: error: an included file cannot include others; "
                               "include the files from the main file\n") != NULL,
                  "%s", text);
    free(text);
    unlink("inc-a.jsonc");
}
END_TEST

START_TEST(a_missing_file_is_told_from_a_bad_one)
{
    bool missing = false;

    ck_assert_ptr_null(config_load("absent.jsonc", &diag, &missing));
    ck_assert(missing);
    ck_assert_uint_eq(diag.errors, 1);
    diag_done(&diag);
    diag_init(&diag);
    write_file("t.jsonc", "{");
    ck_assert_ptr_null(config_load("t.jsonc", &diag, &missing));
    ck_assert(!missing);
}
END_TEST

START_TEST(an_open_admin_listener_is_a_warning)
{
    struct config *config = load(HEAD "\"admin\": {\"address\": \"0.0.0.0:9901\"},\n" ROUTES);

    assert_loads(config);
    ck_assert_uint_eq(diag.warnings, 1);
    ck_assert_str_eq(diag.entries[0].rule, "admin-public");
    config_unref(config);
}
END_TEST

START_TEST(the_echo_listener_is_added_on_demand)
{
    const struct config_load_options options = { .echo_address = "127.0.0.1:9009" };

    write_file("t.jsonc", HEAD ROUTES);
    struct config *config = config_load_with("t.jsonc", &options, &diag, NULL);

    assert_loads(config);
    ck_assert_uint_eq(config->listener_count, 2);
    ck_assert_int_eq(config->listeners[0].service, CONFIG_ECHO);
    ck_assert(slice_eq(config->listeners[0].element.name, SLICE("echo")));
    config_unref(config);
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

START_TEST(printing_shows_defaults_and_no_secret)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    write_file("t.jsonc",
               HEAD "\"providers\": {\"p\": {\"issuer\": \"https://i/\", \"audiences\": [\"a\"],\n"
                    "\"algorithms\": [\"HS256\"],\n"
                    "\"keys\": [{\"kid\": \"1\", \"secret\": {\"env\": "
                    "\"JWTGATE_HS256_SECRET\"}}]}},\n" ROUTES);
    ck_assert_int_eq(config_print("t.jsonc", &diag, out), 0);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "\"keep_alive\": \"60s\""));
    ck_assert_ptr_nonnull(strstr(text, "\"secret\": \"<env JWTGATE_HS256_SECRET>\""));
    ck_assert_ptr_nonnull(strstr(text, "\"forward_token\": false"));
    ck_assert_ptr_null(strstr(text, "0123456789-abcdefghij"));
    free(text);
}
END_TEST

START_TEST(the_files_of_the_project_load)
{
    static const char *const names[] = { "minimal.jsonc", "gateway.jsonc" };
    char path[4096];

    if (conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", conf_dir, names[_i]);
    struct config *config = config_load(path, &diag, NULL);

    assert_loads(config);
    config_unref(config);
}
END_TEST

START_TEST(the_hash_is_that_of_the_text)
{
    struct config *a = load(HEAD ROUTES);
    struct config *b = load(HEAD ROUTES);
    struct config *c = load(HEAD ROUTES "// changed\n");

    ck_assert_str_eq(a->hash, b->hash);
    ck_assert_str_ne(a->hash, c->hash);
    config_unref(config_ref(a));
    config_unref(a);
    config_unref(b);
    config_unref(c);
    config_unref(NULL);
}
END_TEST

START_TEST(the_full_file_shows_every_option_that_is_printed)
{
    char path[4096], file[32768];
    char *text = NULL;
    size_t len = 0;

    if (conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/gateway.jsonc", conf_dir);
    FILE *in = fopen(path, "r");
    FILE *out = open_memstream(&text, &len);

    file[fread(file, 1, sizeof(file) - 1, in)] = '\0';
    fclose(in);
    ck_assert_int_eq(config_print(path, &diag, out), 0);
    fclose(out);
    for (char *end = strstr(text, "\":"); end != NULL; end = strstr(end + 1, "\":")) {
        char *start = end;

        while (start[-1] != '"') {
            start--;
        }
        char name[80];

        snprintf(name, sizeof(name), "\"%.*s\"", (int)(end - start), start);
        ck_assert_msg(strstr(file, name) != NULL, "%s is not in gateway.jsonc", name);
    }
    free(text);
}
END_TEST

START_TEST(states_of_a_chain_are_aligned_and_do_not_overlap)
{
    char path[4096];

    if (conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/gateway.jsonc", conf_dir);
    struct config *config = config_load(path, &diag, NULL);

    assert_loads(config);
    const struct config_route *route = &config->routes[1];
    size_t end = 0;

    ck_assert_uint_gt(route->chain_length, 1);
    for (unsigned i = 0; i < route->chain_length; i++) {
        ck_assert_uint_eq(route->chain[i].state_offset % 16, 0);
        ck_assert_uint_ge(route->chain[i].state_offset, end);
        end = route->chain[i].state_offset + route->chain[i].plugin->state_size;
    }
    ck_assert_uint_ge(route->chain_state_bytes, end);
    config_unref(config);
}
END_TEST

/* Views: plugins that note their calls */

static char calls[32];
static bool second_fails;

static void note(char c)
{
    size_t len = strlen(calls);

    if (len + 1 < sizeof(calls)) {
        calls[len] = c;
        calls[len + 1] = '\0';
    }
}

static int init_first(struct gw_worker *worker, const void *top, void **ret_worker)
{
    note('a');
    *ret_worker = calls;
    return 0;
}

static int init_second(struct gw_worker *worker, const void *top, void **ret_worker)
{
    note('b');
    *ret_worker = calls;
    return second_fails ? ERR_NO_MEMORY : 0;
}

static void done_first(void *worker)
{
    note('A');
}

static void done_second(void *worker)
{
    note('B');
}

static const struct gw_plugin first_plugin = { .name = "first",
                                               .worker_init = init_first,
                                               .worker_done = done_first };
static const struct gw_plugin second_plugin = { .name = "second",
                                                .worker_init = init_second,
                                                .worker_done = done_second };

static struct config *config_of_two(void)
{
    static const struct gw_plugin *plugins[] = { &first_plugin, &second_plugin };
    static void *tops[2];
    struct config *config = calloc(1, sizeof(*config));

    ck_assert_ptr_nonnull(config);
    config->plugins = plugins;
    config->tops = tops;
    config->plugin_count = 2;
    atomic_init(&config->refs, 1);
    calls[0] = '\0';
    return config;
}

START_TEST(a_view_starts_plugins_in_order_and_ends_them_in_reverse)
{
    struct config *config = config_of_two();

    second_fails = false;
    struct config_view *view = config_view_new(config, NULL);

    ck_assert_ptr_nonnull(view);
    config_unref(config); /* the view holds it */
    config_view_unref(config_view_ref(view));
    ck_assert_str_eq(calls, "ab");
    config_view_unref(view);
    ck_assert_str_eq(calls, "abBA");
    config_view_unref(NULL);
}
END_TEST

START_TEST(a_plugin_that_cannot_start_ends_those_before_it)
{
    struct config *config = config_of_two();

    second_fails = true;
    ck_assert_ptr_null(config_view_new(config, NULL));
    ck_assert_str_eq(calls, "abA");
    ck_assert_int_eq(atomic_load(&config->refs), 1);
    config_unref(config);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static Suite *make_suite(void)
{
    Suite *suite = suite_create("config");
    TCase *tc = tcase_create("config");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_small_file_gets_all_defaults);
    tcase_add_test(tc, what_is_written_is_what_is_built);
    tcase_add_loop_test(tc, every_error_names_its_place_and_the_remedy, 0, COUNT(errors));
    tcase_add_test(tc, all_errors_of_a_file_come_at_once);
    tcase_add_test(tc, included_maps_are_united);
    tcase_add_test(tc, a_name_in_two_files_is_an_error_that_quotes_both);
    tcase_add_test(tc, a_missing_file_is_told_from_a_bad_one);
    tcase_add_test(tc, an_open_admin_listener_is_a_warning);
    tcase_add_test(tc, the_echo_listener_is_added_on_demand);
    tcase_add_loop_test(tc, trusted_proxies_are_found_by_network, 0, COUNT(trusted));
    tcase_add_test(tc, printing_shows_defaults_and_no_secret);
    tcase_add_loop_test(tc, the_files_of_the_project_load, 0, 2);
    tcase_add_test(tc, the_hash_is_that_of_the_text);
    tcase_add_test(tc, the_full_file_shows_every_option_that_is_printed);
    tcase_add_test(tc, states_of_a_chain_are_aligned_and_do_not_overlap);
    tcase_add_test(tc, a_view_starts_plugins_in_order_and_ends_them_in_reverse);
    tcase_add_test(tc, a_plugin_that_cannot_start_ends_those_before_it);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    static const char from_here[] = "/../../conf";
    char source[] = __FILE__;
    char folder[] = "test_config_XXXXXX";
    char *slash = strrchr(source, '/');

    if (slash != NULL && (size_t)(slash - source) + sizeof(from_here) < 4096) {
        char path[4096];

        snprintf(path, sizeof(path), "%.*s%s", (int)(slash - source), source, from_here);
        conf_dir = realpath(path, NULL);
    }
    if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
        return 1;
    }
    SRunner *runner = srunner_create(make_suite());

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    free(conf_dir);
    unlink("t.jsonc");
    if (chdir("..") == 0) {
        rmdir(folder);
    }
    return failed == 0 ? 0 : 1;
}
