/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/redis_client_fixture.h"

#include "core/clock.h"

#include <check.h>

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct loop *loop;
struct redis *redis;
struct redis_server server;
struct redis_options options;
bool free_in_callback;

struct seen seen;

static void on_ready(void *arg)
{
    seen.ready++;
}

static void on_lost(void *arg, int err)
{
    seen.lost++;
    seen.lost_err = err;
}

static void on_pushed(void *arg, const struct redis_reply *message)
{
    const struct redis_reply *last = message->items[message->count - 1];

    seen.pushed++;
    snprintf(seen.message, sizeof(seen.message), "%.*s", SLICE_FMT(last->text));
}

const struct redis_ops ops = { .ready = on_ready, .lost = on_lost, .pushed = on_pushed };

void on_answer(void *arg, int err, const struct redis_reply *reply)
{
    struct answer *answer = (struct answer *)arg;

    answer->count++;
    answer->err = err;
    if (free_in_callback) {
        redis_free(redis);
        redis = NULL;
    }
    if (err < 0) {
        return;
    }
    answer->type = reply->type;
    answer->integer = reply->integer;
    answer->items = reply->count;
    if (reply->text.len > 0) {
        snprintf(answer->text, sizeof(answer->text), "%.*s", SLICE_FMT(reply->text));
    }
}

bool run_until(const unsigned *counter, unsigned value)
{
    uint64_t end = clock_precise_ns() + WAIT_MS * UINT64_C(1000000);

    while (*counter < value) {
        if (clock_precise_ns() > end) {
            return false;
        }
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    return true;
}

void run_for(unsigned ms)
{
    uint64_t end = clock_precise_ns() + ms * UINT64_C(1000000);

    while (clock_precise_ns() < end) {
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
}

int ask(struct answer *answer, const char *a, const char *b, const char *c)
{
    struct slice argv[3] = { slice_str(a), slice_str(b), slice_str(c) };

    return redis_send(redis, c != NULL ? 3 : b != NULL ? 2 : 1, argv, on_answer, answer);
}

void open_url(const char *url)
{
    ck_assert_int_eq(redis_read_url(slice_str(url), &options.address), 0);
    redis = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert_ptr_nonnull(redis);
}

void setup(void)
{
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    memset(&seen, 0, sizeof(seen));
    free_in_callback = false;
    options = (struct redis_options){ .connect_timeout_ms = 5000,
                                      .command_timeout_ms = 5000,
                                      .max_queue = 8,
                                      .max_reply_bytes = 4096 };
}

void teardown(void)
{
    redis_free(redis);
    redis = NULL;
    loop_turn(loop, false);
    loop_free(loop);
    if (server.folder[0] != '\0') {
        redis_server_stop(&server);
        server.folder[0] = '\0';
    }
}

void with_server(const char *password)
{
    ck_assert(redis_server_start(&server, password));
    open_url(server.url);
}

/* ---- the liar ---- */

static int listener;
static char lie_path[64];

struct redis_address open_lies(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    snprintf(lie_path, sizeof(lie_path), "/tmp/jwtgate-lies-%d.sock", (int)getpid());
    unlink(lie_path);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", lie_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(listener, 4), 0);
    return (struct redis_address){ .unix_path = slice_str(lie_path) };
}

void open_lies_client(void)
{
    redis = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert_ptr_nonnull(redis);
}

int accept_liar(void)
{
    for (unsigned i = 0; i < WAIT_MS; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            return fd;
        }
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    return -1;
}

static char sent[4096];
static size_t sent_len;

struct slice answer_of_marker(int fd)
{
    static const struct slice start = { "*2\r\n$4\r\nPING\r\n", 14 };

    sent_len = 0;
    for (unsigned i = 0; i < WAIT_MS; i++) {
        ssize_t got = read(fd, sent + sent_len, sizeof(sent) - sent_len);
        sent_len += got > 0 ? (size_t)got : 0;
        const char *found = sent_len == 0 ? NULL : memmem(sent, sent_len, start.ptr, start.len);
        if (found != NULL && sent + sent_len >= found + start.len + 23) {
            return slice_of(found + start.len, 23);
        }
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    ck_abort_msg("no marker came");
    return SLICE_ABSENT;
}

struct slice heard(void)
{
    return slice_of(sent, sent_len);
}

void say(int fd, struct slice text)
{
    ck_assert_int_eq(write(fd, text.ptr, text.len), (ssize_t)text.len);
}

void close_lies(int fd)
{
    close(fd);
    close(listener);
    unlink(lie_path);
}
