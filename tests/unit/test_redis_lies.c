/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server that lies, or a sentinel that asks who it is. */
#include "core/redis.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/redis_client_fixture.h"

static void open_lies_as_redis(void)
{
    options.address = open_lies();
    open_lies_client();
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

    open_lies_as_redis();
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

    open_lies_as_redis();
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

    open_lies_as_redis();
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
    open_lies_as_redis();
    int fd = accept_liar();
    ck_assert_int_eq(write(fd, "-LOADING\r\n", 10), 10);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(seen.ready, 0);
    close_lies(fd);
}
END_TEST

/* ---- as a sentinel ---- */

static struct redis_address sentinel;
static _Atomic uint64_t epoch;

static int open_lies_as_sentinel(const char *username, const char *password)
{
    sentinel = open_lies();
    atomic_store(&epoch, 0);
    options.username = SLICE("user-of-redis");
    options.password = SLICE("secret-of-redis");
    options.sentinels = &sentinel;
    options.sentinel_count = 1;
    options.sentinel_username = slice_str(username);
    options.sentinel_password = slice_str(password);
    options.master_name = SLICE("mine");
    options.master_epoch = &epoch;
    open_lies_client();
    int fd = accept_liar();
    ck_assert_int_ge(fd, 0);
    return fd;
}

#define QUESTIONS                                                                                  \
    "*3\r\n$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$4\r\nmine\r\n"                                       \
    "*3\r\n$8\r\nSENTINEL\r\n$23\r\nGET-MASTER-ADDR-BY-NAME\r\n$4\r\nmine\r\n"

static const struct {
    const char *username, *password, *heard;
} logins[] = {
    { NULL, NULL, QUESTIONS },
    { NULL, "s", "*2\r\n$4\r\nAUTH\r\n$1\r\ns\r\n" QUESTIONS },
    { "u", "s", "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\ns\r\n" QUESTIONS },
};

START_TEST(a_sentinel_is_told_its_own_password_and_no_other)
{
    int fd = open_lies_as_sentinel(logins[_i].username, logins[_i].password);

    (void)answer_of_marker(fd);
    ck_assert(slice_starts_with(heard(), slice_str(logins[_i].heard)));
    ck_assert_ptr_null(memmem(heard().ptr, heard().len, "secret-of-redis", 15));
    close_lies(fd);
}
END_TEST

static const struct {
    const char *reply, *failure;
} refusals[] = {
    { "-NOAUTH Authentication required.\r\n", "a sentinel says NOAUTH" },
    { "-WRONGPASS s is no password\r\n-NOAUTH Authentication required.\r\n",
      "a sentinel says WRONGPASS" },
};

START_TEST(what_a_sentinel_refuses_is_said_of_it_and_no_more)
{
    int fd = open_lies_as_sentinel(NULL, "s");

    (void)answer_of_marker(fd);
    /* All that was asked, and the marker. */
    for (unsigned i = 0; i < 4; i++) {
        say(fd, slice_str(refusals[_i].reply));
    }
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert_ptr_nonnull(strstr(redis_failure(redis), refusals[_i].failure));
    ck_assert_ptr_null(strstr(redis_failure(redis), "password"));
    ck_assert_ptr_null(strstr(redis_failure(redis), "required"));
    close_lies(fd);
}
END_TEST

/* Its default user needs none, so the marker is answered: the question after AUTH must not be believed. */
START_TEST(a_login_that_a_sentinel_refuses_is_the_end)
{
    int fd = open_lies_as_sentinel("u", "s");
    struct slice marker = answer_of_marker(fd);

    say(fd, SLICE("-WRONGPASS no\r\n*2\r\n$12\r\nconfig-epoch\r\n$1\r\n3\r\n"
                  "*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n"));
    say(fd, marker);
    ck_assert(run_until(&seen.lost, 1));
    ck_assert_uint_eq(seen.ready, 0);
    ck_assert_ptr_nonnull(strstr(redis_failure(redis), "a sentinel refuses our user and password"));
    ck_assert_uint_eq(atomic_load(&epoch), 0);
    close_lies(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core/redis_lies");
    TCase *lying = tcase_create("a lying server");
    TCase *asking = tcase_create("a sentinel");

    tcase_add_checked_fixture(lying, setup, teardown);
    tcase_set_timeout(lying, 120);
    tcase_add_loop_test(lying, a_lie_closes_the_connection_and_is_no_answer, 0,
                        sizeof(lies) / sizeof(lies[0]));
    tcase_add_test(lying, true_answers_are_given_when_the_marker_is_back);
    tcase_add_test(lying, an_endless_reply_is_cut);
    tcase_add_test(lying, an_error_at_the_greeting_is_not_ready);
    suite_add_tcase(suite, lying);
    tcase_add_checked_fixture(asking, setup, teardown);
    tcase_set_timeout(asking, 120);
    tcase_add_loop_test(asking, a_sentinel_is_told_its_own_password_and_no_other, 0,
                        sizeof(logins) / sizeof(logins[0]));
    tcase_add_loop_test(asking, what_a_sentinel_refuses_is_said_of_it_and_no_more, 0,
                        sizeof(refusals) / sizeof(refusals[0]));
    tcase_add_test(asking, a_login_that_a_sentinel_refuses_is_the_end);
    suite_add_tcase(suite, asking);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
