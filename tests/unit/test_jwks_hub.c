/* SPDX-License-Identifier: Apache-2.0 */
/* Which watches share a store, how long it lives, and its end at each state. */
#include "plugins/jwks/disk.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/jwks_fixture.h"

START_TEST(a_source_has_one_store_and_one_fetch_for_all)
{
    unsigned heard[2];
    struct jwks_watch *corp = jf_watch("corp", &heard[0]),
                      *partner = jf_watch("partner", &heard[1]);

    ck_assert_ptr_eq(corp->store, partner->store);
    JF_UNTIL(jwks_watch_set(corp) != NULL);
    ck_assert_ptr_eq(jwks_watch_set(corp), jwks_watch_set(partner));
    ck_assert_uint_eq(key_server_asked("/keys"), 1);
    ck_assert_uint_eq(heard[0], 1);
    ck_assert_uint_eq(heard[1], 1);
}
END_TEST

static const struct jwks_options others[] = {
    { .uri = { "http://127.0.0.1:1/", 19 } },
    { .discovery = true },
    { .allow_http = true },
    { .ca = { "PEM", 3 } },
    { .proxy = { "http://127.0.0.1:1", 18 } },
    { .timeout_ms = 1 },
    { .max_bytes = 1 },
    { .cache = { .ttl_ms = 1 } },
    { .cache = { .min_refresh_ms = 1 } },
    { .cache = { .stale_if_error_ms = 1 } },
    { .on_suspicious = JWKS_HOLD },
};

/* What is set in `change` is other than before. */
static void change_options(struct jwks_options *options, const struct jwks_options *change)
{
    options->uri = change->uri.ptr != NULL ? change->uri : options->uri;
    options->discovery |= change->discovery;
    options->allow_http ^= change->allow_http;
    options->ca = change->ca.ptr != NULL ? change->ca : options->ca;
    options->proxy = change->proxy.ptr != NULL ? change->proxy : options->proxy;
    options->timeout_ms += change->timeout_ms;
    options->max_bytes += change->max_bytes;
    options->cache.ttl_ms += change->cache.ttl_ms;
    options->cache.min_refresh_ms += change->cache.min_refresh_ms;
    options->cache.stale_if_error_ms += change->cache.stale_if_error_ms;
    options->on_suspicious |= change->on_suspicious;
}

START_TEST(other_options_are_another_source)
{
    unsigned heard[3];
    struct jwks_watch *corp = jf_watch("corp", &heard[0]);

    change_options(&jf.options, &others[_i]);
    struct jwks_watch *other = jf_watch("other", &heard[1]);
    ck_assert_ptr_ne(corp->store, other->store);
    ck_assert_ptr_eq(jf_watch("third", &heard[2])->store, other->store);
}
END_TEST

START_TEST(names_of_files_and_folders_make_no_other_source)
{
    unsigned heard[2];
    struct jwks_watch *corp = jf_watch("corp", &heard[0]);

    jf.options.ca_file = "what is in it is in ca";
    jf.gw.cache_dir = jf.folder;
    ck_assert_ptr_eq(jf_watch("other", &heard[1])->store, corp->store);
}
END_TEST

static struct jwks_watch *watch_issuer(const char *issuer)
{
    return jwks_watch_new(jf.hub, &(struct jwks_watch_setup){ .process = &jf.gw,
                                                              .options = &jf.options,
                                                              .provider = SLICE("corp"),
                                                              .issuer = slice_str(issuer) });
}

START_TEST(an_issuer_counts_when_it_is_asked_for_the_address)
{
    for (int discovery = 0; discovery < 2; discovery++) {
        jf.options.discovery = discovery == 1;
        struct jwks_watch *a = watch_issuer("https://a.test/"),
                          *b = watch_issuer("https://b.test/");
        struct jwks_watch *again = watch_issuer("https://a.test/");
        ck_assert((a->store == b->store) == (discovery == 0));
        ck_assert_ptr_eq(a->store, again->store);
        jwks_watch_free(a);
        jwks_watch_free(b);
        jwks_watch_free(again);
    }
}
END_TEST

