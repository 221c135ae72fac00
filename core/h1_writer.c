/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_writer.h"

#include "core/uri.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PIECES 16u

/* The start line and the computed fields, as slices; the list's fields go behind them. */
struct head {
    struct slice pieces[MAX_PIECES];
    unsigned count;
    char digits[20]; /* of the content length */
    char status[3];
    bool skips_host;
};

static void head_add(struct head *head, struct slice piece)
{
    if (bug_if(head->count == MAX_PIECES)) {
        return;
    }
    head->pieces[head->count++] = piece;
}

/* Visible bytes only: what a request line may hold between its spaces. */
static bool is_visible(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_skipped(const struct header *header, bool skips_host)
{
    return header->removed || header->id == HEADER_CONTENT_LENGTH ||
           header->id == HEADER_TRANSFER_ENCODING || header->id == HEADER_CONNECTION ||
           header->id == HEADER_KEEP_ALIVE || (skips_host && header->id == HEADER_HOST);
}

/* Bytes of the whole head; negative when a field would not parse back. */
static ssize_t measure(const struct head *head, const struct headers *headers)
{
    size_t size = 2;

    for (unsigned i = 0; i < head->count; i++) {
        size += head->pieces[i].len;
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (is_skipped(header, head->skips_host)) {
            continue;
        }
        /* A name with a number was compared when it got the number. */
        if ((header->id == HEADER_OTHER && !header_name_is_valid(header->name)) ||
            !header_value_is_valid(header->value)) {
            return ERR_BAD_INPUT;
        }
        size += header->name.len + header->value.len + 4;
    }
    return (ssize_t)size;
}

static char *put(char *at, struct slice bytes)
{
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

static void fill(char *at, const struct head *head, const struct headers *headers)
{
    for (unsigned i = 0; i < head->count; i++) {
        at = put(at, head->pieces[i]);
    }
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];

        if (is_skipped(header, head->skips_host)) {
            continue;
        }
        at = put(at, header->name);
        *at++ = ':';
        *at++ = ' ';
        at = put(at, header->value);
        *at++ = '\r';
        *at++ = '\n';
    }
    *at++ = '\r';
    *at = '\n';
}

/* A head over a block is rare: written aside, then appended in one step that can be refused. */
static int write_large(struct buf *out, const struct head *head, const struct headers *headers,
                       size_t size)
{
    char *copy = malloc(size);
    int err;

    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    fill(copy, head, headers);
    err = buf_append(out, slice_of(copy, size));
    free(copy);
    return err;
}

static int write_head(struct buf *out, const struct head *head, const struct headers *headers)
{
    ssize_t size = measure(head, headers);
    char *at;

    if (size < 0) {
        return (int)size;
    }
    if ((size_t)size > BUF_BLOCK_BYTES) {
        return write_large(out, head, headers, (size_t)size);
    }
    at = buf_reserve(out, (size_t)size);
    if (at == NULL) {
        return ERR_NO_MEMORY;
    }
    fill(at, head, headers);
    buf_commit(out, (size_t)size);
    return 0;
}

static void add_length(struct head *head, uint64_t length)
{
    char *end = head->digits + sizeof(head->digits);
    char *at = end;

    do {
        *--at = (char)('0' + length % 10);
        length /= 10;
    } while (length > 0);
    head_add(head, SLICE("content-length: "));
    head_add(head, slice_of(at, (size_t)(end - at)));
    head_add(head, SLICE("\r\n"));
}

/* RFC 9110 section 7.8: who sends Upgrade names it in Connection. */
static void add_connection(struct head *head, const struct headers *headers, bool close,
                           bool keep_alive)
{
    bool upgrade = headers_count_id(headers, HEADER_UPGRADE) > 0;

    if (upgrade && close) {
        head_add(head, SLICE("connection: close, upgrade\r\n"));
    } else if (upgrade) {
        head_add(head, SLICE("connection: upgrade\r\n"));
    } else if (close) {
        head_add(head, SLICE("connection: close\r\n"));
    } else if (keep_alive) {
        head_add(head, SLICE("connection: keep-alive\r\n"));
    }
}

/* RFC 9110 section 8.6: methods that expect a body say that there is none. */
static bool expects_body(struct slice method)
{
    return slice_eq(method, SLICE("POST")) || slice_eq(method, SLICE("PUT")) ||
           slice_eq(method, SLICE("PATCH"));
}

static bool request_line_is_valid(const struct h1_request_line *line)
{
    if (!header_name_is_valid(line->method) || line->path.len == 0) {
        return false;
    }
    if (line->path.ptr[0] != '/' && !slice_eq(line->path, SLICE("*"))) {
        return false;
    }
    return is_visible(line->path) && is_visible(line->query) && uri_authority_is_valid(line->host);
}

