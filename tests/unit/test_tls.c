/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/stream.h"
#include "core/tls.h"

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

struct end {
    struct stream stream;
    unsigned connected, readable, writable, gone;
    int err;
    const char *failure;
};

static struct loop *loop;
static struct tls_server *server;
static struct tls_client *client;
static struct tls_session session;
static struct end us, them; /* us: the server */
static char why[TLS_WHY_BYTES];

static struct end *end_of(struct stream *s)
{
    return (struct end *)(void *)s;
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

static const struct stream_ops ops = { on_connected, on_readable, on_writable, on_gone };

static void setup(void)
{
    loop = loop_new();
    server = NULL;
    client = NULL;
    memset(&us, 0, sizeof(us));
    memset(&them, 0, sizeof(them));
    ck_assert_ptr_nonnull(loop);
}

static void teardown(void)
{
    stream_close(&us.stream);
    stream_close(&them.stream);
    tls_session_clear(&session);
    tls_server_unref(server);
    tls_client_free(client);
    loop_turn(loop, false);
    ck_assert_uint_eq(block_pool_in_use(loop_pool(loop)), 0);
    loop_free(loop);
    clock_unset();
}

static int add(const char *name, const char *host)
{
    char cert[64], key[64];
    struct slice hosts[1] = { slice_str(host) };
    struct tls_certificate certificate = { cert, key, hosts, host == NULL ? 0 : 1 };
    struct tls_certificate_facts facts;
    enum tls_part part;

    snprintf(cert, sizeof(cert), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return tls_server_add(server, &certificate, &facts, &part, why);
}

static void serve_with(const struct tls_server_options *options, const char *name)
{
    tls_server_unref(server);
    server = tls_server_new(options, why);
    ck_assert_msg(server != NULL, "%s", why);
    ck_assert_msg(add(name, NULL) == 0, "%s", why);
}

static void serve(const char *name)
{
    const struct tls_server_options options = { 0 };
    serve_with(&options, name);
}

static void trust_with(const struct tls_client_options *options)
{
    enum tls_part part;

    tls_client_free(client);
    client = tls_client_new(options, &part, why);
    ck_assert_msg(client != NULL, "%s", why);
}

static void trust(void)
{
    const struct tls_client_options options = { .ca_file = "ca.crt" };
    trust_with(&options);
}

static void run(void)
{
    for (unsigned i = 0; i < 60; i++) {
        loop_turn(loop, false);
    }
}

static void open_ends(const char *host)
{
    int fds[2];

    stream_close(&us.stream);
    stream_close(&them.stream);
    memset(&us, 0, sizeof(us));
    memset(&them, 0, sizeof(them));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(stream_open_tls(&us.stream, loop, fds[0], &ops, 100000, tls_accept(server)),
                     0);
    ck_assert_int_eq(stream_open_tls(&them.stream, loop, fds[1], &ops, 100000,
                                     tls_connect(client, host, &session)),
                     0);
}

/* Neither end of a socketpair hears of being connected: the client must begin. */
static void shake(const char *host)
{
    open_ends(host);
    (void)!tls_handshake(them.stream.tls);
    run();
}

static void send_text(struct end *from, const char *text)
{
    ck_assert_int_eq(buf_append(&from->stream.out, slice_str(text)), 0);
    ck_assert_int_eq(stream_flush(&from->stream), 0);
}

static void assert_got(struct end *at, const char *text)
{
    run();
    ck_assert_msg(slice_eq(buf_front(&at->stream.in), slice_str(text)), "not %s", text);
    buf_clear(&at->stream.in);
    stream_taken(&at->stream);
}

static void assert_talk(void)
{
    ck_assert_uint_eq(us.connected, 1);
    ck_assert_uint_eq(them.connected, 1);
    send_text(&them, "GET /");
    assert_got(&us, "GET /");
    send_text(&us, "200");
    assert_got(&them, "200");
    ck_assert_uint_eq(us.gone + them.gone, 0);
}

/* ---- connections ---- */

START_TEST(both_ends_talk)
{
    serve("a");
    trust();
    shake("a.test");
    assert_talk();
    ck_assert_str_eq(tls_version(us.stream.tls), "TLSv1.3");
    ck_assert(!tls_is_resumed(us.stream.tls));
}
END_TEST

START_TEST(addresses_are_checked_too)
{
    serve("a");
    trust();
    shake("127.0.0.1");
    assert_talk();
}
END_TEST

static void drain_into(struct end *at, size_t *sum)
{
    *sum += at->stream.in.len;
    buf_clear(&at->stream.in);
    stream_taken(&at->stream);
}

START_TEST(a_large_transfer_arrives_whole_in_spite_of_short_writes)
{
    size_t len = 200 * BUF_BLOCK_BYTES, got = 0;

    serve("a");
    trust();
    shake("a.test");
    for (size_t n = 0; n < len; n += BUF_BLOCK_BYTES) {
        char *room = buf_reserve(&us.stream.out, BUF_BLOCK_BYTES);
        ck_assert_ptr_nonnull(room);
        memset(room, (int)(n / BUF_BLOCK_BYTES), BUF_BLOCK_BYTES);
        buf_commit(&us.stream.out, BUF_BLOCK_BYTES);
    }
    ck_assert_int_eq(stream_flush(&us.stream), 0);
    ck_assert(us.stream.blocked);
    for (unsigned i = 0; i < 5000 && got < len; i++) {
        loop_turn(loop, false);
        drain_into(&them, &got);
    }
    ck_assert_uint_eq(got, len);
    ck_assert_uint_eq(us.stream.bytes_out, len);
    ck_assert_uint_eq(us.writable, 1);
}
END_TEST

START_TEST(reading_stops_about_in_max_and_loses_nothing)
{
    size_t len = 20 * BUF_BLOCK_BYTES, got = 0, most = 0;

    serve("a");
    trust();
    shake("a.test");
    for (size_t n = 0; n < len; n += BUF_BLOCK_BYTES) {
        memset(buf_reserve(&them.stream.out, BUF_BLOCK_BYTES), 'x', BUF_BLOCK_BYTES);
        buf_commit(&them.stream.out, BUF_BLOCK_BYTES);
    }
    ck_assert_int_eq(stream_flush(&them.stream), 0);
    for (unsigned i = 0; i < 300 && got < len; i++) {
        run();
        most = us.stream.in.len > most ? us.stream.in.len : most;
        drain_into(&us, &got);
    }
    ck_assert_uint_eq(got, len);
    ck_assert_uint_lt(most, 100000 + 3 * BUF_BLOCK_BYTES);
}
END_TEST

START_TEST(short_pieces_share_a_record)
{
    serve("a");
    trust();
    shake("a.test");
    send_text(&us, "one");
    assert_got(&them, "one");
    for (unsigned i = 0; i < 3; i++) { /* three blocks */
        memset(buf_reserve(&us.stream.out, BUF_BLOCK_BYTES), 'x', 10);
        buf_commit(&us.stream.out, 10);
    }
    unsigned before = them.readable;
    ck_assert_int_eq(stream_flush(&us.stream), 0);
    run();
    ck_assert_uint_eq(them.stream.in.len, 30);
    ck_assert_uint_eq(them.readable, before + 1);
}
END_TEST

START_TEST(an_announced_end_is_the_end)
{
    serve("a");
    trust();
    shake("a.test");
    send_text(&us, "last");
    stream_close(&us.stream);
    run();
    ck_assert_uint_eq(them.readable, 1);
    ck_assert_uint_eq(them.gone, 1);
    ck_assert_int_eq(them.err, ERR_EOF);
}
END_TEST

START_TEST(an_end_that_nobody_announced_is_a_cut_for_a_client)
{
    serve("a");
    trust();
    shake("a.test");
    us.stream.tls->is_quiet = true;
    stream_close(&us.stream);
    run();
    ck_assert_int_eq(them.err, ERR_RESET);
}
END_TEST

START_TEST(a_server_takes_any_end_for_one)
{
    serve("a");
    trust();
    shake("a.test");
    them.stream.tls->is_quiet = true;
    stream_close(&them.stream);
    run();
    ck_assert_int_eq(us.err, ERR_EOF);
}
END_TEST

START_TEST(bytes_that_came_before_the_end_are_read_when_wanted)
{
    serve("a");
    trust();
    shake("a.test");
    stream_pause(&them.stream);
    send_text(&us, "x");
    stream_close(&us.stream);
    run();
    ck_assert_uint_eq(them.readable + them.gone, 0);
    stream_resume(&them.stream);
    run();
    ck_assert_uint_eq(them.readable, 1);
    ck_assert_uint_eq(them.gone, 1);
}
END_TEST

START_TEST(a_second_connection_resumes_the_session)
{
    serve("a");
    trust();
    shake("a.test");
    assert_talk();
    ck_assert_ptr_nonnull(session.session);
    shake("a.test");
    assert_talk();
    ck_assert(tls_is_resumed(us.stream.tls));
    serve("a"); /* a reload: tickets are the process's */
    shake("a.test");
    assert_talk();
    ck_assert(tls_is_resumed(us.stream.tls));
}
END_TEST

START_TEST(a_client_with_other_options_checks_anew)
{
    const struct tls_client_options named = { .ca_file = "ca.crt", .server_name = "a.test" };

    serve("a");
    trust();
    shake("a.test");
    assert_talk();
    trust(); /* a reload that changes nothing */
    shake("a.test");
    assert_talk();
    ck_assert(tls_is_resumed(us.stream.tls));
    trust_with(&named);
    shake("a.test");
    assert_talk();
    ck_assert(!tls_is_resumed(us.stream.tls));
}
END_TEST

START_TEST(tickets_open_for_two_rotations)
{
    static const struct {
        unsigned hours;
        bool resumed;
    } rows[] = { { 1, true }, { 1, true }, { 4, false } };
    uint64_t ms = clock_ms(), us_now = clock_unix_us();

    clock_set(ms, us_now);
    serve("a");
    trust();
    shake("a.test");
    assert_talk();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ms += rows[i].hours * UINT64_C(3600000);
        clock_set(ms, us_now);
        shake("a.test");
        assert_talk();
        ck_assert_int_eq(tls_is_resumed(us.stream.tls), rows[i].resumed);
    }
}
END_TEST

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

