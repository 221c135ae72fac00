/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/err.h"
#include "core/log.h"

#include <check.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

START_TEST(foreign_text_is_quoted_and_cut)
{
    static const struct {
        struct slice text;
        size_t size;
        const char *quoted;
    } vectors[] = {
        { { "", 0 }, 32, "\"\"" },
        { { NULL, 0 }, 32, "\"\"" },
        { { "abc", 3 }, 32, "\"abc\"" },
        { { "a\"b\\c", 5 }, 32, "\"a\\\"b\\\\c\"" },
        { { "a\nb\0c", 5 }, 32, "\"a\\x0ab\\x00c\"" },
        { { "\xc3\xa9\x7f", 3 }, 32, "\"\\xc3\\xa9\\x7f\"" },
        { { "abcdefghijklmnop", 16 }, 12, "\"abcdef...\"" },
        { { "abcde\n\n\n\n", 9 }, 12, "\"abcde...\"" },
        { { "abc", 3 }, 4, "" },
        { { "abcdefgh", 8 }, 8, "\"ab...\"" },
    };
    char buf[32];

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        ck_assert_str_eq(log_quote(vectors[i].text, buf, vectors[i].size), vectors[i].quoted);
    }
}
END_TEST

/* What `fn` writes to stderr, NUL-terminated. */
static size_t capture(void (*fn)(void), char *ret, size_t size)
{
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    int saved = dup(STDERR_FILENO);

    dup2(fileno(file), STDERR_FILENO);
    fn();
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    size_t len = fread(ret, 1, size - 1, file);
    ret[len] = '\0';
    fclose(file);
    return len;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static void write_hundred(void)
{
    for (unsigned i = 0; i < 100; i++) {
        log_warning("test", "flood i=%u", i);
    }
}

static void *write_in_thread(void *arg)
{
    log_info("test", "two in a thread");
    return NULL;
}

static void write_with_sink(void)
{
    pthread_t thread;

    ck_assert_int_eq(log_start(), 0);
    ck_assert_int_eq(log_start(), 0); /* once more changes nothing */
    log_info("test", "one after start");
    ck_assert_int_eq(pthread_create(&thread, NULL, write_in_thread, NULL), 0);
    pthread_join(thread, NULL);
    log_stop();
    log_stop();
}

static void write_strange(void)
{
    log_info("test", "event text=%s", "a\nb\tc");
    log_debug("test", "not shown");
}

static void write_after_pause(void)
{
    struct log_site site = { .second = 1, .count = 10, .suppressed = 7 };

    log_write(&site, LOG_ERROR, "test", "again");
}

static void write_long(void)
{
    char text[5000];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_info("test", "long %s", text);
}

START_TEST(a_call_site_is_limited_per_second)
{
    static char text[65536];

    capture(write_hundred, text, sizeof(text));
    ck_assert_uint_ge(count_lines(text), 10);
    ck_assert_uint_le(count_lines(text), 20); /* when a second ends meanwhile */
    ck_assert_ptr_nonnull(strstr(text, " warning test flood i=0\n"));
}
END_TEST

START_TEST(lines_through_the_thread_arrive)
{
    static char text[65536];

    capture(write_with_sink, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, " info test one after start\n"));
    ck_assert_ptr_nonnull(strstr(text, " info test two in a thread\n"));
    ck_assert_uint_eq(count_lines(text), 2);
    capture(write_with_sink, text, sizeof(text)); /* again, with a new thread */
    ck_assert_uint_eq(count_lines(text), 2);
    capture(write_strange, text, sizeof(text));
    ck_assert_uint_eq(count_lines(text), 1);
}
END_TEST

START_TEST(suppressed_lines_are_counted)
{
    char text[512];

    capture(write_after_pause, text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, " error test again suppressed=7\n"));
}
END_TEST

START_TEST(an_event_is_one_line)
{
    char text[512];

    capture(write_strange, text, sizeof(text));
    ck_assert_uint_eq(count_lines(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "Z info test event text=a?b?c\n"));
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static char text[8192];

    size_t len = capture(write_long, text, sizeof(text));
    ck_assert_uint_le(len, 2048);
    ck_assert_uint_eq(count_lines(text), 1);
}
END_TEST

START_TEST(levels_above_the_limit_are_silent)
{
    log_set_level(LOG_ERROR);
    ck_assert_int_eq(log_get_level(), LOG_ERROR);
    char text[512];
    capture(write_strange, text, sizeof(text));
    ck_assert_str_eq(text, "");
    log_set_level(LOG_INFO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tc = tcase_create("log");

    tcase_add_test(tc, foreign_text_is_quoted_and_cut);
    tcase_add_test(tc, a_call_site_is_limited_per_second);
    tcase_add_test(tc, lines_through_the_thread_arrive);
    tcase_add_test(tc, suppressed_lines_are_counted);
    tcase_add_test(tc, an_event_is_one_line);
    tcase_add_test(tc, long_lines_are_cut);
    tcase_add_test(tc, levels_above_the_limit_are_silent);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
