/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/redis.h"

#include <check.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/redis_server.h"

#define WAIT_MS 30000u

static struct loop *loop;
static struct redis *redis;
static struct redis_server server;
static struct redis_options options;
static bool free_in_callback;

static struct {
    unsigned ready, lost, pushed;
    int lost_err;
    char message[64];
} seen;

struct answer {
    unsigned count;
    int err;
    enum redis_reply_type type;
    long long integer;
    size_t items;
    char text[64];
};

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

static const struct redis_ops ops = { .ready = on_ready, .lost = on_lost, .pushed = on_pushed };

static void on_answer(void *arg, int err, const struct redis_reply *reply)
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

static bool run_until(const unsigned *counter, unsigned value)
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

static void run_for(unsigned ms)
{
    uint64_t end = clock_precise_ns() + ms * UINT64_C(1000000);

    while (clock_precise_ns() < end) {
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
}

static int ask(struct answer *answer, const char *a, const char *b, const char *c)
{
    struct slice argv[3] = { slice_str(a), slice_str(b), slice_str(c) };

    return redis_send(redis, c != NULL ? 3 : b != NULL ? 2 : 1, argv, on_answer, answer);
}

static void open_url(const char *url)
{
    ck_assert_int_eq(redis_read_url(slice_str(url), &options.address), 0);
    redis = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert_ptr_nonnull(redis);
}

static void setup(void)
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

static void teardown(void)
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

static void with_server(const char *password)
{
    ck_assert(redis_server_start(&server, password));
    open_url(server.url);
}

START_TEST(commands_are_answered_in_order)
{
    struct answer answers[3] = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answers[0], "SET", "a", "1"), 0);
    ck_assert_int_eq(ask(&answers[1], "EXISTS", "a", NULL), 0);
    ck_assert_int_eq(ask(&answers[2], "GET", "b", NULL), 0);
    ck_assert_uint_eq(answers[0].count, 0);
    ck_assert(run_until(&answers[2].count, 1));
    ck_assert_int_eq(answers[0].type, REDIS_IS_STATUS);
    ck_assert_str_eq(answers[0].text, "OK");
    ck_assert_int_eq(answers[1].integer, 1);
    ck_assert_int_eq(answers[2].type, REDIS_IS_NIL);
}
END_TEST

START_TEST(commands_of_one_turn_leave_in_one_write)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    run_for(5);
    uint64_t before = redis_write_count(redis);
    for (unsigned i = 0; i < options.max_queue; i++) {
        ck_assert_int_eq(ask(&answer, "EXISTS", "a", NULL), 0);
    }
    ck_assert(run_until(&answer.count, options.max_queue));
    ck_assert_uint_eq(redis_write_count(redis), before + 1);
}
END_TEST

START_TEST(a_command_waits_for_the_first_connection)
{
    struct answer answer = { 0 };

    with_server("");
    while (ask(&answer, "PING", NULL, NULL) == ERR_CONNECT) {
        loop_turn(loop, false);
    }
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_str_eq(answer.text, "PONG");
}
END_TEST

START_TEST(password_and_database_are_used)
{
    struct answer answer = { 0 };

    ck_assert(redis_server_start(&server, "long-secret"));
    options.password = SLICE("long-secret");
    options.username = SLICE("default");
    ck_assert_int_eq(redis_read_url(slice_str(server.url), &options.address), 0);
    options.address.database = 3;
    redis = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answer, "CLIENT", "LIST", NULL), 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_eq(answer.type, REDIS_IS_STRING);
}
END_TEST

START_TEST(a_wrong_password_never_becomes_ready)
{
    struct answer answer = { 0 };

    options.password = SLICE("wrong");
    with_server("long-secret");
    ck_assert(run_until(&seen.lost, 2));
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_CONNECT);
}
END_TEST

START_TEST(a_full_queue_is_busy)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    for (unsigned i = 0; i < options.max_queue; i++) {
        ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    }
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_BUSY);
    ck_assert(run_until(&answer.count, options.max_queue));
}
END_TEST

START_TEST(a_cancelled_command_does_not_call_back)
{
    struct answer first = { 0 }, second = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&first, "PING", NULL, NULL), 0);
    ck_assert_int_eq(ask(&second, "PING", NULL, NULL), 0);
    redis_cancel(redis, &first);
    ck_assert(run_until(&second.count, 1));
    ck_assert_uint_eq(first.count, 0);
}
END_TEST

START_TEST(the_client_may_be_freed_in_a_callback)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    free_in_callback = true;
    ck_assert(run_until(&answer.count, 1));
    run_for(20);
    ck_assert_uint_eq(answer.count, 1);
}
END_TEST