    serve("a");
    ck_assert_int_eq(add("b", "b.test"), 0);
    trust();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        tls_session_clear(&session);
        shake(rows[i].host);
        if (rows[i].failure == NULL) {
            ck_assert_msg(them.connected == 1, "%s: %s", rows[i].host, them.failure);
        } else {
            ck_assert_int_eq(them.err, ERR_CRYPTO);
            ck_assert_str_eq(them.failure, rows[i].failure);
        }
    }
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

    trust();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        serve(rows[i].certificate);
        shake("a.test");
        ck_assert_int_eq(them.err, ERR_CRYPTO);
        ck_assert_str_eq(them.failure, rows[i].failure);
        ck_assert_uint_eq(them.connected + us.connected, 0);
        ck_assert_str_eq(us.failure, "tls_alert");
    }
}
END_TEST

START_TEST(a_client_may_be_told_to_trust_anyone)
{
    const struct tls_client_options options = { .insecure_skip_verify = true };

    serve("old");
    trust_with(&options);
    shake("b.test");
    assert_talk();
}
END_TEST

START_TEST(the_server_name_is_checked_instead_of_the_host)
{
    const struct tls_client_options options = { .ca_file = "ca.crt", .server_name = "b.test" };

    serve("b");
    trust_with(&options);
    shake("10.0.0.1");
    assert_talk();
}
END_TEST

