/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that end too early: at every byte of a head, of a body by length and by chunks, and of a whole TLS
 * conversation.  None is taken for whole, none costs memory. */
#include "core/clock.h"
#include "core/fetch.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One thread; each connection gets the first `budget` bytes of what would be sent. */
static struct {
    int fd;
    unsigned port;
    pthread_t thread;
    SSL_CTX *tls; /* NULL: plain */
    const char *text;
    size_t budget, sent;
    bool was_cut;
} server;

static struct loop *loop;
static struct fetcher *fetcher;
static char *ca_pem;
static size_t ca_len;

struct result {
    bool done;
    int err;
    unsigned status;
    size_t body_len;
};

/* ---- the server ---- */

/* False: that was all there is. */
static bool send_some(int fd, const char *data, size_t len)
{
    size_t room = server.budget - server.sent;
    size_t now = len < room ? len : room;

    server.was_cut = server.was_cut || now < len;
    if (now > 0 && send(fd, data, now, MSG_NOSIGNAL) != (ssize_t)now) {
        return false;
    }
    server.sent += now;
    return now == len;
}

static bool read_some(int fd, BIO *to, char *head, size_t *len)
{
    char data[4096];
    ssize_t n = recv(fd, data, sizeof(data), 0);

    if (n <= 0) {
        return false;
    }
    if (to != NULL) {
        return BIO_write(to, data, (int)n) == (int)n;
    }
    if (*len + (size_t)n > 4095) {
        return false;
    }
    memcpy(head + *len, data, (size_t)n);
    *len += (size_t)n;
    head[*len] = '\0';
    return true;
}

static void serve_plain(int fd)
{
    char head[4096] = "";
    size_t len = 0;

    while (strstr(head, "\r\n\r\n") == NULL) {
        if (!read_some(fd, NULL, head, &len)) {
            return;
        }
    }
    (void)send_some(fd, server.text, strlen(server.text));
}

static bool flush(int fd, BIO *from)
{
    char *data;
    long len = BIO_get_mem_data(from, &data);
    bool ok = len <= 0 || send_some(fd, data, (size_t)len);

    (void)BIO_reset(from);
    return ok;
}

/* One step of TLS: until it neither wants to read nor has something to send. False: it is over. */
static bool step(int fd, SSL *ssl, int result)
{
    if (!flush(fd, SSL_get_wbio(ssl))) {
        return false;
    }
    return result <= 0 && SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ &&
           read_some(fd, SSL_get_rbio(ssl), NULL, NULL);
}

static void serve_tls(int fd)
{
    SSL *ssl = SSL_new(server.tls);
    char head[4096];
    int result;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl);
    do {
        result = SSL_read(ssl, head, sizeof(head)); /* the request comes as one record */
    } while (step(fd, ssl, result));
    if (result > 0 && !server.was_cut) {
        (void)SSL_write(ssl, server.text, (int)strlen(server.text));
        (void)flush(fd, SSL_get_wbio(ssl));
    }
    SSL_free(ssl);
}

static void *serve(void *arg)
{
    for (;;) {
        int fd = accept(server.fd, NULL, NULL);

        if (fd < 0) {
            return NULL;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        server.sent = 0;
        server.was_cut = false;
        if (server.tls == NULL) {
            serve_plain(fd);
        } else {
            serve_tls(fd);
        }
        /* What the client still sends must not turn the end into a reset. */
        shutdown(fd, SHUT_WR);
        while (recv(fd, (char[4096]){ 0 }, 4096, 0) > 0) {
        }
        close(fd);
    }
}

/* ---- its certificate ---- */

static void make_tls(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    BIO *pem = BIO_new(BIO_s_mem());
    char *data;

    X509_set_version(cert, 2);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"cut", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    ck_assert_int_eq(X509_add_ext(cert, san, -1), 1);
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    server.tls = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(server.tls, cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(server.tls, key), 1);
    ck_assert_int_eq(PEM_write_bio_X509(pem, cert), 1);
    ca_len = (size_t)BIO_get_mem_data(pem, &data);
    ca_pem = malloc(ca_len);
    memcpy(ca_pem, data, ca_len);
    BIO_free(pem);
    X509_EXTENSION_free(san);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- the tests ---- */

static void setup(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    memset(&server, 0, sizeof(server));
    server.fd = socket(AF_INET, SOCK_STREAM, 0);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(server.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(server.fd, 64), 0);
    getsockname(server.fd, (struct sockaddr *)&addr, &len);
    server.port = ntohs(addr.sin_port);
    loop = loop_new();
    fetcher = fetcher_new(loop);
    ck_assert_ptr_nonnull(fetcher);
}

static void start(void)
{
    ck_assert_int_eq(pthread_create(&server.thread, NULL, serve, NULL), 0);
}

static void teardown(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.fd);
    fetcher_free(fetcher);
    loop_free(loop);
    SSL_CTX_free(server.tls);
    free(ca_pem);
    ca_pem = NULL;
}

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    *(struct result *)arg = (struct result){
        .done = true, .err = answer->err, .status = answer->status, .body_len = answer->body.len
    };
}