/* A reload: the new snapshot's hub and watches come before the old ones go, with its texts. */
START_TEST(what_was_fetched_outlives_the_snapshot_that_has_begun)
{
    unsigned heard[2];
    char *uri = strdup(key_server_uri());

    jf.options.uri = slice_str(uri);
    struct jwks_watch *before = jf_watch_with_keys("corp", &heard[0]);
    struct jwks_set *set = jwks_watch_set(before);
    struct jwks_hub *old = jf.hub;

    jf.options.uri = slice_str(key_server_uri());
    jf.hub = jwks_hub_ref(old);
    struct jwks_watch *after = jf_watch("corp", &heard[1]);
    jf_unwatch(before);
    jwks_hub_unref(old);
    memset(uri, '?', strlen(uri));
    free(uri);
    ck_assert_ptr_eq(jwks_watch_set(after), set);
    jf_settle();
    ck_assert_uint_eq(key_server_asked("/keys"), 1);
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(after);
    ck_assert_uint_eq(key_server_asked("/keys"), 2);
    ck_assert_uint_eq(heard[0], 1);
    ck_assert_uint_eq(heard[1], 1);
}
END_TEST

START_TEST(a_watch_that_goes_in_mid_fetch_leaves_it_to_the_others)
{
    unsigned heard[2];
    struct jwks_watch *corp = jf_watch("corp", &heard[0]), *other = jf_watch("other", &heard[1]);

    JF_UNTIL(jwks_watch_is_asking(corp));
    jf_unwatch(corp);
    JF_UNTIL(jwks_watch_set(other) != NULL);
    ck_assert_uint_eq(heard[0], 0);
    ck_assert_uint_eq(heard[1], 1);
    ck_assert_uint_eq(key_server_asked("/keys"), 1);
}
END_TEST

/* ---- the end at each state ---- */

static void before_the_first_turn(const struct jwks_watch *watch)
{
    ck_assert(!jwks_watch_is_asking(watch));
}

static void in_the_fetch(const struct jwks_watch *watch)
{
    JF_UNTIL(key_server_asked("/keys") == 1);
    ck_assert(jwks_watch_is_asking(watch));
}

static void at_the_name(const struct jwks_watch *watch)
{
    JF_UNTIL(jwks_watch_is_asking(watch));
}

static void at_openid(const struct jwks_watch *watch)
{
    JF_UNTIL(key_server_asked("/.well-known/openid-configuration") == 1);
    ck_assert_int_eq(watch->store->stage, STORE_OPENID);
}

static void at_oauth(const struct jwks_watch *watch)
{
    JF_UNTIL(key_server_asked("/.well-known/oauth-authorization-server") == 1);
    ck_assert_int_eq(watch->store->stage, STORE_OAUTH);
}

static void in_the_pause(const struct jwks_watch *watch)
{
    JF_UNTIL(watch->store->failures == 1);
}

static void with_keys(const struct jwks_watch *watch)
{
    JF_UNTIL(jwks_watch_set(watch) != NULL);
}

static void with_a_set_held(const struct jwks_watch *watch)
{
    with_keys(watch);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(watch);
    ck_assert_ptr_nonnull(watch->store->held);
}

static void with_keys_too_old(const struct jwks_watch *watch)
{
    with_keys(watch);
    key_server_say("/keys", KEY_SERVER_FAILS);
    jf_later(JF_TTL_MS + JF_STALE_MS);
    JF_UNTIL(jwks_watch_set(watch) == NULL);
}

static const struct state {
    void (*reach)(const struct jwks_watch *watch);
    const char *keys, *openid,
        *oauth;      /* NULL: 404; without openid and oauth the address is known */
    const char *uri; /* NULL: the key server's */
} states[] = {
    { .reach = before_the_first_turn, .keys = KEY_SERVER_HANGS },
    { .reach = in_the_fetch, .keys = KEY_SERVER_HANGS },
    { .reach = at_the_name, .uri = "http://keys.test/" },
    { .reach = at_openid, .openid = KEY_SERVER_HANGS },
    { .reach = at_oauth, .oauth = KEY_SERVER_HANGS },
    { .reach = in_the_pause, .keys = KEY_SERVER_FAILS },
    { .reach = with_keys, .keys = KEY_SERVER_OK("ETag: \"1\"\r\n", KEYS_A) },
    { .reach = with_a_set_held, .keys = KEY_SERVER_OK("", KEYS_A) },
    { .reach = with_keys_too_old, .keys = KEY_SERVER_OK("", KEYS_A) },
};

static struct jwks_watch *reach(const struct state *state, unsigned *heard)
{
    jf.options.on_suspicious = JWKS_HOLD;
    jf.options.discovery = state->openid != NULL || state->oauth != NULL;
    if (state->keys != NULL) {
        key_server_say("/keys", state->keys);
    }
    if (state->openid != NULL) {
        key_server_say("/.well-known/openid-configuration", state->openid);
    }
    if (state->oauth != NULL) {
        key_server_say("/.well-known/oauth-authorization-server", state->oauth);
    }
    jf.options.uri = state->uri == NULL ? jf.options.uri : slice_str(state->uri);