static int add_request_framing(struct head *head, struct slice method, enum http_body body,
                               uint64_t content_length)
{
    switch (body) {
    case HTTP_BODY_NONE:
        if (expects_body(method)) {
            add_length(head, 0);
        }
        return 0;
    case HTTP_BODY_LENGTH: add_length(head, content_length); return 0;
    case HTTP_BODY_CHUNKED: head_add(head, SLICE("transfer-encoding: chunked\r\n")); return 0;
    case HTTP_BODY_CLOSE: return ERR_BAD_INPUT;
    }
    return ERR_BAD_INPUT;
}

int h1_write_request(struct buf *out, const struct h1_request_line *line,
                     const struct headers *headers, enum http_body body, uint64_t content_length,
                     bool keep_alive)
{
    struct head head;
    int err;

    if (!request_line_is_valid(line)) {
        return ERR_BAD_INPUT;
    }
    head.count = 0;
    head.skips_host = true;
    head_add(&head, line->method);
    head_add(&head, SLICE(" "));
    head_add(&head, line->path);
    if (!slice_is_absent(line->query)) {
        head_add(&head, SLICE("?"));
        head_add(&head, line->query);
    }
    head_add(&head, SLICE(" HTTP/1.1\r\nhost: "));
    head_add(&head, line->host);
    head_add(&head, SLICE("\r\n"));
    err = add_request_framing(&head, line->method, body, content_length);
    if (err != 0) {
        return err;
    }

    add_connection(&head, headers, !keep_alive, false);
    return write_head(out, &head, headers);
}

static int add_response_framing(struct head *head, const struct h1_status_line *line,
                                enum http_body body, uint64_t content_length)
{
    if (line->status < 200 || line->status == 204) {
        return 0;
    }
    if (line->status == 304 && body != HTTP_BODY_LENGTH) {
        return 0;
    }
    switch (body) {
    case HTTP_BODY_NONE: /* to HEAD: the length is not known */
        if (!line->head_only) {
            add_length(head, 0);
        }
        return 0;
    case HTTP_BODY_LENGTH: add_length(head, content_length); return 0;
    case HTTP_BODY_CHUNKED:
        if (line->minor == 0) {
            return ERR_BAD_INPUT;
        }
        head_add(head, SLICE("transfer-encoding: chunked\r\n"));
        return 0;
    case HTTP_BODY_CLOSE: return 0;
    }
    return ERR_BAD_INPUT;
}

/* A body that ends with the connection needs the connection to end. */
static bool response_keeps_alive(const struct h1_status_line *line, enum http_body body)
{
    return line->keep_alive && (body != HTTP_BODY_CLOSE || line->head_only ||
                                !http_response_may_have_body(HTTP_GET, line->status));
}

int h1_write_response(struct buf *out, const struct h1_status_line *line,
                      const struct headers *headers, enum http_body body, uint64_t content_length)
{
    bool keep_alive = response_keeps_alive(line, body);
    struct head head;
    int err;

    if (line->status < 100 || line->status > 599) {
        return ERR_BAD_INPUT;
    }
    head.count = 0;
    head.skips_host = false;
    head.status[0] = (char)('0' + line->status / 100);
    head.status[1] = (char)('0' + line->status / 10 % 10);
    head.status[2] = (char)('0' + line->status % 10);
    head_add(&head, SLICE("HTTP/1.1 "));
    head_add(&head, slice_of(head.status, sizeof(head.status)));
    head_add(&head, SLICE(" "));
    head_add(&head, http_status_text(line->status));
    head_add(&head, SLICE("\r\n"));
    err = add_response_framing(&head, line, body, content_length);
    if (err != 0) {
        return err;
    }

    if (line->status >= 200 || line->status == 101) {
        add_connection(&head, headers, !keep_alive && line->status != 101,
                       keep_alive && line->minor == 0);
    }
    return write_head(out, &head, headers);
}

int h1_write_chunk_start(struct buf *out, uint64_t size)
{
    static const char hex[] = "0123456789abcdef";
    char text[18];
    char *end = text + sizeof(text);
    char *at = end;

    /* An empty chunk would end the body, more than eight digits would not parse back. */
    if (size == 0 || size > UINT32_MAX) {
        return ERR_BAD_INPUT;
    }
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = hex[size & 15];
        size >>= 4;
    } while (size > 0);
    return buf_append(out, slice_of(at, (size_t)(end - at)));
}

int h1_write_chunk_end(struct buf *out)
{
    return buf_append(out, SLICE("\r\n"));
}

int h1_write_last_chunk(struct buf *out)
{
    return buf_append(out, SLICE("0\r\n\r\n"));
}
