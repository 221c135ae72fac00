/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base64url.h"
#include "plugins/jwt/jwk.h"

#include <check.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <stdlib.h>

#define JOE_CLAIMS                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cn"   \
    "VlfQ"

/* Appendix A of RFC 7515 and of RFC 8037, section 4 of RFC 7520. */
static const struct {
    const char *name, *alg, *jwk, *token;
} vectors[] = {
    { "RFC 7515 A.1", "HS256",
      "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4"
      "hcgUuTwjAzZr1Z9CAow\"}",
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE_CLAIMS
      ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" },
    { "RFC 7515 A.2", "RS256",
      "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W2"
      "6mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47"
      "soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMT"
      "BQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDT"
      "W9gb54h4FRWyuXpoQ\"}",
      "eyJhbGciOiJSUzI1NiJ9." JOE_CLAIMS
      ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
      "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBM"
      "Hlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2"
      "w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw" },
    { "RFC 7515 A.3", "ES256",
      "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
      "\"y\""
      ":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
      "eyJhbGciOiJFUzI1NiJ9." JOE_CLAIMS
      ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q" },
    { "RFC 7515 A.4", "ES512",
      "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpX"
      "p5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk\",\"y\":\"ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMo"
      "xVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2\"}",
      "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWR"
      "Oc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vc"
      "nwNrmxYbSW9ERBXukOXolLzeO_Jn" },
    { "RFC 7520 4.1", "RS256",
      "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
      "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"
      "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpP"
      "e7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg"
      "_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
      "\"}",
      "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGF"
      "uZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9"
      "hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW9"
      "1IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKt"
      "ainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0R"
      "nltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS"
      "_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH"
      "84ogoree7vjbU5y18kDquDg" },
    { "RFC 7520 4.2", "PS384",
      "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\""
      "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"
      "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpP"
      "e7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg"
      "_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"
      "\"}",
      "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGF"
      "uZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9"
      "hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW9"
      "1IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1"
      "xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFl"
      "fz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2"
      "Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfm"
      "WjwZ6oD4ifKo8DYM-X72Eaw" },
    { "RFC 7520 4.3", "ES512",
      "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_"
      "oJ"
      "Xu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt\",\"y\":\"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6"
      "pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1\"}",
      "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGF"
      "uZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9"
      "hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW9"
      "1IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUII"
      "UnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IE"
      "KBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2" },
    { "RFC 7520 4.4", "HS256",
      "{\"kty\":\"oct\",\"k\":\"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg\"}",
      "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJl"
      "zIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB"
      "0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2h"
      "lcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0" },
    { "RFC 8037 A.4", "EdDSA",
      "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
      ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg" },
};
#define VECTORS ((int)(sizeof(vectors) / sizeof(vectors[0])))

static bool verify_once(const struct jwa *alg, const struct jwa_key *key, struct slice input,
                        const uint8_t *sig, size_t len)
{
    struct jwa_verifier *verifier = jwa_verifier_new(alg, key);
    ck_assert_ptr_nonnull(verifier);
    bool first = jwa_verify(verifier, input, sig, len);
    bool second = jwa_verify(verifier, input, sig, len); /* the context serves again */
    ck_assert_int_eq(first, second);
    ck_assert_uint_eq(ERR_peek_error(), 0);
    jwa_verifier_free(verifier);
    return first;
}

START_TEST(published_signatures_verify_and_changed_ones_do_not)
{
    const struct jwa *alg = jwa_find(slice_str(vectors[_i].alg));
    struct slice text = slice_str(vectors[_i].token), sig;
    const char *why = NULL;
    struct arena arena;
    struct jwk jwk;
    struct jws jws;

    arena_init(&arena, NULL, 0, 1u << 20);
    struct json *json = json_parse(&arena, slice_str(vectors[_i].jwk), &jwk_limits, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_int_eq(jwk_read(json, true, &jwk, &why), 0);
    ck_assert_int_eq(jws_split(text, &jws), 0);
    ck_assert_int_eq(jws_decode(&arena, jws.signature, &sig), 0);

    uint8_t bytes[JWA_MAX_SIGNATURE_BYTES + 1] = { 0 };
    memcpy(bytes, sig.ptr, sig.len);
    ck_assert_msg(verify_once(alg, &jwk.key, jws.signing_input, bytes, sig.len), "%s",
                  vectors[_i].name);
    ck_assert(!verify_once(alg, &jwk.key, jws.signing_input, bytes, sig.len - 1));
    ck_assert(!verify_once(alg, &jwk.key, jws.signing_input, bytes, sig.len + 1));
    ck_assert(!verify_once(alg, &jwk.key, jws.signing_input, bytes, 0));
    for (size_t i = 0; i < sig.len; i += 7) {
        bytes[i] ^= 0x10;
        ck_assert(!verify_once(alg, &jwk.key, jws.signing_input, bytes, sig.len));
        bytes[i] ^= 0x10;
    }
    memset(bytes, 0, sig.len);
    ck_assert(!verify_once(alg, &jwk.key, jws.signing_input, bytes, sig.len));
    jwa_key_done(&jwk.key);
    arena_done(&arena);
}
END_TEST

static void make_key(enum jwa_key_type type, struct jwa_key *ret)
{
    static const uint8_t secret[64] =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";
    const char *why = NULL;
    EVP_PKEY *pkey = NULL;

    switch (type) {
    case JWA_KEY_OCT: ck_assert_int_eq(jwa_key_from_secret(secret, sizeof(secret), ret), 0); return;
    case JWA_KEY_RSA: pkey = EVP_RSA_gen(2048); break;
    case JWA_KEY_P256: pkey = EVP_EC_gen("P-256"); break;
    case JWA_KEY_P384: pkey = EVP_EC_gen("P-384"); break;
    case JWA_KEY_P521: pkey = EVP_EC_gen("P-521"); break;
    case JWA_KEY_ED25519: pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); break;
    }
    ck_assert_int_eq(jwa_key_from_pkey(pkey, ret, &why), 0);
    ck_assert_int_eq(ret->type, type);
}

START_TEST(every_algorithm_verifies_what_it_signed_and_no_other_key_type_fits)
{
    const struct jwa *alg = jwa_by_id((enum jwa_id)_i);
    uint8_t sig[JWA_MAX_SIGNATURE_BYTES];
    size_t len = 0;
    struct jwa_key key;

    make_key(alg->key_type, &key);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(jwa_sign(alg, &key, SLICE("a.b"), sig, &len), 0);
        ck_assert(verify_once(alg, &key, SLICE("a.b"), sig, len));
        ck_assert(!verify_once(alg, &key, SLICE("a.c"), sig, len));
    }
    for (unsigned i = 0; i < JWA_IDS; i++) {
        const struct jwa *other = jwa_by_id((enum jwa_id)i);
        if (other->key_type != alg->key_type) {
            ck_assert_ptr_null(jwa_verifier_new(other, &key));
        } else if (other != alg) {
            ck_assert(!verify_once(other, &key, SLICE("a.b"), sig, len));
        }
    }
    jwa_key_done(&key);
}
END_TEST

START_TEST(names_are_compared_exactly)
{
    static const char *const wrong[] = { "none", "None", "", "hs256", "HS256 ", "HS25", "RS1" };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_ptr_null(jwa_find(slice_str(wrong[i])));
    }
    ck_assert_ptr_null(jwa_find(slice_of("HS256\0x", 7)));
    ck_assert_int_eq(jwa_find(SLICE("PS384"))->id, JWA_PS384);
}
END_TEST

START_TEST(weak_keys_are_refused)
{
    const char *why = NULL;
    struct jwa_key key = { 0 };
    EVP_PKEY *small = EVP_RSA_gen(1024);
    EVP_PKEY *other_curve = EVP_EC_gen("secp256k1");

    ck_assert_int_eq(jwa_key_from_secret((const uint8_t *)"short", 5, &key), ERR_UNSUPPORTED);
    ck_assert_int_eq(jwa_key_from_pkey(small, &key, &why), ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why, "2048"));
    ck_assert_int_eq(jwa_key_from_pkey(other_curve, &key, &why), ERR_UNSUPPORTED);
    EVP_PKEY_free(small);
    EVP_PKEY_free(other_curve);
    ck_assert_int_eq(
        jwa_key_from_secret((const uint8_t *)"0123456789abcdef0123456789abcdef", 32, &key), 0);
    ck_assert(!jwa_key_fits(&key, jwa_by_id(JWA_HS512)));
    jwa_key_done(&key);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jwa");
    TCase *tcase = tcase_create("jwa");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, published_signatures_verify_and_changed_ones_do_not, 0, VECTORS);
    tcase_add_loop_test(tcase, every_algorithm_verifies_what_it_signed_and_no_other_key_type_fits,
                        0, JWA_IDS);
    tcase_add_test(tcase, names_are_compared_exactly);
    tcase_add_test(tcase, weak_keys_are_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
