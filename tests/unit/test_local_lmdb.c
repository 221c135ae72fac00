/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk: after a restart, after damage, after kill -9. */
#include "plugins/revocation/local_lmdb.h"

#include <check.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/local_store_fixture.h"

START_TEST(entries_are_there_after_a_restart)
{
    int64_t value = 0;

    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(put("before:sub:u", 1700000000, in_an_hour()), 0);
    stop();
    start();
    ck_assert_int_eq(open_store(), 0);
    ck_assert_int_eq(find("before:sub:u", &value), 0);
    ck_assert_int_eq(value, 1700000000);
}
END_TEST

static int open_data(int flags)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", folder);
    return open(path, flags);
}

static void fill_and_close(void)
{
    ck_assert_int_eq(open_store(), 0);
    put_many(0, 500, in_an_hour());
    ck_assert(run_until(1));
    stop();
    start();
}

START_TEST(a_file_that_is_none_of_ours_is_an_error)
{
    char junk[8192];
    int fd;

    ck_assert_int_eq(open_store(), 0);
    stop();
    start();
    memset(junk, 'x', sizeof(junk));
    fd = open_data(O_WRONLY | O_TRUNC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, junk, sizeof(junk)), sizeof(junk));
    close(fd);
    ck_assert_int_lt(open_store(), 0);
    ck_assert_ptr_nonnull(strstr(error, folder));
}
END_TEST

START_TEST(a_cut_file_is_an_error)
{
    fill_and_close();
    int fd = open_data(O_WRONLY);
    ck_assert_int_eq(ftruncate(fd, 3 * 4096), 0);
    close(fd);
    ck_assert_int_lt(open_store(), 0);
}
END_TEST

/* The bytes of `what` in the file get another value, everywhere. */
static unsigned damage(const char *what)
{
    static char bytes[1 << 20];
    int fd = open_data(O_RDWR);
    ssize_t size = read(fd, bytes, sizeof(bytes));
    unsigned found = 0;

    for (ssize_t i = 0; i + (ssize_t)strlen(what) + 8 < size; i++) {
        if (memcmp(bytes + i, what, strlen(what)) == 0) {
            bytes[i + (ssize_t)strlen(what)] ^= 1;
            found++;
        }
    }
    ck_assert_int_eq(pwrite(fd, bytes, (size_t)size, 0), size);
    close(fd);
    return found;
}

START_TEST(a_damaged_entry_is_an_error)
{
    fill_and_close();
    ck_assert_uint_gt(damage("jti:00000250-00000000"), 0);
    ck_assert_int_lt(open_store(), 0);
}
END_TEST

/* ---- kill -9 ---- */

static int acknowledgements; /* the child's end of a pipe */

static void on_child_put(void *arg, int err)
{
    unsigned number = *(unsigned *)arg;

    if (err < 0 || write(acknowledgements, &number, sizeof(number)) != sizeof(number)) {
        _exit(1);
    }
    answer.count++;
}

static void revoke_until_killed(unsigned first)
{
    char key[32];

    start();
    if (open_store() < 0) {
        _exit(1);
    }
    for (unsigned i = first;; i++) {
        struct local_entry entry = { slice_of(key, (size_t)snprintf(key, sizeof(key), "n%u", i)), 1,
                                     in_an_hour() };
        if (local_store_put(store, &entry, 1, on_child_put, &i) < 0 || !run_until(i - first + 1)) {
            _exit(1);
        }
    }
}

START_TEST(every_acknowledged_entry_survives_kill_9)
{
    unsigned next = 0, number, acknowledged = 0;
    char key[32];
    int64_t value;

    for (unsigned round = 0; round < 15; round++) {
        int fds[2];
        ck_assert_int_eq(pipe(fds), 0);
        pid_t child = fork();
        if (child == 0) {
            acknowledgements = fds[1];
            revoke_until_killed(next);
        }
        close(fds[1]);
        struct pollfd first = { .fd = fds[0], .events = POLLIN };
        ck_assert_int_eq(poll(&first, 1, 30000), 1);
        poll(NULL, 0, (int)(round * 37 % 50));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(fds[0], &number, sizeof(number)) == sizeof(number)) {
            next = number + 1;
        }
        close(fds[0]);
        acknowledged = next;
    }
    ck_assert_uint_gt(acknowledged, 0);
    ck_assert_int_eq(open_store(), 0);
    for (unsigned i = 0; i < acknowledged; i++) {
        snprintf(key, sizeof(key), "n%u", i);
        ck_assert_msg(find(key, &value) == 0, "%u of %u is missing", i, acknowledged);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins/revocation/local_lmdb");
    TCase *tcase = tcase_create("local_lmdb");

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, entries_are_there_after_a_restart);
    tcase_add_test(tcase, a_file_that_is_none_of_ours_is_an_error);
    tcase_add_test(tcase, a_cut_file_is_an_error);
    tcase_add_test(tcase, a_damaged_entry_is_an_error);
#ifndef __SANITIZE_THREAD__ /* it knows no threads after fork() */
    tcase_add_test(tcase, every_acknowledged_entry_survives_kill_9);
#endif
    suite_add_tcase(suite, tcase);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
