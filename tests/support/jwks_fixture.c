/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/jwks_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_WATCHES 8

struct jwks_fixture jf;
static struct jwks_watch *watches[MAX_WATCHES];

static void setup(void)
{
    clock_update();
    clock_set(clock_ms(), clock_unix_us());
    jf = (struct jwks_fixture){ .loop = loop_new(), .folder = "jwks-test-XXXXXX" };
    ck_assert_ptr_nonnull(mkdtemp(jf.folder));
    jf.gw.loop = jf.loop;
    jf.hub = jwks_hub_new(&jf.gw);
    ck_assert_ptr_nonnull(jf.hub);
    fake_process_forget_numbers();
    key_server_start();
    key_server_say("/keys", KEY_SERVER_OK("", KEYS_A));
    jf.options = (struct jwks_options){
        .uri = slice_str(key_server_uri()),
        .allow_http = true,
        .timeout_ms = 5000,
        .max_bytes = 4096,
        .cache = { .ttl_ms = JF_TTL_MS,
                   .min_refresh_ms = JF_MIN_REFRESH_MS,
                   .stale_if_error_ms = JF_STALE_MS },
    };
}

static void remove_folder(void)
{
    DIR *dir = opendir(jf.folder);
    char path[300];

    ck_assert_ptr_nonnull(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", jf.folder, entry->d_name);
        (void)unlink(path);
    }
    closedir(dir);
    ck_assert_int_eq(rmdir(jf.folder), 0);
}

static void teardown(void)
{
    for (size_t i = 0; i < MAX_WATCHES; i++) {
        jwks_watch_free(watches[i]);
        watches[i] = NULL;
    }
    jwks_hub_unref(jf.hub);
    key_server_stop();
    loop_free(jf.loop);
    remove_folder();
    clock_unset();
}

int jwks_fixture_run(TCase *tc)
{
    Suite *suite = suite_create("jwks");
    SRunner *runner = srunner_create(suite);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}

static void on_change(void *arg)
{
    ++*(unsigned *)arg;
}

static struct jwks_watch **place_of(const struct jwks_watch *watch)
{
    size_t i = 0;

    while (i < MAX_WATCHES && watches[i] != watch) {
        i++;
    }
    ck_assert_uint_lt(i, MAX_WATCHES);
    return &watches[i];
}

struct jwks_watch *jf_watch(const char *provider, unsigned *heard)
{
    struct jwks_watch **place = place_of(NULL);

    *heard = 0;
    *place = jwks_watch_new(jf.hub, &(struct jwks_watch_setup){
                                        .process = &jf.gw,
                                        .options = &jf.options,
                                        .provider = slice_str(provider),
                                        .issuer = slice_str(key_server_origin()),
                                        .on_change = on_change,
                                        .arg = heard,
                                    });
    ck_assert_ptr_nonnull(*place);
    ck_assert_uint_eq(*heard, 0); /* not from inside */
    return *place;
}

void jf_unwatch(struct jwks_watch *watch)
{
    *place_of(watch) = NULL;
    jwks_watch_free(watch);
}

struct jwks_watch *jf_watch_with_keys(const char *provider, unsigned *heard)
{
    struct jwks_watch *watch = jf_watch(provider, heard);

    JF_UNTIL(jwks_watch_set(watch) != NULL);
    return watch;
}

void jf_later(uint64_t ms)
{
    clock_set(clock_ms() + ms, clock_unix_us() + ms * 1000u);
}

void jf_turn(void)
{
    jf_later(1);
    loop_turn(jf.loop, false);
    poll(NULL, 0, 1);
}

void jf_settle(void)
{
    for (unsigned i = 0; i < 30; i++) {
        jf_turn();
    }
}

uint64_t jf_patience(void)
{
    return clock_precise_ns() + UINT64_C(10000000000);
}

void jf_ask(const struct jwks_watch *watch)
{
    jwks_watch_ask(watch);
    JF_UNTIL(!jwks_watch_is_asking(watch));
}

const char *jf_kids(const struct jwks_watch *watch)
{
    static char kids[64];
    const struct jwks_set *set = jwks_watch_set(watch);

    kids[0] = '\0';
    for (size_t i = 0; set != NULL && i < set->count; i++) {
        size_t len = strlen(kids);

        snprintf(kids + len, sizeof(kids) - len, "%.*s", SLICE_FMT(set->keys[i].kid));
    }
    return kids;
}
