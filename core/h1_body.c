/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_body.h"

#define MAX_CHUNK_DIGITS    8u
#define MAX_EXTENSION_BYTES 4096u /* and a quarter of the data */
#define MAX_TRAILER_BYTES   4096u
/* Or three times the data: chunks of one byte each are work that nobody needs. */
#define MAX_FRAMING_BYTES (100u * 1024u)

enum body_state {
    SIZE, /* digits of a chunk's size */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_START, /* of a trailer line or the last line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    COMPLETE,
};

void h1_body_init(struct h1_body *body, enum http_body kind, uint64_t content_length)
{
    *body = (struct h1_body){
        .kind = kind,
        .state = SIZE,
        .left = kind == HTTP_BODY_LENGTH ? content_length : 0,
    };
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum h1_error step_size(struct h1_body *body, char c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (body->size_digits == MAX_CHUNK_DIGITS) {
            return H1_CHUNK_SIZE;
        }
        body->size_digits++;
        body->left = body->left * 16 + (uint64_t)digit;
        return H1_OK;
    }
    if (body->size_digits == 0 || (c != '\r' && c != ';')) {
        return H1_CHUNK_SIZE;
    }
    body->size_digits = 0;
    body->state = c == '\r' ? SIZE_LF : EXTENSION;
    return H1_OK;
}

static enum h1_error step_extension(struct h1_body *body, char c)
{
    if (c == '\r') {
        body->state = SIZE_LF;
        return H1_OK;
    }
    if (header_value_span(&c, 1) == 0) {
        return H1_CHUNK_EXTENSION;
    }
    body->overhead++;
    return body->overhead > MAX_EXTENSION_BYTES + body->data / 4 ? H1_CHUNK_EXTENSION : H1_OK;
}

static enum h1_error step_trailer(struct h1_body *body, char c)
{
    if (++body->trailer > MAX_TRAILER_BYTES) {
        return H1_TRAILER;
    }
    if (body->state == TRAILER_VALUE) {
        if (c == '\r') {
            body->state = TRAILER_LF;
            return H1_OK;
        }
        return header_value_span(&c, 1) == 1 ? H1_OK : H1_TRAILER;
    }
    if (header_name_byte[(unsigned char)c] != 0) {
        body->state = TRAILER_NAME;
        return ++body->line > h1_limits_default.name_bytes ? H1_TRAILER : H1_OK;
    }
    if (body->state == TRAILER_NAME && c == ':') {
        body->state = TRAILER_VALUE;
        return H1_OK;
    }
    return H1_TRAILER;
}

static enum h1_error expect_byte(struct h1_body *body, char c, char expected, enum body_state next,
                                 enum h1_error error)
{
    if (c != expected) {
        return error;
    }
    body->state = (uint8_t)next;
    return H1_OK;
}

/* One byte of the chunked framing. */
static enum h1_error step_framing(struct h1_body *body, char c)
{
    switch ((enum body_state)body->state) {
    case SIZE: return step_size(body, c);
    case EXTENSION: return step_extension(body, c);
    case SIZE_LF:
        return expect_byte(body, c, '\n', body->left == 0 ? TRAILER_START : DATA, H1_CHUNK_SIZE);
    case DATA_CR: return expect_byte(body, c, '\r', DATA_LF, H1_CHUNK_END);
    case DATA_LF: return expect_byte(body, c, '\n', SIZE, H1_CHUNK_END);
    case TRAILER_START:
        if (c == '\r') {
            body->state = LAST_LF;
            return H1_OK;
        }
        body->line = 0;
        return step_trailer(body, c);
    case TRAILER_NAME:
    case TRAILER_VALUE: return step_trailer(body, c);
    case TRAILER_LF: return expect_byte(body, c, '\n', TRAILER_START, H1_TRAILER);
    case LAST_LF: return expect_byte(body, c, '\n', COMPLETE, H1_CHUNK_END);
    case DATA:
    case COMPLETE: break;
    }
    return H1_OK;
}

static size_t take_data(struct h1_body *body, size_t available)
{
    size_t taken = available < body->left ? available : (size_t)body->left;

    body->left -= taken;
    body->data += taken;
    return taken;
}

static bool is_mostly_framing(const struct h1_body *body)
{
    return !body->any_framing && body->framing > MAX_FRAMING_BYTES &&
           body->framing / 3 > body->data;
}

static enum parse next_chunked(struct h1_body *body, struct slice in, size_t *ret_skip,
                               size_t *ret_data, enum h1_error *ret_error)
{
    size_t pos = 0;

    while (pos < in.len && body->state != DATA && body->state != COMPLETE) {
        *ret_error = step_framing(body, in.ptr[pos]);
        if (*ret_error != H1_OK) {
            return PARSE_BAD;
        }
        pos++;
    }
    body->framing += pos;
    if (is_mostly_framing(body)) {
        *ret_error = H1_CHUNK_OVERHEAD;
        return PARSE_BAD;
    }
    *ret_skip = pos;
    if (body->state == COMPLETE) {
        return PARSE_DONE;
    }
    if (body->state == DATA) {
        *ret_data = take_data(body, in.len - pos);
        if (body->left == 0) {
            body->state = DATA_CR;
        }
    }
    return PARSE_MORE;
}

enum parse h1_body_next(struct h1_body *body, struct slice in, size_t *ret_skip, size_t *ret_data,
                        enum h1_error *ret_error)
{
    *ret_skip = 0;
    *ret_data = 0;
    *ret_error = H1_OK;
    switch (body->kind) {
    case HTTP_BODY_NONE: return PARSE_DONE;
    case HTTP_BODY_LENGTH:
        *ret_data = take_data(body, in.len);
        return body->left == 0 ? PARSE_DONE : PARSE_MORE;
    case HTTP_BODY_CHUNKED: return next_chunked(body, in, ret_skip, ret_data, ret_error);
    case HTTP_BODY_CLOSE:
        *ret_data = in.len;
        body->data += in.len;
        return PARSE_MORE;
    }
    return PARSE_DONE;
}
