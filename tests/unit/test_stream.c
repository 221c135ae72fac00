/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/stream.h"

#include <check.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

enum close_in { CLOSE_NEVER, CLOSE_IN_CONNECTED, CLOSE_IN_READABLE, CLOSE_IN_WRITABLE };

static struct loop *loop;
static int peer; /* the other end */
static struct stream *s;
static struct {
    struct loop_grave grave;
    enum close_in close_in;
    unsigned connected, readable, writable, gone;
    int err;
} seen;

/* Gives the stream's memory back at the end of the turn, as an owner does, so that a sanitizer
 * sees who touches it later. */
static void close_stream(void)
{
    stream_close(s);
    stream_close(s);
    loop_free_later(loop, &seen.grave, s, free);
    s = NULL;
}

static void close_if(enum close_in where)
{
    if (seen.close_in == where) {
        close_stream();
    }
}

static void on_connected(struct stream *stream)
{
    seen.connected++;
    close_if(CLOSE_IN_CONNECTED);
}

static void on_readable(struct stream *stream)
{
    seen.readable++;
    close_if(CLOSE_IN_READABLE);
}

static void on_writable(struct stream *stream)
{
    seen.writable++;
    close_if(CLOSE_IN_WRITABLE);
}

static void on_gone(struct stream *stream, int err)
{
    seen.gone++;
    seen.err = err;
    close_stream();
}

static const struct stream_ops ops = {
    .connected = on_connected,
    .readable = on_readable,
    .writable = on_writable,
    .gone = on_gone,
};

static void setup(void)
{
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    s = (struct stream *)calloc(1, sizeof(*s));
    ck_assert_ptr_nonnull(s);
    memset(&seen, 0, sizeof(seen));
    peer = -1;
}

static void teardown(void)
{
    if (s != NULL) {
        stream_close(s);
        free(s);
    }
    if (peer >= 0) {
        close(peer);
    }
    loop_turn(loop, false);
    ck_assert_uint_eq(block_pool_in_use(loop_pool(loop)), 0);
    loop_free(loop);
}

static void open_pair(size_t in_max)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer = fds[0];
    ck_assert_int_eq(stream_open(s, loop, fds[1], &ops, in_max), 0);
}

static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        loop_turn(loop, false);
    }
}

