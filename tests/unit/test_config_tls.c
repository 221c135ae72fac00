/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of listeners and upstreams: what is read, and what is refused. */
#include "gateway/config_build.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/config_file.h"

#define PAIR "{\"cert_file\": \"a.crt\", \"key_file\": \"a.key\"}"
#define LISTENER(tls)                                                                              \
    "{\"version\": 1,\n\"listeners\": {\"l\": {\"address\": \"127.0.0.1:0\",\n\"tls\": " tls       \
    "}},\n" UPSTREAMS
#define UPSTREAM(tls)                                                                              \
    "{\"version\": 1,\n" LISTENERS                                                                 \
    "\"upstreams\": {\"u\": {\"targets\": [\"127.0.0.1:9\"],\n\"tls\": " tls "}},\n"
#define PATH             "listeners.l.tls."
#define CERTIFICATE(one) LISTENER("{\"certificates\": [" one "]}") ROUTES

static void make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *out;

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"a.test", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    out = fopen("a.crt", "w");
    ck_assert_int_eq(PEM_write_X509(out, cert), 1);
    fclose(out);
    out = fopen("a.key", "w");
    ck_assert_int_eq(fchmod(fileno(out), 0600), 0);
    ck_assert_int_eq(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void setup(void)
{
    config_file_setup();
    make_files();
}

static void teardown(void)
{
    remove("a.crt");
    remove("a.key");
    config_file_teardown();
}

START_TEST(a_listener_with_all_of_it)
{
    struct config *config = load(
        LISTENER("{\"profile\": \"modern\", \"min_version\": \"1.3\", \"client_auth\": \"require\","
                 "\"client_ca_file\": \"a.crt\", \"hsts\": {\"max_age\": \"2d\", "
                 "\"include_subdomains\": true}, \"certificates\": [{\"hosts\": [\"a.test\", "
                 "\"*.b.test\"], \"cert_file\": \"a.crt\", \"key_file\": \"a.key\"}]}") ROUTES);

    assert_loads(config);
    const struct config_listener *listener = &config->listeners[0];
    ck_assert_ptr_nonnull(listener->tls);
    ck_assert(slice_eq(listener->hsts, SLICE("max-age=172800; includeSubDomains")));
    ck_assert_uint_eq(listener->certificate_count, 1);
    ck_assert(slice_eq(listener->certificates[0].host, SLICE("a.test")));
    ck_assert_int_gt(listener->certificates[0].not_after, (int64_t)time(NULL) + 80000);
    ck_assert_int_eq(listener->certificates[0].staple_until, 0);
    config_unref(config);
}
END_TEST

START_TEST(an_upstream_with_all_of_it)
{
    struct config *config =
        load(UPSTREAM("{\"server_name\": \"u.test\", \"ca_file\": \"a.crt\", \"cert_file\": "
                      "\"a.crt\", \"key_file\": \"a.key\", \"pin_sha256\": "
                      "[\"r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=\"]}") ROUTES);

    assert_loads(config);
    ck_assert_ptr_nonnull(config->upstreams[0].tls);
    config_unref(config);
}
END_TEST

START_TEST(without_the_key_there_is_no_tls)
{
    struct config *config = load(HEAD ROUTES);

    assert_loads(config);
    ck_assert_ptr_null(config->listeners[0].tls);
    ck_assert_ptr_null(config->upstreams[0].tls);
    config_unref(config);
}
END_TEST

static const struct config_error errors[] = {
    { LISTENER("{}") ROUTES, "t.jsonc:3:1: error: listeners.l.tls: \"certificates\" is missing" },
    { LISTENER("{\"certificates\": []}") ROUTES, "t.jsonc:3:25: error: " PATH "certificates" },
    { CERTIFICATE("{\"cert_file\": \"a.crt\"}"),
      "t.jsonc:3:26: error: " PATH "certificates[0]: \"key_file\" is missing" },
    { CERTIFICATE("{\"cert_file\": \"b.crt\", \"key_file\": \"a.key\"}"),
      "t.jsonc:3:40: error: " PATH "certificates[0].cert_file: cannot open" },
    { CERTIFICATE("{\"cert_file\": \"a.crt\", \"key_file\": \"a.key\", \"ocsp_file\": \"x\"}"),
      "t.jsonc:3:83: error: " PATH "certificates[0].ocsp_file: cannot open" },
    { CERTIFICATE("{\"cert_file\": \"a.crt\", \"key_file\": \"a.key\", \"hosts\": [\"a b\"]}"),
      "t.jsonc:3:80: error: " PATH "certificates[0].hosts: \"a b\" is not a host name" },
    { CERTIFICATE("{\"cert_file\": \"a.crt\", \"key_file\": \"a.key\", \"hosts\": [\"a.test\"]}, "
                  "{\"cert_file\": \"a.crt\", \"key_file\": \"a.key\", \"hosts\": [\"a.test\"]}"),
      "t.jsonc:3:145: error: " PATH "certificates[1].hosts: two certificates are for \"a.test\"" },
    { LISTENER("{\"client_auth\": \"request\", \"certificates\": [" PAIR "]}") ROUTES,
      "t.jsonc:3:24: error: " PATH "client_auth: client certificates cannot be checked" },
    { LISTENER("{\"client_ca_file\": \"a.crt\", \"certificates\": [" PAIR "]}") ROUTES,
      "t.jsonc:3:27: error: " PATH "client_ca_file: is not used" },
    { LISTENER("{\"hsts\": {\"preload\": true}, \"certificates\": [" PAIR "]}") ROUTES,
      "t.jsonc:3:29: error: " PATH "hsts.preload: is for hosts that keep to https for a year" },
    { UPSTREAM("{\"ca_file\": \"none\"}") ROUTES,
      "t.jsonc:4:20: error: upstreams.u.tls.ca_file: cannot open" },
    { UPSTREAM("{\"cert_file\": \"a.crt\"}") ROUTES,
      "t.jsonc:4:22: error: upstreams.u.tls.cert_file: needs a \"key_file\"" },
    { UPSTREAM("{\"server_name\": \"a:1\"}") ROUTES,
      "t.jsonc:4:24: error: upstreams.u.tls.server_name: is not a host name" },
    { UPSTREAM("{\"pin_sha256\": [\"x\"]}") ROUTES,
      "t.jsonc:4:23: error: upstreams.u.tls.pin_sha256: is not the SHA-256 of a public key" },
};

START_TEST(every_error_names_its_place)
{
    config_file_expect_error(&errors[_i]);
}
END_TEST

START_TEST(a_key_that_others_can_read_is_refused)
{
    ck_assert_int_eq(chmod("a.key", 0640 | 0004), 0);
    ck_assert_ptr_null(load(CERTIFICATE(PAIR)));
    char *text = printed();

    ck_assert_msg(strstr(text, "can be read by others (mode 0644); chmod 600 it") != NULL, "%s",
                  text);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_tls");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_listener_with_all_of_it);
    tcase_add_test(tc, an_upstream_with_all_of_it);
    tcase_add_test(tc, without_the_key_there_is_no_tls);
    tcase_add_loop_test(tc, every_error_names_its_place, 0,
                        (int)(sizeof(errors) / sizeof(errors[0])));
    tcase_add_test(tc, a_key_that_others_can_read_is_refused);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
