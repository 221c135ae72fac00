/* SPDX-License-Identifier: Apache-2.0 */
#include "core/h1_parser.h"

#include "core/uri.h"

#include <string.h>

#define MAX_BLANK_LINES   4u
#define MAX_LENGTH_DIGITS 18u
#define EXPECTED_FIELDS   16u

const struct h1_limits h1_limits_default = {
    .head_bytes = 32 * 1024,
    .line_bytes = 8 * 1024,
    .fields = 100,
    .name_bytes = 256,
    .value_bytes = 16 * 1024,
};

static const struct {
    unsigned status;
    const char *word;
} errors[H1_ERRORS] = { [H1_OK] = { 200, "ok" },
#define X(name, status, word) [H1_##name] = { (status), (word) },
                        H1_ERROR_TABLE(X)
#undef X
};

unsigned h1_error_status(enum h1_error error)
{
    return (unsigned)error < H1_ERRORS ? errors[error].status : 500;
}

const char *h1_error_word(enum h1_error error)
{
    return (unsigned)error < H1_ERRORS ? errors[error].word : "unknown";
}

/* --- The end of a head ------------------------------------------------------------------- */

static enum h1_error scan_line_end(struct h1_scan *scan, const struct h1_limits *limits,
                                   bool is_request, bool *ret_done)
{
    bool empty = scan->pos == scan->line_start;

    *ret_done = false;
    scan->pos += 2;
    scan->line_start = scan->pos;
    if (!empty) {
        scan->lines++;
        return scan->lines - 1 > limits->fields ? H1_TOO_MANY_FIELDS : H1_OK;
    }
    if (scan->lines > 0) {
        *ret_done = true;
        return H1_OK;
    }
    if (!is_request) {
        return H1_STATUS_LINE;
    }
    return ++scan->blanks > MAX_BLANK_LINES ? H1_REQUEST_LINE : H1_OK;
}

/* The control byte at the position ends the line or is an error; MORE for a CR at the end. */
static enum parse scan_control(struct h1_scan *scan, struct slice in,
                               const struct h1_limits *limits, bool is_request,
                               enum h1_error *ret_error)
{
    bool done;

    if (in.ptr[scan->pos] != '\r') {
        *ret_error = in.ptr[scan->pos] == '\n' ? H1_BARE_LF : H1_CONTROL_BYTE;
        return PARSE_BAD;
    }
    if (scan->pos + 1 == in.len) {
        return PARSE_MORE;
    }
    if (in.ptr[scan->pos + 1] != '\n') {
        *ret_error = H1_BARE_CR;
        return PARSE_BAD;
    }
    *ret_error = scan_line_end(scan, limits, is_request, &done);
    if (*ret_error != H1_OK) {
        return PARSE_BAD;
    }
    return done ? PARSE_DONE : PARSE_MORE;
}

/* Only the first head_bytes are looked at, so that the answer does not depend on how the bytes
 * were cut. */
enum parse h1_scan(struct h1_scan *scan, struct slice in, const struct h1_limits *limits,
                   bool is_request, size_t *ret_len, enum h1_error *ret_error)
{
    bool full = in.len >= limits->head_bytes;
    uint32_t before;
    enum parse parse;

    if (full) {
        in.len = limits->head_bytes;
    }
    while (scan->pos < in.len) {
        scan->pos += (uint32_t)header_value_span(in.ptr + scan->pos, in.len - scan->pos);
        if (scan->lines == 0 && scan->pos - scan->line_start > limits->line_bytes) {
            *ret_error = is_request ? H1_URI_TOO_LONG : H1_STATUS_LINE;
            return PARSE_BAD;
        }
        if (scan->pos == in.len) {
            break;
        }
        before = scan->pos;
        parse = scan_control(scan, in, limits, is_request, ret_error);
        if (parse == PARSE_DONE) {
            *ret_len = scan->pos;
            return PARSE_DONE;
        }
        if (parse == PARSE_BAD) {
            return PARSE_BAD;
        }
        if (scan->pos == before) {
            break;
        }
    }
    if (full) {
        *ret_error = H1_HEAD_TOO_LARGE;
        return PARSE_BAD;
    }
    return PARSE_MORE;
}

/* --- Fields ------------------------------------------------------------------------------ */

struct cursor { /* [pos, end) ends with CR LF CR LF: a loop over other bytes needs no bound */
    char *pos, *end;
};

static bool cursor_init(struct cursor *cursor, char *head, size_t len)
{
    if (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        return false;
    }
    *cursor = (struct cursor){ head, head + len };
    return true;
}

