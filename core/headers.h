/* SPDX-License-Identifier: Apache-2.0 */
/* An ordered list of header fields (RFC 9110 section 5).  Names are lower case.  Names that the
 * program looks at have a number (enum header_id), so that finding them compares one byte a field.
 * Names and values are borrowed: from the message head or the request's arena.  The array grows in
 * the arena it was given. */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

#define HEADER_TABLE(X)                                                                            \
    X(ACCEPT, "accept")                                                                            \
    X(AUTHORIZATION, "authorization")                                                              \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(CONNECTION, "connection")                                                                    \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(COOKIE, "cookie")                                                                            \
    X(DATE, "date")                                                                                \
    X(EXPECT, "expect")                                                                            \
    X(FORWARDED, "forwarded")                                                                      \
    X(HOST, "host")                                                                                \
    X(HTTP2_SETTINGS, "http2-settings")                                                            \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(TE, "te")                                                                                    \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(UPGRADE, "upgrade")                                                                          \
    X(USER_AGENT, "user-agent")                                                                    \
    X(VIA, "via")                                                                                  \
    X(WWW_AUTHENTICATE, "www-authenticate")                                                        \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                        \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                        \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_REAL_IP, "x-real-ip")                                                                      \
    X(X_REQUEST_ID, "x-request-id")

enum header_id {
    HEADER_OTHER,
#define X(id, name) HEADER_##id,
    HEADER_TABLE(X)
#undef X
        HEADER_IDS,
};

struct header {
    struct slice name; /* lower case */
    struct slice value;
    uint8_t id;   /* enum header_id */
    bool removed; /* skipped by everything that reads the list */
};

struct headers {
    struct arena *arena;
    struct header *items;
    uint32_t count; /* also removed ones */
    uint32_t size;
};

/* `expected`: fields to make room for at once. */
int headers_init(struct headers *headers, struct arena *arena, uint32_t expected) MUST_CHECK;

/* The number of a lower-case name; HEADER_OTHER for others. */
enum header_id header_id_of(struct slice name);
struct slice header_name_of(enum header_id id);

/* Append; name and value are borrowed. */
int headers_add(struct headers *headers, struct slice name, struct slice value) MUST_CHECK;
int headers_add_id(struct headers *headers, enum header_id id, struct slice value) MUST_CHECK;
/* First value; absent slice when there is none. `name` lower case. */
struct slice headers_get(const struct headers *headers, struct slice name);
struct slice headers_get_id(const struct headers *headers, enum header_id id);
uint32_t headers_count(const struct headers *headers, struct slice name);
uint32_t headers_count_id(const struct headers *headers, enum header_id id);
/* Remove all fields of that name; how many. */
uint32_t headers_remove(struct headers *headers, struct slice name);
uint32_t headers_remove_id(struct headers *headers, enum header_id id);
/* Remove all fields whose name equals `name` when '_' is read as '-' (both folded, no case). */
uint32_t headers_remove_folded(struct headers *headers, struct slice name);
/* Remove, then append one. */
int headers_set(struct headers *headers, struct slice name, struct slice value) MUST_CHECK;

/* Comma-separated list members without surrounding blanks (RFC 9110 section 5.6.1): start with
 * *list = the value; false at the end.  Empty members are skipped. */
bool headers_next_token(struct slice *list, struct slice *ret_token);
/* Is `token` (no case) a member of any field `id`? */
bool headers_have_token(const struct headers *headers, enum header_id id, struct slice token);

bool header_name_is_valid(struct slice name);   /* tchar only, 1..256 bytes */
bool header_value_is_valid(struct slice value); /* no control bytes but tab */

/* Lower case of a tchar (RFC 9110 section 5.6.2), 0 for every other byte. */
extern const unsigned char header_name_byte[256];
/* How many bytes come before the first control byte other than tab; len when there is none. */
size_t header_value_span(const char *bytes, size_t len);
