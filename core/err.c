/* SPDX-License-Identifier: Apache-2.0 */
#include "core/err.h"

#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const texts[ERR_CODES] = { [ERR_CODE_NONE] = "ok",
#define X(name, text) [ERR_CODE_##name] = (text),
                                              ERR_TABLE(X)
#undef X
};

static uint64_t bug_count;

const char *err_text(int err)
{
    if (err > 0 || err <= -ERR_CODES) {
        return "unknown error";
    }
    return texts[-err];
}

void err_require_failed(const char *cond, const char *file, int line)
{
    /* Straight to stderr: the log's thread may never run again. */
    (void)fprintf(stderr, "fatal: %s:%d: required: %s\n", file, line, cond);
    (void)fflush(stderr);
    abort();
}

bool err_bug(const char *cond, const char *file, int line)
{
    __atomic_add_fetch(&bug_count, 1, __ATOMIC_RELAXED);
    log_error("core", "bug place=%s:%d condition=\"%s\"", file, line, cond);
    return true;
}

uint64_t err_bug_count(void)
{
    return __atomic_load_n(&bug_count, __ATOMIC_RELAXED);
}
