/* SPDX-License-Identifier: Apache-2.0 */
/* One store: when it asks, what it takes, how long that is used. */
#include "plugins/jwks/disk.h"

#include <check.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/jwks_fixture.h"

#define OPENID "/.well-known/openid-configuration"
#define OAUTH  "/.well-known/oauth-authorization-server"

static unsigned heard;

static int64_t fetches(const char *result)
{
    char labels[64];

    snprintf(labels, sizeof(labels), "provider=\"corp\",result=\"%s\"", result);
    return fake_process_number("jwtgate_jwks_fetches_total", labels);
}

static unsigned asked(void)
{
    return key_server_asked("/keys");
}

/* ---- when it asks ---- */

START_TEST(the_first_try_comes_with_the_next_turn)
{
    struct jwks_watch *watch = jf_watch("corp", &heard);

    ck_assert(!jwks_watch_is_asking(watch) && !jwks_watch_is_current(watch));
    ck_assert_ptr_null(jwks_watch_set(watch));
    jf_turn();
    ck_assert(jwks_watch_is_asking(watch));
    JF_UNTIL(!jwks_watch_is_asking(watch));
    ck_assert_uint_eq(heard, 1);
    ck_assert(jwks_watch_is_current(watch));
    ck_assert_str_eq(jf_kids(watch), "a");
}
END_TEST

START_TEST(many_questions_are_one_fetch)
{
    struct jwks_watch *watch = jf_watch("corp", &heard);

    JF_UNTIL(jwks_watch_is_asking(watch));
    for (unsigned i = 0; i < 100; i++) {
        jwks_watch_ask(watch);
    }
    ck_assert_uint_eq(heard, 0); /* its end answers */
    JF_UNTIL(heard > 0);
    jf_settle();
    ck_assert_uint_eq(heard, 1);
    ck_assert_uint_eq(asked(), 1);
}
END_TEST

START_TEST(min_refresh_lies_between_two_questions)
{
    struct jwks_watch *watch = jf_watch("corp", &heard);

    JF_UNTIL(jwks_watch_is_asking(watch));
    uint64_t next_ms = jwks_watch_next_ask_ms(watch);
    ck_assert_uint_eq(next_ms, clock_ms() + JF_MIN_REFRESH_MS); /* counted from its beginning */
    JF_UNTIL(jwks_watch_set(watch) != NULL);
    jf_later(next_ms - 1 - clock_ms());
    jwks_watch_ask(watch);
    ck_assert_uint_eq(heard, 2); /* answered at once */
    ck_assert(!jwks_watch_is_asking(watch));
    jf_later(1);
    jwks_watch_ask(watch);
    ck_assert(jwks_watch_is_asking(watch));
    JF_UNTIL(heard == 3);
    ck_assert_uint_eq(asked(), 2);
}
END_TEST

START_TEST(a_set_is_refreshed_before_it_is_stale)
{
    key_server_say("/keys", KEY_SERVER_OK("Cache-Control: max-age=50\r\n", KEYS_A));
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_B));
    jf_later(37000); /* not before 75 % of its 50 s */
    jf_settle();
    ck_assert_uint_eq(asked(), 1);
    jf_later(6000); /* 86 % */
    JF_UNTIL(asked() == 2);
    JF_UNTIL(!jwks_watch_is_asking(watch));
    ck_assert_str_eq(jf_kids(watch), "ab");
}
END_TEST

/* 0.5 to 1 s, 1 to 2 s, 2 to 4 s; after a success from the beginning. */
START_TEST(pauses_between_failures_double)
{
    key_server_say("/keys", KEY_SERVER_FAILS);
    struct jwks_watch *watch = jf_watch("corp", &heard);

    for (unsigned failures = 1; failures <= 3; failures++) {
        uint64_t longest_ms = UINT64_C(1000) << (failures - 1);

        JF_UNTIL(watch->store->failures == failures);
        jf_later(longest_ms / 2 - 100);
        jf_settle();
        ck_assert_uint_eq(asked(), failures);
        jf_later(longest_ms / 2 + 100);
    }
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    JF_UNTIL(jwks_watch_set(watch) != NULL);
    ck_assert_uint_eq(watch->store->failures, 0);
    ck_assert_int_eq(fetches("http_error"), 3);
    ck_assert_int_eq(fetches("ok"), 1);
    ck_assert_uint_eq(heard, 4);
}
END_TEST

