/* SPDX-License-Identifier: Apache-2.0 */
/* Fetched keys: which token they vouch for, and until when. */
#include "plugins/jwt/verify.h"

#include <check.h>
#include <openssl/evp.h>

#include <stdlib.h>

#define NOW    1800000000
#define CLAIMS "{\"iss\":\"i\",\"exp\":1800000600}"

static struct provider provider;
static struct verify_keys keys;
static struct arena arena;
static struct jwa_key a, b, c;

static struct jwa_key new_key(void)
{
    struct jwa_key key;
    const char *why;

    ck_assert_int_eq(jwa_key_from_pkey(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), &key, &why), 0);
    return key;
}

static void set_free(struct gw_shared *shared)
{
    free(shared);
}

/* Keys stay the test's. */
static struct jwks_set *set_of(const char *kid, const struct jwa_key *key, const char *other_kid,
                               const struct jwa_key *other)
{
    struct jwks_set *set = calloc(1, sizeof(*set));

    set->shared = (struct gw_shared){ .refs = 1, .free = set_free };
    set->keys[0] = (struct jwk){ .kid = slice_str(kid), .key = *key };
    set->count = 1;
    if (other != NULL) {
        set->keys[1] = (struct jwk){ .kid = slice_str(other_kid), .key = *other };
        set->count = 2;
    }
    return set;
}

static void use(struct jwks_set *set)
{
    ck_assert_int_eq(verify_keys_set_remote(&keys, set), 0);
    jwks_set_unref(set);
}

static void setup(void)
{
    provider = (struct provider){ .issuer = SLICE("i"),
                                  .algorithms = 1u << JWA_EdDSA,
                                  .max_token_bytes = 8192,
                                  .has_jwks = true,
                                  .policy = { .issuer = SLICE("i"), .any_audience = true } };
    arena_init(&arena, NULL, 0, 1u << 20);
    ck_assert_int_eq(verify_keys_init(&keys, &provider), 0);
    a = new_key();
    b = new_key();
    c = new_key();
}

static void teardown(void)
{
    verify_keys_done(&keys);
    arena_done(&arena);
    jwa_key_done(&a);
    jwa_key_done(&b);
    jwa_key_done(&c);
}

/* What comes of a token that `key` has signed; the result is valid until the next one. */
static struct verify_result expect(const struct jwa_key *key, const char *kid, const char *claims,
                                   enum jwt_reason reason)
{
    char *token =
        jws_sign(jwa_by_id(JWA_EdDSA), key, slice_str(kid), SLICE("JWT"), slice_str(claims));
    struct verify_result result;
    enum jwt_reason found = verify_token(&keys, slice_str(token), NOW, &arena, &result);

    ck_assert_str_eq(jwt_reason_name(found), jwt_reason_name(reason));
    token_unref(result.token);
    free(token);
    return result;
}

START_TEST(a_set_vouches_for_its_own_tokens_only)
{
    expect(&a, "a", CLAIMS, JWT_KID_UNKNOWN);
    use(set_of("a", &a, "b", &b));
    expect(&a, "a", CLAIMS, JWT_OK);
    expect(&b, "b", CLAIMS, JWT_OK);
    expect(&a, NULL, CLAIMS, JWT_OK);
    expect(&b, NULL, CLAIMS, JWT_OK);
    expect(&b, "a", CLAIMS, JWT_SIGNATURE_INVALID);
    expect(&c, NULL, CLAIMS, JWT_SIGNATURE_INVALID);
    expect(&c, "c", CLAIMS, JWT_KID_UNKNOWN);
}
END_TEST

START_TEST(each_set_is_a_generation_and_the_old_keys_are_gone)
{
    uint64_t first = keys.generation;

    use(set_of("a", &a, "b", &b));
    uint64_t second = keys.generation;
    expect(&a, "a", CLAIMS, JWT_OK);
    use(set_of("b", &b, NULL, NULL));
    ck_assert(first != second && second != keys.generation);
    expect(&a, "a", CLAIMS, JWT_KID_UNKNOWN);
    expect(&a, NULL, CLAIMS, JWT_SIGNATURE_INVALID);
    expect(&b, "b", CLAIMS, JWT_OK);
    use(set_of("a", &c, NULL, NULL)); /* the name again, another key */
    expect(&a, "a", CLAIMS, JWT_SIGNATURE_INVALID);
    expect(&c, "a", CLAIMS, JWT_OK);
    ck_assert_int_eq(verify_keys_set_remote(&keys, NULL), 0);
    expect(&c, "a", CLAIMS, JWT_KID_UNKNOWN);
}
END_TEST

START_TEST(newer_keys_help_only_a_token_that_is_good_but_for_its_key)
{
    static const char *const bad[] = {
        "{\"iss\":\"other\",\"exp\":1800000600}",
        "{\"iss\":\"i\",\"exp\":1799999000}",
        "{\"iss\":\"i\"}",
        "{\"iss\":\"i\",\"exp\":1800000600,\"nbf\":1800000500}",
        "{\"exp\":1800000600}",
        "[]",
        "x",
    };

    use(set_of("a", &a, NULL, NULL));
    ck_assert(expect(&b, "b", CLAIMS, JWT_KID_UNKNOWN).may_be_newer);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(!expect(&b, "b", bad[i], JWT_KID_UNKNOWN).may_be_newer, "%s", bad[i]);
    }
    provider.has_jwks = false;
    ck_assert(!expect(&b, "b", CLAIMS, JWT_KID_UNKNOWN).may_be_newer);
}
END_TEST

START_TEST(the_issuer_of_an_unverified_token_is_only_looked_at)
{
    char *token = jws_sign(jwa_by_id(JWA_EdDSA), &a, SLICE("a"), SLICE("JWT"), SLICE(CLAIMS));
    struct slice issuer;

    ck_assert_int_eq(verify_peek_issuer(slice_str(token), &arena, &issuer), JWT_OK);
    ck_assert(slice_eq(issuer, SLICE("i")));
    ck_assert_int_eq(verify_peek_issuer(SLICE("a.b"), &arena, &issuer), JWT_TOKEN_MALFORMED);
    ck_assert_int_eq(verify_peek_issuer(SLICE("e30.e30.x"), &arena, &issuer), JWT_CLAIM_MISSING);
    free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verify");
    TCase *tcase = tcase_create("verify");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_set_vouches_for_its_own_tokens_only);
    tcase_add_test(tcase, each_set_is_a_generation_and_the_old_keys_are_gone);
    tcase_add_test(tcase, newer_keys_help_only_a_token_that_is_good_but_for_its_key);
    tcase_add_test(tcase, the_issuer_of_an_unverified_token_is_only_looked_at);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
