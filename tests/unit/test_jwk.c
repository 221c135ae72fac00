/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwk.h"

#include <check.h>

#include <stdio.h>

#define X256 "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y256 "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC   "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "\",\"y\":\"" Y256 "\""
#define OCT  "\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\""
/* 2048 bits: an even modulus, and an odd one. */
#define N255(last)                                                                                 \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp" last
#define RSA(n, e) "\"kty\":\"RSA\",\"n\":\"" n "\",\"e\":\"" e "\""

static int read_one(const char *members, bool allow_secrets, const char **ret_why)
{
    char text[4096];
    struct arena arena;
    struct jwk jwk = { 0 };

    snprintf(text, sizeof(text), "{%s}", members);
    arena_init(&arena, NULL, 0, 1u << 20);
    const struct json *json = json_parse(&arena, slice_str(text), &jwk_limits, NULL);
    ck_assert_ptr_nonnull(json);
    int err = jwk_read(json, allow_secrets, &jwk, ret_why);
    jwa_key_done(&jwk.key);
    arena_done(&arena);
    return err;
}

START_TEST(usable_keys_are_read)
{
    static const char *const good[] = {
        EC,
        EC ",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"a\",\"x5c\":[\"z\"]",
        EC ",\"key_ops\":[\"sign\",\"verify\"]",
        RSA(N255("oQ"), "AQAB"),
        RSA(N255("oQ"), "Aw"),
        RSA(N255("oQ"), "AAEAAQ"),
        OCT,
        OCT ",\"alg\":\"HS256\"",
    };
    const char *why = NULL;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        ck_assert_msg(read_one(good[i], true, &why) == 0, "%s: %s", good[i], why);
    }
}
END_TEST

START_TEST(weak_foreign_and_broken_keys_are_refused)
{
    static const char *const bad[] = {
        "",
        "\"kty\":1",
        "\"kty\":\"DSA\"",
        EC ",\"use\":\"enc\"",
        EC ",\"use\":1",
        EC ",\"key_ops\":[\"sign\"]",
        EC ",\"key_ops\":\"verify\"",
        EC ",\"alg\":\"RS256\"",
        EC ",\"alg\":\"ES384\"",
        EC ",\"alg\":\"none\"",
        EC ",\"kid\":1",
        "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "\",\"y\":\"" X256 "\"", /* not on it */
        "\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" X256 "\",\"y\":\"" Y256 "\"",
        "\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" X256 "\",\"y\":\"" Y256 "\"",
        "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X256 "\"",
        RSA("AQAB", "AQAB"),
        RSA(N255("oA"), "AQAB"),
        RSA(N255("oQ"), "AQ"),
        RSA(N255("oQ"), "BA"),
        RSA(N255("oQ"), "BQ"),
        RSA(N255("oQ"), "AQAAAAE"),
        RSA(N255("oQ"), "AA"),
        RSA("AA", "AQAB"),
        RSA(N255("oQ=="), "AQAB"),
        "\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X256 "\"",
        "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"",
        "\"kty\":\"oct\",\"k\":\"c2hvcnQ\"",
        "\"kty\":\"oct\"",
        OCT ",\"alg\":\"HS512\"",
    };
    const char *why;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why = NULL;
        ck_assert_msg(read_one(bad[i], true, &why) == ERR_UNSUPPORTED, "%s", bad[i]);
        ck_assert_ptr_nonnull(why);
    }
    ck_assert_int_eq(read_one(OCT, false, &why), ERR_UNSUPPORTED);
}
END_TEST

static void count_skipped(void *arg, struct slice kid, const char *why)
{
    ++*(int *)arg;
}

START_TEST(a_set_keeps_its_good_keys)
{
    static const char text[] = "{\"keys\":[1,null,{\"kty\":\"x\"},{" EC ",\"kid\":\"a\"},[],{" OCT
                               "},{" EC ",\"kid\":\"b\"},{" EC ",\"kid\":\"c\"}]}";
    struct jwk keys[2];
    struct arena arena;
    size_t count = 0;
    int skipped = 0;

    arena_init(&arena, NULL, 0, 1u << 20);
    const struct json *root = json_parse(&arena, slice_str(text), &jwk_limits, NULL);
    ck_assert_int_eq(jwk_read_set(root, false, keys, 2, &count, count_skipped, &skipped), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert_int_eq(skipped, 6);
    ck_assert(slice_eq(keys[1].kid, SLICE("b")));
    jwa_key_done(&keys[0].key);
    jwa_key_done(&keys[1].key);
    arena_done(&arena);
}
END_TEST

START_TEST(pem_files_hold_public_keys_only)
{
    static const char good[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                               "-----END PUBLIC KEY-----\n";
    static const char secret[] = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n";
    const char *why = NULL;
    struct jwa_key key;

    ck_assert_int_eq(jwk_read_pem(slice_str(good), &key, &why), 0);
    ck_assert_int_eq(key.type, JWA_KEY_ED25519);
    jwa_key_done(&key);
    ck_assert_int_lt(jwk_read_pem(slice_str(secret), &key, &why), 0);
    ck_assert_ptr_nonnull(strstr(why, "private"));
    ck_assert_int_lt(jwk_read_pem(SLICE("hello"), &key, &why), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jwk");
    TCase *tcase = tcase_create("jwk");

    tcase_add_test(tcase, usable_keys_are_read);
    tcase_add_test(tcase, weak_foreign_and_broken_keys_are_refused);
    tcase_add_test(tcase, a_set_keeps_its_good_keys);
    tcase_add_test(tcase, pem_files_hold_public_keys_only);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
