/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <openssl/ssl.h>

#include <netinet/in.h>
#include <unistd.h>

#include "tests/support/tls_fixture.h"

START_TEST(both_ends_talk)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    ck_assert_str_eq(tls_version(tf.us.stream.tls), "TLSv1.3");
    ck_assert(!tls_is_resumed(tf.us.stream.tls));
}
END_TEST

static void drain_into(struct tf_end *at, size_t *sum)
{
    *sum += at->stream.in.len;
    buf_clear(&at->stream.in);
    stream_taken(&at->stream);
}

START_TEST(a_large_transfer_arrives_whole_in_spite_of_short_writes)
{
    size_t len = 200 * BUF_BLOCK_BYTES, got = 0;

    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    for (size_t n = 0; n < len; n += BUF_BLOCK_BYTES) {
        char *room = buf_reserve(&tf.us.stream.out, BUF_BLOCK_BYTES);
        ck_assert_ptr_nonnull(room);
        memset(room, (int)(n / BUF_BLOCK_BYTES), BUF_BLOCK_BYTES);
        buf_commit(&tf.us.stream.out, BUF_BLOCK_BYTES);
    }
    ck_assert_int_eq(stream_flush(&tf.us.stream), 0);
    ck_assert(tf.us.stream.blocked);
    for (unsigned i = 0; i < 5000 && got < len; i++) {
        loop_turn(tf.loop, false);
        drain_into(&tf.them, &got);
    }
    ck_assert_uint_eq(got, len);
    ck_assert_uint_eq(tf.us.stream.bytes_out, len);
    ck_assert_uint_eq(tf.us.writable, 1);
}
END_TEST

static void fill(struct tf_end *end, size_t len)
{
    for (size_t n = 0; n < len; n += BUF_BLOCK_BYTES) {
        char *room = buf_reserve(&end->stream.out, BUF_BLOCK_BYTES);
        ck_assert_ptr_nonnull(room);
        memset(room, 'x', BUF_BLOCK_BYTES);
        buf_commit(&end->stream.out, BUF_BLOCK_BYTES);
    }
    ck_assert_int_eq(stream_flush(&end->stream), 0);
}

START_TEST(reading_stops_about_in_max_and_loses_nothing)
{
    size_t len = 20 * BUF_BLOCK_BYTES, got = 0, most = 0;

    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    fill(&tf.them, len);
    for (unsigned i = 0; i < 300 && got < len; i++) {
        tf_run();
        most = tf.us.stream.in.len > most ? tf.us.stream.in.len : most;
        drain_into(&tf.us, &got);
    }
    ck_assert_uint_eq(got, len);
    ck_assert_uint_lt(most, 100000 + 3 * BUF_BLOCK_BYTES);
}
END_TEST

START_TEST(short_pieces_share_a_record)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_send(&tf.us, "one");
    tf_assert_got(&tf.them, "one");
    for (unsigned i = 0; i < 3; i++) { /* three blocks */
        memset(buf_reserve(&tf.us.stream.out, BUF_BLOCK_BYTES), 'x', 10);
        buf_commit(&tf.us.stream.out, 10);
    }
    unsigned before = tf.them.readable;
    ck_assert_int_eq(stream_flush(&tf.us.stream), 0);
    tf_run();
    ck_assert_uint_eq(tf.them.stream.in.len, 30);
    ck_assert_uint_eq(tf.them.readable, before + 1);
}
END_TEST

START_TEST(an_announced_end_is_the_end)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_send(&tf.us, "last");
    stream_close(&tf.us.stream);
    tf_run();
    ck_assert_uint_eq(tf.them.readable, 1);
    ck_assert_uint_eq(tf.them.gone, 1);
    ck_assert_int_eq(tf.them.err, ERR_EOF);
}
END_TEST

START_TEST(an_end_that_nobody_announced_is_a_cut_for_a_client)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf.us.stream.tls->is_quiet = true;
    stream_close(&tf.us.stream);
    tf_run();
    ck_assert_int_eq(tf.them.err, ERR_RESET);
}
END_TEST

START_TEST(a_server_takes_any_end_for_one)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf.them.stream.tls->is_quiet = true;
    stream_close(&tf.them.stream);
    tf_run();
    ck_assert_int_eq(tf.us.err, ERR_EOF);
}
END_TEST