static struct result fetch_cut_at(size_t budget)
{
    struct result result = { 0 };
    char url[64];

    snprintf(url, sizeof(url), "http%s://127.0.0.1:%u/keys", server.tls == NULL ? "" : "s",
             server.port);
    server.budget = budget;
    ck_assert_ptr_nonnull(fetch_start(fetcher,
                                      &(struct fetch_options){ .url = url,
                                                               .allow_http = true,
                                                               .ca = slice_of(ca_pem, ca_len),
                                                               .connect_timeout_ms = 5000,
                                                               .timeout_ms = 5000,
                                                               .max_bytes = 100 },
                                      on_answer, &result));
    while (!result.done) {
        loop_turn(loop, true);
    }
    return result;
}

static const struct {
    const char *text;
    unsigned status;
    size_t body_len;
    size_t spare; /* bytes at the end that libcurl does not wait for: the last chunk has come */
} answers[] = {
    { "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 11\r\n\r\nhello world", 200, 11, 0 },
    { "HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
      200, 11, 1 },
    { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0b\r\nhello world\r\n0\r\n"
      "Trailer: t\r\n\r\n",
      200, 11, 1 },
    { "HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\nCache-Control: max-age=5\r\n\r\n", 304, 0, 0 },
    { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "2\r\n\r\n{}",
      200, 2, 0 },
    { "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\noops", 500, 4, 0 },
};

START_TEST(an_answer_cut_at_any_byte_is_an_error)
{
    server.text = answers[_i].text;
    start();
    for (size_t budget = 0; budget < strlen(server.text) - answers[_i].spare; budget++) {
        ck_assert_msg(fetch_cut_at(budget).err != 0, "cut at %zu", budget);
    }
    struct result whole = fetch_cut_at(SIZE_MAX);
    ck_assert_int_eq(whole.err, 0);
    ck_assert_uint_eq(whole.status, answers[_i].status);
    ck_assert_uint_eq(whole.body_len, answers[_i].body_len);
}
END_TEST

static const struct {
    unsigned answer, stride;
} conversations[] = { { 0, 3 }, { 1, 11 } };

/* At every third or eleventh byte, and at each of the last hundred.  Sizes of a handshake vary by a few
 * bytes: the server knows what it has cut. */
START_TEST(tls_cut_anywhere_is_an_error)
{
    unsigned stride = conversations[_i].stride;

    make_tls();
    server.text = answers[conversations[_i].answer].text;
    start();
    ck_assert_int_eq(fetch_cut_at(SIZE_MAX).err, 0);
    size_t whole = server.sent;
    for (size_t budget = 0; budget < whole + 8; budget += budget + 100 < whole ? stride : 1) {
        struct result result = fetch_cut_at(budget);

        ck_assert_msg((result.err != 0) == server.was_cut, "cut at %zu: %d", budget, result.err);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fetch_cut");
    TCase *tcase = tcase_create("fetch_cut");
    SRunner *runner = srunner_create(suite);

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, an_answer_cut_at_any_byte_is_an_error, 0,
                        (int)(sizeof(answers) / sizeof(answers[0])));
    tcase_add_loop_test(tcase, tls_cut_anywhere_is_an_error, 0, 2);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
