/* SPDX-License-Identifier: Apache-2.0 */
/* A parse never reads outside of the text, and what it accepts can be written and read again with
 * the same result.  The first byte picks the limits and the memory. */
#include "core/json.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

static void write_value(struct json_writer *w, const struct json *value)
{
    char key[2048];
    const char *name = NULL;

    if (!slice_is_absent(value->key)) {
        if (value->key.len >= sizeof(key)) {
            w->failed = true; /* only the test's buffer is too small */
            return;
        }
        memcpy(key, value->key.ptr, value->key.len);
        key[value->key.len] = '\0';
        name = key;
    }
    switch (value->type) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        json_write_begin(w, name, value->type == JSON_OBJECT ? '{' : '[');
        for (const struct json *child = value->child; child != NULL; child = child->next) {
            write_value(w, child);
        }
        json_write_end(w, value->type == JSON_OBJECT ? '}' : ']');
        break;
    case JSON_BOOL:
    case JSON_NULL: /* the writer has no null */ json_write_bool(w, name, value->boolean); break;
    case JSON_NUMBER:
    case JSON_STRING: json_write_string(w, name, value->text); break;
    }
}

/* The same shape and texts; types as write_value() has changed them. */
static bool same(const struct json *a, const struct json *b)
{
    if (a->count != b->count || !slice_eq(a->key, b->key) || !slice_eq(a->text, b->text)) {
        return false;
    }
    const struct json *x = a->child, *y = b->child;
    for (; x != NULL && y != NULL; x = x->next, y = y->next) {
        if (!same(x, y)) {
            return false;
        }
    }
    return x == NULL && y == NULL;
}

static void check_round_trip(struct arena *arena, const struct json *json)
{
    struct json_limits limits = json_limits_config;
    struct json_writer w;

    limits.max_bytes = 16u << 20;
    json_writer_init(&w, limits.max_bytes);
    write_value(&w, json);
    if (!w.failed) {
        const struct json *again = json_parse(arena, slice_of(w.buf, w.len), &limits, NULL);
        require(again != NULL && same(json, again));
    }
    json_writer_done(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_error error = { 0 };
    struct arena arena;

    if (size == 0) {
        return 0;
    }
    bool little = (data[0] & 2) != 0;
    arena_init(&arena, NULL, 0, little ? 4200u : 64u << 20);
    const struct json *json =
        json_parse(&arena, slice_of(data + 1, size - 1),
                   (data[0] & 1) != 0 ? &json_limits_token : &json_limits_config, &error);
    require(json != NULL || (error.line > 0 && error.column > 0 && error.text[0] != '\0'));
    if (json != NULL && !little) {
        check_round_trip(&arena, json);
    }
    arena_done(&arena);
    return 0;
}
