/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests wait for keys, for how long, and what is remembered: one worker and
 * a key server. */
#include "core/clock.h"
#include "core/loop.h"
#include "plugins/jwt/remote.h"

#include <check.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/fake_host.h"
#include "tests/support/fake_process.h"
#include "tests/support/key_server.h"

#define MIN_REFRESH_MS 1000u

static struct loop *loop;
static struct provider provider;
static struct provider *list[] = { &provider };
static const struct provider_list providers = { .items = list, .count = 1 };
static struct verify_keys keys;
static struct remote remote;
static struct remote_process *process;
static struct gw_process gw;

/* ---- fixture ---- */

static struct remote *find(void *worker, unsigned provider_index)
{
    ck_assert_uint_eq(provider_index, 0);
    return worker;
}

static void setup(void)
{
    loop = loop_new();
    key_server_start();
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    provider = (struct provider){
        .element = { .name = SLICE("corp") },
        .has_jwks = true,
        .jwks = { .uri = slice_str(key_server_uri()),
                  .allow_http = true,
                  .timeout_ms = 5000,
                  .max_bytes = 4096,
                  .cache = { .ttl_ms = 3600000, .min_refresh_ms = MIN_REFRESH_MS } },
    };
    gw = (struct gw_process){ .loop = loop, .worker = &remote };
    fake_host_lets_wait = true;
    memset(&remote, 0, sizeof(remote));
    ck_assert_int_eq(verify_keys_init(&keys, &provider), 0);
    remote_init(&remote, &keys, &provider);
}

static void teardown(void)
{
    clock_unset();
    key_server_stop();
    remote_process_free(process);
    process = NULL;
    remote_done(&remote);
    verify_keys_done(&keys);
    loop_free(loop);
}

static void start_process(void)
{
    ck_assert_int_eq(remote_process_new(&gw, &providers, find, &process), 0);
    gw.state = process;
    while (remote.news == NULL) {
        loop_turn(loop, true);
    }
}

static enum gw_verdict begin(const char *kid, struct remote_wait *wait, enum jwt_reason *reason)
{
    return remote_wait_begin(
        NULL, &remote,
        &(struct remote_question){ .process = &gw, .kid = slice_str(kid), .may_be_newer = true },
        wait, NULL, reason);
}

static void expect_wait(const char *kid)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;

    ck_assert_int_eq(begin(kid, &wait, &reason), GW_WAIT);
    ck_assert_uint_eq(fake_host_sleep_ms, REMOTE_WAIT_MS);
    (void)remote_wait_end(&wait);
}

static void expect_refusal(const char *kid, enum jwt_reason reason)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason found;

    ck_assert_int_eq(begin(kid, &wait, &found), GW_REPLY);
    ck_assert_str_eq(jwt_reason_name(found), jwt_reason_name(reason));
}

/* The time is `ms` after now, and stands still. */
static void later(uint64_t ms)
{
    uint64_t now = clock_ms();

    clock_set(now + ms, clock_unix_us() + ms * 1000u);
}

/* ---- tests ---- */

START_TEST(so_many_wait_and_no_more)
{
    static struct remote_wait waits[REMOTE_MAX_WAITING];
    enum jwt_reason reason;

    for (size_t i = 0; i < REMOTE_MAX_WAITING; i++) {
        ck_assert_int_eq(begin("a", &waits[i], &reason), GW_WAIT);
    }
    ck_assert_uint_eq(gw.posted, 1);
    expect_refusal("a", JWT_JWKS_UNAVAILABLE);
    ck_assert(!remote_wait_end(&waits[7])); /* its time was over */
    ck_assert(!remote_wait_end(&waits[7])); /* once more is harmless */
    expect_wait("a");
    for (size_t i = 0; i < REMOTE_MAX_WAITING; i++) {
        (void)remote_wait_end(&waits[i]);
    }
    ck_assert_uint_eq(remote.waiting, 0);
}
END_TEST

START_TEST(a_question_without_an_answer_is_asked_again)
{
    later(0);
    expect_wait("a");
    expect_wait("b");
    later(REMOTE_WAIT_MS - 1);
    expect_wait("a");
    ck_assert_uint_eq(gw.posted, 1);
    later(1);
    expect_wait("a");
    ck_assert_uint_eq(gw.posted, 2);
}
END_TEST

START_TEST(nobody_asks_for_a_token_that_keys_cannot_save)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;
    struct remote_question hopeless = { .process = &gw, .kid = SLICE("a") };
    struct remote_question offline = { .kid = SLICE("a"), .may_be_newer = true };

    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &hopeless, &wait, NULL, &reason), GW_REPLY);
    ck_assert_int_eq(reason, JWT_JWKS_UNAVAILABLE); /* there are no keys at all */
    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &offline, &wait, NULL, &reason), GW_REPLY);
    start_process();
    ck_assert_int_eq(remote_wait_begin(NULL, &remote, &hopeless, &wait, NULL, &reason), GW_REPLY);
    ck_assert_int_eq(reason, JWT_KID_UNKNOWN);
    ck_assert_uint_eq(gw.posted, 0);
}
END_TEST

