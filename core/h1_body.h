/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of HTTP/1.1 messages: where they end (RFC 9112 sections 6 and 7).  A machine that is fed
 * what has arrived, in pieces of any size, and says which bytes of it are the payload.  Pure: it
 * allocates nothing and keeps nothing of its input. */
#pragma once

#include "core/h1_parser.h"

/* A body's framing being read.  Zeroed and h1_body_init()ed per message. */
struct h1_body {
    enum http_body kind;
    uint8_t state;
    uint8_t size_digits;
    uint64_t left;     /* of the length, or of the current chunk */
    uint64_t data;     /* payload bytes so far */
    uint64_t framing;  /* all other bytes of chunks so far */
    bool any_framing;  /* of a server that streams byte by byte: however much */
    uint32_t overhead; /* bytes of chunk extensions */
    uint32_t trailer;  /* bytes of trailers */
    uint32_t line;     /* bytes of the current trailer line */
};

void h1_body_init(struct h1_body *body, enum http_body kind, uint64_t content_length);
/* Look at the next bytes.  *ret_skip: framing bytes to drop first; *ret_data: payload bytes that
 * follow them (may be 0).  MORE: the caller drops and takes them, then calls again with what is
 * behind as long as there is something; after the last byte it waits for more.  DONE: the body is
 * complete, *ret_skip and *ret_data still count (data comes with DONE only when it holds the last
 * byte).  BAD: *ret_error; nothing of `in` is to be used.  Trailers are checked for syntax, bounded
 * and dropped. */
enum parse h1_body_next(struct h1_body *body, struct slice in, size_t *ret_skip, size_t *ret_data,
                        enum h1_error *ret_error);
static inline bool h1_body_is_done(const struct h1_body *body)
{
    return body->kind == HTTP_BODY_NONE || (body->kind == HTTP_BODY_LENGTH && body->left == 0);
}