START_TEST(bytes_that_came_before_the_end_are_read_when_wanted)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    stream_pause(&tf.them.stream);
    tf_send(&tf.us, "x");
    stream_close(&tf.us.stream);
    tf_run();
    ck_assert_uint_eq(tf.them.readable + tf.them.gone, 0);
    stream_resume(&tf.them.stream);
    tf_run();
    ck_assert_uint_eq(tf.them.readable, 1);
    ck_assert_uint_eq(tf.them.gone, 1);
}
END_TEST

static int fresh[2]; /* a socket pair for the next stream */

static void begin_anew(struct stream *s, int err)
{
    tf_ops.gone(s, err);
    stream_close(s);
    ck_assert_int_eq(stream_open(s, tf.loop, fresh[0], &tf_ops, 1000), 0);
}

/* A write that fails reads what came before, also when reading had stopped: bytes, and the end.  The owner
 * may begin anew then, and nothing of the old connection may come after that. */
START_TEST(an_end_that_a_failed_write_finds_is_told_once)
{
    struct stream_ops ops = tf_ops;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fresh), 0);
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    ops.gone = begin_anew;
    tf.us.stream.ops = &ops;
    stream_pause(&tf.them.stream);
    fill(&tf.us, 200 * BUF_BLOCK_BYTES);
    ck_assert(tf.us.stream.blocked);
    fill(&tf.them, 12 * BUF_BLOCK_BYTES);
    tf_run();
    ck_assert(!tf.us.stream.reading);
    buf_clear(&tf.us.stream.in); /* taken, and not told yet */
    stream_close(&tf.them.stream);
    unsigned before = tf.us.readable;
    tf_run();
    ck_assert_uint_gt(tf.us.readable, before);
    ck_assert_uint_eq(tf.us.gone, 1);
    ck_assert_int_eq(write(fresh[1], "new", 3), 3);
    tf_assert_got(&tf.us, "new");
    close(fresh[1]);
}
END_TEST

static void send_raw(const char *text)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(
        stream_open_tls(&tf.us.stream, tf.loop, fds[0], &tf_ops, 1000, tls_accept(tf.server)), 0);
    ck_assert_int_eq(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
    tf_run();
    close(fds[1]);
}

START_TEST(plain_http_is_recognised)
{
    tf_serve("a");
    send_raw("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    ck_assert_int_eq(tf.us.err, ERR_CRYPTO);
    ck_assert_uint_eq(tf.us.gone, 1);
    ck_assert(tls_got_http(tf.us.stream.tls));
}
END_TEST

START_TEST(noise_ends_the_handshake)
{
    tf_serve("a");
    send_raw("\x16\x03\x01\x02noise that is no hello, long enough to be one or two");
    tf_run();
    ck_assert_uint_eq(tf.us.connected, 0);
}
END_TEST

START_TEST(a_peer_that_leaves_in_the_handshake_is_gone)
{
    tf_serve("a");
    send_raw("");
    tf_run();
    ck_assert_uint_eq(tf.us.gone, 1);
    ck_assert_int_eq(tf.us.err, ERR_EOF);
}
END_TEST

/* The client's bytes one by one: what is half there is no reason to spin or fail. */
START_TEST(records_may_arrive_in_pieces)
{
    char bytes[4096];
    int near[2], far[2];

    tf_serve("a");
    tf_trust();
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, near), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, far), 0);
    ck_assert_int_eq(
        stream_open_tls(&tf.us.stream, tf.loop, near[0], &tf_ops, 1000, tls_accept(tf.server)), 0);
    ck_assert_int_eq(stream_open_tls(&tf.them.stream, tf.loop, far[0], &tf_ops, 1000,
                                     tls_connect(tf.client, "a.test", NULL)),
                     0);
    (void)!tls_handshake(tf.them.stream.tls);
    ck_assert_int_eq(buf_append(&tf.them.stream.out, SLICE("GET /")), 0);
    for (unsigned turn = 0; turn < 4000; turn++) {
        ssize_t n = read(far[1], bytes, 1);
        if (n == 1) {
            ck_assert_int_eq(write(near[1], bytes, 1), 1);
        }
        n = read(near[1], bytes, sizeof(bytes));
        if (n > 0) {
            ck_assert_int_eq(write(far[1], bytes, (size_t)n), n);
        }
        loop_turn(tf.loop, false);
        if (tf.them.connected == 1 && tf.them.stream.out.len > 0) {
            ck_assert_int_eq(stream_flush(&tf.them.stream), 0);
        }
    }
    tf_assert_got(&tf.us, "GET /");
    ck_assert_uint_eq(tf.us.gone + tf.them.gone, 0);
    close(near[1]);
    close(far[1]);
}
END_TEST

