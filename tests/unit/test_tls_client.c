/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>

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

int main(void)
{
    TCase *tc = tcase_create("tls_client");

    tcase_add_test(tc, addresses_are_checked_too);
    tcase_add_test(tc, a_server_that_cannot_be_trusted_is_left);
    tcase_add_test(tc, a_client_may_be_told_to_trust_anyone);
    tcase_add_test(tc, the_server_name_is_checked_instead_of_the_host);
    tcase_add_test(tc, a_client_with_other_options_checks_anew);
    return tls_fixture_run(tc);
}
