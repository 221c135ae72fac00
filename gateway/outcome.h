/* SPDX-License-Identifier: Apache-2.0 */
/* How a request can end: one row per way gives the enum, the status of our own answer (0: there is
 * none), the word of the access log and of metrics. */
#pragma once

#define OUTCOME_TABLE(X)                                                                           \
    X(UPSTREAM, 0, "upstream")                                                                     \
    X(LOCAL, 200, "local")                                                                         \
    X(REDIRECT, 308, "redirect")                                                                   \
    X(DENIED, 401, "denied")                                                                       \
    X(NO_ROUTE, 404, "no_route")                                                                   \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed")                                               \
    X(BAD_REQUEST, 400, "bad_request")                                                             \
    X(URI_TOO_LONG, 414, "uri_too_long")                                                           \
    X(HEADERS_TOO_LARGE, 431, "headers_too_large")                                                 \
    X(BODY_TOO_LARGE, 413, "body_too_large")                                                       \
    X(REQUEST_TIMEOUT, 408, "request_timeout")                                                     \
    X(EXPECTATION_FAILED, 417, "expectation_failed")                                               \
    X(NOT_IMPLEMENTED, 501, "not_implemented")                                                     \
    X(VERSION_NOT_SUPPORTED, 505, "version_not_supported")                                         \
    X(OVERLOADED, 503, "overloaded")                                                               \
    X(UPSTREAM_CONNECT_FAILED, 502, "upstream_connect_failed")                                     \
    X(UPSTREAM_PROTOCOL_ERROR, 502, "upstream_protocol_error")                                     \
    X(UPSTREAM_RESET, 502, "upstream_reset")                                                       \
    X(UPSTREAM_TIMEOUT, 504, "upstream_timeout")                                                   \
    X(CLIENT_GONE, 499, "client_gone")                                                             \
    X(INTERNAL_ERROR, 500, "internal_error")

enum outcome {
    OUTCOME_NONE, /* still going on */
#define X(name, status, word) OUTCOME_##name,
    OUTCOME_TABLE(X)
#undef X
        OUTCOMES,
};

unsigned outcome_status(enum outcome outcome);
const char *outcome_word(enum outcome outcome);
