/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/sink.h"

#include <check.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 3
#define LINES   20000

static char folder[] = P_tmpdir "/test_sink_XXXXXX";
static char path[64], moved[64];

static void setup(void)
{
    memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/log", folder);
    (void)snprintf(moved, sizeof(moved), "%s/log.1", folder);
}

static void teardown(void)
{
    (void)unlink(path);
    (void)unlink(moved);
    (void)rmdir(folder);
}

static char *read_all(const char *name, size_t *ret_len)
{
    FILE *file = fopen(name, "re");
    struct stat st;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fstat(fileno(file), &st), 0);
    char *text = malloc((size_t)st.st_size + 1);
    ck_assert_ptr_nonnull(text);
    *ret_len = fread(text, 1, (size_t)st.st_size, file);
    text[*ret_len] = '\0';
    fclose(file);
    return text;
}

static struct sink *open_sink(const char *name)
{
    int err = 0;
    struct sink *sink = sink_new(name, &err);

    ck_assert_msg(sink != NULL, "%s", err_text(err));
    return sink;
}

START_TEST(lines_arrive_in_the_file_in_order)
{
    struct stat st;
    size_t len;
    struct sink *sink = open_sink(path);
    struct sink_writer *writer = sink_writer_new(sink, 4096);

    ck_assert(sink_write(writer, SLICE("one\n")));
    ck_assert(sink_write(writer, SLICE("")));
    ck_assert(sink_write(writer, SLICE("two\n")));
    sink_free(sink);
    char *text = read_all(path, &len);
    ck_assert_str_eq(text, "one\ntwo\n");
    free(text);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0137, 0);

    sink = open_sink(path); /* appends */
    writer = sink_writer_new(sink, 4096);
    ck_assert(sink_write(writer, SLICE("three\n")));
    sink_free(sink);
    text = read_all(path, &len);
    ck_assert_str_eq(text, "one\ntwo\nthree\n");
    free(text);
}
END_TEST

static void *write_many(void *arg)
{
    struct sink_writer *writer = arg;
    char line[64];

    for (unsigned i = 0; i < LINES; i++) {
        int len = snprintf(line, sizeof(line), "%p %u %.*s\n", arg, i, (int)(i % 20),
                           "....................");
        while (!sink_write(writer, slice_of(line, (size_t)len))) {
            (void)usleep(100);
        }
    }
    return NULL;
}

START_TEST(lines_of_many_threads_stay_whole)
{
    struct sink *sink = open_sink(path);
    struct sink_writer *writers[THREADS];
    pthread_t threads[THREADS];
    unsigned next[THREADS] = { 0 };
    size_t len;

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = sink_writer_new(sink, 4096);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_many, writers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    sink_free(sink);

    char *text = read_all(path, &len);
    for (char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        void *id;
        unsigned number, who = 0;
        ck_assert_int_eq(sscanf(line, "%p %u", &id, &number), 2);
        while (who < THREADS && id != writers[who]) {
            who++;
        }
        ck_assert_uint_lt(who, THREADS);
        ck_assert_uint_eq(number, next[who]++);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        ck_assert_uint_eq(next[i], LINES);
    }
    free(text);
}
END_TEST

START_TEST(a_full_ring_drops_and_counts_and_never_blocks)
{
    int fds[2];
    char name[32], line[512];
    struct sink *sink;
    unsigned dropped = 0;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0); /* nobody reads */
    (void)snprintf(name, sizeof(name), "/dev/fd/%d", fds[1]);
    sink = open_sink(name);
    struct sink_writer *writer = sink_writer_new(sink, 4096);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (unsigned i = 0; i < 2000; i++) {
        dropped += sink_write(writer, slice_of(line, sizeof(line))) ? 0 : 1;
        if (i % 100 == 0) {
            (void)usleep(1000);
        }
    }
    ck_assert_uint_gt(dropped, 1000);
    ck_assert_uint_eq(sink_dropped(sink), dropped);

    uint64_t start = clock_precise_ns();
    sink_free(sink); /* the thread hangs in its write */
    ck_assert_uint_lt(clock_precise_ns() - start, UINT64_C(20000000000));
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(lines_for_a_lost_reader_are_dropped)
{
    int fds[2];
    char name[32];

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    (void)snprintf(name, sizeof(name), "/dev/fd/%d", fds[1]);
    struct sink *sink = open_sink(name);
    struct sink_writer *writer = sink_writer_new(sink, 4096);
    close(fds[0]);
    close(fds[1]);
    ck_assert(sink_write(writer, SLICE("lost\nlost\n")));
    for (unsigned i = 0; i < 20000 && sink_dropped(sink) == 0; i++) {
        (void)usleep(1000);
    }
    ck_assert_uint_eq(sink_dropped(sink), 2);
    sink_free(sink);
}
END_TEST

START_TEST(reopening_starts_the_file_anew)
{
    struct sink *sink = open_sink(path);
    struct sink_writer *writer = sink_writer_new(sink, 4096);
    size_t len;

    ck_assert(sink_write(writer, SLICE("old\n")));
    for (unsigned i = 0; i < 20000; i++) { /* until it is written */
        char *text = read_all(path, &len);
        free(text);
        if (len == 4) {
            break;
        }
        (void)usleep(1000);
    }
    ck_assert_int_eq(rename(path, moved), 0);
    sink_reopen(sink);
    for (unsigned i = 0; i < 20000 && access(path, F_OK) != 0; i++) {
        (void)usleep(1000);
    }
    ck_assert(sink_write(writer, SLICE("new\n")));
    sink_free(sink);

    char *text = read_all(moved, &len);
    ck_assert_str_eq(text, "old\n");
    free(text);
    text = read_all(path, &len);
    ck_assert_str_eq(text, "new\n");
    free(text);
}
END_TEST

START_TEST(a_path_that_cannot_be_opened_is_an_error)
{
    int err = 0;

    ck_assert_ptr_null(sink_new("/nonexistent/folder/log", &err));
    ck_assert_int_eq(err, ERR_IO);
    sink_free(NULL);
}
END_TEST

START_TEST(a_line_larger_than_the_ring_is_dropped)
{
    struct sink *sink = open_sink(path);
    struct sink_writer *writer = sink_writer_new(sink, 16);
    char *line = calloc(1, 100000);

    ck_assert_ptr_nonnull(line);
    ck_assert(!sink_write(writer, slice_of(line, 100000)));
    ck_assert_uint_eq(sink_dropped(sink), 1);
    sink_free(sink);
    free(line);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sink");
    TCase *tc = tcase_create("sink");

    tcase_add_test(tc, lines_arrive_in_the_file_in_order);
    tcase_add_test(tc, lines_of_many_threads_stay_whole);
    tcase_add_test(tc, a_full_ring_drops_and_counts_and_never_blocks);
    tcase_add_test(tc, lines_for_a_lost_reader_are_dropped);
    tcase_add_test(tc, reopening_starts_the_file_anew);
    tcase_add_test(tc, a_path_that_cannot_be_opened_is_an_error);
    tcase_add_test(tc, a_line_larger_than_the_ring_is_dropped);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
