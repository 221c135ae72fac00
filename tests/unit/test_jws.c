/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64url.h"
#include "plugins/jwt/jws.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

START_TEST(a_token_splits_into_three_parts)
{
    struct jws jws;

    ck_assert_int_eq(jws_split(SLICE("aa.bbb.cccc"), &jws), 0);
    ck_assert(slice_eq(jws.header, SLICE("aa")));
    ck_assert(slice_eq(jws.payload, SLICE("bbb")));
    ck_assert(slice_eq(jws.signature, SLICE("cccc")));
    ck_assert(slice_eq(jws.signing_input, SLICE("aa.bbb")));
    ck_assert_int_eq(jws_split(SLICE("a.b."), &jws), 0);
    ck_assert_uint_eq(jws.signature.len, 0);
}
END_TEST

START_TEST(any_other_number_of_parts_is_refused)
{
    static const char *const bad[] = { "",     ".",    "..",      "a",      "a.b",
                                       ".b.c", "a..c", "a.b.c.d", "a.b.c.", "a.b.c.d.e" };
    struct jws jws;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(jws_split(slice_str(bad[i]), &jws) == ERR_BAD_INPUT, "%s", bad[i]);
    }
}
END_TEST

static enum jwt_reason read_header(struct arena *arena, const char *json, struct jws_header *ret)
{
    static char part[8192];
    size_t len = base64url_encode((const uint8_t *)json, strlen(json), part);

    return jws_read_header(arena, slice_of(part, len), ret);
}

START_TEST(the_header_is_read_and_foreign_keys_in_it_are_ignored)
{
    struct jws_header header;
    struct arena arena;

    arena_init(&arena, NULL, 0, 1u << 18);
    ck_assert_int_eq(read_header(&arena,
                                 "{\"alg\":\"ES256\",\"kid\":\"a/../b\",\"typ\":\"JWT\",\"jwk\":{},"
                                 "\"x5c\":[]}",
                                 &header),
                     JWT_OK);
    ck_assert(slice_eq(header.alg, SLICE("ES256")));
    ck_assert(slice_eq(header.kid, SLICE("a/../b")));
    ck_assert(slice_eq(header.typ, SLICE("JWT")));
    ck_assert(!header.has_crit);
    arena_done(&arena);
}
END_TEST

START_TEST(headers_that_are_broken_or_large_are_refused)
{
    static const struct {
        const char *json;
        enum jwt_reason reason;
    } rows[] = {
        { "", JWT_TOKEN_MALFORMED },
        { "[]", JWT_TOKEN_MALFORMED },
        { "\"x\"", JWT_TOKEN_MALFORMED },
        { "{\"alg\":\"HS256\"", JWT_TOKEN_MALFORMED },
        { "{\"alg\":\"HS256\"}}", JWT_TOKEN_MALFORMED },
        { "{\"alg\":\"HS256\",\"\\u0061lg\":\"none\"}", JWT_TOKEN_MALFORMED },
        { "{\"kid\":{}}", JWT_TOKEN_MALFORMED },
        { "{\"a\":[[[[[[[[[[[[1]]]]]]]]]]]]}", JWT_TOKEN_MALFORMED },
        { "{\"alg\":\"\\ud800\"}", JWT_TOKEN_MALFORMED },
    };
    struct jws_header header;
    struct arena arena;
    char large[2000];

    arena_init(&arena, NULL, 0, 1u << 18);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(read_header(&arena, rows[i].json, &header) == rows[i].reason, "%s",
                      rows[i].json);
    }
    snprintf(large, sizeof(large), "{\"alg\":\"HS256\",\"kid\":\"%01100d\"}", 0);
    ck_assert_int_eq(read_header(&arena, large, &header), JWT_TOKEN_TOO_LARGE);
    arena_done(&arena);
}
END_TEST

START_TEST(a_signed_token_reads_back)
{
    struct jwa_key key;
    struct jws_header header;
    struct arena arena;
    struct jws jws;

    ck_assert_int_eq(
        jwa_key_from_secret((const uint8_t *)"0123456789abcdef0123456789abcdef", 32, &key), 0);
    char *token = jws_sign(jwa_by_id(JWA_HS256), &key, SLICE("k\"1"), SLICE("at+jwt"), SLICE("{}"));
    ck_assert_ptr_nonnull(token);
    ck_assert_int_eq(jws_split(slice_str(token), &jws), 0);
    arena_init(&arena, NULL, 0, 1u << 18);
    ck_assert_int_eq(jws_read_header(&arena, jws.header, &header), JWT_OK);
    ck_assert(slice_eq(header.kid, SLICE("k\"1")));
    ck_assert(slice_eq(header.typ, SLICE("at+jwt")));
    ck_assert_ptr_null(
        jws_sign(jwa_by_id(JWA_RS256), &key, SLICE_ABSENT, SLICE_ABSENT, SLICE("{}")));
    arena_done(&arena);
    jwa_key_done(&key);
    free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jws");
    TCase *tcase = tcase_create("jws");

    tcase_add_test(tcase, a_token_splits_into_three_parts);
    tcase_add_test(tcase, any_other_number_of_parts_is_refused);
    tcase_add_test(tcase, the_header_is_read_and_foreign_keys_in_it_are_ignored);
    tcase_add_test(tcase, headers_that_are_broken_or_large_are_refused);
    tcase_add_test(tcase, a_signed_token_reads_back);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
