/* SPDX-License-Identifier: Apache-2.0 */
/* jwtgate keys: making, showing and naming keys. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/commands.h"

static void remove_all(void)
{
    static const char *const names[] = { "k.pem", "k.pub.pem", "s", "link" };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unlink(names[i]);
    }
}

static mode_t mode_of(const char *name)
{
    struct stat st;

    ck_assert_int_eq(stat(name, &st), 0);
    return st.st_mode & 0777;
}

START_TEST(a_pair_is_private_and_public)
{
    static const char *const algorithms[] = { "RS256", "ES256", "ES384", "EdDSA" };

    for (unsigned i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        char words[80];

        remove_all();
        snprintf(words, sizeof(words), "keys generate --alg %s -o k.pem", algorithms[i]);
        expect_command(words, NULL, EXIT_YES, NULL, NULL);
        ck_assert_uint_eq(mode_of("k.pem"), 0600);
        ck_assert_ptr_nonnull(strstr(read_file_text("k.pem"), "PRIVATE KEY-----"));
        ck_assert_ptr_null(strstr(read_file_text("k.pub.pem"), "PRIVATE"));
        expect_command("keys thumbprint k.pem", NULL, EXIT_YES, NULL, NULL);
        char thumbprint[64];
        snprintf(thumbprint, sizeof(thumbprint), "%.43s", command_out);
        ck_assert_uint_eq(strlen(thumbprint), 43); /* SHA-256 as base64url (RFC 7638) */
        expect_command("keys thumbprint k.pub.pem", NULL, EXIT_YES, thumbprint, NULL);
        expect_command("keys jwks k.pem", NULL, EXIT_YES, thumbprint, NULL);
        ck_assert_ptr_null(strstr(command_out, "\"d\""));
    }
    remove_all();
}
END_TEST

START_TEST(nothing_is_written_over)
{
    remove_all();
    write_file("k.pem", "mine");
    expect_command("keys generate --alg ES256 -o k.pem", NULL, EXIT_NO, NULL, "k.pem");
    ck_assert_str_eq(read_file_text("k.pem"), "mine");
    unlink("k.pem");
    ck_assert_int_eq(symlink("elsewhere", "k.pem"), 0);
    expect_command("keys generate --alg ES256 -o k.pem", NULL, EXIT_NO, NULL, "k.pem");
    ck_assert_int_ne(access("elsewhere", F_OK), 0);
    remove_all();
}
END_TEST

START_TEST(a_secret_has_no_public_half)
{
    remove_all();
    expect_command("keys generate --alg HS256 -o s", NULL, EXIT_YES, NULL, NULL);
    ck_assert_uint_eq(mode_of("s"), 0600);
    ck_assert_uint_ge(strlen(read_file_text("s")), 43);
    expect_command("keys jwks s", NULL, EXIT_NO, NULL, NULL);
    ck_assert_ptr_null(strstr(command_out, "oct"));
    remove_all();
}
END_TEST

START_TEST(mistakes_are_told)
{
    expect_command("keys", NULL, EXIT_USAGE, NULL, NULL);
    expect_command("keys generate", NULL, EXIT_USAGE, NULL, NULL);
    expect_command("keys generate --alg none -o k.pem", NULL, EXIT_USAGE, NULL, NULL);
    expect_command("keys generate --alg RS256 --bits 1024 -o k.pem", NULL, EXIT_USAGE, NULL, NULL);
    expect_command("keys thumbprint missing.pem", NULL, EXIT_UNKNOWN, NULL, "missing.pem");
    write_file("k.pem", "no key");
    expect_command("keys thumbprint k.pem", NULL, EXIT_NO, NULL, "k.pem");
    remove_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_keys");
    TCase *tc = tcase_create("all");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, a_pair_is_private_and_public);
    tcase_add_test(tc, nothing_is_written_over);
    tcase_add_test(tc, a_secret_has_no_public_half);
    tcase_add_test(tc, mistakes_are_told);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
