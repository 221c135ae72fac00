/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/form.h"

#include "core/headers.h"
#include "core/utf8.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of `rest`; its length there, or 0: a bad escape. */
static size_t decode_char(struct slice rest, char *ret)
{
    if (rest.ptr[0] != '%') {
        *ret = rest.ptr[0] == '+' ? ' ' : rest.ptr[0];
        return 1;
    }
    int high = rest.len < 3 ? -1 : hex_digit(rest.ptr[1]);
    int low = rest.len < 3 ? -1 : hex_digit(rest.ptr[2]);

    *ret = (char)(high * 16 + low);
    return high < 0 || low < 0 ? 0 : 3;
}

/* UTF-8 without control characters. */
static bool is_text(struct slice text)
{
    uint32_t code;

    while (text.len > 0) {
        unsigned used = utf8_decode((const unsigned char *)text.ptr, text.len, &code);

        if (used == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            return false;
        }
        text = slice_skip(text, used);
    }
    return true;
}

int form_decode(struct arena *arena, struct slice text, struct slice *ret)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;

    if (out == NULL) {
        return ERR_NO_MEMORY;
    }
    while (text.len > 0) {
        size_t used = decode_char(text, &out[len++]);

        if (used == 0) {
            return ERR_BAD_INPUT;
        }
        text = slice_skip(text, used);
    }
    *ret = slice_of(out, len);
    return is_text(*ret) ? 0 : ERR_BAD_INPUT;
}

/* Cut `*rest` at the first `c`; what stood before it. */
static struct slice cut(struct slice *rest, char c)
{
    const char *at = rest->len == 0 ? NULL : memchr(rest->ptr, c, rest->len);
    size_t len = at == NULL ? rest->len : (size_t)(at - rest->ptr);
    struct slice before = slice_of(rest->ptr, len);

    *rest = slice_skip(*rest, at == NULL ? len : len + 1);
    return before;
}

static const struct form_field *find(const struct form *form, struct slice name)
{
    for (size_t i = 0; i < form->count; i++) {
        if (slice_eq(form->fields[i].name, name)) {
            return &form->fields[i];
        }
    }
    return NULL;
}

static int add_field(struct arena *arena, struct slice pair, struct form *form)
{
    struct form_field field;
    struct slice value = pair;
    struct slice name = cut(&value, '=');
    int err = form_decode(arena, name, &field.name);

    if (err == 0) {
        err = form_decode(arena, value, &field.value);
    }
    if (err < 0) {
        return err;
    }
    if (find(form, field.name) != NULL) {
        return ERR_BAD_INPUT;
    }
    if (form->count == FORM_MAX_FIELDS) {
        return ERR_TOO_BIG;
    }
    form->fields[form->count++] = field;
    return 0;
}

int form_read(struct arena *arena, struct slice text, struct form *ret)
{
    ret->count = 0;
    while (text.len > 0) {
        struct slice pair = cut(&text, '&');
        int err = pair.len == 0 ? 0 : add_field(arena, pair, ret);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

struct slice form_get(const struct form *form, struct slice name)
{
    const struct form_field *field = find(form, name);

    return field == NULL || field->value.len == 0 ? SLICE_ABSENT : field->value;
}

bool form_is_announced(const struct headers *headers)
{
    struct slice value = headers_get_id(headers, HEADER_CONTENT_TYPE);

    if (headers_count_id(headers, HEADER_CONTENT_TYPE) != 1) {
        return false;
    }
    struct slice type = cut(&value, ';');

    while (type.len > 0 && (type.ptr[type.len - 1] == ' ' || type.ptr[type.len - 1] == '\t')) {
        type.len--;
    }
    return slice_eq_nocase(type, SLICE("application/x-www-form-urlencoded"));
}