static bool is_line_end(const char *pos)
{
    return pos[0] == '\r' && pos[1] == '\n';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What the fields said that decides about the message. */
struct fields {
    struct slice host, length, coding;
    uint32_t hosts, lengths, codings;
    bool close, keep_alive, expect, bad_expect;
};

static void note_connection(struct fields *fields, struct slice list)
{
    struct slice option;

    while (headers_next_token(&list, &option)) {
        if (slice_eq_nocase(option, SLICE("close"))) {
            fields->close = true;
        } else if (slice_eq_nocase(option, SLICE("keep-alive"))) {
            fields->keep_alive = true;
        }
    }
}

static void note_field(struct fields *fields, const struct header *header)
{
    if (header->id == HEADER_HOST) {
        fields->host = header->value;
        fields->hosts++;
    } else if (header->id == HEADER_CONTENT_LENGTH) {
        fields->length = header->value;
        fields->lengths++;
    } else if (header->id == HEADER_TRANSFER_ENCODING) {
        fields->coding = header->value;
        fields->codings++;
    } else if (header->id == HEADER_CONNECTION) {
        note_connection(fields, header->value);
    } else if (header->id == HEADER_EXPECT) {
        fields->expect = true;
        fields->bad_expect |= !slice_eq_nocase(header->value, SLICE("100-continue"));
    }
}

/* Lower-cases in place, up to the colon. */
static enum h1_error parse_name(struct cursor *cursor, uint32_t max_bytes, struct slice *ret)
{
    char *name = cursor->pos;
    size_t len = 0;
    unsigned char lower;

    if (is_blank(*name)) {
        return H1_OBS_FOLD;
    }
    while ((lower = header_name_byte[(unsigned char)name[len]]) != 0) {
        name[len++] = (char)lower;
    }
    if (name[len] != ':') {
        return len > 0 && is_blank(name[len]) ? H1_SPACE_BEFORE_COLON : H1_FIELD_NAME;
    }
    if (len == 0) {
        return H1_FIELD_NAME;
    }
    if (len > max_bytes) {
        return H1_HEAD_TOO_LARGE;
    }
    *ret = slice_of(name, len);
    cursor->pos = name + len + 1;
    return H1_OK;
}

/* Up to and with the line's end. */
static enum h1_error parse_value(struct cursor *cursor, uint32_t max_bytes, struct slice *ret)
{
    const char *value = cursor->pos;
    size_t len;

    while (is_blank(*value)) {
        value++;
    }
    len = header_value_span(value, (size_t)(cursor->end - value));
    if (!is_line_end(value + len)) {
        return H1_FIELD_VALUE;
    }
    cursor->pos += (value - cursor->pos) + (ptrdiff_t)len + 2;
    while (len > 0 && is_blank(value[len - 1])) {
        len--;
    }
    if (len > max_bytes) {
        return H1_HEAD_TOO_LARGE;
    }
    *ret = slice_of(value, len);
    return H1_OK;
}

static enum h1_error parse_fields(struct cursor *cursor, const struct h1_limits *limits,
                                  struct headers *headers, struct fields *ret)
{
    struct slice name, value;
    enum h1_error error;

    *ret = (struct fields){ 0 };
    while (!is_line_end(cursor->pos)) {
        error = parse_name(cursor, limits->name_bytes, &name);
        if (error != H1_OK) {
            return error;
        }
        error = parse_value(cursor, limits->value_bytes, &value);
        if (error != H1_OK) {
            return error;
        }
        if (headers->count >= limits->fields) {
            return H1_TOO_MANY_FIELDS;
        }
        if (headers_add(headers, name, value) != 0) {
            return H1_MEMORY;
        }
        if (headers->items[headers->count - 1].id != HEADER_OTHER) {
            note_field(ret, &headers->items[headers->count - 1]);
        }
    }
    cursor->pos += 2;
    /* An empty line that is not the last one: the caller gave more than a head. */
    return cursor->pos == cursor->end ? H1_OK : H1_REQUEST_LINE;
}

/* --- Framing ----------------------------------------------------------------------------- */

static bool parse_length(struct slice text, uint64_t *ret)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > MAX_LENGTH_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret = value;
    return true;
}

static bool is_known_coding(struct slice coding)
{
    return slice_eq_nocase(coding, SLICE("gzip")) || slice_eq_nocase(coding, SLICE("x-gzip")) ||
           slice_eq_nocase(coding, SLICE("compress")) ||
           slice_eq_nocase(coding, SLICE("x-compress")) ||
           slice_eq_nocase(coding, SLICE("deflate"));
}

/* A correct list of registered codings with "chunked" at its end is not wrong, only unsupported;
 * everything else could be read in two ways. */
static enum h1_error judge_coding(struct slice list)
{
    struct slice coding = SLICE_ABSENT;
    unsigned known = 0;

