/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/discovery.h"
#include "plugins/jwks/disk.h"
#include "plugins/jwks/freshness.h"
#include "plugins/jwks/set.h"

#include <check.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Ed25519: any 32 bytes are a key. */
#define X1       "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define X2       "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"
#define ED(k, x) "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"" k "\",\"x\":\"" x "\"}"
/* RFC 7515 appendix A.3.1. */
#define EC                                                                                         \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","                                             \
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                       \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"

static unsigned skipped;

static void on_skip(void *arg, struct slice kid, const char *why)
{
    skipped++;
}

static int read_set(const char *text, struct jwks_set **ret)
{
    const char *why;

    skipped = 0;
    return jwks_set_read(slice_str(text), 65536, on_skip, NULL, ret, &why);
}

static struct jwks_set *set_of(const char *text)
{
    struct jwks_set *set = NULL;

    ck_assert_int_eq(read_set(text, &set), 0);
    return set;
}

/* ---- sets ---- */

START_TEST(a_set_that_is_of_no_use_is_refused_as_a_whole)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[1,null,\"x\"]}",
        "{\"keys\":[" ED("a", X1) "]",
        "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":"
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
        ED("a", X1), /* one key is no set */
        "{\"keys\":[" ED("a", X1) "],\"keys\":[" ED("a", X2) "]}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct jwks_set *set = NULL;

        ck_assert_msg(read_set(bad[i], &set) == ERR_BAD_INPUT, "%s", bad[i]);
        ck_assert_ptr_null(set);
    }
}
END_TEST

START_TEST(too_many_keys_are_refused_as_a_whole)
{
    struct jwks_set *set = NULL;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    fprintf(out, "{\"keys\":[");
    for (unsigned i = 0; i <= JWK_MAX_KEYS; i++) {
        fprintf(out, "%s{\"kty\":\"x\"}", i == 0 ? "" : ",");
    }
    fprintf(out, "]}");
    fclose(out);
    ck_assert_int_eq(read_set(text, &set), ERR_BAD_INPUT);
    free(text);
}
END_TEST

START_TEST(a_set_over_its_bytes_is_refused)
{
    struct jwks_set *set = NULL;
    const char *why;

    ck_assert_int_eq(
        jwks_set_read(SLICE("{\"keys\":[" ED("a", X1) "]}"), 50, on_skip, NULL, &set, &why),
        ERR_BAD_INPUT);
}
END_TEST

START_TEST(unusable_keys_are_skipped_and_the_others_kept)
{
    struct jwks_set *set =
        set_of("{\"keys\":[1,{\"kty\":\"oct\",\"k\":\"AAAA\"}," ED("a", X1) "," //
               ED("a", X2) "," EC "]}");

    ck_assert_uint_eq(set->count, 2); /* of two types: one kid is no contradiction */
    ck_assert_uint_eq(set->skipped, 3);
    ck_assert_uint_eq(skipped, 3);
    ck_assert(slice_eq(set->keys[0].kid, SLICE("a")));
    jwks_set_unref(set);
}
END_TEST

START_TEST(the_order_of_a_set_does_not_matter)
{
    struct jwks_set *a = set_of("{\"keys\":[" ED("a", X1) "," ED("b", X2) "]}");
    struct jwks_set *b = set_of("{\"keys\":[" ED("b", X2) "," ED("a", X1) "]}");
    struct jwks_set *c = set_of("{\"keys\":[" ED("b", X1) "," ED("a", X2) "]}");
    struct jwks_set *d = set_of("{\"keys\":[" ED("a", X1) "]}");

    ck_assert(jwks_set_is_same(a, b));
    ck_assert(!jwks_set_is_same(a, c));
    ck_assert(!jwks_set_is_same(a, d));
    ck_assert(!jwks_set_is_same(d, a));
    jwks_set_unref(a);
    jwks_set_unref(b);
    jwks_set_unref(c);
    jwks_set_unref(d);
}
END_TEST

static const struct {
    const char *old, *new;
    enum jwks_suspicion suspicion;
} suspicions[] = {
    { ED("a", X1), ED("a", X1), JWKS_PLAUSIBLE },
    { ED("a", X1), ED("a", X1) "," ED("b", X2), JWKS_PLAUSIBLE },
    { ED("a", X1) "," ED("b", X2), ED("b", X2), JWKS_PLAUSIBLE },
    { ED("a", X1), ED("b", X1), JWKS_PLAUSIBLE }, /* renamed */
    { ED("a", X1), ED("b", X2), JWKS_ALL_REPLACED },
    { ED("a", X1), ED("a", X2), JWKS_KID_REUSED },
    { ED("a", X1) "," ED("b", X2), ED("b", X1) "," ED("c", X2), JWKS_KID_REUSED },
    { ED("a", X1), EC, JWKS_ALL_REPLACED },
};