static void put(const char *text)
{
    ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

static void fill_out(size_t len)
{
    for (size_t n = 0; n < len; n += BUF_BLOCK_BYTES) {
        char *room = buf_reserve(&s->out, BUF_BLOCK_BYTES);
        ck_assert_ptr_nonnull(room);
        memset(room, 'x', BUF_BLOCK_BYTES);
        buf_commit(&s->out, BUF_BLOCK_BYTES);
    }
}

static size_t peer_reads_all(void)
{
    static char bytes[65536];
    size_t sum = 0;
    ssize_t n;

    while ((n = read(peer, bytes, sizeof(bytes))) > 0) {
        sum += (size_t)n;
    }
    return sum;
}

START_TEST(bytes_arrive_and_are_sent)
{
    char reply[8];

    open_pair(1000);
    put("hello");
    turns(2);
    ck_assert_uint_eq(seen.readable, 1);
    ck_assert(slice_eq(buf_front(&s->in), SLICE("hello")));
    ck_assert_int_eq(buf_append(&s->out, SLICE("world")), 0);
    ck_assert_int_eq(stream_flush(s), 0);
    ck_assert_int_eq(read(peer, reply, sizeof(reply)), 5);
    ck_assert_uint_eq(seen.writable, 0);
    ck_assert_uint_eq(s->bytes_in, 5);
    ck_assert_uint_eq(s->bytes_out, 5);
    ck_assert_ptr_null(s->write_event);
}
END_TEST

START_TEST(a_short_write_goes_on_and_tells_when_all_is_sent)
{
    size_t len = 100 * BUF_BLOCK_BYTES, got = 0;

    open_pair(1000);
    fill_out(len);
    ck_assert_int_eq(stream_flush(s), 0);
    ck_assert(s->blocked);
    ck_assert_uint_gt(s->out.len, 0);
    while (got < len) {
        got += peer_reads_all();
        ck_assert_uint_eq(seen.writable, s->blocked ? 0 : 1);
        turns(1);
    }
    ck_assert_uint_eq(seen.writable, 1);
    ck_assert(!s->blocked);
    turns(3);
    ck_assert_uint_eq(seen.writable, 1);
}
END_TEST

START_TEST(data_with_end_of_file_is_readable_first)
{
    open_pair(1000);
    put("last");
    close(peer);
    peer = -1;
    turns(1);
    ck_assert_uint_eq(seen.readable, 1);
    ck_assert_uint_eq(seen.gone, 0);
    turns(1);
    ck_assert_uint_eq(seen.gone, 1);
    ck_assert_int_eq(seen.err, ERR_EOF);
    turns(3);
    ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

START_TEST(a_large_body_is_read_in_larger_and_larger_pieces)
{
    int bytes = 1 << 20;
    static char body[300000];

    open_pair(SIZE_MAX);
    (void)setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    ck_assert_int_gt(write(peer, body, sizeof(body)), 200000);
    ck_assert_uint_eq(s->read_blocks, 1);
    turns(1);
    ck_assert_uint_eq(s->read_blocks, 2);
    turns(1);
    ck_assert_uint_eq(s->read_blocks, 4);
    turns(8);
    ck_assert_uint_eq(s->read_blocks, BUF_READ_BLOCKS / 2);
}
END_TEST

START_TEST(reading_stops_at_in_max_and_goes_on_when_bytes_are_taken)
{
    static char body[60000];

    open_pair(20000);
    ck_assert_int_eq(write(peer, body, sizeof(body)), sizeof(body));
    turns(5);
    ck_assert_uint_eq(s->in.len, 2 * BUF_BLOCK_BYTES);
    ck_assert(!s->reading);
    buf_drain(&s->in, 30000);
    stream_taken(s);
    turns(5);
    ck_assert_uint_gt(s->in.len, 20000 - 1);
    buf_clear(&s->in);
    stream_taken(s);
    turns(5);
    ck_assert_uint_eq(s->bytes_in, sizeof(body));
}
END_TEST

START_TEST(a_paused_stream_does_not_read)
{
    open_pair(1000);
    stream_pause(s);
    ck_assert(s->reading); /* lazily: no system call yet */
    put("later");
    turns(3);
    ck_assert(!s->reading);
    ck_assert_uint_eq(seen.readable, 0);
    stream_taken(s);
    turns(2);
    ck_assert_uint_eq(seen.readable, 0);
    stream_resume(s);
    turns(2);
    ck_assert_uint_eq(seen.readable, 1);
}
END_TEST

START_TEST(the_owner_may_close_in_readable)
{
    open_pair(1000);
    seen.close_in = CLOSE_IN_READABLE;
    put("x");
    turns(3);
    ck_assert_uint_eq(seen.readable, 1);
    ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

START_TEST(the_owner_may_close_in_writable)
{
    open_pair(1000);
    seen.close_in = CLOSE_IN_WRITABLE;
    fill_out(50 * BUF_BLOCK_BYTES);
    ck_assert_int_eq(stream_flush(s), 0);
    while (s != NULL) {
        (void)peer_reads_all();
        turns(1);
    }
    ck_assert_uint_eq(seen.writable, 1);
}
END_TEST

START_TEST(both_events_at_once_and_closed_in_the_first)
{
    open_pair(1000);
    seen.close_in = CLOSE_IN_READABLE;
    fill_out(50 * BUF_BLOCK_BYTES);
    ck_assert_int_eq(stream_flush(s), 0);
    (void)peer_reads_all();
    put("x");
    turns(3);
    ck_assert_ptr_null(s);
    ck_assert_uint_eq(seen.readable, 1);
    ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

START_TEST(a_peer_that_goes_while_we_write_is_noticed)
{
    open_pair(1000);
    stream_pause(s);
    fill_out(50 * BUF_BLOCK_BYTES);
    ck_assert_int_eq(stream_flush(s), 0);
    close(peer);
    peer = -1;
    turns(3);
    ck_assert_uint_eq(seen.gone, 1);
    ck_assert_int_eq(seen.err, ERR_RESET);
}
END_TEST

static int listen_on_loopback(struct sockaddr_in *ret_addr)
{
    socklen_t len = sizeof(*ret_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *ret_addr = (struct sockaddr_in){ .sin_family = AF_INET };
    ret_addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)ret_addr, len), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)ret_addr, &len), 0);
    return fd;
}

static void connect_to(const struct sockaddr_in *addr)
{
    ck_assert_int_eq(
        stream_connect(s, loop, (const struct sockaddr *)addr, sizeof(*addr), &ops, 1000), 0);
    ck_assert_uint_eq(seen.connected, 0);
}

START_TEST(a_connected_stream_sends_what_waited)
{
    struct sockaddr_in addr;
    char bytes[8];
    int listener = listen_on_loopback(&addr);

    connect_to(&addr);
    ck_assert_int_eq(buf_append(&s->out, SLICE("early")), 0);
    ck_assert_int_eq(stream_flush(s), 0);
    ck_assert_uint_eq(s->out.len, 5);
    loop_turn(loop, true);
    ck_assert_uint_eq(seen.connected, 1);
    ck_assert_int_eq(stream_flush(s), 0);
    peer = accept(listener, NULL, NULL);
    ck_assert_int_eq(read(peer, bytes, sizeof(bytes)), 5);
    put("reply");
    loop_turn(loop, true);
    ck_assert_uint_eq(seen.readable, 1);
    close(listener);
}
END_TEST

