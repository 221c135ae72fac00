/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/set.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

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

#define COUNT(rows) (int)(sizeof(rows) / sizeof((rows)[0]))

int main(void)
{
    Suite *suite = suite_create("set");
    TCase *tcase = tcase_create("set");

    tcase_add_test(tcase, a_set_that_is_of_no_use_is_refused_as_a_whole);
    tcase_add_test(tcase, too_many_keys_are_refused_as_a_whole);
    tcase_add_test(tcase, a_set_over_its_bytes_is_refused);
    tcase_add_test(tcase, unusable_keys_are_skipped_and_the_others_kept);
    tcase_add_test(tcase, the_order_of_a_set_does_not_matter);
    tcase_add_loop_test(tcase, a_set_beside_the_old_one_may_be_suspicious, 0, COUNT(suspicions));
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
