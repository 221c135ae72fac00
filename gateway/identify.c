/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/identify.h"

#include "core/clock.h"
#include "gateway/conn.h"
#include "gateway/worker.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define ULID_BYTES        26u
#define TRACEPARENT_BYTES 55u /* 00-<32>-<16>-<2> */
#define REQUEST_ID_MAX    128u

static const struct config_server *server_of(const struct request *req)
{
    return &req->view->config->server;
}

bool identify_is_trusted(const struct request *req)
{
    const struct config_server *server = server_of(req);
    struct sockaddr_in6 peer = { .sin6_family = AF_INET6 };

    if (server->trusted_proxy_count == 0 || req->conn == NULL) {
        return false;
    }
    memcpy(&peer.sin6_addr, req->conn->peer, sizeof(peer.sin6_addr));
    return config_is_trusted(server, (const struct sockaddr *)&peer);
}

static bool parse_address(struct slice text, struct sockaddr_storage *ret)
{
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    if (text.len == 0 || text.len >= sizeof(host)) {
        return false;
    }
    memcpy(host, text.ptr, text.len);
    host[text.len] = '\0';
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        return true;
    }
    return false;
}

/* Take the last member off a comma-separated list. */
static struct slice take_last(struct slice *list)
{
    size_t end = list->len;
    size_t start = 0;

    for (size_t i = end; i > 0; i--) {
        if (list->ptr[i - 1] == ',') {
            start = i;
            break;
        }
    }
    struct slice item = slice_of(list->ptr + start, end - start);
    list->len = start == 0 ? 0 : start - 1;
    while (item.len > 0 && (item.ptr[0] == ' ' || item.ptr[0] == '\t')) {
        item = slice_skip(item, 1);
    }
    while (item.len > 0 && (item.ptr[item.len - 1] == ' ' || item.ptr[item.len - 1] == '\t')) {
        item.len--;
    }
    return item;
}

/* The rightmost address that is not a trusted proxy's; the field's values from last to first. */
static struct slice forwarded_client(const struct request *req, struct slice peer)
{
    const struct headers *headers = &req->head.headers;
    struct slice client = peer;

    for (uint32_t i = headers->count; i > 0; i--) {
        const struct header *header = &headers->items[i - 1];
        struct slice list = header->value;

        if (header->removed || header->id != HEADER_X_FORWARDED_FOR) {
            continue;
        }
        while (list.len > 0) {
            struct sockaddr_storage addr;
            struct slice item = take_last(&list);

            if (!parse_address(item, &addr)) {
                return client;
            }
            client = item;
            if (!config_is_trusted(server_of(req), (const struct sockaddr *)&addr)) {
                return client;
            }
        }
    }
    return client;
}

void identify_peer(struct request *req)
{
    char text[INET6_ADDRSTRLEN];

    req->peer_ip = arena_copy(&req->arena, slice_of(text, conn_peer_text(req->conn, text)));
    req->client_ip = req->peer_ip;
}

void identify_client(struct request *req)
{
    if (identify_is_trusted(req)) {
        req->client_ip = forwarded_client(req, req->peer_ip);
    }
}

static bool is_visible_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* 48 bits of milliseconds and 80 random bits, Crockford's base 32: sorts by time. */
static void make_ulid(struct request *req, char *ret)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t ms = clock_unix_us() / 1000;
    uint64_t high = worker_random(req->worker), low = worker_random(req->worker);

    for (unsigned i = 0; i < 10; i++) {
        ret[9 - i] = digits[ms & 31];
        ms >>= 5;
    }
    for (unsigned i = 0; i < 8; i++) {
        ret[10 + i] = digits[high & 31];
        ret[18 + i] = digits[low & 31];
        high >>= 5;
        low >>= 5;
    }
}

struct slice identify_request_id(struct request *req)
{
    if (!slice_is_absent(req->id)) {
        return req->id;
    }
    struct slice given = headers_get_id(&req->head.headers, HEADER_X_REQUEST_ID);
    if (given.len >= 1 && given.len <= REQUEST_ID_MAX && is_visible_ascii(given) &&
        headers_count_id(&req->head.headers, HEADER_X_REQUEST_ID) == 1 &&
        identify_is_trusted(req)) {
        req->id = given;
        return given;
    }
    char *ulid = arena_alloc(&req->arena, ULID_BYTES);
    if (ulid == NULL) {
        return SLICE("-");
    }
    make_ulid(req, ulid);
    req->id = slice_of(ulid, ULID_BYTES);
    return req->id;
}

static bool is_hex(struct slice text, bool *ret_zero)
{
    *ret_zero = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
        *ret_zero = *ret_zero && c == '0';
    }
    return true;
}

/* Version 00 only: lower-case hex, no id of zeros (W3C Trace Context section 3.2). */
static bool traceparent_is_valid(struct slice value)
{
    bool zero = false;
    const char *p = value.ptr;

    return value.len == TRACEPARENT_BYTES && memcmp(p, "00-", 3) == 0 && p[35] == '-' &&
           p[52] == '-' && is_hex(slice_of(p + 53, 2), &zero) &&
           is_hex(slice_of(p + 3, 32), &zero) && !zero && is_hex(slice_of(p + 36, 16), &zero) &&
           !zero;
}

static void hex64(uint64_t value, char *ret)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < 16; i++) {
        ret[15 - i] = digits[value & 15];
        value >>= 4;
    }
}

struct slice identify_traceparent(struct request *req)
{
    struct headers *headers = &req->head.headers;
    struct slice given = headers_get_id(headers, HEADER_TRACEPARENT);
    bool valid = traceparent_is_valid(given) &&
                 headers_count_id(headers, HEADER_TRACEPARENT) == 1 &&
                 (req->view->config->tracing.trust_any || identify_is_trusted(req));
    char *text = arena_alloc(&req->arena, TRACEPARENT_BYTES);

    if (!valid) {
        headers_remove_id(headers, HEADER_TRACESTATE);
    }
    if (text == NULL) {
        return SLICE_ABSENT;
    }
    if (valid) {
        memcpy(text, given.ptr, TRACEPARENT_BYTES);
    } else {
        memcpy(text, "00-", 3);
        hex64(worker_random(req->worker) | 1, text + 3);
        hex64(worker_random(req->worker), text + 19);
        memcpy(text + 52, "-00", 3);
    }
    text[35] = '-';
    hex64(worker_random(req->worker) | 1, text + 36);
    req->trace_id = slice_of(text + 3, 32);
    return slice_of(text, TRACEPARENT_BYTES);
}
