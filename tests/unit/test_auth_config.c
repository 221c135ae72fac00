/* SPDX-License-Identifier: Apache-2.0 */
/* The key "auth" of a route: what is understood, and how each mistake is told. */
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/fake_host.h"

static struct fake_host host;

static unsigned load(const char *auth)
{
    char text[4096];

    setenv("JWTGATE_TEST_SECRET", "0123456789abcdef0123456789abcdef", 1);
    snprintf(text, sizeof(text),
             "{\"providers\": {"
             "\"b\": {\"issuer\": \"https://b/\", \"audiences\": \"any\", \"algorithms\": "
             "[\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": "
             "\"JWTGATE_TEST_SECRET\"}}]},"
             "\"a\": {\"issuer\": \"https://a/\", \"audiences\": \"any\", \"algorithms\": "
             "[\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": "
             "\"JWTGATE_TEST_SECRET\"}}]},"
             "\"a2\": {\"issuer\": \"https://a/\", \"audiences\": \"any\", \"algorithms\": "
             "[\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": "
             "\"JWTGATE_TEST_SECRET\"}}]}},"
             "\"routes\": {\"r\": {%s}}}",
             auth);
    return fake_host_load(&host, builtin_plugins, text);
}

/* What the jwt plugin has made of it; NULL: it is not on the route. */
static const struct jwt_route *route_of(const char *auth)
{
    unsigned errors = load(auth);

    if (errors > 0) {
        diag_print(&host.diag, stderr);
    }
    ck_assert_uint_eq(errors, 0);
    for (size_t i = 0; i < host.plugin_count; i++) {
        if (host.plugins[i] == &jwt_plugin) {
            return host.routes[0].on_route[i] ? host.routes[0].configs[i] : NULL;
        }
    }
    return NULL;
}

START_TEST(none_is_the_word_for_public)
{
    ck_assert_ptr_null(route_of("\"auth\": \"none\""));
    fake_host_done(&host);
}
END_TEST

START_TEST(one_provider_is_one_alternative)
{
    const struct jwt_route *route = route_of("\"auth\": {\"provider\": \"a\"}");

    ck_assert_uint_eq(route->alternative_count, 1);
    ck_assert_ptr_eq(route->single, &route->alternatives[0]);
    ck_assert(slice_eq(route->single->provider->issuer, SLICE("https://a/")));
    ck_assert_uint_eq(route->single->index, 1); /* in the order of the text */
    ck_assert(!route->has_rules && !route->is_optional && !route->forward_token);
    ck_assert_int_eq(route->single->revocation, JWT_REVOCATION_FILTERED);
    fake_host_done(&host);
}
END_TEST

START_TEST(alternatives_keep_their_rules_apart)
{
    const struct jwt_route *route = route_of(
        "\"auth\": {\"optional\": {\"any_of\": ["
        "{\"provider\": \"a\", \"scopes\": [\"x\", \"y\"]},"
        "{\"provider\": \"b\", \"scopes\": {\"any\": [\"z\"]}, \"revocation\": \"off\","
        " \"claims\": {\"tenant\": [\"t\", 1, true], \"/r/s\": {\"contains\": \"v\"}}}]}}");
    const struct jwt_alternative *a = &route->alternatives[0], *b = &route->alternatives[1];

    ck_assert_uint_eq(route->alternative_count, 2);
    ck_assert_ptr_null(route->single);
    ck_assert(route->has_rules && route->is_optional);
    ck_assert_uint_eq(a->scope_count, 2);
    ck_assert(!a->any_scope && b->any_scope);
    ck_assert_uint_eq(a->rule_count, 0);
    ck_assert_uint_eq(b->rule_count, 2);
    ck_assert_uint_eq(b->rules[0].value_count, 3);
    ck_assert_int_eq(b->rules[0].values[1].type, JSON_NUMBER);
    ck_assert(b->rules[1].contains && slice_eq(b->rules[1].name, SLICE("/r/s")));
    ck_assert_int_eq(b->revocation, JWT_REVOCATION_OFF);
    ck_assert_ptr_nonnull(memmem(a->challenge.ptr, a->challenge.len, "scope=\"x y\"", 11));
    fake_host_done(&host);
}
END_TEST

START_TEST(each_route_has_a_number_of_its_own)
{
    uint64_t first = route_of("\"auth\": {\"provider\": \"a\"}")->number;

    fake_host_done(&host);
    ck_assert(route_of("\"auth\": {\"provider\": \"a\"}")->number != first);
    fake_host_done(&host);
}
END_TEST

static const struct {
    const char *auth, *message;
} mistakes[] = {
    { "", "\"auth\" is missing" },
    { "\"auth\": \"public\"", "not a way to authenticate" },
    { "\"auth\": 5", "not a way to authenticate" },
    { "\"auth\": {\"optional\": \"none\"}", "not a way to authenticate" },
    { "\"auth\": {}", "\"provider\" is missing" },
    { "\"auth\": {\"provider\": \"c\"}", "there are: a, a2, b" },
    { "\"auth\": {\"provider\": \"a\", \"scope\": [\"x\"]}", "\"scope\"" },
    { "\"auth\": {\"provider\": \"a\", \"scopes\": []}", "one scope or more" },
    { "\"auth\": {\"provider\": \"a\", \"scopes\": [\"a b\"]}", "one scope or more" },
    { "\"auth\": {\"provider\": \"a\", \"scopes\": [\"a\\\"\"]}", "one scope or more" },
    { "\"auth\": {\"provider\": \"a\", \"scopes\": {\"any\": []}}", "one scope or more" },
    { "\"auth\": {\"provider\": \"a\", \"claims\": {}}", "one rule or more" },
    { "\"auth\": {\"provider\": \"a\", \"claims\": {\"x\": null}}", "is not one that is known" },
    { "\"auth\": {\"provider\": \"a\", \"claims\": {\"x\": []}}", "is not one that is known" },
    { "\"auth\": {\"provider\": \"a\", \"claims\": {\"x\": {\"is\": 1}}}",
      "is not one that is known" },
    { "\"auth\": {\"any_of\": []}", "1 to 16 alternatives" },
    { "\"auth\": {\"any_of\": [5]}", "not an object" },
    { "\"auth\": {\"any_of\": [{\"provider\": \"a\"}, {\"provider\": \"a2\"}]}",
      "have the same issuer" },
    { "\"auth\": {\"provider\": \"a\", \"revocation\": \"never\"}", "filtered" },
};

START_TEST(each_mistake_is_told)
{
    ck_assert_uint_gt(load(mistakes[_i].auth), 0);
    ck_assert_msg(fake_host_complains(&host, mistakes[_i].message), "%s: %s", mistakes[_i].auth,
                  mistakes[_i].message);
    fake_host_done(&host);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth_config");
    TCase *tcase = tcase_create("auth_config");

    tcase_add_test(tcase, none_is_the_word_for_public);
    tcase_add_test(tcase, one_provider_is_one_alternative);
    tcase_add_test(tcase, alternatives_keep_their_rules_apart);
    tcase_add_test(tcase, each_route_has_a_number_of_its_own);
    tcase_add_loop_test(tcase, each_mistake_is_told, 0,
                        (int)(sizeof(mistakes) / sizeof(mistakes[0])));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
