/* SPDX-License-Identifier: Apache-2.0 */
/* What the providers of a store show of it: numbers, readiness, names. */
#include <check.h>

#include <stdio.h>

#include "tests/support/jwks_fixture.h"

static unsigned heard[FAKE_PROCESS_CHECKS + 1];

static int64_t gauge(const char *name, const char *provider)
{
    char family[64], labels[200];

    snprintf(family, sizeof(family), "jwtgate_jwks_%s", name);
    snprintf(labels, sizeof(labels), "provider=\"%s\"", provider);
    return fake_process_number(family, labels);
}

static int64_t counter(const char *family, const char *provider, const char *label)
{
    char labels[200];

    snprintf(labels, sizeof(labels), "provider=\"%s\",%s", provider, label);
    return fake_process_number(family, labels);
}

START_TEST(each_counts_as_if_the_store_was_its_own)
{
    jf_watch("corp", &heard[0]);
    struct jwks_watch *watch = jf_watch_with_keys("partner", &heard[1]);

    key_server_say("/keys", KEY_SERVER_OK("", KEYS_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    for (unsigned i = 0; i < 2; i++) {
        const char *name = i == 0 ? "corp" : "partner";
        ck_assert_int_eq(counter("jwtgate_jwks_fetches_total", name, "result=\"ok\""), 2);
        ck_assert_int_eq(counter("jwtgate_jwks_suspicious_total", name, "reason=\"all_replaced\""),
                         1);
        ck_assert_uint_eq(heard[i], 2);
    }
    ck_assert_uint_eq(key_server_asked("/keys"), 2);
}
END_TEST

START_TEST(gauges_are_as_the_store_is)
{
    jf_watch("corp", &heard[0]);
    ck_assert_int_eq(gauge("keys", "corp"), 0);
    ck_assert_int_eq(gauge("last_success_timestamp_seconds", "corp"), 0);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_SECRET));
    JF_UNTIL(heard[0] == 1);
    ck_assert_int_eq(gauge("keys", "corp"), 1);
    ck_assert_int_eq(gauge("keys_skipped", "corp"), 1);
    ck_assert_int_eq(gauge("last_success_timestamp_seconds", "corp"), clock_unix());
    jf_watch("late", &heard[1]); /* has at once what is there */
    ck_assert_int_eq(gauge("keys", "late"), 1);
    int64_t success = gauge("last_success_timestamp_seconds", "corp");
    key_server_say("/keys", KEY_SERVER_FAILS);
    jf_later(JF_TTL_MS + JF_STALE_MS);
    JF_UNTIL(gauge("keys", "corp") == 0);
    ck_assert_int_eq(gauge("last_success_timestamp_seconds", "corp"), success);
}
END_TEST

static void assert_shown(const char *provider, bool is_shown)
{
    ck_assert((gauge("keys", provider) >= 0) == is_shown);
    ck_assert((gauge("keys_skipped", provider) >= 0) == is_shown);
    ck_assert((gauge("last_success_timestamp_seconds", provider) >= 0) == is_shown);
}

START_TEST(who_has_gone_has_no_gauges)
{
    struct jwks_watch *corp = jf_watch_with_keys("corp", &heard[0]);

    jf_watch("partner", &heard[1]);
    jf_unwatch(corp);
    assert_shown("corp", false);
    assert_shown("partner", true);
    ck_assert_int_eq(counter("jwtgate_jwks_fetches_total", "corp", "result=\"ok\""), 1);
    jf_watch("corp", &heard[0]);
    assert_shown("corp", true);
    ck_assert_int_eq(gauge("keys", "corp"), 1);
}
END_TEST

/* For a while a reload has both; also when the provider's source is another one now. */
START_TEST(a_provider_that_stays_keeps_its_gauges)
{
    struct jwks_watch *before = jf_watch_with_keys("corp", &heard[0]);

    jf.options.timeout_ms += _i; /* 0: the same store */
    struct jwks_watch *after = jf_watch("corp", &heard[1]);
    ck_assert((before->store == after->store) == (_i == 0));
    watches_show(before->store); /* the old one has news until it goes */
    jf_unwatch(before);
    assert_shown("corp", true);
    ck_assert_int_eq(gauge("keys", "corp"), _i == 0 ? 1 : 0); /* those of its store */
    JF_UNTIL(jwks_watch_set(after) != NULL);
    ck_assert_int_eq(gauge("keys", "corp"), 1);
}
END_TEST

START_TEST(a_provider_is_ready_once_it_has_had_keys)
{
    struct jwks_watch *watch = jf_watch("corp", &heard[0]);
    const struct gw_check *check = &jf.gw.checks[0];

    ck_assert_str_eq(check->name, "jwks/corp");
    ck_assert(!check->ok);
    ck_assert_str_eq(check->why, "its keys have not been fetched");
    JF_UNTIL(jwks_watch_set(watch) != NULL);
    ck_assert(check->ok);
    jf_watch("late", &heard[1]);
    ck_assert(jf.gw.checks[1].ok);
    key_server_say("/keys", KEY_SERVER_FAILS);
    jf_later(JF_TTL_MS + JF_STALE_MS);
    JF_UNTIL(jwks_watch_set(watch) == NULL);
    ck_assert(check->ok);
}
END_TEST

START_TEST(more_than_there_are_checks_work_without)
{
    char name[] = "p0";

    for (unsigned i = 0; i < FAKE_PROCESS_CHECKS + 1; i++) {
        name[1] = (char)('0' + i);
        jf_watch(name, &heard[i]);
    }
    JF_UNTIL(heard[FAKE_PROCESS_CHECKS] == 1);
    ck_assert_uint_eq(jf.gw.check_count, FAKE_PROCESS_CHECKS);
    for (unsigned i = 0; i < FAKE_PROCESS_CHECKS; i++) {
        ck_assert(jf.gw.checks[i].ok);
    }
}
END_TEST

START_TEST(a_store_is_called_by_its_providers)
{
    struct jwks_watch *corp = jf_watch("corp", &heard[0]);
    struct jwks_watch *partner = jf_watch("partner", &heard[1]);
    struct jwks_watch *again = jf_watch("corp", &heard[2]);

    ck_assert_str_eq(corp->store->names, "corp,partner");
    jf_unwatch(corp);
    ck_assert_str_eq(partner->store->names, "corp,partner");
    jf_unwatch(again);
    ck_assert_str_eq(partner->store->names, "partner");
}
END_TEST

START_TEST(a_long_name_is_cut_in_numbers)
{
    char name[301] = "", cut[129] = "";

    memset(name, 'n', sizeof(name) - 1);
    memset(cut, 'n', sizeof(cut) - 1);
    jf_unwatch(jf_watch_with_keys(name, &heard[0]));
    ck_assert_int_eq(counter("jwtgate_jwks_fetches_total", cut, "result=\"ok\""), 1);
    assert_shown(cut, false);
    jwks_watch_free(NULL);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("watch");

    tcase_add_test(tc, each_counts_as_if_the_store_was_its_own);
    tcase_add_test(tc, gauges_are_as_the_store_is);
    tcase_add_test(tc, who_has_gone_has_no_gauges);
    tcase_add_loop_test(tc, a_provider_that_stays_keeps_its_gauges, 0, 2);
    tcase_add_test(tc, a_provider_is_ready_once_it_has_had_keys);
    tcase_add_test(tc, more_than_there_are_checks_work_without);
    tcase_add_test(tc, a_store_is_called_by_its_providers);
    tcase_add_test(tc, a_long_name_is_cut_in_numbers);
    return jwks_fixture_run(tc);
}
