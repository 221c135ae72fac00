/* SPDX-License-Identifier: Apache-2.0 */
/* The program's own log: one line per event on stderr, `time level area event key=value ...`.
 * Any thread.  Lines go through a sink (core/sink.h) once log_start() was called, so no caller
 * blocks; before that they are written directly.  Each call site is limited to 10 lines a second,
 * then says how many it suppressed.  A function logs or returns its error, never both. */
#pragma once

#include "core/slice.h"

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log_site { /* rate limit of one call site, static storage */
    uint64_t second;
    uint32_t count;
    uint32_t suppressed;
};

/* Level above which nothing is logged; default LOG_INFO. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Start and stop the writer thread.  Stop when no other thread logs any more. */
int log_start(void);
void log_stop(void);

#define log_event(level, area, ...)                                                                \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if ((level) <= log_get_level()) {                                                          \
            log_write(&log_site_, (level), (area), __VA_ARGS__);                                   \
        }                                                                                          \
    } while (0)
#define log_error(area, ...)   log_event(LOG_ERROR, area, __VA_ARGS__)
#define log_warning(area, ...) log_event(LOG_WARNING, area, __VA_ARGS__)
#define log_info(area, ...)    log_event(LOG_INFO, area, __VA_ARGS__)
#define log_debug(area, ...)   log_event(LOG_DEBUG, area, __VA_ARGS__)
#define log_trace(area, ...)   log_event(LOG_TRACE, area, __VA_ARGS__)

void log_write(struct log_site *site, enum log_level level, const char *area, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* Text that came from outside, quoted, escaped and cut to fit `size` bytes with NUL: for "%s". */
const char *log_quote(struct slice text, char *ret_buf, size_t size);
