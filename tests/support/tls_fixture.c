/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/tls_fixture.h"

#include "core/clock.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- certificates ---- */

static EVP_PKEY *ca_key;
static X509 *ca_cert;

struct made {
    const char *name; /* of the files: NAME.crt, NAME.key */
    const char *san;  /* "DNS:a.test,IP:127.0.0.1"; NULL: none */
    long not_after;   /* seconds from now */
    bool self_signed;
};

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, ca_cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ck_assert_ptr_nonnull(extension);
    ck_assert_int_eq(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_cert(const struct made *made, EVP_PKEY *key)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), made->not_after);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)made->name, -1, -1,
                               0);
    X509_set_issuer_name(cert, made->self_signed ? name : X509_get_subject_name(ca_cert));
    X509_set_pubkey(cert, key);
    if (made->san != NULL) {
        add_extension(cert, NID_subject_alt_name, made->san);
    } else {
        add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    }
    ck_assert_int_gt(X509_sign(cert, made->self_signed ? key : ca_key, EVP_sha256()), 0);
    return cert;
}

static void write_pem(const char *name, const char *ending, X509 *cert, EVP_PKEY *key)
{
    char file[64];
    FILE *out;

    snprintf(file, sizeof(file), "%s.%s", name, ending);
    out = fopen(file, "w");
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(fchmod(fileno(out), 0600), 0);
    if (cert != NULL) {
        ck_assert_int_eq(PEM_write_X509(out, cert), 1);
    } else {
        ck_assert_int_eq(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    }
    fclose(out);
}

static void make_files(const struct made *made)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = make_cert(made, key);

    write_pem(made->name, "crt", cert, NULL);
    write_pem(made->name, "key", NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void make_all(void)
{
    static const struct made ca = { "ca", NULL, 86400, true };
    static const struct made all[] = {
        { "a", "DNS:a.test,DNS:*.wild.test,IP:127.0.0.1", 86400, false },
        { "b", "DNS:b.test", 86400, false },
        { "old", "DNS:a.test", -3600, false },
        { "self", "DNS:a.test", 86400, true },
        { "client", "DNS:client", 86400, false },
    };

    ca_key = EVP_EC_gen("P-256");
    ca_cert = make_cert(&ca, ca_key);
    write_pem("ca", "crt", ca_cert, NULL);
    write_pem("ca", "key", NULL, ca_key);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        make_files(&all[i]);
    }
}

static char folder[] = "test_tls.XXXXXX";

static void setup_once(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    make_all();
}

static void teardown_once(void)
{
    static const char *const names[] = { "a", "b", "old", "self", "client", "ca" };
    char file[64];

    X509_free(ca_cert);
    EVP_PKEY_free(ca_key);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(file, sizeof(file), "%s.crt", names[i]);
        unlink(file);
        snprintf(file, sizeof(file), "%s.key", names[i]);
        unlink(file);
    }
    ck_assert_int_eq(chdir(".."), 0);
    rmdir(folder);
}

/* ---- two ends in one loop ---- */

struct tls_fixture tf;

static struct tf_end *end_of(struct stream *s)
{
    return (struct tf_end *)(void *)s;
}

static void on_connected(struct stream *s)
{
    end_of(s)->connected++;
}

static void on_readable(struct stream *s)
{
    end_of(s)->readable++;
}

static void on_writable(struct stream *s)
{
    end_of(s)->writable++;
}

static void on_gone(struct stream *s, int err)
{
    end_of(s)->gone++;
    end_of(s)->err = err;
    end_of(s)->failure = s->tls->failure;
}

const struct stream_ops tf_ops = { on_connected, on_readable, on_writable, on_gone };

static void setup(void)
{
    tf.loop = loop_new();
    tf.server = NULL;
    tf.client = NULL;
    memset(&tf.us, 0, sizeof(tf.us));
    memset(&tf.them, 0, sizeof(tf.them));
    ck_assert_ptr_nonnull(tf.loop);
}

