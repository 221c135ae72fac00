/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON text. */
#include "core/json.h"
#include "core/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* The escaped form of the character at the front into `ret`; the bytes of input it stands for. */
static size_t escape_char(struct slice text, char ret[8], size_t *ret_len)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[][2] = { { '"', '"' },  { '\\', '\\' }, { '\b', 'b' }, { '\f', 'f' },
                                      { '\n', 'n' }, { '\r', 'r' },  { '\t', 't' } };
    const unsigned char *s = (const unsigned char *)text.ptr;
    uint32_t code;

    for (size_t i = 0; i < sizeof(shorts) / sizeof(shorts[0]); i++) {
        if (text.ptr[0] == shorts[i][0]) {
            ret[0] = '\\';
            ret[1] = shorts[i][1];
            *ret_len = 2;
            return 1;
        }
    }
    if (s[0] < 0x20 || s[0] == 0x7f) {
        memcpy(ret, "\\u00", 4);
        ret[4] = hex[s[0] >> 4];
        ret[5] = hex[s[0] & 15];
        *ret_len = 6;
        return 1;
    }

    unsigned count = utf8_decode(s, text.len, &code);
    *ret_len = utf8_encode(count == 0 ? 0xfffd : code, ret);
    return count == 0 ? 1 : count;
}

/* How many bytes at the front stand for themselves: nearly always all. */
static size_t plain_span(struct slice text)
{
    size_t len = 0;

    while (len < text.len && text.ptr[len] >= 0x20 && text.ptr[len] < 0x7f &&
           text.ptr[len] != '"' && text.ptr[len] != '\\') {
        len++;
    }
    return len;
}

size_t json_escape(struct slice text, char *ret, size_t size)
{
    char escaped[8];
    size_t len = 0;

    while (text.len > 0) {
        size_t used = plain_span(text);
        size_t piece = used < size - len ? used : size - len;
        memcpy(ret + len, text.ptr, piece);
        len += piece;
        text = slice_skip(text, used);
        if (piece < used || text.len == 0) {
            break;
        }
        used = escape_char(text, escaped, &piece);
        if (piece > size - len) {
            break;
        }
        memcpy(ret + len, escaped, piece);
        len += piece;
        text = slice_skip(text, used);
    }
    return len;
}

void json_writer_init(struct json_writer *w, size_t max)
{
    *w = (struct json_writer){ .max = max };
}

void json_writer_done(struct json_writer *w)
{
    free(w->buf);
    *w = (struct json_writer){ .max = w->max };
}

/* Room for `more` bytes and a NUL; false and failed when there is none. */
static bool make_room(struct json_writer *w, size_t more)
{
    if (w->failed || more > w->max || w->len > w->max - more) {
        w->failed = true;
        return false;
    }
    if (w->len + more < w->size) {
        return true;
    }

    size_t size = w->size < 256 ? 256 : w->size;
    while (size <= w->len + more) {
        size *= 2;
    }
    char *bigger = realloc(w->buf, size);
    if (bigger == NULL) {
        w->failed = true;
        return false;
    }
    w->buf = bigger;
    w->size = size;
    return true;
}

/* The text stays NUL-terminated. */
static void put(struct json_writer *w, struct slice bytes)
{
    if (!make_room(w, bytes.len)) {
        return;
    }
    if (bytes.len > 0) {
        memcpy(w->buf + w->len, bytes.ptr, bytes.len);
    }
    w->len += bytes.len;
    w->buf[w->len] = '\0';
}

static void put_quoted(struct json_writer *w, struct slice text)
{
    char escaped[8];
    size_t piece;

    put(w, SLICE("\""));
    while (text.len > 0 && !w->failed) {
        size_t used = plain_span(text);
        put(w, slice_of(text.ptr, used));
        text = slice_skip(text, used);
        if (text.len > 0) {
            used = escape_char(text, escaped, &piece);
            put(w, slice_of(escaped, piece));
            text = slice_skip(text, used);
        }
    }
    put(w, SLICE("\""));
}

/* What stands before a value: a comma, and its name in an object. */
static void put_prefix_of(struct json_writer *w, struct slice key)
{
    if (w->need_comma) {
        put(w, SLICE(","));
    }
    w->need_comma = true;
    if (!slice_is_absent(key)) {
        put_quoted(w, key);
        put(w, SLICE(":"));
    }
}

static void put_prefix(struct json_writer *w, const char *key)
{
    put_prefix_of(w, slice_str(key));
}

void json_write_begin(struct json_writer *w, const char *key, char bracket)
{
    put_prefix(w, key);
    put(w, slice_of(&bracket, 1));
    w->need_comma = false;
}

void json_write_end(struct json_writer *w, char bracket)
{
    put(w, bracket == '{' || bracket == '}' ? SLICE("}") : SLICE("]"));
    w->need_comma = true;
}

void json_write_string(struct json_writer *w, const char *key, struct slice value)
{
    put_prefix(w, key);
    put_quoted(w, value);
}

void json_write_int(struct json_writer *w, const char *key, int64_t value)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)value);

    put_prefix(w, key);
    put(w, slice_of(text, (size_t)len));
}

void json_write_bool(struct json_writer *w, const char *key, bool value)
{
    put_prefix(w, key);
    put(w, value ? SLICE("true") : SLICE("false"));
}

void json_write_tree(struct json_writer *w, struct slice key, const struct json *value)
{
    bool is_object = value->type == JSON_OBJECT;

    put_prefix_of(w, key);
    switch (value->type) {
    case JSON_NULL: put(w, SLICE("null")); return;
    case JSON_BOOL: put(w, value->boolean ? SLICE("true") : SLICE("false")); return;
    case JSON_NUMBER: put(w, value->text); return;
    case JSON_STRING: put_quoted(w, value->text); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    put(w, is_object ? SLICE("{") : SLICE("["));
    w->need_comma = false;
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        json_write_tree(w, item->key, item);
    }
    put(w, is_object ? SLICE("}") : SLICE("]"));
    w->need_comma = true;
}
