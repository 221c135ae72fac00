/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"

#include <check.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <stdlib.h>
#include <time.h>

#include "tests/support/tls_fixture.h"

#define DAY_S 86400

/* ---- responses ---- */

struct response {
    const char *about, *issuer, *signer; /* names of certificates */
    int status;
    long from, until; /* seconds from now */
    bool is_endless;
};

static const struct response good = { "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, false };

static X509 *read_cert(const char *name)
{
    char file[64];
    FILE *in;

    snprintf(file, sizeof(file), "%s.crt", name);
    in = fopen(file, "r");
    ck_assert_ptr_nonnull(in);
    X509 *cert = PEM_read_X509(in, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(cert);
    fclose(in);
    return cert;
}

static EVP_PKEY *read_key(const char *name)
{
    char file[64];
    FILE *in;

    snprintf(file, sizeof(file), "%s.key", name);
    in = fopen(file, "r");
    ck_assert_ptr_nonnull(in);
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    ck_assert_ptr_nonnull(key);
    fclose(in);
    return key;
}

static void write_response(OCSP_BASICRESP *basic, int status)
{
    OCSP_RESPONSE *response = OCSP_response_create(status, basic);
    BIO *out = BIO_new_file("a.ocsp", "w");

    ck_assert_int_eq(i2d_OCSP_RESPONSE_bio(out, response), 1);
    BIO_free(out);
    OCSP_RESPONSE_free(response);
}

static void make_response(const struct response *made)
{
    X509 *about = read_cert(made->about), *issuer = read_cert(made->issuer);
    X509 *signer = read_cert(made->signer);
    EVP_PKEY *key = read_key(made->signer);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about, issuer);
    ASN1_TIME *from = X509_gmtime_adj(NULL, made->from),
              *until = X509_gmtime_adj(NULL, made->until);
    int reason = made->status == V_OCSP_CERTSTATUS_REVOKED ? OCSP_REVOKED_STATUS_KEYCOMPROMISE : 0;

    ASN1_TIME *from_long = ASN1_TIME_to_generalizedtime(from, NULL);
    ASN1_TIME *until_long = ASN1_TIME_to_generalizedtime(until, NULL);
    ck_assert_ptr_nonnull(OCSP_basic_add1_status(basic, id, made->status, reason, from_long,
                                                 from_long, made->is_endless ? NULL : until_long));
    ck_assert_int_eq(OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, 0), 1);
    write_response(basic, OCSP_RESPONSE_STATUS_SUCCESSFUL);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(from_long);
    ASN1_TIME_free(until_long);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    EVP_PKEY_free(key);
    X509_free(about);
    X509_free(issuer);
    X509_free(signer);
}

/* a.crt with its issuer behind it. */
static void make_chain(void)
{
    ck_assert_int_eq(system("cat a.crt ca.crt > chain.crt"), 0);
}

static int load(const char *cert_file, struct tls_certificate_facts *ret_facts, enum tls_part *part)
{
    const struct tls_server_options options = { 0 };
    const struct tls_certificate certificate = { .cert_file = cert_file,
                                                 .key_file = "a.key",
                                                 .ocsp_file = "a.ocsp" };

    tls_server_unref(tf.server);
    tf.server = tls_server_new(&options, tf.why);
    return tls_server_add(tf.server, &certificate, ret_facts, part, tf.why);
}

static void load_good(const struct response *made)
{
    struct tls_certificate_facts facts;
    enum tls_part part;

    make_chain();
    make_response(made);
    ck_assert_msg(load("chain.crt", &facts, &part) == 0, "%s", tf.why);
    ck_assert_int_ge(facts.staple_until, (int64_t)time(NULL) + made->until - 10);
}

static void clean(void)
{
    remove("a.ocsp");
    remove("chain.crt");
}

/* ---- what a client gets ---- */

static int stapled; /* bytes; 0: none */

static int on_response(SSL *ssl, void *arg)
{
    const unsigned char *der = NULL;
    long len = SSL_get_tlsext_status_ocsp_resp(ssl, &der);

    stapled = len < 0 ? 0 : (int)len;
    return 1;
}

static void shake_and_ask(bool asks)
{
    SSL *ssl;

    stapled = -1;
    tls_session_clear(&tf.session);
    tf_open("a.test");
    ssl = tf.them.stream.tls->ssl;
    if (asks) {
        ck_assert_int_eq(SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp), 1);
        SSL_CTX_set_tlsext_status_cb(SSL_get_SSL_CTX(ssl), on_response);
    }
    (void)!tls_handshake(tf.them.stream.tls);
    tf_run();
    tf_assert_talk();
}

START_TEST(a_client_that_asks_gets_it)
{
    tf_trust();
    load_good(&good);
    shake_and_ask(true);
    ck_assert_int_gt(stapled, 100);
    shake_and_ask(false);
    ck_assert_int_eq(stapled, -1);
    clean();
}
END_TEST

