/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to HTTP/1.1 bytes (RFC 9112), appended to a buffer.  Framing fields (Content-Length,
 * Transfer-Encoding), Connection and Keep-Alive are never taken from the list: they are computed. A
 * field that would not parse back makes the call fail with ERR_BAD_INPUT and nothing appended. */
#pragma once

#include "core/buf.h"
#include "core/http.h"

/* `req->path` and `query` as they are, `host` as the Host field. `body`/`content_length` decide the
 * framing. `keep_alive` false adds Connection: close. */
struct h1_request_line {
    struct slice method;
    struct slice path;
    struct slice query; /* absent: none */
    struct slice host;
};
int h1_write_request(struct buf *out, const struct h1_request_line *line,
                     const struct headers *headers, enum http_body body, uint64_t content_length,
                     bool keep_alive) MUST_CHECK;

/* `head_only`: a response to HEAD: framing fields as for the body that is not sent. 1xx, 204 and
 * 304 get no framing fields (304 keeps a content_length when body is HTTP_BODY_LENGTH). `keep_alive`
 * false adds Connection: close; true adds "Connection: keep-alive" when `minor` is 0. */
struct h1_status_line {
    unsigned status;
    uint8_t minor; /* the client's: for 0, no chunked is written (the caller must not ask for it) */
    bool keep_alive;
    bool head_only;
};
int h1_write_response(struct buf *out, const struct h1_status_line *line,
                      const struct headers *headers, enum http_body body,
                      uint64_t content_length) MUST_CHECK;

/* "1a2b\r\n" before and "\r\n" behind a chunk; the last chunk. */
int h1_write_chunk_start(struct buf *out, uint64_t size) MUST_CHECK;
int h1_write_chunk_end(struct buf *out) MUST_CHECK;
int h1_write_last_chunk(struct buf *out) MUST_CHECK;
