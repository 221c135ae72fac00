/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"

#include <check.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/fake_host.h"

#define NOW    1800000000
#define SECRET "0123456789abcdef0123456789abcdef"
#define CLAIMS "{\"iss\":\"i\",\"exp\":1800000600}"

static char dir[32];
static struct fake_host host;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "jwtgate-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    clock_set(1000, (uint64_t)NOW * 1000000u);
}

static void teardown(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/key", dir);
    unlink(path);
    rmdir(dir);
    clock_unset();
}

static void write_key(const char *text, mode_t mode)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/key", dir);
    unlink(path);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    chmod(path, mode);
}

/* A configuration with one provider whose key is `format`, with the file's path for %s. */
static unsigned load(const char *algorithms, const char *format)
{
    char key[512], path[128], text[2048];
    const char *at = strstr(format, "%s");

    snprintf(path, sizeof(path), "%s/key", dir);
    snprintf(key, sizeof(key), "%.*s%s%s", at == NULL ? (int)strlen(format) : (int)(at - format),
             format, at == NULL ? "" : path, at == NULL ? "" : at + 2);
    snprintf(text, sizeof(text),
             "{\"providers\": {\"p\": {\"issuer\": \"i\", \"audiences\": \"any\", \"algorithms\": "
             "%s, \"keys\": [%s]}}, \"routes\": {\"r\": {\"auth\": {\"provider\": \"p\"}}}}",
             algorithms, key);
    return fake_host_load(&host, builtin_plugins, text);
}

static void expect(const char *token, const char *reason)
{
    char line[4096];
    const char *lines[] = { line, NULL };

    snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
    struct gw_request *req = fake_host_run(&host, "r", lines, NULL);
    ck_assert_str_eq(req->decision, reason);
    fake_host_end(req);
}

static char *sign_secret(const char *secret)
{
    struct jwa_key key;

    ck_assert_int_eq(jwa_key_from_secret((const uint8_t *)secret, strlen(secret), &key), 0);
    char *token = jws_sign(jwa_by_id(JWA_HS256), &key, SLICE("k"), SLICE("JWT"), slice_str(CLAIMS));
    jwa_key_done(&key);
    return token;
}

#define SECRET_FILE "{\"kid\": \"k\", \"secret\": {\"file\": \"%s\"}}"

START_TEST(a_secret_file_loses_its_last_newline)
{
    char *token = sign_secret(SECRET);

    write_key(SECRET "\n", 0600);
    ck_assert_uint_eq(load("[\"HS256\"]", SECRET_FILE), 0);
    expect(token, "ok");
    fake_host_done(&host);
    write_key(SECRET "\n\n", 0600);
    ck_assert_uint_eq(load("[\"HS256\"]", SECRET_FILE), 0);
    expect(token, "signature_invalid");
    fake_host_done(&host);
    free(token);
}
END_TEST

START_TEST(a_secret_can_be_base64url)
{
    char *token = sign_secret(SECRET);

    write_key("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\n", 0600);
    ck_assert_uint_eq(load("[\"HS256\"]", "{\"kid\": \"k\", \"secret\": {\"file\": \"%s\", "
                                          "\"encoding\": \"base64url\"}}"),
                      0);
    expect(token, "ok");
    fake_host_done(&host);
    free(token);
}
END_TEST

