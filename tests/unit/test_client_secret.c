/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/client_secret.h"

#include <check.h>

#include <stdlib.h>

#define SALT   "AAECAwQFBgcICQoLDA0ODw"
#define SHA256 "sha256:" SALT ":EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grw"
#define HASH   "11kKyiyYAc8G7rp3KmncMc44YlkdllIqxOa7pq0fMaU"
#define SCRYPT "scrypt:16384:8:1:" SALT ":" HASH

static const struct slice secret = { "correct horse battery staple", 28 };

/* Both were made with Python's hmac and hashlib. */
START_TEST(known_hashes_are_checked)
{
    static const char *const texts[] = { SHA256, SCRYPT };

    for (size_t i = 0; i < 2; i++) {
        char text[CLIENT_SECRET_TEXT_BYTES];
        struct client_secret kept;
        const char *why;

        ck_assert_int_eq(client_secret_read(slice_str(texts[i]), &kept, &why), 0);
        ck_assert_int_eq(client_secret_check(&kept, secret), 0);
        ck_assert_int_eq(client_secret_check(&kept, slice_of(secret.ptr, 27)), ERR_BAD_INPUT);
        ck_assert_int_eq(client_secret_check(&kept, SLICE("")), ERR_BAD_INPUT);
        client_secret_write(&kept, text);
        ck_assert_str_eq(text, texts[i]);
        kept.hash[31] ^= 1;
        ck_assert_int_eq(client_secret_check(&kept, secret), ERR_BAD_INPUT);
    }
}
END_TEST

START_TEST(what_was_kept_is_recognised)
{
    static const enum client_secret_kind kinds[] = { CLIENT_SECRET_SHA256, CLIENT_SECRET_SCRYPT };
    struct client_secret kept[2], again;
    char text[CLIENT_SECRET_TEXT_BYTES];
    const char *why;

    for (size_t i = 0; i < 2; i++) {
        ck_assert_int_eq(client_secret_keep(kinds[i], secret, &kept[0]), 0);
        ck_assert_int_eq(client_secret_keep(kinds[i], secret, &kept[1]), 0);
        ck_assert_mem_ne(kept[0].salt, kept[1].salt, CLIENT_SECRET_SALT_BYTES);
        ck_assert_mem_ne(kept[0].hash, kept[1].hash, CLIENT_SECRET_HASH_BYTES);
        client_secret_write(&kept[0], text);
        ck_assert_int_eq(client_secret_read(slice_str(text), &again, &why), 0);
        ck_assert_int_eq(client_secret_check(&again, secret), 0);
        ck_assert_int_eq(client_secret_check(&again, SLICE("another")), ERR_BAD_INPUT);
    }
}
END_TEST

START_TEST(generated_secrets_differ_and_have_256_bits)
{
    char a[CLIENT_SECRET_MADE_BYTES], b[CLIENT_SECRET_MADE_BYTES];

    ck_assert_int_eq(client_secret_generate(a), 0);
    ck_assert_int_eq(client_secret_generate(b), 0);
    ck_assert_str_ne(a, b);
    ck_assert_uint_eq(strlen(a), 43);
}
END_TEST

START_TEST(other_texts_are_refused)
{
    static const char *const bad[] = {
        "",
        "sha256",
        "sha256:",
        "md5:" SALT ":" HASH,
        "SHA256:" SALT ":" HASH,
        "sha256:" SALT,
        "sha256::" HASH,
        "sha256:" HASH ":" SALT,
        SHA256 "A",
        SHA256 ":",
        "sha256:" SALT ":EEqYVo55l7MGfPvwVPSRCq7RN6JXw-TBbKyW9De5Grx" /* unused bits */,
        "scrypt:" SALT ":" HASH,
        "scrypt:16384:8:" SALT ":" HASH,
        "scrypt:8192:8:1:" SALT ":" HASH /* weak */,
        "scrypt:16384:4:1:" SALT ":" HASH,
        "scrypt:16384:8:0:" SALT ":" HASH,
        "scrypt:016384:8:1:" SALT ":" HASH,
        "scrypt:20000:8:1:" SALT ":" HASH /* no power of 2 */,
        "scrypt:16384:8:+1:" SALT ":" HASH,
        "scrypt:131072:8:1:" SALT ":" HASH /* memory */,
        "scrypt:16384:64:1:" SALT ":" HASH,
        "scrypt:16384:8:9:" SALT ":" HASH /* time */,
        "scrypt:65536:8:3:" SALT ":" HASH,
        "scrypt:99999999:8:1:" SALT ":" HASH,
        "scrypt:16384:9999999:9999999:" SALT ":" HASH,
    };
    struct client_secret kept;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *why = NULL;

        ck_assert_msg(client_secret_read(slice_str(bad[i]), &kept, &why) == ERR_BAD_INPUT, "%s",
                      bad[i]);
        ck_assert_ptr_nonnull(why);
    }
}
END_TEST

/* The most that the parameters allow runs: OpenSSL's own limit is not in the way. */
START_TEST(the_costliest_parameters_work)
{
    struct client_secret kept;
    const char *why;

    ck_assert_int_eq(client_secret_read(SLICE("scrypt:65536:8:2:" SALT ":" HASH), &kept, &why), 0);
    ck_assert_int_eq(client_secret_check(&kept, secret), ERR_BAD_INPUT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client_secret");
    TCase *cases = tcase_create("client_secret");

    tcase_set_timeout(cases, 60);
    tcase_add_test(cases, known_hashes_are_checked);
    tcase_add_test(cases, what_was_kept_is_recognised);
    tcase_add_test(cases, generated_secrets_differ_and_have_256_bits);
    tcase_add_test(cases, other_texts_are_refused);
    tcase_add_test(cases, the_costliest_parameters_work);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
