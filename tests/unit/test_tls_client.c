/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tests/support/tls_fixture.h"

START_TEST(addresses_are_checked_too)
{
    tf_serve("a");
    tf_trust();
    tf_shake("127.0.0.1");
    tf_assert_talk();
}
END_TEST

START_TEST(a_server_that_cannot_be_trusted_is_left)
{
    static const struct {
        const char *certificate, *failure;
    } rows[] = {
        { "old", "tls_certificate_expired" },
        { "self", "tls_certificate_untrusted" },
        { "b", "tls_certificate_name" },
    };

    tf_trust();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tf_serve(rows[i].certificate);
        tf_shake("a.test");
        ck_assert_int_eq(tf.them.err, ERR_CRYPTO);
        ck_assert_str_eq(tf.them.failure, rows[i].failure);
        ck_assert_uint_eq(tf.them.connected + tf.us.connected, 0);
        ck_assert_str_eq(tf.us.failure, "tls_alert");
    }
}
END_TEST

START_TEST(a_client_may_be_told_to_trust_anyone)
{
    const struct tls_client_options options = { .insecure_skip_verify = true };

    tf_serve("old");
    tf_trust_with(&options);
    tf_shake("b.test");
    tf_assert_talk();
}
END_TEST

START_TEST(the_server_name_is_checked_instead_of_the_host)
{
    const struct tls_client_options options = { .ca_file = "ca.crt", .server_name = "b.test" };

    tf_serve("b");
    tf_trust_with(&options);
    tf_shake("10.0.0.1");
    tf_assert_talk();
}
END_TEST

START_TEST(a_client_with_other_options_checks_anew)
{
    const struct tls_client_options named = { .ca_file = "ca.crt", .server_name = "a.test" };

    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    tf_trust(); /* a reload that changes nothing */
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert(tls_is_resumed(tf.us.stream.tls));
    tf_trust_with(&named);
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert(!tls_is_resumed(tf.us.stream.tls));
}
END_TEST

/* ---- pinned keys ---- */

static struct tls_pin pin_of(const char *file)
{
    struct tls_pin pin;
    FILE *in = fopen(file, "r");
    X509 *cert = in == NULL ? NULL : PEM_read_X509(in, NULL, NULL, NULL);
    unsigned char *spki = NULL;

    ck_assert_ptr_nonnull(cert);
    fclose(in);
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    ck_assert_int_eq(EVP_Digest(spki, (size_t)len, pin.digest, NULL, EVP_sha256(), NULL), 1);
    OPENSSL_free(spki);
    X509_free(cert);
    return pin;
}

START_TEST(the_key_must_be_a_pinned_one)
{
    static const struct {
        const char *certificate;
        bool skips_verify;
        const char *pins[2];
        const char *failure;
    } rows[] = {
        { "a", false, { "a.crt", NULL }, NULL },
        { "a", false, { "b.crt", "a.crt" }, NULL },
        { "a", false, { "b.crt", "ca.crt" }, "tls_key_not_pinned" }, /* not an issuer's */
        { "b", false, { "b.crt", NULL }, "tls_certificate_name" },   /* the rest is checked too */
        { "old", false, { "old.crt", NULL }, "tls_certificate_expired" },
        { "self", false, { "self.crt", NULL }, "tls_certificate_untrusted" },
        { "self", true, { "self.crt", NULL }, NULL },
        { "self", true, { "a.crt", NULL }, "tls_key_not_pinned" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls_pin pins[2] = { pin_of(rows[i].pins[0]) };
        struct tls_client_options options = { .ca_file = "ca.crt", .pins = pins, .pin_count = 1 };

        if (rows[i].pins[1] != NULL) {
            pins[options.pin_count++] = pin_of(rows[i].pins[1]);
        }
        options.insecure_skip_verify = rows[i].skips_verify;
        tf_serve(rows[i].certificate);
        tf_trust_with(&options);
        tls_session_clear(&tf.session);
        tf_shake("a.test");
        if (rows[i].failure == NULL) {
            tf_assert_talk();
            tf_shake("a.test"); /* and again, resumed */
            tf_assert_talk();
            ck_assert(tls_is_resumed(tf.us.stream.tls));
        } else {
            ck_assert_msg(tf.them.err == ERR_CRYPTO, "row %zu", i);
            ck_assert_str_eq(tf.them.failure, rows[i].failure);
        }
    }
}
END_TEST

START_TEST(a_session_from_before_the_pin_is_not_resumed)
{
    struct tls_pin pin = pin_of("b.crt");
    const struct tls_client_options options = { .ca_file = "ca.crt", .pins = &pin, .pin_count = 1 };

    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    tf_trust_with(&options);
    tf_shake("a.test");
    ck_assert_str_eq(tf.them.failure, "tls_key_not_pinned");
}
END_TEST

START_TEST(a_pin_is_written_in_one_way)
{
    static const struct {
        const char *text;
        bool is_good;
    } rows[] = {
        { "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=", true },
        { "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5F=", false }, /* bits that are thrown away */
        { "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E", false },
        { "r_mIkG3eEpVdm-u_ko_cwxzOMo1bk4TyHIlByibiA5E=", false },
        { " /mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=", false },
        { "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5Eg", false }, /* 33 bytes */
        { "r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA===", false },
        { "", false },
    };
    struct tls_pin pin;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(tls_pin_read(slice_str(rows[i].text), &pin) == rows[i].is_good, "%s",
                      rows[i].text);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls_client");

    tcase_add_test(tc, addresses_are_checked_too);
    tcase_add_test(tc, a_server_that_cannot_be_trusted_is_left);
    tcase_add_test(tc, a_client_may_be_told_to_trust_anyone);
    tcase_add_test(tc, the_server_name_is_checked_instead_of_the_host);
    tcase_add_test(tc, a_client_with_other_options_checks_anew);
    tcase_add_test(tc, the_key_must_be_a_pinned_one);
    tcase_add_test(tc, a_session_from_before_the_pin_is_not_resumed);
    tcase_add_test(tc, a_pin_is_written_in_one_way);
    return tls_fixture_run(tc);
}