static SSL *open_over_tcp(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, len), 0);
    ck_assert_int_eq(listen(listener, 5), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    tf_serve("a");
    tf_trust();
    ck_assert_int_eq(stream_connect_tls(&tf.them.stream, tf.loop, (struct sockaddr *)&addr, len,
                                        &tf_ops, 1000,
                                        tls_connect(tf.client, "127.0.0.1", &tf.session)),
                     0);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(
        stream_open_tls(&tf.us.stream, tf.loop, fd, &tf_ops, 1000000, tls_accept(tf.server)), 0);
    for (unsigned i = 0; i < 200 && (tf.us.connected == 0 || tf.them.connected == 0); i++) {
        loop_turn(tf.loop, true);
    }
    close(listener);
    return tf.them.stream.tls->ssl;
}

START_TEST(a_client_connects_and_shakes_hands)
{
    (void)open_over_tcp();
    tf_assert_talk();
}
END_TEST

START_TEST(a_refused_client_is_gone_and_no_memory_stays)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(1) };

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    tf_trust();
    if (stream_connect_tls(&tf.them.stream, tf.loop, (struct sockaddr *)&addr, sizeof(addr),
                           &tf_ops, 1000, tls_connect(tf.client, "a.test", NULL)) == 0) {
        loop_turn(tf.loop, true);
        ck_assert_uint_eq(tf.them.gone, 1);
        ck_assert_int_eq(tf.them.err, ERR_CONNECT);
    }
    ck_assert_int_eq(stream_open_tls(&tf.us.stream, tf.loop, 0, &tf_ops, 1000, NULL),
                     ERR_NO_MEMORY);
}
END_TEST

START_TEST(the_owner_may_close_while_hands_are_shaken)
{
    tf_serve("a");
    tf_trust();
    tf_open("a.test");
    (void)!tls_handshake(tf.them.stream.tls);
    loop_turn(tf.loop, false);
    tls_server_unref(tf.server); /* the configuration goes first */
    tf.server = NULL;
    stream_close(&tf.us.stream);
    tf_run();
    ck_assert_int_eq(tf.them.err, ERR_RESET);
}
END_TEST

/* ---- messages after the handshake ---- */

static void count_nothing(const SSL *ssl, int where, int value)
{
}

/* Only the other end shall count what this one does. */
static SSL *misbehaving(struct tf_end *end)
{
    SSL_set_info_callback(end->stream.tls->ssl, count_nothing);
    return end->stream.tls->ssl;
}

static void update_keys(struct tf_end *end, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        if (SSL_key_update(end->stream.tls->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            SSL_do_handshake(end->stream.tls->ssl) != 1) {
            return; /* the socket is full */
        }
    }
}

START_TEST(keys_may_change_now_and_then)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    for (unsigned i = 0; i < 5; i++) {
        update_keys(&tf.them, 1);
        update_keys(&tf.us, 1);
        tf_send(&tf.them, "GET /");
        tf_assert_got(&tf.us, "GET /");
        tf_send(&tf.us, "200");
        tf_assert_got(&tf.them, "200");
    }
    ck_assert_uint_eq(tf.us.gone + tf.them.gone, 0);
}
END_TEST

/* As often as a long transfer may need it, but no more often than that. */
START_TEST(data_pays_for_new_keys)
{
    char data[16384] = { 0 };

    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    for (unsigned i = 0; i < 100; i++) {
        update_keys(&tf.them, 1);
        for (unsigned n = 0; n < 4; n++) {
            ck_assert_int_eq(buf_append(&tf.them.stream.out, slice_of(data, sizeof(data))), 0);
            ck_assert_int_eq(stream_flush(&tf.them.stream), 0);
            tf_run();
            buf_clear(&tf.us.stream.in);
            stream_taken(&tf.us.stream);
        }
    }
    ck_assert_uint_eq(tf.us.gone, 0);
}
END_TEST

START_TEST(a_flood_of_new_keys_is_cut_off)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    tf_assert_talk();
    (void)misbehaving(&tf.them);
    update_keys(&tf.them, 5000);
    loop_turn(tf.loop, false);
    ck_assert_uint_eq(tf.us.gone, 1);
    ck_assert_int_eq(tf.us.err, ERR_TOO_BIG);
    ck_assert_str_eq(tf.us.failure, "tls_flood");
    stream_close(&tf.us.stream);
    tf_shake("a.test");
    (void)misbehaving(&tf.us);
    update_keys(&tf.us, 5000); /* a server can, too */
    loop_turn(tf.loop, false);
    ck_assert_int_eq(tf.them.err, ERR_TOO_BIG);
}
END_TEST