/* ---- client certificates ---- */

static void ask_clients(enum tls_client_auth auth)
{
    const struct tls_server_options options = { .client_auth = auth, .client_ca_file = "ca.crt" };
    serve_with(&options, "a");
}

static void show(const char *cert, const char *key)
{
    const struct tls_client_options options = {
        .ca_file = "ca.crt",
        .cert_file = cert,
        .key_file = key,
    };
    trust_with(&options);
}

START_TEST(a_demanded_client_certificate_is_checked)
{
    ask_clients(TLS_CLIENT_AUTH_REQUIRE);
    show("client.crt", "client.key");
    shake("a.test");
    assert_talk();
    shake("a.test");
    assert_talk();
    ck_assert(tls_is_resumed(us.stream.tls));
    trust();
    shake("a.test");
    ck_assert_uint_eq(us.connected, 0);
    ck_assert_str_eq(us.failure, "tls_certificate_missing");
    show("self.crt", "self.key");
    shake("a.test");
    ck_assert_str_eq(us.failure, "tls_certificate_untrusted");
}
END_TEST

START_TEST(a_client_certificate_that_is_only_wished_for_may_be_missing_but_not_wrong)
{
    ask_clients(TLS_CLIENT_AUTH_REQUEST);
    trust();
    shake("a.test");
    assert_talk();
    show("old.crt", "old.key");
    shake("a.test");
    ck_assert_uint_eq(us.connected, 0);
    ck_assert_str_eq(us.failure, "tls_certificate_expired");
}
END_TEST

START_TEST(a_session_without_a_client_certificate_is_not_resumed_where_one_is_demanded)
{
    serve("a");
    trust();
    shake("a.test");
    assert_talk();
    ask_clients(TLS_CLIENT_AUTH_REQUIRE);
    shake("a.test");
    ck_assert_uint_eq(us.connected, 0);
}
END_TEST

/* ---- what is not TLS ---- */

static void send_raw(const char *text)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(stream_open_tls(&us.stream, loop, fds[0], &ops, 1000, tls_accept(server)), 0);
    ck_assert_int_eq(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
    run();
    close(fds[1]);
}

