/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP messages without any wire form (RFC 9110): what everything above the codecs sees. Slices
 * point into memory of the message's arena. */
#pragma once

#include "core/headers.h"
#include "core/slice.h"

#include <stdint.h>

#define HTTP_METHOD_TABLE(X) /* name, idempotent (RFC 9110 section 9.2.2), safe */                 \
    X(GET, true, true)                                                                             \
    X(HEAD, true, true)                                                                            \
    X(POST, false, false)                                                                          \
    X(PUT, true, false)                                                                            \
    X(DELETE, true, false)                                                                         \
    X(OPTIONS, true, true)                                                                         \
    X(PATCH, false, false)                                                                         \
    X(TRACE, true, true)                                                                           \
    X(CONNECT, false, false)

enum http_method {
    HTTP_OTHER, /* any other token: never idempotent */
#define X(name, idempotent, safe) HTTP_##name,
    HTTP_METHOD_TABLE(X)
#undef X
        HTTP_METHODS,
};

enum http_method http_method_of(struct slice name);     /* exact case */
struct slice http_method_name(enum http_method method); /* "_OTHER" for HTTP_OTHER */
bool http_method_is_idempotent(enum http_method method);

enum http_body { /* how a body is delimited */
                 HTTP_BODY_NONE,
                 HTTP_BODY_LENGTH,  /* content_length bytes */
                 HTTP_BODY_CHUNKED, /* its own framing; length unknown */
                 HTTP_BODY_CLOSE,   /* response only: until the connection ends */
};

struct http_request {
    enum http_method method;
    struct slice method_name;
    struct slice scheme;    /* "http" or "https" */
    struct slice authority; /* Host or the absolute form's authority; lower case */
    struct slice path;      /* normalised, starts with "/"; "*" for OPTIONS * */
    struct slice query;     /* behind "?", absent when there was none */
    struct headers headers;
    enum http_body body;
    uint64_t content_length;
    uint8_t minor; /* HTTP/1.<minor> as received */
    bool keep_alive;
    bool expect_continue;
};

struct http_response {
    unsigned status;
    struct headers headers;
    enum http_body body;
    uint64_t content_length;
    uint8_t minor;
    bool keep_alive; /* may the connection be used again? */
};

/* May a response with this status to this method have a body (RFC 9110 section 6.4.1)? */
bool http_response_may_have_body(enum http_method method, unsigned status);
/* "Not Found"; "Unknown" for others. */
struct slice http_status_text(unsigned status);
