/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fetch_response.h"

#include <stdlib.h>

#define MAX_FIELD_BYTES  1024u
#define FIRST_BODY_BYTES 4096u

static const struct {
    struct slice name;
    size_t at; /* in struct fetch_answer */
} fields[FETCH_FIELDS] = {
    [FETCH_CONTENT_TYPE] = { { "content-type", 12 }, offsetof(struct fetch_answer, content_type) },
    [FETCH_CACHE_CONTROL] = { { "cache-control", 13 },
                              offsetof(struct fetch_answer, cache_control) },
    [FETCH_EXPIRES] = { { "expires", 7 }, offsetof(struct fetch_answer, expires) },
    [FETCH_DATE] = { { "date", 4 }, offsetof(struct fetch_answer, date) },
    [FETCH_AGE] = { { "age", 3 }, offsetof(struct fetch_answer, age) },
    [FETCH_ETAG] = { { "etag", 4 }, offsetof(struct fetch_answer, etag) },
    [FETCH_LAST_MODIFIED] = { { "last-modified", 13 },
                              offsetof(struct fetch_answer, last_modified) },
};

int fetch_response_body(struct fetch_response *response, struct slice data)
{
    if (data.len == 0) {
        return 0; /* a body that is empty */
    }
    if (data.len > response->max_bytes - response->body_len) {
        return ERR_TOO_BIG;
    }
    if (response->body_len + data.len > response->body_size) {
        size_t wanted = response->body_size == 0 ? FIRST_BODY_BYTES : 2u * response->body_size;
        char *larger;

        wanted = wanted < response->body_len + data.len ? response->body_len + data.len : wanted;
        larger = realloc(response->body, wanted);
        if (larger == NULL) {
            return ERR_NO_MEMORY;
        }
        response->body = larger;
        response->body_size = wanted;
    }
    memcpy(response->body + response->body_len, data.ptr, data.len);
    response->body_len += data.len;
    return 0;
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = slice_skip(text, 1);
    }
    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL) {
        text.len--;
    }
    return text;
}

static void keep_field(struct fetch_response *response, struct slice name, struct slice value)
{
    for (unsigned i = 0; i < FETCH_FIELDS; i++) {
        if (value.len > MAX_FIELD_BYTES || !slice_eq_nocase(name, fields[i].name)) {
            continue;
        }
        free(response->fields[i]);
        response->fields[i] = strndup(value.ptr, value.len);
    }
}

void fetch_response_line(struct fetch_response *response, struct slice line)
{
    const char *colon = memchr(line.ptr, ':', line.len);

    if (slice_starts_with(line, SLICE("HTTP/"))) {
        response->head_is_whole = false; /* 1xx heads come before */
    } else if (trim(line).len == 0) {
        response->head_is_whole = true;
    }
    if (colon != NULL) {
        size_t name_len = (size_t)(colon - line.ptr);

        keep_field(response, slice_of(line.ptr, name_len), trim(slice_skip(line, name_len + 1)));
    }
}

void fetch_response_answer(const struct fetch_response *response, struct fetch_answer *ret)
{
    ret->body = slice_of(response->body == NULL ? "" : response->body, response->body_len);
    for (unsigned i = 0; i < FETCH_FIELDS; i++) {
        struct slice *field = (struct slice *)(void *)((char *)ret + fields[i].at);
        *field = slice_str(response->fields[i]);
    }
}

void fetch_response_done(struct fetch_response *response)
{
    for (unsigned i = 0; i < FETCH_FIELDS; i++) {
        free(response->fields[i]);
    }
    free(response->body);
}
