/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/jwk_write.h"

#include <check.h>

#include <stdlib.h>

/* Keys and thumbprints: RFC 7638 section 3.1, RFC 8037 appendix A.3. */
static const struct {
    const char *jwk, *thumbprint, *what, *only;
} vectors[] = {
    { "{\"kty\":\"RSA\",\"n\":"
      "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7"
      "aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_"
      "RN5w6Cf0h4QyQ5"
      "v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
      "bF"
      "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\","
      "\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "RSA 2048", NULL },
    { "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
      "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "Ed25519", "EdDSA" },
};

static void read_vector(unsigned i, struct jwk *ret, struct arena *arena)
{
    const char *why;

    arena_init(arena, NULL, 0, 1u << 20);
    const struct json *root = json_parse(arena, slice_str(vectors[i].jwk), &jwk_limits, NULL);
    ck_assert_ptr_nonnull(root);
    ck_assert_int_eq(jwk_read(root, false, ret, &why), 0);
}

START_TEST(thumbprints_are_those_of_the_standards)
{
    char text[JWK_THUMBPRINT_BYTES + 1];
    struct arena arena;
    struct jwk jwk;

    read_vector((unsigned)_i, &jwk, &arena);
    ck_assert_int_eq(jwk_thumbprint(&jwk.key, text), 0);
    ck_assert_str_eq(text, vectors[_i].thumbprint);
    jwa_key_done(&jwk.key);
    arena_done(&arena);
}
END_TEST

START_TEST(what_is_written_reads_as_the_same_key)
{
    char text[JWK_THUMBPRINT_BYTES + 1];
    struct arena arena;
    struct json_writer w;
    struct jwk jwk, again;
    const char *why;

    read_vector((unsigned)_i, &jwk, &arena);
    json_writer_init(&w, 65536);
    ck_assert_int_eq(jwk_write(&w, &jwk.key, SLICE("k1"), jwk_only_algorithm(&jwk.key)), 0);
    const struct json *root = json_parse(&arena, slice_of(w.buf, w.len), &jwk_limits, NULL);
    ck_assert_int_eq(jwk_read(root, false, &again, &why), 0);
    ck_assert(slice_eq(again.kid, SLICE("k1")));
    ck_assert_int_eq(jwk_thumbprint(&again.key, text), 0);
    ck_assert_str_eq(text, vectors[_i].thumbprint);
    jwa_key_done(&again.key);
    jwa_key_done(&jwk.key);
    json_writer_done(&w);
    arena_done(&arena);
}
END_TEST

START_TEST(a_key_is_described_with_its_only_algorithm)
{
    char text[32];
    struct arena arena;
    struct jwk jwk;

    read_vector((unsigned)_i, &jwk, &arena);
    const struct jwa *only = jwk_only_algorithm(&jwk.key);
    ck_assert_str_eq(jwk_describe(&jwk.key, text, sizeof(text)), vectors[_i].what);
    ck_assert_int_eq(only != NULL, vectors[_i].only != NULL);
    ck_assert(only == NULL || slice_eq(only->name, slice_str(vectors[_i].only)));
    jwa_key_done(&jwk.key);
    arena_done(&arena);
}
END_TEST

START_TEST(a_secret_is_never_written)
{
    struct json_writer w;
    struct jwa_key key;

    ck_assert_int_eq(
        jwa_key_from_secret((const uint8_t *)"0123456789abcdef0123456789abcdef", 32, &key), 0);
    json_writer_init(&w, 65536);
    ck_assert_int_eq(jwk_write(&w, &key, SLICE("k1"), NULL), ERR_UNSUPPORTED);
    ck_assert_uint_eq(w.len, 0);
    json_writer_done(&w);
    jwa_key_done(&key);
}
END_TEST

int main(void)
{
    int count = sizeof(vectors) / sizeof(vectors[0]);
    Suite *suite = suite_create("jwk_write");
    TCase *tc = tcase_create("jwk_write");

    tcase_add_loop_test(tc, thumbprints_are_those_of_the_standards, 0, count);
    tcase_add_loop_test(tc, what_is_written_reads_as_the_same_key, 0, count);
    tcase_add_loop_test(tc, a_key_is_described_with_its_only_algorithm, 0, count);
    tcase_add_test(tc, a_secret_is_never_written);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