    if (slice_eq_nocase(list, SLICE("chunked"))) {
        return H1_OK;
    }
    while (headers_next_token(&list, &coding) && is_known_coding(coding)) {
        known++;
    }
    if (known > 0 && list.len == 0 && slice_eq_nocase(coding, SLICE("chunked"))) {
        return H1_TRANSFER_CODING;
    }
    return H1_TRANSFER_ENCODING;
}

/* RFC 9112 section 6.3, with every case refused that two readers could understand differently.
 * HTTP_BODY_NONE when no field frames the body. */
static enum h1_error find_framing(const struct fields *fields, uint8_t minor, enum http_body *ret,
                                  uint64_t *ret_length)
{
    enum h1_error error;

    *ret = HTTP_BODY_NONE;
    *ret_length = 0;
    if (fields->codings > 0 && fields->lengths > 0) {
        return H1_TWO_FRAMINGS;
    }
    if (fields->codings > 0) {
        if (fields->codings > 1 || minor == 0) {
            return H1_TRANSFER_ENCODING;
        }
        error = judge_coding(fields->coding);
        if (error != H1_OK) {
            return error;
        }
        *ret = HTTP_BODY_CHUNKED;
        return H1_OK;
    }
    if (fields->lengths > 0) {
        if (fields->lengths > 1 || !parse_length(fields->length, ret_length)) {
            return H1_CONTENT_LENGTH;
        }
        *ret = HTTP_BODY_LENGTH;
    }
    return H1_OK;
}

static bool is_keep_alive(const struct fields *fields, uint8_t minor)
{
    return !fields->close && (minor >= 1 || fields->keep_alive);
}

/* --- Request ----------------------------------------------------------------------------- */

/* "HTTP/" DIGIT "." DIGIT: the digits. */
static bool parse_version(struct slice text, unsigned *ret_major, unsigned *ret_minor)
{
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || text.ptr[6] != '.') {
        return false;
    }
    *ret_major = (unsigned char)text.ptr[5] - (unsigned)'0';
    *ret_minor = (unsigned char)text.ptr[7] - (unsigned)'0';
    return *ret_major <= 9 && *ret_minor <= 9;
}

static enum h1_error parse_method(struct slice name, struct http_request *req)
{
    if (!header_name_is_valid(name)) {
        return H1_METHOD;
    }
    req->method_name = name;
    req->method = http_method_of(name);
    if (req->method == HTTP_CONNECT || req->method == HTTP_TRACE) {
        return H1_METHOD_UNSUPPORTED;
    }
    return H1_OK;
}

/* The authority of an absolute form goes to req->authority, to be compared with Host. */
static enum h1_error parse_target(char *target, size_t len, struct http_request *req,
                                  const char **ret_detail)
{
    struct uri uri;

    if (uri_parse(target, len, &uri, ret_detail) != 0) {
        return H1_TARGET;
    }
    if (uri.path.ptr[0] == '*' && req->method != HTTP_OPTIONS) {
        *ret_detail = "asterisk form is for OPTIONS only";
        return H1_TARGET;
    }
    req->authority = uri.authority;
    req->path = uri.path;
    req->query = uri.query;
    return H1_OK;
}

/* method SP target SP version CRLF, each SP one byte. */
static enum h1_error parse_request_line(struct cursor *cursor, struct http_request *req,
                                        const char **ret_detail)
{
    char *line = cursor->pos;
    size_t len = header_value_span(line, (size_t)(cursor->end - line));
    char *line_end = line + len;
    char *target, *version;
    unsigned major, minor;
    enum h1_error error;

    if (!is_line_end(line_end)) {
        return H1_REQUEST_LINE;
    }
    cursor->pos = line_end + 2;
    target = memchr(line, ' ', len);
    if (target == NULL) {
        return H1_REQUEST_LINE;
    }
    error = parse_method(slice_of(line, (size_t)(target - line)), req);
    if (error != H1_OK) {
        return error;
    }
    target++;
    version = memchr(target, ' ', (size_t)(line_end - target));
    if (version == NULL || version == target) {
        return H1_REQUEST_LINE;
    }
    error = parse_target(target, (size_t)(version - target), req, ret_detail);
    if (error != H1_OK) {
        return error;
    }
    version++;
    if (!parse_version(slice_of(version, (size_t)(line_end - version)), &major, &minor)) {
        return H1_VERSION_SYNTAX;
    }
    req->minor = (uint8_t)minor;
    return major == 1 && minor <= 1 ? H1_OK : H1_VERSION;
}