    struct jwks_watch *watch = jf_watch("corp", heard);

    state->reach(watch);
    return watch;
}

START_TEST(the_last_watch_ends_the_store)
{
    unsigned heard, before;
    struct jwks_watch *watch = reach(&states[_i], &heard);

    before = heard;
    jf_unwatch(watch);
    jf_later(10 * JF_TTL_MS);
    jf_settle();
    ck_assert_uint_eq(heard, before);
    /* The next one begins from nothing. */
    jf.options.discovery = false;
    jf.options.uri = slice_str(key_server_uri());
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    unsigned asked = key_server_asked("/keys");
    watch = jf_watch("corp", &heard);
    ck_assert_ptr_null(jwks_watch_set(watch));
    JF_UNTIL(jwks_watch_set(watch) != NULL);
    ck_assert_uint_eq(key_server_asked("/keys"), asked + 1);
}
END_TEST

/* The end of the process: no turn follows. */
START_TEST(the_hub_may_go_at_once)
{
    unsigned heard, before;

    jf_unwatch(reach(&states[_i], &heard));
    before = heard;
    jwks_hub_unref(jf.hub);
    jf.hub = NULL; /* unref(NULL) is fine */
    ck_assert_uint_eq(heard, before);
}
END_TEST

/* ---- copies ---- */

static bool has_copy(const char *folder, const char *text)
{
    char *path = disk_path(folder, slice_str(key_server_uri()));
    struct disk_text copy = { 0 };
    bool has = disk_load(path, 4096, &copy) == 0 &&
               slice_eq(slice_of(copy.ptr, copy.len), slice_str(text));

    free(copy.ptr);
    free(path);
    return has;
}

START_TEST(a_copy_under_way_is_written_before_the_hub_goes)
{
    unsigned heard;

    jf.gw.cache_dir = jf.folder;
    jf_unwatch(jf_watch_with_keys("corp", &heard));
    jwks_hub_unref(jf.hub);
    jf.hub = NULL;
    ck_assert(has_copy(jf.folder, KEYS_A));
}
END_TEST

START_TEST(the_newest_snapshot_says_where_the_copy_is_kept)
{
    char other[] = "jwks-test-XXXXXX", file[300];
    unsigned heard[2];

    ck_assert_ptr_nonnull(mkdtemp(other));
    jf.gw.cache_dir = other;
    struct jwks_watch *before = jf_watch_with_keys("corp", &heard[0]);
    JF_UNTIL(has_copy(other, KEYS_A));
    jf.gw.cache_dir = jf.folder;
    struct jwks_watch *after = jf_watch("corp", &heard[1]);
    jf_unwatch(before);
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A_AND_B));
    jf_later(JF_MIN_REFRESH_MS);
    jf_ask(after);
    JF_UNTIL(has_copy(jf.folder, KEYS_A_AND_B));
    ck_assert(has_copy(other, KEYS_A));
    snprintf(file, sizeof(file), "%s", after->store->file + strlen(jf.folder));
    char *old = disk_path(other, slice_str(key_server_uri()));
    ck_assert_str_eq(old + strlen(other), file); /* the same name, wherever */
    ck_assert_int_eq(remove(old), 0);
    ck_assert_int_eq(remove(other), 0);
    free(old);
}
END_TEST

int main(void)
{
    const int state_count = (int)(sizeof(states) / sizeof(states[0]));
    TCase *tc = tcase_create("hub");

    tcase_add_test(tc, a_source_has_one_store_and_one_fetch_for_all);
    tcase_add_loop_test(tc, other_options_are_another_source, 0,
                        (int)(sizeof(others) / sizeof(others[0])));
    tcase_add_test(tc, names_of_files_and_folders_make_no_other_source);
    tcase_add_test(tc, an_issuer_counts_when_it_is_asked_for_the_address);
    tcase_add_test(tc, what_was_fetched_outlives_the_snapshot_that_has_begun);
    tcase_add_test(tc, a_watch_that_goes_in_mid_fetch_leaves_it_to_the_others);
    tcase_add_loop_test(tc, the_last_watch_ends_the_store, 0, state_count);
    tcase_add_loop_test(tc, the_hub_may_go_at_once, 0, state_count);
    tcase_add_test(tc, a_copy_under_way_is_written_before_the_hub_goes);
    tcase_add_test(tc, the_newest_snapshot_says_where_the_copy_is_kept);
    return jwks_fixture_run(tc);
}
