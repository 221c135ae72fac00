/* SPDX-License-Identifier: Apache-2.0 */
/* The error codes of the program: negative integers, 0 is success.  One table makes the codes and
 * their texts agree.  Functions that can fail return int and are marked MUST_CHECK. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define ERR_TABLE(X)                                                                               \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(TOO_BIG, "over a limit")                                                                     \
    X(BAD_INPUT, "malformed input")                                                                \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(IO, "input or output error")                                                                 \
    X(EOF, "closed by the peer")                                                                   \
    X(RESET, "reset by the peer")                                                                  \
    X(TIMEOUT, "timed out")                                                                        \
    X(CONNECT, "cannot connect")                                                                   \
    X(RESOLVE, "name cannot be resolved")                                                          \
    X(UNSUPPORTED, "not supported")                                                                \
    X(CRYPTO, "cryptographic failure")                                                             \
    X(BUSY, "busy")                                                                                \
    X(CANCELLED, "cancelled")                                                                      \
    X(CONFIG, "bad configuration")                                                                 \
    X(BUG, "internal error")

enum err_code {
    ERR_CODE_NONE,
#define X(name, text) ERR_CODE_##name,
    ERR_TABLE(X)
#undef X
        ERR_CODES,
};

enum {
#define X(name, text) ERR_##name = -(int)ERR_CODE_##name,
    ERR_TABLE(X)
#undef X
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* The text of a code; "ok" for 0.  Static storage. */
const char *err_text(int err);

/* Cannot go on: prints the condition and its place, then aborts.  Always compiled in. */
#define require(cond)                                                                              \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0)) {                                                        \
            err_require_failed(#cond, __FILE__, __LINE__);                                         \
        }                                                                                          \
    } while (0)
noreturn void err_require_failed(const char *cond, const char *file, int line);

/* True when `cond` holds, which it never should: logs, counts, lets the caller recover. */
#define bug_if(cond) (__builtin_expect(!!(cond), 0) && err_bug(#cond, __FILE__, __LINE__))
bool err_bug(const char *cond, const char *file, int line); /* always true */
uint64_t err_bug_count(void);                               /* any thread; for the metric */

/* What a resumable parser says. */
enum parse {
    PARSE_DONE,
    PARSE_MORE,
    PARSE_BAD,
};
