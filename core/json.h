/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text to a tree in an arena, on yajl's callbacks.  Strict: valid UTF-8 (no overlong forms,
 * surrogates, noncharacters beyond U+10FFFF), no "\u0000", no lone surrogate escapes, no
 * duplicate members (compared after unescaping), depth, node count and size limited, nothing
 * after the value.  Comments (C and C++ style) only when asked for.  Every node knows its place. */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    uint32_t line, column;         /* of the value's first byte, from 1, bytes */
    uint32_t key_line, key_column; /* of the member's name, when this is a member's value */
    uint32_t end_line, end_column; /* just behind the value's last byte */
    uint16_t file;                 /* set by the caller through json_limits.file */
    bool boolean;
    struct slice key;   /* unescaped name, when this is a member's value; else absent */
    struct slice text;  /* JSON_STRING: unescaped; JSON_NUMBER: as written */
    struct json *child; /* first element or member */
    struct json *next;  /* sibling, in the order of the text */
    uint32_t count;     /* of children */
};

struct json_limits {
    size_t max_bytes;
    unsigned max_depth;
    unsigned max_nodes;
    size_t max_string;
    bool comments;
    uint16_t file;
};

struct json_error {
    uint32_t line, column;
    char text[160]; /* what is wrong and what would be right, without the place */
};

extern const struct json_limits json_limits_token;  /* 8 KiB, depth 16, 256 nodes, 4 KiB strings */
extern const struct json_limits json_limits_config; /* 4 MiB, depth 32, comments */

/* The tree's root in `arena`; NULL with *ret_error filled (ret_error may be NULL). A byte-order mark
 * and a trailing comma are errors that say so. */
struct json *json_parse(struct arena *arena, struct slice text, const struct json_limits *limits,
                        struct json_error *ret_error);

struct json *json_get(const struct json *object, struct slice key);
/* RFC 6901; NULL when there is none.  `pointer` starts with "/" or is empty. */
struct json *json_pointer(const struct json *root, struct slice pointer);
/* An integer written without fraction or exponent that fits. */
bool json_int(const struct json *value, int64_t *ret);
static inline bool json_is(const struct json *value, enum json_type type)
{
    return value != NULL && value->type == type;
}
/* The same values; the order of an object's members does not matter.  NULL is like NULL only. */
bool json_equal(const struct json *a, const struct json *b);
/* The tree with all texts, in the arena; NULL: no memory. */
struct json *json_copy(struct arena *arena, const struct json *value);
const char *json_type_name(enum json_type type); /* "an object", "a string", ... */

/* A growing JSON text; sticky error.  For answers, logs and `check --json`. */
struct json_writer {
    char *buf;
    size_t len, size;
    bool failed; /* out of memory or over max */
    size_t max;
    bool need_comma;
};
void json_writer_init(struct json_writer *w, size_t max);
void json_writer_done(struct json_writer *w);
void json_write_begin(struct json_writer *w, const char *key, char bracket); /* '{' or '[' */
void json_write_end(struct json_writer *w, char bracket);
void json_write_string(struct json_writer *w, const char *key, struct slice value);
void json_write_int(struct json_writer *w, const char *key, int64_t value);
void json_write_bool(struct json_writer *w, const char *key, bool value);
/* A whole tree; numbers as they were written.  `key` absent: no name. */
void json_write_tree(struct json_writer *w, struct slice key, const struct json *value);
/* Escape into a caller's buffer (RFC 8259 section 7; bytes that are not UTF-8 become U+FFFD); the
 * length written, at most `size`, cut at a character's boundary. No quotes around. */
size_t json_escape(struct slice text, char *ret, size_t size);
