/* SPDX-License-Identifier: Apache-2.0 */
/* What a downstream HTTP version must offer to the rest of the gateway.  A request never looks into
 * a connection's wire state; it calls these, and is called by request.h's "From the codec". */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/http.h"

struct conn;
struct request;
struct stream_ops;

struct codec_ops {
    const char *name; /* "HTTP/1.1": log */
    const struct stream_ops *stream_ops;
    void (*open)(struct conn *conn);
    /* The connection may go on: its request has ended. */
    void (*next)(struct conn *conn);
    /* An interim (1xx) response. */
    int (*send_interim)(struct request *req, const struct http_response *res) MUST_CHECK;
    /* The final head; `end`: there is no body.  Nothing is sent before flush(). */
    int (*send_head)(struct request *req, const struct http_response *res, bool end) MUST_CHECK;
    /* Move the first `n` bytes of `from` behind what was sent. */
    int (*send_body)(struct request *req, struct buf *from, size_t n, bool end) MUST_CHECK;
    /* Hand all that was sent to the socket.  0 also when some of it must wait.  Calls
     * request_response_sent() when the end was sent and all is out. */
    int (*flush)(struct request *req) MUST_CHECK;
    /* Bytes that the client has not taken yet: for back-pressure. */
    size_t (*unsent)(const struct request *req);
    /* The request's body is wanted from now on, or some of it was taken: the client may send more. */
    void (*body_taken)(struct request *req);
    /* The head did not come in time. */
    void (*head_late)(struct conn *conn);
    /* The answer cannot be completed: the client must see it as cut. */
    void (*reset)(struct request *req);
};

extern const struct codec_ops codec_h1;

/* The deadlines of a connection with a request that waits for the client. */
#define CODEC_BODY_MIN_BYTES_PER_S 500u
