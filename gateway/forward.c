/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/forward.h"

#include "core/h1_writer.h"
#include "gateway/conn.h"
#include "gateway/identify.h"

#include <assert.h>

#define VIA "1.1 jwtgate"

/* Fields that end here, in both directions. */
#define HOP_BY_HOP                                                                                 \
    ((UINT64_C(1) << HEADER_CONNECTION) | (UINT64_C(1) << HEADER_KEEP_ALIVE) |                     \
     (UINT64_C(1) << HEADER_PROXY_CONNECTION) | (UINT64_C(1) << HEADER_TE) |                       \
     (UINT64_C(1) << HEADER_TRAILER) | (UINT64_C(1) << HEADER_TRANSFER_ENCODING) |                 \
     (UINT64_C(1) << HEADER_UPGRADE))
/* And of a request: what is computed anew, or was for us. */
#define REQUEST_ONLY                                                                               \
    ((UINT64_C(1) << HEADER_CONTENT_LENGTH) | (UINT64_C(1) << HEADER_HOST) |                       \
     (UINT64_C(1) << HEADER_EXPECT) | (UINT64_C(1) << HEADER_HTTP2_SETTINGS) |                     \
     (UINT64_C(1) << HEADER_PROXY_AUTHORIZATION) | (UINT64_C(1) << HEADER_TRACEPARENT))
#define FORWARDED                                                                                  \
    ((UINT64_C(1) << HEADER_FORWARDED) | (UINT64_C(1) << HEADER_X_FORWARDED_FOR) |                 \
     (UINT64_C(1) << HEADER_X_FORWARDED_HOST) | (UINT64_C(1) << HEADER_X_FORWARDED_PORT) |         \
     (UINT64_C(1) << HEADER_X_FORWARDED_PROTO) | (UINT64_C(1) << HEADER_X_REAL_IP))
static_assert(HEADER_IDS <= 64, "a set of header numbers is a 64-bit mask");

/* What the client's or server's own Connection names.  The list is walked once per named field; both
 * are bounded by the limits of a head. */
static void remove_named(struct headers *headers)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        struct slice list = headers->items[i].value;
        struct slice token;

        if (headers->items[i].removed || headers->items[i].id != HEADER_CONNECTION) {
            continue;
        }
        while (headers_next_token(&list, &token)) {
            headers_remove_folded(headers, token);
        }
    }
}

/* "x_user_id" becomes the same variable as "x-user-id" in many backends. */
static bool name_is_ambiguous(struct slice name)
{
    return memchr(name.ptr, '_', name.len) != NULL;
}

static void remove_fields(struct headers *headers, uint64_t ids, bool drops_ambiguous)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        struct header *header = &headers->items[i];

        if (header->id != HEADER_OTHER) {
            header->removed = header->removed || ((ids >> header->id) & 1) != 0;
        } else if (drops_ambiguous && name_is_ambiguous(header->name)) {
            header->removed = true;
        }
    }
}

/* The peer's address at the end of what a trusted proxy has sent (the rest was removed). */
static struct slice forwarded_for(struct request *req)
{
    struct slice before = SLICE_ABSENT;
    const struct headers *headers = &req->head.headers;

    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (header->removed || header->id != HEADER_X_FORWARDED_FOR) {
            continue;
        }
        before = slice_is_absent(before)
                     ? header->value
                     : slice_str(arena_printf(&req->arena, "%.*s, %.*s", SLICE_FMT(before),
                                              SLICE_FMT(header->value)));
    }
    if (slice_is_absent(before)) {
        return req->peer_ip;
    }
    return slice_str(
        arena_printf(&req->arena, "%.*s, %.*s", SLICE_FMT(before), SLICE_FMT(req->peer_ip)));
}

static int add_forwarded(struct request *req)
{
    struct headers *headers = &req->head.headers;
    struct slice client = forwarded_for(req);

    if (slice_is_absent(client)) {
        return ERR_NO_MEMORY;
    }
    headers_remove_id(headers, HEADER_X_FORWARDED_FOR);
    int err = headers_add_id(headers, HEADER_X_FORWARDED_FOR, client);
    if (err == 0 && headers_count_id(headers, HEADER_X_FORWARDED_PROTO) == 0) {
        err = headers_add_id(headers, HEADER_X_FORWARDED_PROTO, req->head.scheme);
    }
    if (err == 0 && headers_count_id(headers, HEADER_X_FORWARDED_HOST) == 0 &&
        req->head.authority.len > 0) {
        err = headers_add_id(headers, HEADER_X_FORWARDED_HOST, req->head.authority);
    }
    return err;
}

static int add_plugin_fields(struct request *req)
{
    const struct headers *added = &req->added_headers;
    int err = 0;

    for (uint32_t i = 0; i < added->count && err == 0; i++) {
        if (!added->items[i].removed) {
            err = headers_add(&req->head.headers, added->items[i].name, added->items[i].value);
        }
    }
    return err;
}

/* Once per request; a second try sends the same. */
static int prepare(struct request *req)
{
    struct headers *headers = &req->head.headers;
    struct slice traceparent = identify_traceparent(req);

    remove_named(headers);
    remove_fields(headers, HOP_BY_HOP | REQUEST_ONLY | (identify_is_trusted(req) ? 0 : FORWARDED),
                  true);
    if (slice_is_absent(traceparent)) {
        return ERR_NO_MEMORY;
    }
    int err = headers_add_id(headers, HEADER_VIA, SLICE(VIA));
    if (err == 0) {
        err = add_forwarded(req);
    }
    if (err == 0) {
        err = headers_add_id(headers, HEADER_TRACEPARENT, traceparent);
    }
    if (err == 0) {
        err = add_plugin_fields(req);
    }
    req->forwarded = err == 0;
    return err;
}

/* The path without the route's prefix; by segments, so a "/" is left in front. */
static struct slice upstream_path(const struct request *req)
{
    struct slice path = req->head.path;
    size_t strip = req->route->strip_prefix.len;

    if (strip == 0 || path.len < strip) {
        return path;
    }
    path = slice_skip(path, strip);
    return path.len == 0 ? SLICE("/") : path;
}

static struct slice upstream_host(const struct request *req)
{
    return req->head.authority.len > 0 ? req->head.authority : req->target->label;
}

int forward_write(struct request *req, struct buf *out)
{
    if (!req->forwarded) {
        int err = prepare(req);
        if (err != 0) {
            return err;
        }
    }
    const struct h1_request_line line = { .method = req->head.method_name,
                                          .path = upstream_path(req),
                                          .query = req->head.query,
                                          .host = upstream_host(req) };
    return h1_write_request(out, &line, &req->head.headers, req->head.body,
                            req->head.content_length, true);
}

int forward_add_hsts(struct request *req)
{
    struct slice hsts = req->view->config->listeners[req->listener_index].hsts;

    /* Ours takes the place of a server's: a client heeds the first alone (RFC 6797 section 8.1). */
    return hsts.len == 0
               ? 0
               : headers_set(&req->response.headers, SLICE("strict-transport-security"), hsts);
}

int forward_response(struct request *req)
{
    struct headers *headers = &req->response.headers;

    /* Content-Length and Transfer-Encoding stay: the codec computes what is sent from them. */
    remove_named(headers);
    remove_fields(headers, HOP_BY_HOP & ~(UINT64_C(1) << HEADER_TRANSFER_ENCODING), false);
    int err = headers_add_id(headers, HEADER_VIA, SLICE(VIA));
    return err == 0 ? forward_add_hsts(req) : err;
}