START_TEST(the_owner_may_close_in_connected)
{
    struct sockaddr_in addr;
    int listener = listen_on_loopback(&addr);

    seen.close_in = CLOSE_IN_CONNECTED;
    connect_to(&addr);
    loop_turn(loop, true);
    ck_assert_uint_eq(seen.connected, 1);
    ck_assert_ptr_null(s);
    close(listener);
}
END_TEST

START_TEST(a_refused_connection_is_gone_once)
{
    struct sockaddr_in addr;

    close(listen_on_loopback(&addr));
    connect_to(&addr);
    loop_turn(loop, true);
    turns(2);
    ck_assert_uint_eq(seen.connected, 0);
    ck_assert_uint_eq(seen.gone, 1);
    ck_assert_int_eq(seen.err, ERR_CONNECT);
}
END_TEST

START_TEST(connecting_to_a_missing_unix_socket_fails_at_once)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "no/such/socket" };

    ck_assert_int_eq(
        stream_connect(s, loop, (const struct sockaddr *)&addr, sizeof(addr), &ops, 1000),
        ERR_CONNECT);
    ck_assert(!stream_is_open(s));
    turns(2);
    ck_assert_uint_eq(seen.gone, 0);
}
END_TEST

static void connect_and_accept(void)
{
    struct sockaddr_in addr;
    int listener = listen_on_loopback(&addr);

    connect_to(&addr);
    loop_turn(loop, true);
    peer = accept(listener, NULL, NULL);
    ck_assert_int_ge(peer, 0);
    close(listener);
}

START_TEST(abort_is_a_reset_for_the_peer)
{
    char bytes[8];

    connect_and_accept();
    stream_abort(s);
    ck_assert(!stream_is_open(s));
    ck_assert_int_eq(read(peer, bytes, sizeof(bytes)), -1);
    ck_assert_int_eq(errno, ECONNRESET);
}
END_TEST

START_TEST(a_reset_by_the_peer_is_gone_with_reset)
{
    struct linger linger = { .l_onoff = 1 };

    connect_and_accept();
    ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(peer);
    peer = -1;
    loop_turn(loop, true);
    ck_assert_int_eq(seen.err, ERR_RESET);
    ck_assert_uint_eq(seen.gone, 1);
}
END_TEST

START_TEST(shutdown_ends_writing_but_not_reading)
{
    char bytes[8];

    open_pair(1000);
    stream_shutdown(s);
    ck_assert_int_eq(read(peer, bytes, sizeof(bytes)), 0);
    put("still");
    turns(2);
    ck_assert_uint_eq(seen.readable, 1);
}
END_TEST

START_TEST(a_closed_or_zeroed_stream_is_harmless)
{
    stream_close(s); /* zeroed: descriptor 0 must survive */
    ck_assert(!stream_is_open(s));
    open_pair(1000);
    stream_close(s);
    stream_taken(s);
    stream_resume(s);
    stream_shutdown(s);
    stream_abort(s);
    ck_assert_int_lt(stream_flush(s), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tc = tcase_create("stream");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bytes_arrive_and_are_sent);
    tcase_add_test(tc, a_short_write_goes_on_and_tells_when_all_is_sent);
    tcase_add_test(tc, data_with_end_of_file_is_readable_first);
    tcase_add_test(tc, a_large_body_is_read_in_larger_and_larger_pieces);
    tcase_add_test(tc, reading_stops_at_in_max_and_goes_on_when_bytes_are_taken);
    tcase_add_test(tc, a_paused_stream_does_not_read);
    tcase_add_test(tc, the_owner_may_close_in_readable);
    tcase_add_test(tc, the_owner_may_close_in_writable);
    tcase_add_test(tc, both_events_at_once_and_closed_in_the_first);
    tcase_add_test(tc, a_peer_that_goes_while_we_write_is_noticed);
    tcase_add_test(tc, a_connected_stream_sends_what_waited);
    tcase_add_test(tc, the_owner_may_close_in_connected);
    tcase_add_test(tc, a_refused_connection_is_gone_once);
    tcase_add_test(tc, connecting_to_a_missing_unix_socket_fails_at_once);
    tcase_add_test(tc, abort_is_a_reset_for_the_peer);
    tcase_add_test(tc, a_reset_by_the_peer_is_gone_with_reset);
    tcase_add_test(tc, shutdown_ends_writing_but_not_reading);
    tcase_add_test(tc, a_closed_or_zeroed_stream_is_harmless);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
