/* SPDX-License-Identifier: Apache-2.0 */
#include "core/file.h"

#include <check.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/folder.h"

static const char *why;
static struct stat st;
static char text[16];
static size_t len;

static int open_named(const char *name, int flags)
{
    why = NULL;
    return file_open(folder_path(name), flags, &st, &why);
}

START_TEST(a_file_is_read_to_its_end_or_to_the_limit)
{
    static const struct {
        size_t size, len;
    } rows[] = { { 16, 10 }, { 11, 10 }, { 10, 10 }, { 9, 9 }, { 0, 0 } };

    folder_write("a", "0123456789", 0640);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = open_named("a", 0);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(st.st_size, 10);
        ck_assert_uint_eq(st.st_mode & 07777, 0640);
        ck_assert_int_eq(file_read(fd, text, rows[i].size, &len), 0);
        ck_assert_uint_eq(len, rows[i].len);
        ck_assert_int_eq(memcmp(text, "0123456789", len), 0);
        close(fd);
    }
}
END_TEST

START_TEST(what_is_missing_or_out_of_reach_is_said)
{
    ck_assert_int_eq(open_named("none", 0), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(why, strerror(ENOENT));
    folder_write("a", "x", 0600);
    ck_assert_int_eq(symlink(folder_path("a"), folder_path("link")), 0);
    int fd = open_named("link", 0);

    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(open_named("link", O_NOFOLLOW), -1);
    ck_assert_int_eq(errno, ELOOP);
}
END_TEST

/* A pipe that nobody writes to would be waited for until the test's time is over. */
START_TEST(what_is_no_regular_file_is_refused_at_once)
{
    static const char *const others[] = { "/dev/zero", "/dev/null", "/dev/tty" };

    ck_assert_int_eq(mkfifo(folder_path("pipe"), 0600), 0);
    ck_assert_int_eq(open_named("pipe", 0), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_str_eq(why, "it is not a regular file");
    ck_assert_int_eq(open_named(".", 0), -1);
    ck_assert_str_eq(why, "it is not a regular file");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_int_eq(file_open(others[i], 0, &st, &why), -1);
    }
}
END_TEST

START_TEST(a_reading_that_fails_is_told)
{
    folder_write("a", "x", 0600);
    int fd = open(folder_path("a"), O_WRONLY | O_CLOEXEC);

    len = 7;
    ck_assert_int_eq(file_read(fd, text, sizeof(text), &len), ERR_IO);
    ck_assert_int_eq(errno, EBADF);
    ck_assert_uint_eq(len, 7);
    close(fd);
}
END_TEST

START_TEST(what_is_written_is_there_or_it_is_told)
{
    int fd = open(folder_path("a"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write(fd, SLICE("0123456789")), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(file_read(fd, text, sizeof(text), &len), 0);
    ck_assert_uint_eq(len, 10);
    ck_assert_int_eq(memcmp(text, "0123456789", len), 0);
    close(fd);

    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(file_write(fd, SLICE("x")), ERR_IO);
    ck_assert_int_eq(errno, ENOSPC);
    close(fd);
}
END_TEST

static bool is_in(const char *path, const char *folder)
{
    struct stat wanted, found;
    int fd = file_open_folder(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fstat(fd, &found), 0);
    ck_assert_int_eq(stat(folder, &wanted), 0);
    close(fd);
    return found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev;
}

START_TEST(the_folder_of_a_file_is_found)
{
    ck_assert(is_in("name", "."));
    ck_assert(is_in("/name", "/"));
    ck_assert(is_in(folder_path("name"), folder_path(".")));
    ck_assert_int_eq(file_sync_folder(folder_path("name")), 0);
    ck_assert_int_eq(file_open_folder(folder_path("none/name")), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(file_sync_folder(folder_path("none/name")), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("file");
    TCase *cases = tcase_create("file");

    tcase_add_checked_fixture(cases, folder_make, folder_remove);
    tcase_add_test(cases, a_file_is_read_to_its_end_or_to_the_limit);
    tcase_add_test(cases, what_is_missing_or_out_of_reach_is_said);
    tcase_add_test(cases, what_is_no_regular_file_is_refused_at_once);
    tcase_add_test(cases, a_reading_that_fails_is_told);
    tcase_add_test(cases, what_is_written_is_there_or_it_is_told);
    tcase_add_test(cases, the_folder_of_a_file_is_found);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
