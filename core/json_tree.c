/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the tree that json.c has made. */
#include "core/json.h"

struct json *json_get(const struct json *object, struct slice key)
{
    if (!json_is(object, JSON_OBJECT)) {
        return NULL;
    }
    for (struct json *member = object->child; member != NULL; member = member->next) {
        if (slice_eq(member->key, key)) {
            return member;
        }
    }
    return NULL;
}

/* Is `key` what the reference token says, with ~0 and ~1 for "~" and "/"? */
static bool token_names(struct slice token, struct slice key)
{
    size_t used = 0;

    for (size_t i = 0; i < token.len; i++, used++) {
        char c = token.ptr[i];
        if (c == '~') {
            i++;
            if (i == token.len || (token.ptr[i] != '0' && token.ptr[i] != '1')) {
                return false;
            }
            c = token.ptr[i] == '0' ? '~' : '/';
        }
        if (used >= key.len || key.ptr[used] != c) {
            return false;
        }
    }
    return used == key.len;
}

static const struct json *get_element(const struct json *array, struct slice token)
{
    uint64_t index = 0;

    if (token.len == 0 || token.len > 9 || (token.len > 1 && token.ptr[0] == '0')) {
        return NULL;
    }
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] < '0' || token.ptr[i] > '9') {
            return NULL;
        }
        index = index * 10 + (uint64_t)(token.ptr[i] - '0');
    }
    const struct json *element = array->child;
    for (; element != NULL && index > 0; index--) {
        element = element->next;
    }
    return element;
}

static const struct json *step_down(const struct json *from, struct slice token)
{
    if (from->type == JSON_ARRAY) {
        return get_element(from, token);
    }
    if (from->type != JSON_OBJECT) {
        return NULL;
    }
    for (const struct json *member = from->child; member != NULL; member = member->next) {
        if (token_names(token, member->key)) {
            return member;
        }
    }
    return NULL;
}

struct json *json_pointer(const struct json *root, struct slice pointer)
{
    const struct json *at = root;

    while (at != NULL && pointer.len > 0) {
        if (pointer.ptr[0] != '/') {
            return NULL;
        }
        pointer = slice_skip(pointer, 1);
        const char *slash = pointer.len == 0 ? NULL : memchr(pointer.ptr, '/', pointer.len);
        size_t len = slash == NULL ? pointer.len : (size_t)(slash - pointer.ptr);
        at = step_down(at, slice_of(pointer.ptr, len));
        pointer = slice_skip(pointer, len);
    }
    return (struct json *)(uintptr_t)at; /* as const as the caller's tree */
}

bool json_int(const struct json *value, int64_t *ret)
{
    if (!json_is(value, JSON_NUMBER)) {
        return false;
    }

    bool negative = value->text.ptr[0] == '-';
    int64_t sum = 0;
    for (size_t i = negative ? 1 : 0; i < value->text.len; i++) {
        int digit = value->text.ptr[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, digit, &sum)) { /* below zero there is one more */
            return false;
        }
    }
    if (!negative && __builtin_sub_overflow(0, sum, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}

static bool same_text(const struct json *a, const struct json *b)
{
    return a->text.len == b->text.len &&
           (a->text.len == 0 || memcmp(a->text.ptr, b->text.ptr, a->text.len) == 0);
}

/* An object's members have different names: as many on both sides, each found on the other. */
bool json_equal(const struct json *a, const struct json *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (a->type != b->type || a->count != b->count) {
        return false;
    }
    const struct json *other = b->child;

    switch (a->type) {
    case JSON_NULL: return true;
    case JSON_BOOL: return a->boolean == b->boolean;
    case JSON_NUMBER:
    case JSON_STRING: return same_text(a, b);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    for (const struct json *one = a->child; one != NULL; one = one->next) {
        if (!json_equal(one, a->type == JSON_OBJECT ? json_get(b, one->key) : other)) {
            return false;
        }
        other = other == NULL ? NULL : other->next;
    }
    return true;
}

struct json *json_copy(struct arena *arena, const struct json *value)
{
    struct json *copy = arena_alloc(arena, sizeof(*copy));

    if (copy == NULL) {
        return NULL;
    }
    *copy = *value;
    copy->key = arena_copy(arena, value->key);
    copy->text = arena_copy(arena, value->text);
    copy->child = copy->next = NULL;
    if ((copy->key.ptr == NULL) != (value->key.ptr == NULL) ||
        (copy->text.ptr == NULL) != (value->text.ptr == NULL)) {
        return NULL;
    }
    struct json **next = &copy->child;

    for (const struct json *child = value->child; child != NULL; child = child->next) {
        *next = json_copy(arena, child); /* depth is limited by the parser */
        if (*next == NULL) {
            return NULL;
        }
        next = &(*next)->next;
    }
    return copy;
}

const char *json_type_name(enum json_type type)
{
    switch (type) {
    case JSON_NULL: return "null";
    case JSON_BOOL: return "true or false";
    case JSON_NUMBER: return "a number";
    case JSON_STRING: return "a string";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    }
    return "nothing";
}