static const struct {
    const char *algorithms, *key, *content;
    mode_t mode;
    const char *message;
} mistakes[] = {
    { "[\"HS256\"]", SECRET_FILE, SECRET, 0644, "can be read by others" },
    { "[\"HS256\"]", SECRET_FILE, SECRET, 0604, "can be read by others" },
    { "[\"HS256\"]", SECRET_FILE, "short", 0600, "needs 32 or more" },
    { "[\"HS512\"]", SECRET_FILE, SECRET, 0600, "fits this key's type and size" },
    { "[\"RS256\"]", SECRET_FILE, SECRET, 0600, "a secret is for HS256" },
    { "[\"HS256\"]", "{\"kid\": \"k\", \"secret\": {}}", "", 0600, "neither or both" },
    { "[\"HS256\"]", "{\"secret\": {\"file\": \"%s\"}}", SECRET, 0600, "\"kid\" is missing" },
    { "[\"HS256\"]", "{\"kid\": \"k\"}", "", 0600, "none or several" },
    { "[\"HS256\"]", "{\"kid\": \"k\", \"secret\": {\"env\": \"JWTGATE_TEST_UNSET\"}}", "", 0600,
      "is not set" },
    { "[\"RS256\"]", "{\"kid\": \"k\", \"public_key_file\": \"%s\"}", "hello", 0644,
      "does not hold a PEM public key" },
    { "[\"RS256\"]", "{\"kid\": \"k\", \"public_key_file\": \"/nonexistent\"}", "", 0644,
      "cannot open" },
    { "[\"RS256\"]", "{\"kid\": \"k\", \"jwks_file\": \"%s\"}", "{}", 0644, "comes from the file" },
    { "[\"RS256\"]", "{\"jwks_file\": \"%s\"}", "{\"keys\":[]}", 0644, "has no usable key" },
    { "[\"RS256\"]", "{\"jwks_file\": \"%s\"}", "{\"keys\":", 0644, "key:1:" },
    { "[\"RS256\"]", "{\"jwks_file\": \"%s\"}",
      "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}", 0644,
      "a symmetric key" },
    { "[\"HS256\"]", "{\"jwks_file\": \"%s\"}", "{}", 0644, "can be read by others" },
    { "[]", SECRET_FILE, SECRET, 0600, "not a list of one algorithm" },
};

START_TEST(each_mistake_about_keys_is_named)
{
    write_key(mistakes[_i].content, mistakes[_i].mode);
    ck_assert_uint_gt(load(mistakes[_i].algorithms, mistakes[_i].key), 0);
    ck_assert_msg(fake_host_complains(&host, mistakes[_i].message), "%s", mistakes[_i].message);
    ck_assert(!fake_host_complains(&host, "no provider")); /* its route finds it all the same */
    fake_host_done(&host);
}
END_TEST

START_TEST(a_pem_public_key_verifies_and_is_no_secret)
{
    const char *why = NULL;
    char pem[2048];
    struct jwa_key key;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_PUBKEY(bio, pkey);
    int len = BIO_read(bio, pem, sizeof(pem) - 1);
    pem[len] = '\0';
    BIO_free(bio);
    ck_assert_int_eq(jwa_key_from_pkey(pkey, &key, &why), 0);
    char *token = jws_sign(jwa_by_id(JWA_RS256), &key, SLICE("k"), SLICE_ABSENT, slice_str(CLAIMS));
    char *other = jws_sign(jwa_by_id(JWA_PS256), &key, SLICE("k"), SLICE_ABSENT, slice_str(CLAIMS));
    char *confused = sign_secret(pem);
    write_key(pem, 0644);
    ck_assert_uint_eq(
        load("[\"RS256\", \"ES256\"]", "{\"kid\": \"k\", \"public_key_file\": \"%s\"}"), 0);
    expect(token, "ok");
    expect(other, "alg_not_allowed");
    expect(confused, "alg_not_allowed");
    fake_host_done(&host);
    jwa_key_done(&key);
    free(confused);
    free(other);
    free(token);
}
END_TEST

START_TEST(a_set_may_hold_keys_that_are_skipped)
{
    char *token = sign_secret(SECRET);

    write_key("{\"keys\":[{\"kty\":\"x\",\"kid\":\"odd\"},{\"kty\":\"oct\",\"kid\":\"k\","
              "\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}",
              0600);
    ck_assert_uint_eq(load("[\"HS256\"]", "{\"jwks_file\": \"%s\"}"), 0);
    ck_assert_uint_eq(host.diag.warnings, 1);
    ck_assert(fake_host_complains(&host, "\"odd\" of the set is skipped"));
    expect(token, "ok");
    fake_host_done(&host);
    free(token);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("provider");
    TCase *tcase = tcase_create("provider");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_secret_file_loses_its_last_newline);
    tcase_add_test(tcase, a_secret_can_be_base64url);
    tcase_add_loop_test(tcase, each_mistake_about_keys_is_named, 0,
                        (int)(sizeof(mistakes) / sizeof(mistakes[0])));
    tcase_add_test(tcase, a_pem_public_key_verifies_and_is_no_secret);
    tcase_add_test(tcase, a_set_may_hold_keys_that_are_skipped);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
