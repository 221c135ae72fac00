/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with comments as it was written: its tokens, and with each of them the comments and empty lines
 * around it, for who prints it anew.  The tree is in the arena and points into the text. */
#pragma once

#include "core/json.h"

struct json_comment {
    struct slice text;
    size_t column;  /* in the source, from 0 */
    unsigned lines; /* newlines between it and what stands before it */
    struct json_comment *next;
};

struct json_comments {
    struct json_comment *first, *last;
};

struct json_source {
    struct slice key;                /* with quotes; absent: none */
    struct slice text;               /* of a scalar, as written */
    char open;                       /* '{', '[' or 0: a scalar */
    bool is_apart;                   /* an empty line stands before it */
    struct json_comments before;     /* each on its own line */
    struct json_comments behind;     /* on its last line */
    struct json_comments after_open; /* on the bracket's line */
    struct json_comments at_end;     /* before the closing bracket */
    struct json_source *child, *next;

    /* Left to who prints it. */
    unsigned height;   /* of containers, itself included; 0: a scalar */
    size_t flat_bytes; /* of the value on one line */
    bool has_comments; /* somewhere inside */
};

/* Between tokens; the parser has refused all but a few of them. */
static inline bool json_is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Read a text that json_parse() has accepted with comments: it needs no check any more, and its depth is
 * limited. `ret_end`: comments behind all.  NULL: no memory. */
struct json_source *json_source_read(struct arena *arena, struct slice text,
                                     struct json_comments *ret_end);