START_TEST(plain_http_is_recognised)
{
    serve("a");
    send_raw("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    ck_assert_int_eq(us.err, ERR_CRYPTO);
    ck_assert_uint_eq(us.gone, 1);
    ck_assert(tls_got_http(us.stream.tls));
}
END_TEST

START_TEST(noise_ends_the_handshake)
{
    serve("a");
    send_raw("\x16\x03\x01\x02noise that is no hello, long enough to be one or two");
    run();
    ck_assert_uint_eq(us.connected, 0);
}
END_TEST

START_TEST(a_peer_that_leaves_in_the_handshake_is_gone)
{
    serve("a");
    send_raw("");
    run();
    ck_assert_uint_eq(us.gone, 1);
    ck_assert_int_eq(us.err, ERR_EOF);
}
END_TEST

/* The client's bytes one by one: what is half there is no reason to spin or fail. */
START_TEST(records_may_arrive_in_pieces)
{
    char bytes[4096];
    int near[2], far[2];

    serve("a");
    trust();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, near), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, far), 0);
    ck_assert_int_eq(stream_open_tls(&us.stream, loop, near[0], &ops, 1000, tls_accept(server)), 0);
    ck_assert_int_eq(stream_open_tls(&them.stream, loop, far[0], &ops, 1000,
                                     tls_connect(client, "a.test", NULL)),
                     0);
    (void)!tls_handshake(them.stream.tls);
    ck_assert_int_eq(buf_append(&them.stream.out, SLICE("GET /")), 0);
    for (unsigned turn = 0; turn < 4000; turn++) {
        ssize_t n = read(far[1], bytes, 1);
        if (n == 1) {
            ck_assert_int_eq(write(near[1], bytes, 1), 1);
        }
        n = read(near[1], bytes, sizeof(bytes));
        if (n > 0) {
            ck_assert_int_eq(write(far[1], bytes, (size_t)n), n);
        }
        loop_turn(loop, false);
        if (them.connected == 1 && them.stream.out.len > 0) {
            ck_assert_int_eq(stream_flush(&them.stream), 0);
        }
    }
    assert_got(&us, "GET /");
    ck_assert_uint_eq(us.gone + them.gone, 0);
    close(near[1]);
    close(far[1]);
}
END_TEST

START_TEST(a_client_connects_and_shakes_hands)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(listener, 5), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    serve("a");
    trust();
    ck_assert_int_eq(stream_connect_tls(&them.stream, loop, (struct sockaddr *)&addr, len, &ops,
                                        1000, tls_connect(client, "127.0.0.1", &session)),
                     0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(stream_open_tls(&us.stream, loop, fd, &ops, 1000, tls_accept(server)), 0);
    for (unsigned i = 0; i < 200 && (us.connected == 0 || them.connected == 0); i++) {
        loop_turn(loop, true);
    }
    assert_talk();
    close(listener);
}
END_TEST

START_TEST(a_refused_client_is_gone_and_no_memory_stays)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(1) };

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    trust();
    if (stream_connect_tls(&them.stream, loop, (struct sockaddr *)&addr, sizeof(addr), &ops, 1000,
                           tls_connect(client, "a.test", NULL)) == 0) {
        loop_turn(loop, true);
        ck_assert_uint_eq(them.gone, 1);
        ck_assert_int_eq(them.err, ERR_CONNECT);
    }
    ck_assert_int_eq(stream_open_tls(&us.stream, loop, 0, &ops, 1000, NULL), ERR_NO_MEMORY);
}
END_TEST

START_TEST(the_owner_may_close_while_hands_are_shaken)
{
    serve("a");
    trust();
    open_ends("a.test");
    (void)!tls_handshake(them.stream.tls);
    loop_turn(loop, false);
    tls_server_unref(server); /* the configuration goes first */
    server = NULL;
    stream_close(&us.stream);
    run();
    ck_assert_int_eq(them.err, ERR_RESET);
}
END_TEST

/* ---- files ---- */

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
        { ".", "a.key", "is not a file", TLS_PART_CERT },
    };
    const struct tls_server_options options = { 0 };

    ck_assert_int_eq(chmod("a.crt", 0644), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tls_certificate certificate = { rows[i].cert, rows[i].key, NULL, 0 };
        struct tls_certificate_facts facts;
        enum tls_part part = TLS_PART_NONE;

        tls_server_unref(server);
        server = tls_server_new(&options, why);
        ck_assert_int_eq(tls_server_add(server, &certificate, &facts, &part, why), ERR_CONFIG);
        ck_assert_msg(strstr(why, rows[i].why) != NULL, "%s", why);
        ck_assert_int_eq(part, rows[i].part);
    }
}
END_TEST

