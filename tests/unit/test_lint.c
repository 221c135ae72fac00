/* SPDX-License-Identifier: Apache-2.0 */
/* Valid and dangerous values of providers, and their neighbours that are neither. */
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/fake_host.h"

#define BASE                                                                                       \
    "\"issuer\": \"https://a/\", \"algorithms\": [\"HS256\"], \"keys\": [{\"kid\": \"k\", "        \
    "\"secret\": {\"env\": \"JWTGATE_TEST_GOOD\"}}]"
#define KEYLESS(env)                                                                               \
    "\"issuer\": \"https://a/\", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", "               \
    "\"algorithms\": [\"HS256\"], \"keys\": [{\"kid\": \"k\", \"secret\": {\"env\": \"" env        \
    "\"}}]"
#define JWKS(uri)                                                                                  \
    "\"issuer\": \"https://a/\", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", "               \
    "\"algorithms\": [\"RS256\"], \"jwks\": {\"uri\": \"" uri "\", \"allow_http\": true}"

static const struct {
    const char *provider, *rule; /* NULL: none */
} providers[] = {
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\"", NULL },
    { BASE ", \"audiences\": \"any\", \"max_lifetime\": \"1h\"", "audience-any" },
    { BASE ", \"audiences\": [\"any\"], \"max_lifetime\": \"1h\"", NULL },
    { BASE ", \"audiences\": [\"x\", \"y\"], \"max_lifetime\": \"1h\"", "hs-secret-shared" },
    { BASE ", \"audiences\": [\"x\"]", "lifetime-unbounded" },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"25h\"", "lifetime-unbounded" },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"24h\"", NULL },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", \"clock_skew\": \"5m\"", NULL },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", \"token\": {\"query\": \"t\"}",
      "token-in-query" },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", \"token\": {\"cookie\": \"t\"}",
      "token-in-cookie" },
    { BASE ", \"audiences\": [\"x\"], \"max_lifetime\": \"1h\", \"token\": {\"header\": \"t\"}",
      NULL },
    { KEYLESS("JWTGATE_TEST_REPEATS"), "weak-secret" },
    { KEYLESS("JWTGATE_TEST_FLAT"), "weak-secret" },
    { KEYLESS("JWTGATE_TEST_GOOD"), NULL },
    { JWKS("http://keys.test/set"), "jwks-over-http" },
    { JWKS("https://keys.test/set"), NULL },
};

static struct fake_host host;

static void lint(void)
{
    static const char *const dirs[] = { ".", "." };
    const struct option_context ctx = { .diag = &host.diag,
                                        .arena = &host.arena,
                                        .file_dir = dirs };

    for (size_t i = 0; i < host.plugin_count; i++) {
        if (host.plugins[i] == &jwt_plugin) {
            jwt_plugin.lint(host.tops[i], &ctx, NULL, 0);
        }
    }
}

START_TEST(a_provider_is_dangerous_or_not)
{
    char text[2048];

    setenv("JWTGATE_TEST_GOOD", "kX9vQ2mZr7LwP4sTyB6nHc1dJf8gUe3a", 1);
    setenv("JWTGATE_TEST_REPEATS", "abcdefghabcdefghabcdefghabcdefgh", 1);
    setenv("JWTGATE_TEST_FLAT", "aaaabaaaacaaaadaaaaeaaaafaaaagaaaah", 1);
    snprintf(text, sizeof(text), "{\"providers\": {\"p\": {%s}}, \"routes\": {}}",
             providers[_i].provider);
    if (fake_host_load(&host, builtin_plugins, text) > 0) {
        diag_print(&host.diag, stderr);
        ck_abort();
    }
    lint();
    ck_assert_uint_eq(host.diag.errors, 0);
    if (providers[_i].rule == NULL) {
        ck_assert_uint_eq(host.diag.count, 0);
    } else {
        ck_assert_uint_eq(host.diag.count, 1);
        ck_assert_str_eq(host.diag.entries[0].rule, providers[_i].rule);
        ck_assert_int_eq(strncmp(host.diag.entries[0].path, "providers.p", 11), 0);
        ck_assert_ptr_nonnull(host.diag.entries[0].remedy);
    }
    fake_host_done(&host);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lint");
    TCase *tcase = tcase_create("lint");

    tcase_add_loop_test(tcase, a_provider_is_dangerous_or_not, 0,
                        (int)(sizeof(providers) / sizeof(providers[0])));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