/* ---- what it takes ---- */

static const struct {
    const char *answer, *result;
    size_t max_bytes;
} useless[] = {
    { KEY_SERVER_FAILS, "http_error", 4096 },
    { KEY_SERVER_OK("", "{\"keys\":[]}"), "parse", 4096 },
    { KEY_SERVER_OK("", "<html>"), "parse", 4096 },
    { KEY_SERVER_OK("Content-Type: text/html\r\n", KEYS_A), "parse", 4096 },
    { KEY_SERVER_OK("", KEYS_A), "too_large", 20 },
    { "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n", "http_error",
      4096 }, /* not asked */
    { KEY_SERVER_HANGS, "timeout", 4096 },
};

START_TEST(what_is_no_set_leaves_the_last_good_one)
{
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);
    const struct jwks_set *set = jwks_watch_set(watch);

    watch->store->source.options.max_bytes = useless[_i].max_bytes;
    key_server_say("/keys", useless[_i].answer);
    jf_later(JF_MIN_REFRESH_MS);
    jwks_watch_ask(watch);
    JF_UNTIL(asked() == 2);
    jf_later(useless[_i].answer[0] == '\0' ? jf.options.timeout_ms + 10 : 0);
    JF_UNTIL(!jwks_watch_is_asking(watch));
    ck_assert_int_eq(fetches(useless[_i].result), 1);
    ck_assert_ptr_eq(jwks_watch_set(watch), set);
    ck_assert(!jwks_watch_is_current(watch));
    ck_assert_uint_eq(heard, 2);
}
END_TEST

START_TEST(what_is_known_is_named_and_a_304_confirms_it)
{
    key_server_say("/keys", KEY_SERVER_OK("ETag: \"v1\"\r\n"
                                          "Last-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\n",
                                          KEYS_A));
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);
    const struct jwks_set *set = jwks_watch_set(watch);

    ck_assert_ptr_null(strstr(key_server_head(), "If-"));
    key_server_say("/keys", "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n");
    jf_later(20000);
    jf_ask(watch);
    ck_assert_ptr_nonnull(strstr(key_server_head(), "\r\nIf-None-Match: \"v1\"\r\n"));
    ck_assert_ptr_nonnull(
        strstr(key_server_head(), "\r\nIf-Modified-Since: Wed, 01 Jan 2025 00:00:00 GMT\r\n"));
    ck_assert_int_eq(fetches("not_modified"), 1);
    ck_assert_ptr_eq(jwks_watch_set(watch), set);
    ck_assert(jwks_watch_is_current(watch));
    ck_assert_int_eq(watch->store->success_unix, clock_unix());
}
END_TEST

/* So that workers keep what they know by the set. */
START_TEST(the_same_keys_again_are_the_same_set)
{
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);
    const struct jwks_set *set = jwks_watch_set(watch);

    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_SECRET));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_ptr_eq(jwks_watch_set(watch), set);
    ck_assert_uint_eq(watch->store->skipped, 1);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_ptr_ne(jwks_watch_set(watch), set);
    ck_assert_uint_eq(watch->store->skipped, 0);
}
END_TEST

/* ---- the guard ---- */

static int64_t suspicious(void)
{
    return fake_process_number("jwtgate_jwks_suspicious_total",
                               "provider=\"corp\",reason=\"all_replaced\"");
}