START_TEST(the_answer_ends_all_waits_and_one_fetch_serves_min_refresh)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;

    start_process();
    ck_assert_ptr_nonnull(keys.remote);
    later(0);
    expect_refusal("b", JWT_KID_UNKNOWN); /* the first fetch has just begun */
    ck_assert_uint_eq(gw.posted, 0);
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(begin("b", &wait, &reason), GW_WAIT);
    clock_unset();
    unsigned before = fake_host_woken;
    while (fake_host_woken == before) {
        loop_turn(loop, true);
    }
    ck_assert(remote_wait_end(&wait));
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_KID_UNKNOWN);
    ck_assert_uint_eq(gw.posted, 1);
}
END_TEST

START_TEST(a_kid_that_was_missing_is_remembered_for_a_while)
{
    char kid[16];

    start_process();
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_KID_UNKNOWN);
    expect_refusal("b", JWT_KID_UNKNOWN);
    ck_assert_uint_eq(gw.posted, 0);
    later(2 * MIN_REFRESH_MS - 1);
    expect_refusal("b", JWT_KID_UNKNOWN);
    later(1);
    expect_wait("b");
    /* There is room for so many; what is forgotten is asked for again, at most once in min_refresh. */
    for (unsigned i = 0; i < 10 * REMOTE_MISSES; i++) {
        snprintf(kid, sizeof(kid), "kid-%u", i);
        ck_assert_int_eq(remote_missed(&remote, slice_str(kid), true), JWT_KID_UNKNOWN);
    }
    expect_refusal(kid, JWT_KID_UNKNOWN);
}
END_TEST

START_TEST(who_could_not_be_asked_knows_nothing)
{
    start_process();
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), false), JWT_JWKS_UNAVAILABLE);
    key_server_say("/keys", KEY_SERVER_FAILS);
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;
    ck_assert_int_eq(begin("b", &wait, &reason), GW_WAIT);
    clock_unset();
    unsigned before = fake_host_woken;
    while (fake_host_woken == before) {
        loop_turn(loop, true);
    }
    ck_assert(remote_wait_end(&wait));
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_JWKS_UNAVAILABLE);
    later(MIN_REFRESH_MS);
    expect_wait("b");                   /* not remembered as missing */
    ck_assert_ptr_nonnull(keys.remote); /* the last good set serves on */
}
END_TEST

/* Verdicts under the old keys are of another generation, and what was missing may be there now. */
START_TEST(new_keys_are_another_generation)
{
    struct remote_wait wait = { 0 };
    enum jwt_reason reason;

    start_process();
    uint64_t before = keys.generation;
    later(MIN_REFRESH_MS);
    ck_assert_int_eq(remote_missed(&remote, SLICE("b"), true), JWT_KID_UNKNOWN);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_B));
    ck_assert_int_eq(begin("c", &wait, &reason), GW_WAIT);
    clock_unset();
    unsigned woken = fake_host_woken;
    while (fake_host_woken == woken) {
        loop_turn(loop, true);
    }
    ck_assert(remote_wait_end(&wait));
    ck_assert_uint_eq(keys.remote->count, 2);
    ck_assert_uint_ne(keys.generation, before);
    later(2 * MIN_REFRESH_MS); /* it would still be remembered */
    expect_wait("b");
}
END_TEST

START_TEST(news_that_did_not_reach_all_are_told_again)
{
    gw.publish_fails = 1;
    ck_assert_int_eq(remote_process_new(&gw, &providers, find, &process), 0);
    while (remote.news == NULL) {
        loop_turn(loop, true);
    }
    ck_assert_uint_eq(gw.publish_fails, 0);
    ck_assert_ptr_nonnull(keys.remote);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remote");
    TCase *tcase = tcase_create("remote");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, so_many_wait_and_no_more);
    tcase_add_test(tcase, a_question_without_an_answer_is_asked_again);
    tcase_add_test(tcase, nobody_asks_for_a_token_that_keys_cannot_save);
    tcase_add_test(tcase, the_answer_ends_all_waits_and_one_fetch_serves_min_refresh);
    tcase_add_test(tcase, a_kid_that_was_missing_is_remembered_for_a_while);
    tcase_add_test(tcase, who_could_not_be_asked_knows_nothing);
    tcase_add_test(tcase, new_keys_are_another_generation);
    tcase_add_test(tcase, news_that_did_not_reach_all_are_told_again);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
