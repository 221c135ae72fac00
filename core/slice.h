/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes owned by someone else: a pointer and a length.  Never NUL-terminated by promise, may hold
 * any byte.  A slice with ptr == NULL is "absent"; a slice with len == 0 and a pointer is "empty". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){ .ptr = (literal), .len = sizeof(literal) - 1 })
#define SLICE_ABSENT   ((struct slice){ .ptr = NULL, .len = 0 })

/* For printf's "%.*s". */
#define SLICE_FMT(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
    return (struct slice){ .ptr = (const char *)ptr, .len = len };
}

/* A slice of a NUL-terminated string; absent for NULL. */
static inline struct slice slice_str(const char *str)
{
    return (struct slice){ .ptr = str, .len = str == NULL ? 0 : strlen(str) };
}

static inline bool slice_is_absent(struct slice s)
{
    return s.ptr == NULL;
}

/* Byte equality.  Not for secrets: it returns at the first difference. */
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The bytes from `from` on; empty when there are none. */
static inline struct slice slice_skip(struct slice s, size_t from)
{
    if (from >= s.len) {
        return slice_of(s.ptr + s.len, 0);
    }
    return slice_of(s.ptr + from, s.len - from);
}

static inline char ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c + ('a' - 'A')) : c;
}

/* Equality without regard to ASCII case. */
static inline bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}