START_TEST(a_killed_server_fails_what_is_pending_and_comes_back)
{
    struct answer answer = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    kill(server.pid, SIGSTOP);
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    run_for(10);
    redis_server_kill(&server);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_lt(answer.err, 0);
    ck_assert(run_until(&seen.lost, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), ERR_CONNECT);
    ck_assert(redis_server_again(&server, ""));
    ck_assert(run_until(&seen.ready, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert(run_until(&answer.count, 2));
    ck_assert_int_eq(answer.err, 0);
}
END_TEST

START_TEST(a_stopped_server_misses_the_deadline_and_the_connection_is_gone)
{
    struct answer answer = { 0 };

    options.command_timeout_ms = 100;
    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    kill(server.pid, SIGSTOP);
    uint64_t start = clock_precise_ns();
    ck_assert_int_eq(ask(&answer, "SET", "a", "1"), 0);
    ck_assert(run_until(&answer.count, 1));
    ck_assert_int_eq(answer.err, ERR_TIMEOUT);
    ck_assert_uint_lt((clock_precise_ns() - start) / 1000000, 10000);
    ck_assert_uint_eq(seen.lost, 1);
    kill(server.pid, SIGCONT);
    ck_assert(run_until(&seen.ready, 2));
    ck_assert_int_eq(ask(&answer, "PING", NULL, NULL), 0);
    ck_assert(run_until(&answer.count, 2));
    ck_assert_str_eq(answer.text, "PONG"); /* not the late answer of SET */
}
END_TEST

START_TEST(what_is_answered_waits_for_the_slowest_of_its_write)
{
    struct answer quick = { 0 }, slow = { 0 };
    struct slice set[3] = { SLICE("SET"), SLICE("a"), SLICE("1") };
    struct slice wait[3] = { SLICE("WAIT"), SLICE("1"), SLICE("300") }; /* there is no replica */

    options.command_timeout_ms = 100;
    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(redis_send(redis, 3, set, on_answer, &quick), 0);
    ck_assert_int_eq(redis_send_within(redis, 20000, 3, wait, on_answer, &slow), 0);
    ck_assert(run_until(&slow.count, 1));
    ck_assert_uint_eq(seen.lost, 0);
    ck_assert_int_eq(quick.err, 0);
    ck_assert_int_eq(slow.err, 0);
    ck_assert_int_eq(slow.integer, 0);
}
END_TEST

START_TEST(a_reconnect_is_at_once_and_commands_wait_for_it)
{
    struct answer before = { 0 }, after = { 0 };

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    ck_assert_int_eq(ask(&before, "PING", NULL, NULL), 0);
    redis_reconnect(redis);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(before.count, 1);
    ck_assert_int_eq(before.err, ERR_RESET);
    ck_assert_int_eq(ask(&after, "PING", NULL, NULL), 0);
    ck_assert(run_until(&after.count, 1));
    ck_assert_int_eq(after.err, 0);
    ck_assert_uint_eq(seen.ready, 2);
}
END_TEST

START_TEST(messages_of_a_subscription_are_pushed)
{
    struct answer subscribed = { 0 }, published = { 0 };
    struct redis *other;

    with_server("");
    ck_assert(run_until(&seen.ready, 1));
    redis_expect_messages(redis);
    ck_assert_int_eq(ask(&subscribed, "SUBSCRIBE", "news", NULL), 0);
    ck_assert(run_until(&subscribed.count, 1));
    ck_assert_int_eq(subscribed.type, REDIS_IS_ARRAY);
    other = redis_new(loop, NULL, &options, &ops, NULL);
    ck_assert(run_until(&seen.ready, 2));
    struct slice argv[3] = { SLICE("PUBLISH"), SLICE("news"), SLICE("hello") };
    ck_assert_int_eq(redis_send(other, 3, argv, on_answer, &published), 0);
    ck_assert(run_until(&seen.pushed, 1));
    ck_assert_str_eq(seen.message, "hello");
    ck_assert_uint_eq(subscribed.count, 1);
    ck_assert(run_until(&published.count, 1));
    redis_free(other);
}
END_TEST

/* ---- a server that lies ---- */

static int listener;
static char lie_path[64];

static void open_lies(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    static char url[80]; /* borrowed by the client */

    snprintf(lie_path, sizeof(lie_path), "/tmp/jwtgate-lies-%d.sock", (int)getpid());
    unlink(lie_path);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", lie_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(listen(listener, 4), 0);
    snprintf(url, sizeof(url), "unix:%s", lie_path);
    open_url(url);
}

static int accept_liar(void)
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

/* What the client has sent, until it ends with a marker; its answer. */
static struct slice answer_of_marker(int fd)
{
    static const struct slice start = { "*2\r\n$4\r\nPING\r\n", 14 };
    static char text[4096];
    size_t len = 0;

    for (unsigned i = 0; i < WAIT_MS; i++) {
        ssize_t got = read(fd, text + len, sizeof(text) - len);
        len += got > 0 ? (size_t)got : 0;
        const char *found = len == 0 ? NULL : memmem(text, len, start.ptr, start.len);
        if (found != NULL && text + len >= found + start.len + 23) {
            return slice_of(found + start.len, 23);
        }
        loop_turn(loop, false);
        poll(NULL, 0, 1);
    }
    ck_abort_msg("no marker came");
    return SLICE_ABSENT;
}

static void say(int fd, struct slice text)
{
    ck_assert_int_eq(write(fd, text.ptr, text.len), (ssize_t)text.len);
}

/* A true answer to the greeting; then the client asks, and `reply` comes, '@' standing for the marker. */
static int lie(struct answer *answers, unsigned count, const char *reply)
{
    int fd = accept_liar();

    ck_assert_int_ge(fd, 0);
    struct slice marker = answer_of_marker(fd);
    say(fd, SLICE("+PONG\r\n"));
    say(fd, marker);
    ck_assert(run_until(&seen.ready, 1));
    for (unsigned i = 0; i < count; i++) {
        ck_assert_int_eq(ask(&answers[i], "EXISTS", "a", NULL), 0);
    }
    marker = count == 0 ? SLICE_ABSENT : answer_of_marker(fd);
    for (; *reply != '\0'; reply++) {
        say(fd, *reply == '@' ? marker : slice_of(reply, 1));
    }
    return fd;
}

static void close_lies(int fd)
{
    close(fd);
    close(listener);
    unlink(lie_path);
}

static const struct {
    const char *reply;
    unsigned asked;
    int err; /* of the connection */
} lies[] = {
    { "+hello\r\n", 0, ERR_BAD_INPUT },
    { ":0\r\n:0\r\n@", 1, ERR_BAD_INPUT },
    { ":0\r\n@:0\r\n", 1, ERR_BAD_INPUT },
    { ":0\r\n:0\r\n:0\r\n@", 2, ERR_BAD_INPUT }, /* one was added */
    { ":0\r\n@:0\r\n", 2, ERR_BAD_INPUT },       /* one was lost */
    { ":0\r\n$16\r\n0123456789abcdef\r\n", 1, ERR_BAD_INPUT },
    { ":0\r\n-LOADING\r\n", 1, ERR_CONNECT },
    { ":0\r\n", 1, ERR_TIMEOUT }, /* not proven */
    { "HTTP/1.1 400 Bad Request\r\n", 1, ERR_BAD_INPUT },
    { "*999999999\r\n", 1, ERR_BAD_INPUT },
    { "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", 1, ERR_BAD_INPUT },
    { "$9999999999\r\nabc", 1, ERR_TIMEOUT },
    { "*2\r\n:1\r\n", 1, ERR_TIMEOUT },
    { "", 1, ERR_TIMEOUT },
};

START_TEST(a_lie_closes_the_connection_and_is_no_answer)
{
    struct answer answers[2] = { 0 };
    bool is_late = strcmp(lies[_i].reply, ":0\r\n@:0\r\n") == 0 && lies[_i].asked == 1;

    open_lies();
    int fd = lie(answers, lies[_i].asked, lies[_i].reply);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_int_eq(seen.lost_err, lies[_i].err);
    for (unsigned i = 0; i < lies[_i].asked; i++) {
        ck_assert_uint_eq(answers[i].count, 1);
        ck_assert_int_eq(answers[i].err, is_late ? 0 : lies[_i].err);
    }
    int next = accept_liar();
    ck_assert_int_ge(next, 0);
    close(next);
    close_lies(fd);
}
END_TEST

START_TEST(true_answers_are_given_when_the_marker_is_back)
{
    struct answer answers[2] = { 0 };

    open_lies();
    int fd = lie(answers, 2, ":1\r\n:0\r\n");
    run_for(20);
    ck_assert_uint_eq(answers[0].count, 0);
    close(fd);
    ck_assert(run_until(&answers[1].count, 1));
    ck_assert_int_lt(answers[0].err, 0);
    seen.ready = 0;
    fd = lie(answers, 2, ":1\r\n:0\r\n@");
    ck_assert(run_until(&answers[1].count, 2));
    ck_assert_int_eq(answers[0].err, 0);
    ck_assert_int_eq(answers[0].integer, 1);
    ck_assert_int_eq(answers[1].integer, 0);
    close_lies(fd);
}
END_TEST

START_TEST(an_endless_reply_is_cut)
{
    struct answer answer = { 0 };
    char bytes[1024];

    open_lies();
    memset(bytes, 'x', sizeof(bytes));
    int fd = lie(&answer, 1, "$99999999\r\n");
    for (unsigned i = 0; i < 16 && seen.lost == 0; i++) {
        (void)!send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
        run_for(1);
    }
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_int_eq(seen.lost_err, ERR_TOO_BIG);
    ck_assert_int_eq(answer.err, ERR_TOO_BIG);
    close_lies(fd);
}
END_TEST

START_TEST(an_error_at_the_greeting_is_not_ready)
{
    open_lies();
    int fd = accept_liar();
    ck_assert_int_eq(write(fd, "-LOADING\r\n", 10), 10);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(seen.ready, 0);
    close_lies(fd);
}
END_TEST

/* ---- addresses ---- */

static const struct {
    const char *url;
    int err;
    const char *host;
    unsigned port, database;
} urls[] = {
    { "redis://127.0.0.1:6379", 0, "127.0.0.1", 6379, 0 },
    { "redis://redis.internal", 0, "redis.internal", 6379, 0 },
    { "redis://redis.internal:7000/5", 0, "redis.internal", 7000, 5 },
    { "redis://[::1]:7000/", 0, "[::1]", 7000, 0 },
    { "redis://[::1]", 0, "[::1]", 6379, 0 },
    { "rediss://redis.internal:7000/1", 0, "redis.internal", 7000, 1 },
    { "redis://user:secret@host", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:0", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host:65536", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://host/x", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://[::1", ERR_BAD_INPUT, NULL, 0, 0 },
    { "redis://[::1]x", ERR_BAD_INPUT, NULL, 0, 0 },
    { "http://host", ERR_BAD_INPUT, NULL, 0, 0 },
    { "unix:relative", ERR_BAD_INPUT, NULL, 0, 0 },
    { "unix:", ERR_BAD_INPUT, NULL, 0, 0 },
    { "", ERR_BAD_INPUT, NULL, 0, 0 },
};

START_TEST(urls_are_read)
{
    struct redis_address address;

    ck_assert_int_eq(redis_read_url(slice_str(urls[_i].url), &address), urls[_i].err);
    if (urls[_i].err == 0) {
        ck_assert(slice_eq(address.host, slice_str(urls[_i].host)));
        ck_assert_uint_eq(address.port, urls[_i].port);
        ck_assert_uint_eq(address.database, urls[_i].database);
    }
}
END_TEST

START_TEST(unix_urls_are_read)
{
    struct redis_address address;

    ck_assert_int_eq(redis_read_url(SLICE("unix:/run/redis.sock"), &address), 0);
    ck_assert(slice_eq(address.unix_path, SLICE("/run/redis.sock")));
    ck_assert_int_eq(redis_read_url(SLICE("unix:///run/redis.sock"), &address), 0);
    ck_assert(slice_eq(address.unix_path, SLICE("/run/redis.sock")));
    ck_assert(slice_is_absent(address.host));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/redis");
    TCase *real = tcase_create("a real server");
    TCase *lying = tcase_create("a lying server");
    TCase *text = tcase_create("addresses");

    tcase_add_checked_fixture(real, setup, teardown);
    tcase_set_timeout(real, 120);
    tcase_add_test(real, commands_are_answered_in_order);
    tcase_add_test(real, commands_of_one_turn_leave_in_one_write);
    tcase_add_test(real, a_command_waits_for_the_first_connection);
    tcase_add_test(real, password_and_database_are_used);
    tcase_add_test(real, a_wrong_password_never_becomes_ready);
    tcase_add_test(real, a_full_queue_is_busy);
    tcase_add_test(real, a_cancelled_command_does_not_call_back);
    tcase_add_test(real, the_client_may_be_freed_in_a_callback);
    tcase_add_test(real, a_killed_server_fails_what_is_pending_and_comes_back);
    tcase_add_test(real, a_stopped_server_misses_the_deadline_and_the_connection_is_gone);
    tcase_add_test(real, what_is_answered_waits_for_the_slowest_of_its_write);
    tcase_add_test(real, a_reconnect_is_at_once_and_commands_wait_for_it);
    tcase_add_test(real, messages_of_a_subscription_are_pushed);
    suite_add_tcase(suite, real);
    tcase_add_checked_fixture(lying, setup, teardown);
    tcase_set_timeout(lying, 120);
    tcase_add_loop_test(lying, a_lie_closes_the_connection_and_is_no_answer, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(lying, true_answers_are_given_when_the_marker_is_back);
    tcase_add_test(lying, an_endless_reply_is_cut);
    tcase_add_test(lying, an_error_at_the_greeting_is_not_ready);
    suite_add_tcase(suite, lying);
    tcase_add_loop_test(text, urls_are_read, 0, sizeof(urls) / sizeof(urls[0]));
    tcase_add_test(text, unix_urls_are_read);
    suite_add_tcase(suite, text);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
