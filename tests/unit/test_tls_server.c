/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>

#include "tests/support/tls_fixture.h"

START_TEST(the_certificate_is_chosen_by_name)
{
    static const struct {
        const char *host, *failure; /* of the client, that checks the name */
    } rows[] = {
        { "a.test", NULL },
        { "b.test", NULL },
        { "B.Test", NULL },
        { "x.wild.test", NULL },
        { "x.y.wild.test", "tls_certificate_name" },
        { "wild.test", "tls_certificate_name" },
        { "other.test", "tls_certificate_name" }, /* the first one is shown */
    };

    tf_serve("a");
    ck_assert_int_eq(tf_add("b", "b.test"), 0);
    tf_trust();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tls_session_clear(&tf.session);
        tf_shake(rows[i].host);
        if (rows[i].failure == NULL) {
            ck_assert_msg(tf.them.connected == 1, "%s: %s", rows[i].host, tf.them.failure);
        } else {
            ck_assert_int_eq(tf.them.err, ERR_CRYPTO);
            ck_assert_str_eq(tf.them.failure, rows[i].failure);
        }
    }
}
END_TEST

static void ask_clients(enum tls_client_auth auth)
{
    const struct tls_server_options options = { .client_auth = auth, .client_ca_file = "ca.crt" };
    tf_serve_with(&options, "a");
}

static void show(const char *cert, const char *key)
{
    const struct tls_client_options options = {
        .ca_file = "ca.crt",
        .cert_file = cert,
        .key_file = key,
    };
    tf_trust_with(&options);
}

START_TEST(a_demanded_client_certificate_is_checked)
{
    ask_clients(TLS_CLIENT_AUTH_REQUIRE);
    show("client.crt", "client.key");
    tf_shake("a.test");
    tf_assert_talk();
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert(tls_is_resumed(tf.us.stream.tls));
    tf_trust();
    tf_shake("a.test");
    ck_assert_uint_eq(tf.us.connected, 0);
    ck_assert_str_eq(tf.us.failure, "tls_certificate_missing");
    show("self.crt", "self.key");
    tf_shake("a.test");
    ck_assert_str_eq(tf.us.failure, "tls_certificate_untrusted");
}
END_TEST

START_TEST(who_the_client_is_stays_known_in_a_resumed_session)
{
    struct slice thumbprint = SLICE_ABSENT;
    char first[43];

    ask_clients(TLS_CLIENT_AUTH_REQUEST);
    show("client.crt", "client.key");
    for (unsigned turn = 0; turn < 2; turn++) {
        tf_shake("a.test");
        tf_assert_talk();
        ck_assert_int_eq(tls_is_resumed(tf.us.stream.tls), turn == 1);
        ck_assert_ptr_nonnull(tf.us.stream.tls->peer);
        ck_assert(slice_eq(tf.us.stream.tls->peer->subject, SLICE("CN=client")));
        thumbprint = tf.us.stream.tls->peer->thumbprint;
        ck_assert_uint_eq(thumbprint.len, sizeof(first));
        ck_assert(turn == 0 || memcmp(first, thumbprint.ptr, sizeof(first)) == 0);
        memcpy(first, thumbprint.ptr, sizeof(first));
        ck_assert_ptr_null(tf.them.stream.tls->peer);
    }
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert_ptr_null(tf.us.stream.tls->peer);
}
END_TEST

START_TEST(a_client_certificate_that_is_only_wished_for_may_be_missing_but_not_wrong)
{
    ask_clients(TLS_CLIENT_AUTH_REQUEST);
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    show("old.crt", "old.key");
    tf_shake("a.test");
    ck_assert_uint_eq(tf.us.connected, 0);
    ck_assert_str_eq(tf.us.failure, "tls_certificate_expired");
}
END_TEST

START_TEST(a_session_without_a_client_certificate_is_not_resumed_where_one_is_demanded)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    ask_clients(TLS_CLIENT_AUTH_REQUIRE);
    tf_shake("a.test");
    ck_assert_uint_eq(tf.us.connected, 0);
}
END_TEST

START_TEST(facts_of_a_certificate)
{
    struct slice hosts[] = { SLICE("*.wild.test"), SLICE("c.test") };
    const struct tls_certificate certificate = {
        .cert_file = "a.crt", .key_file = "a.key", .hosts = hosts, .host_count = 2
    };
    const struct tls_server_options options = { 0 };
    struct tls_certificate_facts facts;
    enum tls_part part;

    tf.server = tls_server_new(&options, tf.why);
    ck_assert_int_eq(tls_server_add(tf.server, &certificate, &facts, &part, tf.why), 0);
    ck_assert(slice_eq(facts.uncovered, SLICE("c.test")));
    ck_assert_int_gt(facts.not_after, (int64_t)time(NULL) + 80000);
    ck_assert_int_eq(tf_add("b", "c.test"), ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(tf.why, "two certificates are for \"c.test\""));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls_server");

    tcase_add_test(tc, the_certificate_is_chosen_by_name);
    tcase_add_test(tc, a_demanded_client_certificate_is_checked);
    tcase_add_test(tc, who_the_client_is_stays_known_in_a_resumed_session);
    tcase_add_test(tc, a_client_certificate_that_is_only_wished_for_may_be_missing_but_not_wrong);
    tcase_add_test(tc, a_session_without_a_client_certificate_is_not_resumed_where_one_is_demanded);
    tcase_add_test(tc, facts_of_a_certificate);
    return tls_fixture_run(tc);
}