static void teardown(void)
{
    stream_close(&tf.us.stream);
    stream_close(&tf.them.stream);
    tls_session_clear(&tf.session);
    tls_server_unref(tf.server);
    tls_client_free(tf.client);
    loop_turn(tf.loop, false);
    ck_assert_uint_eq(block_pool_in_use(loop_pool(tf.loop)), 0);
    loop_free(tf.loop);
    clock_unset();
}

int tf_add(const char *name, const char *host)
{
    char cert[64], key[64];
    struct slice hosts[1] = { slice_str(host) };
    struct tls_certificate certificate = {
        .cert_file = cert, .key_file = key, .hosts = hosts, .host_count = host == NULL ? 0 : 1
    };
    struct tls_certificate_facts facts;
    enum tls_part part;

    snprintf(cert, sizeof(cert), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return tls_server_add(tf.server, &certificate, &facts, &part, tf.why);
}

void tf_serve_with(const struct tls_server_options *options, const char *name)
{
    tls_server_unref(tf.server);
    tf.server = tls_server_new(options, tf.why);
    ck_assert_msg(tf.server != NULL, "%s", tf.why);
    ck_assert_msg(tf_add(name, NULL) == 0, "%s", tf.why);
}

void tf_serve(const char *name)
{
    const struct tls_server_options options = { 0 };
    tf_serve_with(&options, name);
}

void tf_trust_with(const struct tls_client_options *options)
{
    enum tls_part part;

    tls_client_free(tf.client);
    tf.client = tls_client_new(options, &part, tf.why);
    ck_assert_msg(tf.client != NULL, "%s", tf.why);
}

void tf_trust(void)
{
    const struct tls_client_options options = { .ca_file = "ca.crt" };
    tf_trust_with(&options);
}

void tf_run(void)
{
    for (unsigned i = 0; i < 60; i++) {
        loop_turn(tf.loop, false);
    }
}

void tf_open(const char *host)
{
    int fds[2];

    stream_close(&tf.us.stream);
    stream_close(&tf.them.stream);
    memset(&tf.us, 0, sizeof(tf.us));
    memset(&tf.them, 0, sizeof(tf.them));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(
        stream_open_tls(&tf.us.stream, tf.loop, fds[0], &tf_ops, 100000, tls_accept(tf.server)), 0);
    ck_assert_int_eq(stream_open_tls(&tf.them.stream, tf.loop, fds[1], &tf_ops, 100000,
                                     tls_connect(tf.client, host, &tf.session)),
                     0);
}

/* Neither end of a socketpair hears of being connected: the client must begin. */
void tf_shake(const char *host)
{
    tf_open(host);
    (void)!tls_handshake(tf.them.stream.tls);
    tf_run();
}

void tf_send(struct tf_end *from, const char *text)
{
    ck_assert_int_eq(buf_append(&from->stream.out, slice_str(text)), 0);
    ck_assert_int_eq(stream_flush(&from->stream), 0);
}

void tf_assert_got(struct tf_end *at, const char *text)
{
    tf_run();
    ck_assert_msg(slice_eq(buf_front(&at->stream.in), slice_str(text)), "not %s", text);
    buf_clear(&at->stream.in);
    stream_taken(&at->stream);
}

void tf_assert_talk(void)
{
    ck_assert_uint_eq(tf.us.connected, 1);
    ck_assert_uint_eq(tf.them.connected, 1);
    tf_send(&tf.them, "GET /");
    tf_assert_got(&tf.us, "GET /");
    tf_send(&tf.us, "200");
    tf_assert_got(&tf.them, "200");
    ck_assert_uint_eq(tf.us.gone + tf.them.gone, 0);
}

int tls_fixture_run(TCase *tc)
{
    Suite *suite = suite_create("tls");
    SRunner *runner = srunner_create(suite);

    tcase_add_unchecked_fixture(tc, setup_once, teardown_once);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
