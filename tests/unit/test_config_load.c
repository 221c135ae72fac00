/* SPDX-License-Identifier: Apache-2.0 */
/* A file to a snapshot: defaults, values, all errors at once, the examples of the project. */
#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/config_file.h"

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

START_TEST(all_errors_of_a_file_come_at_once)
{
    struct config *config = load("{\"version\": 3,\n\"listeners\": {\"l\": {\"address\": 1}},\n"
                                 "\"upstreams\": {\"u\": {\"targets\": [\"x\"]}},\n"
                                 "\"routes\": {\"r\": {\"match\": {}, \"upstream\": \"w\"}}}");

    ck_assert_ptr_null(config);
    ck_assert_uint_eq(diag.errors, 6);
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

START_TEST(the_files_of_the_project_load)
{
    static const char *const names[] = { "minimal.jsonc", "gateway.jsonc" };
    char path[4096];

    if (config_file_conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", config_file_conf_dir, names[_i]);
    struct config *config = config_load(path, &diag, NULL);

    assert_loads(config);
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

START_TEST(the_full_file_shows_every_option_that_is_printed)
{
    char path[4096], file[32768];
    char *text = NULL;
    size_t len = 0;

    if (config_file_conf_dir == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "%s/gateway.jsonc", config_file_conf_dir);
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

int main(void)
{
    Suite *suite = suite_create("config_load");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, a_small_file_gets_all_defaults);
    tcase_add_test(tc, what_is_written_is_what_is_built);
    tcase_add_test(tc, all_errors_of_a_file_come_at_once);
    tcase_add_test(tc, the_hash_is_that_of_the_text);
    tcase_add_test(tc, the_echo_listener_is_added_on_demand);
    tcase_add_loop_test(tc, the_files_of_the_project_load, 0, 2);
    tcase_add_test(tc, printing_shows_defaults_and_no_secret);
    tcase_add_test(tc, the_full_file_shows_every_option_that_is_printed);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
