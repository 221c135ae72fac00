/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>

#include <sys/stat.h>

#include "tests/support/tls_fixture.h"

START_TEST(wrong_files_are_refused_with_a_reason)
{
    static const struct {
        const char *cert, *key, *why;
        enum tls_part part;
    } rows[] = {
        { "none.crt", "a.key", "cannot open none.crt: No such file", TLS_PART_CERT },
        { "a.crt", "none.key", "cannot open none.key: No such file", TLS_PART_KEY },
        { "a.crt", "b.key", "the key in b.key does not belong to the certificate", TLS_PART_KEY },
        { "a.key", "a.key", "a.key holds no PEM certificate", TLS_PART_CERT },
        { "a.crt", "a.crt", "can be read by others", TLS_PART_KEY },
        { ".", "a.key", "not a regular file", TLS_PART_CERT },
    };
    const struct tls_server_options options = { 0 };

    ck_assert_int_eq(chmod("a.crt", 0644), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tls_certificate certificate = { .cert_file = rows[i].cert,
                                                     .key_file = rows[i].key };
        struct tls_certificate_facts facts;
        enum tls_part part = TLS_PART_NONE;

        tls_server_unref(tf.server);
        tf.server = tls_server_new(&options, tf.why);
        ck_assert_int_eq(tls_server_add(tf.server, &certificate, &facts, &part, tf.why),
                         ERR_CONFIG);
        ck_assert_msg(strstr(tf.why, rows[i].why) != NULL, "%s", tf.why);
        ck_assert_int_eq(part, rows[i].part);
    }
}
END_TEST

START_TEST(an_authority_must_be_there)
{
    const struct tls_server_options options = { .client_auth = TLS_CLIENT_AUTH_REQUIRE,
                                                .client_ca_file = "a.key" };
    const struct tls_client_options theirs = { .ca_file = "none.crt" };
    enum tls_part part;

    ck_assert_ptr_null(tls_server_new(&options, tf.why));
    ck_assert_ptr_nonnull(strstr(tf.why, "holds no PEM certificate"));
    ck_assert_ptr_null(tls_client_new(&theirs, &part, tf.why));
    ck_assert_int_eq(part, TLS_PART_CA);
}
END_TEST

START_TEST(modern_is_1_3_only)
{
    const struct tls_server_options options = { .profile = TLS_MODERN };

    tf_serve_with(&options, "a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert_str_eq(tls_version(tf.them.stream.tls), "TLSv1.3");
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls_context");

    tcase_add_test(tc, wrong_files_are_refused_with_a_reason);
    tcase_add_test(tc, an_authority_must_be_there);
    tcase_add_test(tc, modern_is_1_3_only);
    return tls_fixture_run(tc);
}