/* With a byte of data here and there as well. */
START_TEST(a_flood_is_one_also_with_a_byte_of_data)
{
    tf_serve("a");
    tf_trust();
    tf_shake("a.test");
    SSL *ssl = misbehaving(&tf.them);
    for (unsigned i = 0; i < 40 && tf.us.gone == 0; i++) {
        update_keys(&tf.them, 3);
        (void)SSL_write(ssl, "x", 1);
        tf_run();
    }
    ck_assert_int_eq(tf.us.err, ERR_TOO_BIG);
}
END_TEST

START_TEST(renegotiation_is_refused_and_a_flood_of_it_cut_off)
{
    tf_serve("a");
    tf_trust();
    tf_open("a.test");
    SSL_set_max_proto_version(tf.them.stream.tls->ssl, TLS1_2_VERSION);
    SSL_clear_options(tf.them.stream.tls->ssl, SSL_OP_NO_RENEGOTIATION);
    (void)!tls_handshake(tf.them.stream.tls);
    tf_run();
    tf_assert_talk();
    for (unsigned i = 0; i < 200 && tf.us.gone == 0; i++) {
        ck_assert_int_eq(SSL_renegotiate(tf.them.stream.tls->ssl), 1);
        (void)SSL_do_handshake(tf.them.stream.tls->ssl);
        loop_turn(tf.loop, false);
    }
    ck_assert_uint_eq(tf.us.gone, 1);
}
END_TEST

/* One event takes a bounded piece of what has arrived, however small its records are. */
START_TEST(small_records_do_not_hold_the_loop)
{
    const int size = 1 << 20;
    SSL *ssl = open_over_tcp();
    size_t sent = 0;

    ck_assert_int_eq(setsockopt(tf.them.stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    stream_pause(&tf.us.stream);
    while (sent < 20000 && SSL_write(ssl, "x", 1) == 1) {
        sent++;
    }
    ck_assert_uint_gt(sent, 6000); /* 23 bytes each */
    stream_resume(&tf.us.stream);
    loop_turn(tf.loop, false);
    ck_assert_uint_gt(tf.us.stream.in.len, 0);
    ck_assert_uint_lt(tf.us.stream.in.len, 4500);
    for (unsigned i = 0; i < 20; i++) {
        tf_run();
    }
    ck_assert_uint_eq(tf.us.stream.in.len, sent);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("tls");

    tcase_add_test(tc, both_ends_talk);
    tcase_add_test(tc, a_large_transfer_arrives_whole_in_spite_of_short_writes);
    tcase_add_test(tc, reading_stops_about_in_max_and_loses_nothing);
    tcase_add_test(tc, short_pieces_share_a_record);
    tcase_add_test(tc, an_announced_end_is_the_end);
    tcase_add_test(tc, an_end_that_nobody_announced_is_a_cut_for_a_client);
    tcase_add_test(tc, a_server_takes_any_end_for_one);
    tcase_add_test(tc, bytes_that_came_before_the_end_are_read_when_wanted);
    tcase_add_test(tc, an_end_that_a_failed_write_finds_is_told_once);
    tcase_add_test(tc, plain_http_is_recognised);
    tcase_add_test(tc, noise_ends_the_handshake);
    tcase_add_test(tc, a_peer_that_leaves_in_the_handshake_is_gone);
    tcase_add_test(tc, records_may_arrive_in_pieces);
    tcase_add_test(tc, a_client_connects_and_shakes_hands);
    tcase_add_test(tc, a_refused_client_is_gone_and_no_memory_stays);
    tcase_add_test(tc, the_owner_may_close_while_hands_are_shaken);
    tcase_add_test(tc, keys_may_change_now_and_then);
    tcase_add_test(tc, data_pays_for_new_keys);
    tcase_add_test(tc, a_flood_of_new_keys_is_cut_off);
    tcase_add_test(tc, a_flood_is_one_also_with_a_byte_of_data);
    tcase_add_test(tc, renegotiation_is_refused_and_a_flood_of_it_cut_off);
    tcase_add_test(tc, small_records_do_not_hold_the_loop);
    return tls_fixture_run(tc);
}
