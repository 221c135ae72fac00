/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.x bytes to messages (RFC 9112), strictly: one interpretation of every byte or none.  Pure:
 * no I/O, no allocation but in the arena given.  Linear in the bytes.
 *
 * A head is read in two steps.  h1_scan() finds its end as bytes arrive (resumable, refuses bare
 * CR, bare LF, NUL and other control bytes and limits as early as they are seen).  The whole head,
 * in memory that the caller owns for the life of the message, is then parsed by h1_parse_request()
 * or h1_parse_response(), which lower-case field names in place and keep slices into it. */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/http.h"

#include <stdint.h>

/* Why a head or body was refused: reason word (log, metric) and the status to answer. */
#define H1_ERROR_TABLE(X)                                                                          \
    X(BARE_CR, 400, "bare_cr")                                                                     \
    X(BARE_LF, 400, "bare_lf")                                                                     \
    X(CONTROL_BYTE, 400, "control_byte")                                                           \
    X(REQUEST_LINE, 400, "request_line")                                                           \
    X(METHOD, 400, "method")                                                                       \
    X(METHOD_UNSUPPORTED, 501, "method_unsupported") /* CONNECT, TRACE */                          \
    X(TARGET, 400, "target")                                                                       \
    X(VERSION, 505, "version")                                                                     \
    X(VERSION_SYNTAX, 400, "version_syntax")                                                       \
    X(URI_TOO_LONG, 414, "uri_too_long")                                                           \
    X(HEAD_TOO_LARGE, 431, "headers_too_large")                                                    \
    X(TOO_MANY_FIELDS, 431, "too_many_headers")                                                    \
    X(FIELD_NAME, 400, "field_name")                                                               \
    X(FIELD_VALUE, 400, "field_value")                                                             \
    X(OBS_FOLD, 400, "obs_fold")                                                                   \
    X(SPACE_BEFORE_COLON, 400, "space_before_colon")                                               \
    X(HOST_MISSING, 400, "host_missing")                                                           \
    X(HOST_REPEATED, 400, "host_repeated")                                                         \
    X(HOST_INVALID, 400, "host_invalid")                                                           \
    X(CONTENT_LENGTH, 400, "content_length")                                                       \
    X(TWO_FRAMINGS, 400, "two_framings")                                                           \
    X(TRANSFER_ENCODING, 400, "transfer_encoding")                                                 \
    X(TRANSFER_CODING, 501, "transfer_coding") /* a coding other than chunked */                   \
    X(EXPECTATION, 417, "expectation")                                                             \
    X(BODY_TOO_LARGE, 413, "body_too_large")                                                       \
    X(CHUNK_SIZE, 400, "chunk_size")                                                               \
    X(CHUNK_EXTENSION, 400, "chunk_extension")                                                     \
    X(CHUNK_END, 400, "chunk_end")                                                                 \
    X(CHUNK_OVERHEAD, 400, "chunk_overhead") /* much framing for little data */                    \
    X(TRAILER, 400, "trailer")                                                                     \
    X(STATUS_LINE, 502, "status_line")                                                             \
    X(MEMORY, 503, "no_memory")

enum h1_error {
    H1_OK,
#define X(name, status, word) H1_##name,
    H1_ERROR_TABLE(X)
#undef X
        H1_ERRORS,
};
unsigned h1_error_status(enum h1_error error);
const char *h1_error_word(enum h1_error error);

struct h1_limits {
    uint32_t head_bytes;  /* whole head; 32 KiB */
    uint32_t line_bytes;  /* request line; 8 KiB */
    uint32_t fields;      /* 100 */
    uint32_t name_bytes;  /* 256 */
    uint32_t value_bytes; /* 16 KiB */
};
extern const struct h1_limits h1_limits_default;

struct h1_scan {         /* zeroed: at the start of a head */
    uint32_t pos;        /* bytes looked at */
    uint32_t line_start; /* of the current line */
    uint32_t lines;      /* that were not empty */
    uint32_t blanks;     /* empty lines before the first one */
};

/* `in`: the contiguous bytes from the head's first byte on, growing between calls.  Empty lines
 * (CRLF) before a request line are part of the head, at most 4 (RFC 9112 section 2.2). DONE: the head is
 * the first *ret_len bytes.  BAD: *ret_error. */
enum parse h1_scan(struct h1_scan *scan, struct slice in, const struct h1_limits *limits,
                   bool is_request, size_t *ret_len, enum h1_error *ret_error);

/* Parse a complete request head.  H1_OK or why not; *ret may be partly filled then (method and
 * target for the log, when they were understood).  `scheme` is the listener's.  The path is
 * normalised (core/uri.h); *ret_detail (static text or NULL) says more for the log. */
enum h1_error h1_parse_request(char *head, size_t len, const struct h1_limits *limits,
                               struct arena *arena, struct slice scheme, struct http_request *ret,
                               const char **ret_detail);
/* Parse a complete response head to a request with `method`.  Framing by RFC 9112 section 6.3; two
 * Content-Length fields, Content-Length with Transfer-Encoding, or a coding other than chunked are
 * errors.  A response without a body (to HEAD, 1xx, 204, 304) has body HTTP_BODY_NONE; its
 * content_length is still what the field said (see headers_count_id() for whether there was one). */
enum h1_error h1_parse_response(char *head, size_t len, const struct h1_limits *limits,
                                struct arena *arena, enum http_method method,
                                struct http_response *ret);