START_TEST(the_one_of_the_certificate_by_name)
{
    tf_trust();
    load_good(&good);
    ck_assert_int_eq(tf_add("b", "b.test"), 0);
    shake_and_ask(true);
    ck_assert_int_gt(stapled, 100);
    tls_session_clear(&tf.session);
    tf_open("b.test");
    stapled = -1;
    ck_assert_int_eq(SSL_set_tlsext_status_type(tf.them.stream.tls->ssl, TLSEXT_STATUSTYPE_ocsp),
                     1);
    (void)!tls_handshake(tf.them.stream.tls);
    tf_run();
    tf_assert_talk();
    ck_assert_int_eq(stapled, 0);
    clean();
}
END_TEST

START_TEST(it_is_not_stapled_before_and_after_its_time)
{
    static const struct {
        long after; /* days */
        bool is_stapled;
    } rows[] = { { 0, true }, { 2, false }, { -2, false } };
    struct response long_one = good;
    uint64_t now = clock_unix_us();

    tf_trust();
    load_good(&long_one);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        clock_set(clock_ms(), now + (uint64_t)(rows[i].after * DAY_S * INT64_C(1000000)));
        shake_and_ask(true);
        ck_assert_msg((stapled > 0) == rows[i].is_stapled, "row %zu", i);
    }
    clean();
}
END_TEST

/* ---- files ---- */

START_TEST(a_response_must_be_about_the_certificate_and_good)
{
    static const struct {
        struct response made;
        const char *why;
    } rows[] = {
        { { "b", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, false }, "about another" },
        { { "a", "self", "ca", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, false }, "about another" },
        { { "a", "ca", "b", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, false }, "is not signed" },
        { { "a", "ca", "self", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, false }, "is not signed" },
        { { "a", "ca", "ca", V_OCSP_CERTSTATUS_REVOKED, -60, DAY_S, false }, "revoked" },
        { { "a", "ca", "ca", V_OCSP_CERTSTATUS_UNKNOWN, -60, DAY_S, false }, "is not good" },
        { { "a", "ca", "ca", V_OCSP_CERTSTATUS_GOOD, -60, DAY_S, true }, "until when" },
    };
    struct tls_certificate_facts facts;
    enum tls_part part;

    make_chain();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        make_response(&rows[i].made);
        ck_assert_int_eq(load("chain.crt", &facts, &part), ERR_CONFIG);
        ck_assert_msg(strstr(tf.why, rows[i].why) != NULL, "row %zu: %s", i, tf.why);
        ck_assert_int_eq(part, TLS_PART_STAPLE);
    }
    clean();
}
END_TEST

START_TEST(without_the_issuer_the_rest_is_checked)
{
    struct response other = good;
    struct tls_certificate_facts facts;
    enum tls_part part;

    make_response(&good);
    ck_assert_int_eq(load("a.crt", &facts, &part), 0);
    other.about = "b";
    make_response(&other);
    ck_assert_int_eq(load("a.crt", &facts, &part), ERR_CONFIG);
    clean();
}
END_TEST

START_TEST(what_is_no_response_is_refused)
{
    struct tls_certificate_facts facts;
    enum tls_part part;
    FILE *out;

    make_chain();
    ck_assert_int_eq(load("chain.crt", &facts, &part), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(tf.why, "cannot open a.ocsp"));
    ck_assert_int_eq(system("cp a.crt a.ocsp"), 0);
    ck_assert_int_eq(load("chain.crt", &facts, &part), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(tf.why, "is not an OCSP response"));
    write_response(NULL, OCSP_RESPONSE_STATUS_TRYLATER);
    ck_assert_int_eq(load("chain.crt", &facts, &part), ERR_CONFIG);
    make_response(&good);
    out = fopen("a.ocsp", "a");
    ck_assert_int_eq(fputs("more", out) >= 0, 1);
    fclose(out);
    ck_assert_int_eq(load("chain.crt", &facts, &part), ERR_CONFIG);
    clean();
}
END_TEST

START_TEST(a_lapsed_one_is_loaded_for_the_warning)
{
    struct response lapsed = good;
    struct tls_certificate_facts facts;
    enum tls_part part;

    lapsed.from = -2 * DAY_S;
    lapsed.until = -60;
    make_chain();
    make_response(&lapsed);
    tf_trust();
    ck_assert_int_eq(load("chain.crt", &facts, &part), 0);
    ck_assert_int_lt(facts.staple_until, (int64_t)time(NULL));
    shake_and_ask(true);
    ck_assert_int_eq(stapled, 0);
    clean();
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls_staple");

    tcase_add_test(tc, a_client_that_asks_gets_it);
    tcase_add_test(tc, the_one_of_the_certificate_by_name);
    tcase_add_test(tc, it_is_not_stapled_before_and_after_its_time);
    tcase_add_test(tc, a_response_must_be_about_the_certificate_and_good);
    tcase_add_test(tc, without_the_issuer_the_rest_is_checked);
    tcase_add_test(tc, what_is_no_response_is_refused);
    tcase_add_test(tc, a_lapsed_one_is_loaded_for_the_warning);
    return tls_fixture_run(tc);
}