START_TEST(a_set_beside_the_old_one_may_be_suspicious)
{
    char text[1024];
    struct jwks_set *old, *set;

    snprintf(text, sizeof(text), "{\"keys\":[%s]}", suspicions[_i].old);
    old = set_of(text);
    snprintf(text, sizeof(text), "{\"keys\":[%s]}", suspicions[_i].new);
    set = set_of(text);
    ck_assert_str_eq(jwks_suspicion_name(jwks_set_suspicion(old, set)),
                     jwks_suspicion_name(suspicions[_i].suspicion));
    jwks_set_unref(old);
    jwks_set_unref(set);
}
END_TEST

/* ---- freshness ---- */

#define NOW 1764000000 /* Mon, 24 Nov 2025 16:00:00 GMT */

static const struct {
    const char *cache_control, *expires, *date, *age;
    uint64_t ms;
} lifetimes[] = {
    { NULL, NULL, NULL, NULL, 600000 },
    { "max-age=120", NULL, NULL, NULL, 120000 },
    { "public, MAX-AGE=120, must-revalidate", NULL, NULL, NULL, 120000 },
    { "max-age=\"120\"", NULL, NULL, NULL, 120000 },
    { "max-age=120", NULL, NULL, "20", 100000 },
    { "max-age=120", NULL, NULL, "200", 30000 },
    { "max-age=0", NULL, NULL, NULL, 30000 },
    { "max-age=1", NULL, NULL, NULL, 30000 },
    { "max-age=99999999999999999999", NULL, NULL, NULL, 600000 },
    { "max-age=-5", NULL, NULL, NULL, 600000 },
    { "max-age=x", NULL, NULL, NULL, 600000 },
    { "no-store", NULL, NULL, NULL, 30000 },
    { "no-cache, max-age=500", NULL, NULL, NULL, 30000 },
    { "private", NULL, NULL, NULL, 600000 },
    { ",,", NULL, NULL, NULL, 600000 },
    { NULL, "Mon, 24 Nov 2025 16:01:40 GMT", NULL, NULL, 100000 },
    { NULL, "Mon, 24 Nov 2025 15:01:40 GMT", "Mon, 24 Nov 2025 15:00:00 GMT", NULL, 100000 },
    { NULL, "Mon, 24 Nov 2025 15:00:00 GMT", NULL, NULL, 30000 },
    { NULL, "0", NULL, NULL, 30000 },
    { "max-age=60", "Mon, 24 Nov 2025 16:05:00 GMT", NULL, NULL, 60000 },
};

START_TEST(the_life_of_a_set_is_clamped)
{
    struct freshness_fields fields = { .cache_control = slice_str(lifetimes[_i].cache_control),
                                       .expires = slice_str(lifetimes[_i].expires),
                                       .date = slice_str(lifetimes[_i].date),
                                       .age = slice_str(lifetimes[_i].age) };

    ck_assert_uint_eq(freshness_lifetime_ms(&fields, 30000, 600000, NOW), lifetimes[_i].ms);
}
END_TEST

START_TEST(refreshes_are_ahead_and_spread)
{
    for (uint64_t random = 0; random < 100; random++) {
        uint64_t ms = freshness_refresh_ms(100000, random);

        ck_assert(ms >= 75000 && ms <= 85000);
    }
    ck_assert(freshness_refresh_ms(100000, 1) != freshness_refresh_ms(100000, 2));
}
END_TEST

START_TEST(pauses_double_up_to_a_minute)
{
    uint64_t full = 1000;

    for (unsigned failures = 1; failures < 100; failures++) {
        ck_assert_uint_eq(freshness_backoff_ms(failures, 0), full / 2);
        ck_assert(freshness_backoff_ms(failures, UINT64_MAX) <= full);
        full = full * 2 > 60000 ? 60000 : full * 2;
    }
}
END_TEST

/* ---- discovery ---- */

