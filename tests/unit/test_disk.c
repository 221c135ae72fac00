/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/disk.h"

#include <check.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(a_file_is_replaced_and_read_again)
{
    char folder[] = "jwks-test-XXXXXX";
    struct disk_text text = { 0 };
    char *path, *other;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    path = disk_path(folder, SLICE("issuer uri"));
    other = disk_path(folder, SLICE("issuer uri2"));
    ck_assert_str_ne(path, other);
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_NOT_FOUND);
    ck_assert_int_eq(disk_save(path, SLICE("first, and longer")), 0);
    ck_assert_int_eq(disk_save(path, SLICE("second")), 0);
    ck_assert_int_eq(disk_load(path, 100, &text), 0);
    ck_assert(slice_eq(slice_of(text.ptr, text.len), SLICE("second")));
    free(text.ptr);
    ck_assert_int_eq(disk_load(path, 5, &text), ERR_TOO_BIG);
    ck_assert_int_eq(chmod(path, 0620), 0); /* somebody else may have written it */
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_IO);
    ck_assert_int_eq(chmod(path, 0602), 0);
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_IO);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(disk_load(folder, 100, &text), ERR_IO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_eq(disk_load(path, 100000, &text), ERR_IO);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing is left */
    ck_assert_int_eq(disk_save(path, SLICE("x")), ERR_IO);
    free(path);
    free(other);
}
END_TEST

/* ---- atomically ---- */

#define SAVES 200

static char *shared_path;

/* Long ones and short ones in turn. */
static void *save_often(void *arg)
{
    char text[8192];

    for (unsigned i = 0; i < SAVES; i++) {
        size_t len = i % 2 == 0 ? sizeof(text) : 10;

        memset(text, 'a' + (char)(i % 2), len);
        if (disk_save(shared_path, slice_of(text, len)) < 0) {
            return arg;
        }
    }
    return NULL;
}

START_TEST(a_reader_sees_a_whole_file)
{
    char folder[] = "jwks-test-XXXXXX";
    unsigned seen = 0;
    pthread_t thread;
    void *failed = NULL;
    bool ended = false;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    shared_path = disk_path(folder, SLICE("source"));
    ck_assert_int_eq(pthread_create(&thread, NULL, save_often, folder), 0);
    while (!ended) {
        struct disk_text text = { 0 };
        int err;

        ended = pthread_tryjoin_np(thread, &failed) == 0;
        err = disk_load(shared_path, 8192, &text);
        ck_assert(err == 0 || (err == ERR_NOT_FOUND && seen == 0));
        if (err == 0) {
            seen++;
            ck_assert_uint_eq(text.len, text.ptr[0] == 'a' ? 8192 : 10);
            ck_assert_int_eq(text.ptr[text.len - 1], text.ptr[0]);
            free(text.ptr);
        }
    }
    ck_assert_ptr_null(failed);
    ck_assert_uint_gt(seen, 0);
    ck_assert_int_eq(unlink(shared_path), 0);
    ck_assert_int_eq(rmdir(folder), 0); /* nothing else is left */
    free(shared_path);
}
END_TEST

START_TEST(copies_are_written_by_a_thread_and_the_last_one_counts)
{
    char folder[] = "jwks-test-XXXXXX";
    struct offload *offload = offload_new(1, 4);
    struct loop *loop = loop_new();
    struct disk_text text = { 0 };
    char *path;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    path = disk_path(folder, SLICE("source"));
    ck_assert(!disk_touch(path));
    disk_save_later(offload, loop, path, SLICE("first"), "corp");
    disk_save_later(offload, loop, path, SLICE("second"), "corp");
    offload_free(offload);
    loop_turn(loop, false);
    ck_assert_int_eq(disk_load(path, 100, &text), 0);
    ck_assert(slice_eq(slice_of(text.ptr, text.len), SLICE("second")));
    free(text.ptr);
    ck_assert(disk_touch(path));
    /* One that fails takes the outdated one away. */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    offload = offload_new(1, 4);
    disk_save_later(offload, loop, path, SLICE("third"), "corp");
    offload_free(offload);
    loop_turn(loop, false);
    ck_assert_int_eq(disk_load(path, 100, &text), ERR_IO);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(rmdir(folder), 0);
    loop_free(loop);
    free(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("disk");
    TCase *tcase = tcase_create("disk");

    tcase_add_test(tcase, a_file_is_replaced_and_read_again);
    tcase_add_test(tcase, a_reader_sees_a_whole_file);
    tcase_add_test(tcase, copies_are_written_by_a_thread_and_the_last_one_counts);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
