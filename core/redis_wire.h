/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of Redis (RESP2) by hiredis' formatter and reader: commands become bytes, bytes become
 * replies.  Nothing here knows of a connection.  The limits hold against a server that lies: a reply's
 * depth, its number of elements and, as the owner counts the bytes, its length. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

enum redis_reply_type {
    REDIS_IS_NIL,
    REDIS_IS_STATUS,
    REDIS_IS_ERROR,
    REDIS_IS_INTEGER,
    REDIS_IS_STRING,
    REDIS_IS_ARRAY,
};

struct redis_reply {
    enum redis_reply_type type;
    long long integer;
    struct slice text;          /* STATUS, ERROR, STRING */
    size_t count;               /* ARRAY */
    struct redis_reply **items; /* ARRAY; none is NULL */
};
void redis_reply_free(struct redis_reply *reply); /* NULL is fine */

/* One connection's replies. */
struct redis_reader;

/* `max_reply_bytes` bounds the elements of an array.  NULL: no memory. */
struct redis_reader *redis_reader_new(size_t max_reply_bytes);
void redis_reader_free(struct redis_reader *reader); /* NULL is fine */
int redis_reader_feed(struct redis_reader *reader, struct slice bytes) MUST_CHECK;
/* The next complete reply, the caller's from now on; NULL: more bytes are needed.  ERR_BAD_INPUT: this is
 * not the protocol; the reader is of no use any more. */
int redis_reader_next(struct redis_reader *reader, struct redis_reply **ret) MUST_CHECK;

/* A command as it is sent, for redis_text_free(); absent: no memory. */
struct slice redis_text_new(unsigned argc, const struct slice *argv);
void redis_text_free(struct slice text); /* absent is fine */