static const struct {
    const char *issuer, *openid, *oauth;
} issuers[] = {
    { "https://a.test", "https://a.test/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server" },
    { "https://a.test/", "https://a.test/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server" },
    { "https://a.test:8443/x/y", "https://a.test:8443/x/y/.well-known/openid-configuration",
      "https://a.test:8443/.well-known/oauth-authorization-server/x/y" },
    { "https://a.test/x/", "https://a.test/x/.well-known/openid-configuration",
      "https://a.test/.well-known/oauth-authorization-server/x" },
};

START_TEST(metadata_are_where_the_standards_put_them)
{
    struct slice issuer = slice_str(issuers[_i].issuer);
    char *openid = discovery_url(issuer, DISCOVERY_OPENID);
    char *oauth = discovery_url(issuer, DISCOVERY_OAUTH);

    ck_assert_str_eq(openid, issuers[_i].openid);
    ck_assert_str_eq(oauth, issuers[_i].oauth);
    free(openid);
    free(oauth);
    ck_assert_ptr_null(discovery_url(SLICE("corporate"), DISCOVERY_OPENID));
}
END_TEST

START_TEST(metadata_must_be_of_exactly_our_issuer)
{
    static const char *const bad[] = {
        "{\"issuer\":\"https://a.test/\",\"jwks_uri\":\"https://a.test/k\"}",
        "{\"issuer\":\"https://A.test\",\"jwks_uri\":\"https://a.test/k\"}",
        "{\"jwks_uri\":\"https://a.test/k\"}",
        "{\"issuer\":\"https://a.test\"}",
        "{\"issuer\":\"https://a.test\",\"jwks_uri\":5}",
        "[]",
        "",
    };
    const char *why;
    char *uri = NULL;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(
            discovery_read(slice_str(bad[i]), 4096, SLICE("https://a.test"), &uri, &why),
            ERR_BAD_INPUT);
    }
    ck_assert_int_eq(
        discovery_read(SLICE("{\"issuer\":\"https://a.test\",\"jwks_uri\":\"https://b.test/k\"}"),
                       4096, SLICE("https://a.test"), &uri, &why),
        0);
    ck_assert_str_eq(uri, "https://b.test/k");
    free(uri);
}
END_TEST

/* ---- disk ---- */

START_TEST(a_file_is_replaced_and_read_again)
{
    char folder[] = "jwks-test-XXXXXX";
    struct disk_text text = { 0 };
    char *path, *other;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    path = disk_path(folder, SLICE("issuer uri"));
    other = disk_path(folder, SLICE("issuer uri2"));
    ck_assert_str_ne(path, other);
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_NOT_FOUND);
    ck_assert_int_eq(disk_save(path, SLICE("first, and longer")), 0);
    ck_assert_int_eq(disk_save(path, SLICE("second")), 0);
    ck_assert_int_eq(disk_load(path, 100, &text), 0);
    ck_assert(slice_eq(slice_of(text.ptr, text.len), SLICE("second")));
    free(text.ptr);
    ck_assert_int_eq(disk_load(path, 5, &text), ERR_TOO_BIG);
    ck_assert_int_eq(chmod(path, 0620), 0); /* somebody else may have written it */
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_IO);
    ck_assert_int_eq(chmod(path, 0602), 0);
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_IO);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(disk_load(folder, 100, &text), ERR_IO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(disk_load(path, 100000, &text), ERR_IO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing is left */
    ck_assert_int_eq(disk_save(path, SLICE("x")), ERR_IO);
    free(path);
    free(other);
}
END_TEST

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("jwks");
    TCase *tcase = tcase_create("jwks");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, a_set_that_is_of_no_use_is_refused_as_a_whole);
    tcase_add_test(tcase, too_many_keys_are_refused_as_a_whole);
    tcase_add_test(tcase, a_set_over_its_bytes_is_refused);
    tcase_add_test(tcase, unusable_keys_are_skipped_and_the_others_kept);
    tcase_add_test(tcase, the_order_of_a_set_does_not_matter);
    tcase_add_loop_test(tcase, a_set_beside_the_old_one_may_be_suspicious, 0, COUNT(suspicions));
    tcase_add_loop_test(tcase, the_life_of_a_set_is_clamped, 0, COUNT(lifetimes));
    tcase_add_test(tcase, refreshes_are_ahead_and_spread);
    tcase_add_test(tcase, pauses_double_up_to_a_minute);
    tcase_add_loop_test(tcase, metadata_are_where_the_standards_put_them, 0, COUNT(issuers));
    tcase_add_test(tcase, metadata_must_be_of_exactly_our_issuer);
    tcase_add_test(tcase, a_file_is_replaced_and_read_again);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
