/* SPDX-License-Identifier: Apache-2.0 */
/* `check --online`: what is said of a key server that is there, is not, or talks nonsense. */
#include "plugins/jwks/probe.h"

#include <check.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/key_server.h"

static struct {
    char text[4096];
    unsigned good, bad;
} said;

static void on_line(void *arg, bool ok, const char *text)
{
    size_t len = strlen(said.text);

    snprintf(said.text + len, sizeof(said.text) - len, "%s\n", text);
    said.good += ok;
    said.bad += !ok;
}

static void setup(void)
{
    memset(&said, 0, sizeof(said));
    key_server_start();
}

static void probe(bool discovery)
{
    struct jwks_options options = { .uri = discovery ? SLICE_ABSENT : slice_str(key_server_uri()),
                                    .discovery = discovery,
                                    .allow_http = true,
                                    .timeout_ms = 5000,
                                    .max_bytes = 4096 };

    jwks_probe(&options, SLICE("corp"), slice_str(key_server_origin()), on_line, NULL);
}

/* `slash`: what the metadata's issuer has more than the address that it was asked for by. */
static void say_metadata(const char *path, const char *slash)
{
    char text[512];

    snprintf(text, sizeof(text),
             KEY_SERVER_OK("", "{\"issuer\":\"%s%s\",\"jwks_uri\":\"%s/keys\"}"),
             key_server_origin(), slash, key_server_origin());
    key_server_say(path, text);
}

static void assert_said(const char *text)
{
    ck_assert_msg(strstr(said.text, text) != NULL, "%s in:\n%s", text, said.text);
}

START_TEST(keys_that_came_are_listed)
{
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_SECRET));
    probe(false);
    ck_assert_uint_eq(said.bad, 0);
    assert_said("jwks/corp: ok: 1 key from http://127.0.0.1:");
    assert_said("jwks/corp: key \"a\"");
    assert_said("key \"s\" skipped");
}
END_TEST

START_TEST(what_is_no_set_is_told)
{
    key_server_say("/keys", KEY_SERVER_OK("", "<html>"));
    probe(false);
    ck_assert_uint_eq(said.good, 0);
    assert_said("it is not JSON");
}
END_TEST

START_TEST(a_status_is_told)
{
    probe(false);
    ck_assert_uint_eq(said.bad, 1);
    assert_said("status 404");
}
END_TEST

static const char *const well_known[] = { "/.well-known/openid-configuration",
                                          "/.well-known/oauth-authorization-server" };

START_TEST(metadata_lead_to_the_keys)
{
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    say_metadata(well_known[_i], "");
    probe(true);
    ck_assert_uint_eq(said.bad, 0);
    assert_said("ok: 1 key from");
}
END_TEST

START_TEST(metadata_of_another_issuer_are_told)
{
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    say_metadata(well_known[1], "/");
    probe(true);
    ck_assert_uint_eq(said.good, 0);
    ck_assert_uint_eq(said.bad, 1); /* not one for each place that was looked at */
    assert_said("the metadata are of another issuer");
}
END_TEST

START_TEST(no_metadata_at_all_are_told_once)
{
    probe(true);
    ck_assert_uint_eq(said.good, 0);
    ck_assert_uint_eq(said.bad, 1);
    assert_said("status 404");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe");
    TCase *tcase = tcase_create("probe");

    tcase_add_checked_fixture(tcase, setup, key_server_stop);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, keys_that_came_are_listed);
    tcase_add_test(tcase, what_is_no_set_is_told);
    tcase_add_test(tcase, a_status_is_told);
    tcase_add_loop_test(tcase, metadata_lead_to_the_keys, 0, 2);
    tcase_add_test(tcase, metadata_of_another_issuer_are_told);
    tcase_add_test(tcase, no_metadata_at_all_are_told_once);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