START_TEST(facts_of_a_certificate)
{
    struct slice hosts[] = { SLICE("*.wild.test"), SLICE("c.test") };
    const struct tls_certificate certificate = { "a.crt", "a.key", hosts, 2 };
    const struct tls_server_options options = { 0 };
    struct tls_certificate_facts facts;
    enum tls_part part;

    server = tls_server_new(&options, why);
    ck_assert_int_eq(tls_server_add(server, &certificate, &facts, &part, why), 0);
    ck_assert(slice_eq(facts.uncovered, SLICE("c.test")));
    ck_assert_int_gt(facts.not_after, (int64_t)time(NULL) + 80000);
    ck_assert_int_eq(add("b", "c.test"), ERR_EXISTS);
    ck_assert_ptr_nonnull(strstr(why, "two certificates are for \"c.test\""));
}
END_TEST

START_TEST(an_authority_must_be_there)
{
    const struct tls_server_options options = { .client_auth = TLS_CLIENT_AUTH_REQUIRE,
                                                .client_ca_file = "a.key" };
    const struct tls_client_options theirs = { .ca_file = "none.crt" };
    enum tls_part part;

    ck_assert_ptr_null(tls_server_new(&options, why));
    ck_assert_ptr_nonnull(strstr(why, "holds no PEM certificate"));
    ck_assert_ptr_null(tls_client_new(&theirs, &part, why));
    ck_assert_int_eq(part, TLS_PART_CA);
}
END_TEST

START_TEST(modern_is_1_3_only)
{
    const struct tls_server_options options = { .profile = TLS_MODERN };

    serve_with(&options, "a");
    trust();
    shake("a.test");
    assert_talk();
    ck_assert_str_eq(tls_version(them.stream.tls), "TLSv1.3");
}
END_TEST

static Suite *tls_suite(void)
{
    Suite *suite = suite_create("tls");
    TCase *tc = tcase_create("tls");

    tcase_add_unchecked_fixture(tc, setup_once, teardown_once);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, both_ends_talk);
    tcase_add_test(tc, addresses_are_checked_too);
    tcase_add_test(tc, a_large_transfer_arrives_whole_in_spite_of_short_writes);
    tcase_add_test(tc, reading_stops_about_in_max_and_loses_nothing);
    tcase_add_test(tc, short_pieces_share_a_record);
    tcase_add_test(tc, an_announced_end_is_the_end);
    tcase_add_test(tc, an_end_that_nobody_announced_is_a_cut_for_a_client);
    tcase_add_test(tc, a_server_takes_any_end_for_one);
    tcase_add_test(tc, bytes_that_came_before_the_end_are_read_when_wanted);
    tcase_add_test(tc, a_second_connection_resumes_the_session);
    tcase_add_test(tc, a_client_with_other_options_checks_anew);
    tcase_add_test(tc, tickets_open_for_two_rotations);
    tcase_add_test(tc, the_certificate_is_chosen_by_name);
    tcase_add_test(tc, a_server_that_cannot_be_trusted_is_left);
    tcase_add_test(tc, a_client_may_be_told_to_trust_anyone);
    tcase_add_test(tc, the_server_name_is_checked_instead_of_the_host);
    tcase_add_test(tc, a_demanded_client_certificate_is_checked);
    tcase_add_test(tc, a_client_certificate_that_is_only_wished_for_may_be_missing_but_not_wrong);
    tcase_add_test(tc, a_session_without_a_client_certificate_is_not_resumed_where_one_is_demanded);
    tcase_add_test(tc, plain_http_is_recognised);
    tcase_add_test(tc, noise_ends_the_handshake);
    tcase_add_test(tc, a_peer_that_leaves_in_the_handshake_is_gone);
    tcase_add_test(tc, records_may_arrive_in_pieces);
    tcase_add_test(tc, a_client_connects_and_shakes_hands);
    tcase_add_test(tc, a_refused_client_is_gone_and_no_memory_stays);
    tcase_add_test(tc, the_owner_may_close_while_hands_are_shaken);
    tcase_add_test(tc, wrong_files_are_refused_with_a_reason);
    tcase_add_test(tc, facts_of_a_certificate);
    tcase_add_test(tc, an_authority_must_be_there);
    tcase_add_test(tc, modern_is_1_3_only);
    suite_add_tcase(suite, tc);
    return suite;
}

int main(void)
{
    SRunner *runner = srunner_create(tls_suite());

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