static enum h1_error check_host(char *head, const struct fields *fields, struct http_request *req)
{
    if (fields->hosts == 0) {
        return req->minor >= 1 ? H1_HOST_MISSING : H1_OK;
    }
    if (fields->hosts > 1) {
        return H1_HOST_REPEATED;
    }
    if (!uri_authority_is_valid(fields->host)) {
        return H1_HOST_INVALID;
    }
    /* In the head, which is the caller's memory to change. */
    struct slice host = uri_authority_normalise(head + (fields->host.ptr - head), fields->host.len);
    if (!slice_is_absent(req->authority) && !slice_eq(req->authority, host)) {
        return H1_HOST_INVALID;
    }
    req->authority = host;
    return H1_OK;
}

static enum h1_error apply_fields(char *head, const struct fields *fields, struct http_request *req)
{
    enum h1_error error;

    error = find_framing(fields, req->minor, &req->body, &req->content_length);
    if (error != H1_OK) {
        return error;
    }
    error = check_host(head, fields, req);
    if (error != H1_OK) {
        return error;
    }
    req->keep_alive = is_keep_alive(fields, req->minor);
    /* RFC 9110 section 10.1.1: the expectation of a 1.0 client is ignored. */
    if (fields->expect && req->minor >= 1) {
        if (fields->bad_expect) {
            return H1_EXPECTATION;
        }
        req->expect_continue = req->body == HTTP_BODY_CHUNKED || req->content_length > 0;
    }
    return H1_OK;
}

enum h1_error h1_parse_request(char *head, size_t len, const struct h1_limits *limits,
                               struct arena *arena, struct slice scheme, struct http_request *ret,
                               const char **ret_detail)
{
    struct cursor cursor;
    struct fields fields;
    enum h1_error error;

    *ret = (struct http_request){ .scheme = scheme };
    *ret_detail = NULL;
    if (headers_init(&ret->headers, arena, EXPECTED_FIELDS) != 0) {
        return H1_MEMORY;
    }
    if (!cursor_init(&cursor, head, len)) {
        return H1_REQUEST_LINE;
    }
    while (cursor.end - cursor.pos > 4 && is_line_end(cursor.pos)) {
        cursor.pos += 2;
    }
    error = parse_request_line(&cursor, ret, ret_detail);
    if (error != H1_OK) {
        return error;
    }
    error = parse_fields(&cursor, limits, &ret->headers, &fields);
    if (error != H1_OK) {
        return error;
    }
    return apply_fields(head, &fields, ret);
}

/* --- Response ---------------------------------------------------------------------------- */

/* version SP 3DIGIT [SP reason] CRLF.  The reason is not kept. */
static enum h1_error parse_status_line(struct cursor *cursor, struct http_response *res)
{
    const char *line = cursor->pos;
    size_t len = header_value_span(line, (size_t)(cursor->end - line));
    unsigned major, minor;
    unsigned status = 0;

    if (!is_line_end(line + len) || len < 12 || !parse_version(slice_of(line, 8), &major, &minor) ||
        major != 1 || minor > 1) {
        return H1_STATUS_LINE;
    }
    for (size_t i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9') {
            return H1_STATUS_LINE;
        }
        status = status * 10 + (unsigned)(line[i] - '0');
    }
    if (line[8] != ' ' || (len > 12 && line[12] != ' ') || status < 100 || status > 599) {
        return H1_STATUS_LINE;
    }
    res->status = status;
    res->minor = (uint8_t)minor;
    cursor->pos += len + 2;
    return H1_OK;
}

enum h1_error h1_parse_response(char *head, size_t len, const struct h1_limits *limits,
                                struct arena *arena, enum http_method method,
                                struct http_response *ret)
{
    struct cursor cursor;
    struct fields fields;
    enum h1_error error;

    *ret = (struct http_response){ 0 };
    if (headers_init(&ret->headers, arena, EXPECTED_FIELDS) != 0) {
        return H1_MEMORY;
    }
    if (!cursor_init(&cursor, head, len)) {
        return H1_STATUS_LINE;
    }
    error = parse_status_line(&cursor, ret);
    if (error != H1_OK) {
        return error;
    }
    error = parse_fields(&cursor, limits, &ret->headers, &fields);
    if (error != H1_OK) {
        return error;
    }
    error = find_framing(&fields, ret->minor, &ret->body, &ret->content_length);
    if (error != H1_OK) {
        return error;
    }
    ret->keep_alive = is_keep_alive(&fields, ret->minor);
    if (!http_response_may_have_body(method, ret->status)) {
        ret->body = HTTP_BODY_NONE;
    } else if (ret->body == HTTP_BODY_NONE) {
        ret->body = HTTP_BODY_CLOSE;
        ret->keep_alive = false;
    }
    return H1_OK;
}