START_TEST(a_suspicious_set_is_held_until_it_is_confirmed)
{
    key_server_say("/keys", KEY_SERVER_OK("ETag: \"v1\"\r\n", KEYS_A));
    jf.options.on_suspicious = JWKS_HOLD;
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    key_server_say("/keys", KEY_SERVER_OK("ETag: \"v2\"\r\n", KEYS_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_str_eq(jf_kids(watch), "a");
    ck_assert(!jwks_watch_is_current(watch));
    ck_assert_int_eq(suspicious(), 1);
    ck_assert_uint_eq(heard, 2);
    jf_later(JF_MIN_REFRESH_MS); /* it asks by itself, for the whole set */
    JF_UNTIL(asked() == 3);
    JF_UNTIL(!jwks_watch_is_asking(watch));
    ck_assert_ptr_null(strstr(key_server_head(), "If-"));
    ck_assert_str_eq(jf_kids(watch), "b");
    ck_assert(jwks_watch_is_current(watch));
    ck_assert_int_eq(suspicious(), 1); /* counted the first time */
}
END_TEST

START_TEST(a_held_set_that_is_not_confirmed_is_dropped)
{
    jf.options.on_suspicious = JWKS_HOLD;
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    key_server_say("/keys", KEY_SERVER_OK("", KEYS_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_str_eq(jf_kids(watch), "ab");
    ck_assert_ptr_null(watch->store->held);
    ck_assert_int_eq(suspicious(), 1);
}
END_TEST

START_TEST(a_suspicious_set_is_counted_and_used_when_the_option_says_so)
{
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    key_server_say("/keys", KEY_SERVER_OK("", KEYS_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_str_eq(jf_kids(watch), "b");
    ck_assert_int_eq(suspicious(), 1);
}
END_TEST

/* ---- the end of a set ---- */

START_TEST(the_last_good_set_is_used_until_stale_if_error_is_over)
{
    key_server_say("/keys", KEY_SERVER_OK("ETag: \"v1\"\r\n", KEYS_A));
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);
    uint64_t end_ms = clock_ms() + JF_TTL_MS + JF_STALE_MS;

    key_server_say("/keys", KEY_SERVER_HANGS);
    jf_later(end_ms - clock_ms() - 2000);
    jf_settle();
    ck_assert_str_eq(jf_kids(watch), "a");
    unsigned before = heard;
    jf_later(2000);
    JF_UNTIL(jwks_watch_set(watch) == NULL);
    ck_assert_uint_eq(heard, before + 1);
    ck_assert(!jwks_watch_is_current(watch));
    /* Back again: there is nothing that could be confirmed. */
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    jf_later(60000);
    JF_UNTIL(jwks_watch_set(watch) != NULL);
    ck_assert_ptr_null(strstr(key_server_head(), "If-"));
}
END_TEST

/* ---- discovery ---- */

static void say_metadata(const char *path, const char *keys)
{
    char text[512];

    snprintf(text, sizeof(text), KEY_SERVER_OK("", "{\"issuer\":\"%s\",\"jwks_uri\":\"%s%s\"}"),
             key_server_origin(), key_server_origin(), keys);
    key_server_say(path, text);
}

START_TEST(metadata_of_either_kind_lead_to_the_keys)
{
    jf.options.discovery = true;
    say_metadata(_i == 0 ? OPENID : OAUTH, "/keys");
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    ck_assert_uint_eq(heard, 1); /* one try, whatever it takes */
    ck_assert_str_eq(jf_kids(watch), "a");
}
END_TEST

START_TEST(the_address_is_kept_for_an_hour)
{
    jf.options.discovery = true;
    jf.options.cache.ttl_ms = 24u * 3600000u;
    say_metadata(OPENID, "/keys");
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    jf_later(3500000);
    jf_ask(watch);
    ck_assert_uint_eq(key_server_asked(OPENID), 1);
    ck_assert_uint_eq(asked(), 2);
    jf_later(200000);
    jf_ask(watch);
    ck_assert_uint_eq(key_server_asked(OPENID), 2);
    ck_assert_uint_eq(asked(), 3);
}
END_TEST

START_TEST(keys_that_have_moved_are_found_after_two_failures)
{
    jf.options.discovery = true;
    key_server_say("/keys", KEY_SERVER_OK("ETag: \"v1\"\r\n", KEYS_A));
    say_metadata(OPENID, "/keys");
    struct jwks_watch *watch = jf_watch_with_keys("corp", &heard);

    say_metadata(OPENID, "/new");
    key_server_say("/new", KEY_SERVER_OK("", KEYS_A_AND_B));
    key_server_say("/keys", KEY_SERVER_FAILS);
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_uint_eq(key_server_asked(OPENID), 1);
    jf_later(JF_MIN_REFRESH_MS);
    JF_UNTIL(watch->store->failures == 2);
    jf_later(2000);
    JF_UNTIL(key_server_asked("/new") == 1);
    JF_UNTIL(!jwks_watch_is_asking(watch));
    ck_assert_str_eq(jf_kids(watch), "ab");
    ck_assert_ptr_null(strstr(key_server_head(), "If-")); /* another place, other validators */
}
END_TEST

static const char *const bad_metadata[] = {
    "{\"issuer\":\"https://other.test\",\"jwks_uri\":\"https://other.test/keys\"}",
    "{}",
    "<html>",
};

START_TEST(metadata_that_are_not_ours_are_a_failure)
{
    char text[256];

    jf.options.discovery = true;
    snprintf(text, sizeof(text), KEY_SERVER_OK("", "%s"), bad_metadata[_i]);
    key_server_say(OPENID, text);
    struct jwks_watch *watch = jf_watch("corp", &heard);
    JF_UNTIL(watch->store->failures == 1);
    ck_assert_int_eq(fetches("parse"), 1);
    ck_assert_uint_eq(asked(), 0);
    ck_assert_uint_eq(key_server_asked(OAUTH), 0);
}
END_TEST

START_TEST(an_address_of_keys_that_may_not_be_asked_is_a_failure)
{
    char text[256];

    jf.options.discovery = true;
    snprintf(text, sizeof(text),
             KEY_SERVER_OK("", "{\"issuer\":\"%s\",\"jwks_uri\":\"file:///etc/passwd\"}"),
             key_server_origin());
    key_server_say(OPENID, text);
    struct jwks_watch *watch = jf_watch("corp", &heard);
    JF_UNTIL(watch->store->failures == 1);
    ck_assert_int_eq(fetches("parse"), 1);
}
END_TEST

/* ---- the copy ---- */

static char *copy_path(void)
{
    return disk_path(jf.folder, slice_str(key_server_uri()));
}

/* On disk since so many seconds. */
static void put_copy(const char *text, int64_t age_s)
{
    struct timespec times[2] = { { .tv_sec = clock_unix() - age_s },
                                 { .tv_sec = clock_unix() - age_s } };
    char *path = copy_path();

    jf.gw.cache_dir = jf.folder;
    ck_assert_int_eq(disk_save(path, slice_str(text)), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static int64_t copy_time(void)
{
    char *path = copy_path();
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    free(path);
    return st.st_mtime;
}

START_TEST(keys_on_disk_are_there_at_once_and_still_asked_for)
{
    put_copy(KEYS_A_AND_B, 30);
    struct jwks_watch *watch = jf_watch("corp", &heard);

    ck_assert_str_eq(jf_kids(watch), "ab");
    ck_assert(!jwks_watch_is_current(watch));
    ck_assert_int_eq(watch->store->success_unix, clock_unix() - 30);
    JF_UNTIL(jwks_watch_is_current(watch));
    ck_assert_str_eq(jf_kids(watch), "a");
}
END_TEST

START_TEST(the_age_of_keys_on_disk_counts)
{
    put_copy(KEYS_A, (JF_TTL_MS + JF_STALE_MS) / 1000 - 10);
    key_server_say("/keys", KEY_SERVER_HANGS);
    struct jwks_watch *watch = jf_watch("corp", &heard);

    ck_assert_str_eq(jf_kids(watch), "a");
    jf_later(9900);
    jf_settle();
    ck_assert_str_eq(jf_kids(watch), "a");
    jf_later(100);
    JF_UNTIL(jwks_watch_set(watch) == NULL);
}
END_TEST

static const struct {
    const char *text;
    int64_t age_s;
} no_copies[] = {
    { KEYS_A, (JF_TTL_MS + JF_STALE_MS) / 1000 },
    { "{\"keys\":[]}", 0 },
    { "", 0 },
};

START_TEST(a_copy_that_is_too_old_or_no_set_is_not_used)
{
    put_copy(no_copies[_i].text, no_copies[_i].age_s);
    struct jwks_watch *watch = jf_watch("corp", &heard);

    ck_assert_ptr_null(jwks_watch_set(watch));
    JF_UNTIL(jwks_watch_set(watch) != NULL);
}
END_TEST

static bool copy_is(const char *text)
{
    char *path = copy_path();
    struct disk_text copy = { 0 };
    bool is = disk_load(path, 4096, &copy) == 0 &&
              slice_eq(slice_of(copy.ptr, copy.len), slice_str(text));

    free(copy.ptr);
    free(path);
    return is;
}

START_TEST(changed_keys_replace_the_copy)
{
    put_copy(KEYS_A_AND_B, 30);
    jf_watch("corp", &heard);
    JF_UNTIL(copy_is(KEYS_A));
}
END_TEST

/* The time of the file is when the server last confirmed it. */
START_TEST(a_confirmed_copy_gets_a_new_time)
{
    put_copy(KEYS_A " ", 90); /* the same keys, other bytes */
    struct jwks_watch *watch = jf_watch("corp", &heard);
    int64_t before = copy_time();

    JF_UNTIL(jwks_watch_is_current(watch));
    jf_settle();
    ck_assert_int_ge(copy_time(), before + 89);
    ck_assert(copy_is(KEYS_A " ")); /* touched, not written */
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("store");

    tcase_add_test(tc, the_first_try_comes_with_the_next_turn);
    tcase_add_test(tc, many_questions_are_one_fetch);
    tcase_add_test(tc, min_refresh_lies_between_two_questions);
    tcase_add_test(tc, a_set_is_refreshed_before_it_is_stale);
    tcase_add_test(tc, pauses_between_failures_double);
    tcase_add_loop_test(tc, what_is_no_set_leaves_the_last_good_one, 0,
                        (int)(sizeof(useless) / sizeof(useless[0])));
    tcase_add_test(tc, what_is_known_is_named_and_a_304_confirms_it);
    tcase_add_test(tc, the_same_keys_again_are_the_same_set);
    tcase_add_test(tc, a_suspicious_set_is_held_until_it_is_confirmed);
    tcase_add_test(tc, a_held_set_that_is_not_confirmed_is_dropped);
    tcase_add_test(tc, a_suspicious_set_is_counted_and_used_when_the_option_says_so);
    tcase_add_test(tc, the_last_good_set_is_used_until_stale_if_error_is_over);
    tcase_add_loop_test(tc, metadata_of_either_kind_lead_to_the_keys, 0, 2);
    tcase_add_test(tc, the_address_is_kept_for_an_hour);
    tcase_add_test(tc, keys_that_have_moved_are_found_after_two_failures);
    tcase_add_loop_test(tc, metadata_that_are_not_ours_are_a_failure, 0,
                        (int)(sizeof(bad_metadata) / sizeof(bad_metadata[0])));
    tcase_add_test(tc, an_address_of_keys_that_may_not_be_asked_is_a_failure);
    tcase_add_test(tc, keys_on_disk_are_there_at_once_and_still_asked_for);
    tcase_add_test(tc, the_age_of_keys_on_disk_counts);
    tcase_add_loop_test(tc, a_copy_that_is_too_old_or_no_set_is_not_used, 0,
                        (int)(sizeof(no_copies) / sizeof(no_copies[0])));
    tcase_add_test(tc, changed_keys_replace_the_copy);
    tcase_add_test(tc, a_confirmed_copy_gets_a_new_time);
    return jwks_fixture_run(tc);
}
