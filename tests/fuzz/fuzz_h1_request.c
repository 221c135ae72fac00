/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_writer.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/h1_cut.h"

static void parse(struct slice bytes, bool again);

static void check_request(const struct http_request *req)
{
    require(!slice_is_absent(req->authority) || req->minor == 0);
    require(req->method != HTTP_CONNECT && req->method != HTTP_TRACE);
    require(req->body != HTTP_BODY_CLOSE);
    require(req->body == HTTP_BODY_LENGTH || req->content_length == 0);
    for (uint32_t i = 0; i < req->headers.count; i++) {
        const struct header *header = &req->headers.items[i];

        require(header_name_is_valid(header->name) && header_value_is_valid(header->value));
        require(header_id_of(header->name) == header->id);
    }
}

/* What was accepted is written, and what was written is accepted. */
static void write_and_parse(const struct http_request *req)
{
    struct block_pool *pool = block_pool_new(0);
    struct h1_request_line line = { req->method_name, req->path, req->query, req->authority };
    struct buf out;

    if (pool == NULL) {
        return;
    }
    buf_init(&out, pool);
    if (slice_is_absent(line.host)) {
        line.host = SLICE("a");
    }
    require(h1_write_request(&out, &line, &req->headers, req->body, req->content_length,
                             req->keep_alive) == 0);
    /* Computed fields may make it larger than what was read. */
    if (out.len <= h1_limits_default.head_bytes && buf_pullup(&out, out.len, out.len) == 0) {
        parse(buf_front(&out), true);
    }
    buf_clear(&out);
    block_pool_free(pool);
}

static void parse(struct slice bytes, bool again)
{
    char *head = malloc(bytes.len);
    struct http_request req;
    struct arena arena;
    const char *detail;
    enum h1_error error;

    if (head == NULL) {
        return;
    }
    memcpy(head, bytes.ptr, bytes.len);
    arena_init(&arena, NULL, 0, 1 << 20);
    error =
        h1_parse_request(head, bytes.len, &h1_limits_default, &arena, SLICE("http"), &req, &detail);
    if (error == H1_OK) {
        check_request(&req);
    }
    if (error == H1_OK && !again) {
        write_and_parse(&req);
    }
    /* Computed fields can pass a limit; an expectation of HTTP/1.0 was ignored. */
    require(!again || error == H1_OK || error == H1_EXPECTATION || h1_error_status(error) == 431);
    arena_done(&arena);
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    size_t len;

    if (size == 0) {
        return 0;
    }
    len = h1_cut_check(in, true);
    /* The parser is safe without the scan, too. */
    parse(len > 0 ? slice_of(in.ptr, len) : in, false);
    return 0;
}
