/* SPDX-License-Identifier: Apache-2.0 */
#include "core/log.h"

#include "core/clock.h"
#include "core/err.h"
#include "core/sink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES     65536u
#define LINE_BYTES     2048u
#define SITE_PER_SEC   10u
#define SUPPRESS_BYTES 32u /* room for " suppressed=4294967295" */

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_INFO] = "info",
    [LOG_DEBUG] = "debug", [LOG_TRACE] = "trace",
};

static int current_level = LOG_INFO;

static struct sink *log_sink;   /* NULL: lines are written directly */
static unsigned log_generation; /* of log_sink: a thread's writer belongs to one */

static _Thread_local struct {
    struct sink_writer *writer; /* owned by its sink */
    unsigned generation;
} own;

void log_set_level(enum log_level level)
{
    __atomic_store_n(&current_level, (int)level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
    return (enum log_level)__atomic_load_n(&current_level, __ATOMIC_RELAXED);
}

int log_start(void)
{
    int err = 0;

    if (log_sink != NULL) {
        return 0;
    }
    struct sink *sink = sink_new("stderr", &err);
    if (sink == NULL) {
        return err;
    }
    __atomic_add_fetch(&log_generation, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&log_sink, sink, __ATOMIC_RELEASE);
    return 0;
}

void log_stop(void)
{
    sink_free(__atomic_exchange_n(&log_sink, NULL, __ATOMIC_ACQ_REL));
}

/* May this line be written?  Threads that race here may pass a line or two more. */
static bool take_turn(struct log_site *site, uint32_t *ret_suppressed)
{
    uint64_t second = clock_precise_ns() / UINT64_C(1000000000) + 1; /* 0 is "never" */

    *ret_suppressed = 0;
    if (__atomic_exchange_n(&site->second, second, __ATOMIC_RELAXED) != second) {
        __atomic_store_n(&site->count, 1, __ATOMIC_RELAXED);
        *ret_suppressed = __atomic_exchange_n(&site->suppressed, 0, __ATOMIC_RELAXED);
        return true;
    }
    if (__atomic_add_fetch(&site->count, 1, __ATOMIC_RELAXED) <= SITE_PER_SEC) {
        return true;
    }
    __atomic_add_fetch(&site->suppressed, 1, __ATOMIC_RELAXED);
    return false;
}

/* One event is one line whatever its arguments hold. */
static void blank_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

/* This thread's writer, made at its first line; NULL: none, write directly. */
static struct sink_writer *own_writer(void)
{
    struct sink *sink = __atomic_load_n(&log_sink, __ATOMIC_ACQUIRE);
    unsigned generation = __atomic_load_n(&log_generation, __ATOMIC_RELAXED);

    if (sink == NULL) {
        return NULL;
    }
    if (own.writer == NULL || own.generation != generation) {
        own.writer = sink_writer_new(sink, RING_BYTES);
        own.generation = generation;
    }
    return own.writer;
}

static void write_line(struct slice line)
{
    struct sink_writer *writer = own_writer();

    if (writer != NULL) {
        (void)sink_write(writer, line); /* a full ring drops the line and counts it */
        return;
    }
    ssize_t ignored = write(STDERR_FILENO, line.ptr, line.len);
    (void)ignored; /* nowhere left to report it */
}

/* The length after printing behind `used`, cut to what fits before `size`. */
static size_t advance(size_t used, int printed, size_t size)
{
    if (printed < 0) {
        return used;
    }
    return (size_t)printed < size - used ? used + (size_t)printed : size - 1;
}

void log_write(struct log_site *site, enum log_level level, const char *area, const char *format,
               ...)
{
    char line[LINE_BYTES];
    char time_text[CLOCK_RFC3339_BYTES];
    int saved_errno = errno;
    uint32_t suppressed;
    struct timespec now = { 0 };
    va_list args;

    if (!take_turn(site, &suppressed)) {
        return;
    }

    /* Not the thread's cached clock: a thread without a loop never refreshes it. */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)clock_format_rfc3339((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u,
                               time_text);
    const size_t size = sizeof(line) - SUPPRESS_BYTES;
    size_t len =
        advance(0, snprintf(line, size, "%s %s %s ", time_text, level_names[level], area), size);
    errno = saved_errno; /* for "%m" */
    va_start(args, format);
    len = advance(len, vsnprintf(line + len, size - len, format, args), size);
    va_end(args);
    blank_controls(line, len);
    if (suppressed > 0) {
        len = advance(len, snprintf(line + len, sizeof(line) - len, " suppressed=%u", suppressed),
                      sizeof(line) - 1);
    }
    line[len++] = '\n';
    write_line(slice_of(line, len));
    errno = saved_errno;
}

const char *log_quote(struct slice text, char *ret_buf, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    static const char cut_mark[] = "...";
    size_t len = 0;

    if (size < 8) { /* not even `"..."` fits */
        if (size > 0) {
            ret_buf[0] = '\0';
        }
        return ret_buf;
    }

    const size_t room = size - 2; /* the closing quote and NUL */
    ret_buf[len++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        size_t need = plain ? 1 : (c == '"' || c == '\\') ? 2 : 4;
        size_t behind = i + 1 < text.len ? sizeof(cut_mark) - 1 : 0;
        if (len + need + behind > room) {
            memcpy(ret_buf + len, cut_mark, sizeof(cut_mark) - 1);
            len += sizeof(cut_mark) - 1;
            break;
        }
        if (need > 1) {
            ret_buf[len++] = '\\';
        }
        if (need == 4) {
            ret_buf[len++] = 'x';
            ret_buf[len++] = hex[c >> 4];
            ret_buf[len++] = hex[c & 15];
        } else {
            ret_buf[len++] = (char)c;
        }
    }
    ret_buf[len++] = '"';
    ret_buf[len] = '\0';
    return ret_buf;
}
