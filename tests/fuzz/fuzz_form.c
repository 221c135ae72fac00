/* SPDX-License-Identifier: Apache-2.0 */
/* A form, and the same bytes as what stands behind "Basic ": what is read is text within its limits, and
 * every name is found under itself. */
#include "plugins/issuer/credentials.h"

#include "tests/fuzz/fuzz.h"

static void check_text(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        require((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
    }
}

static void check_form(const struct form *form)
{
    require(form->count <= FORM_MAX_FIELDS);
    for (size_t i = 0; i < form->count; i++) {
        const struct form_field *field = &form->fields[i];
        struct slice value = form_get(form, field->name);

        check_text(field->name);
        check_text(field->value);
        require(field->value.len == 0 ? slice_is_absent(value) : value.ptr == field->value.ptr);
    }
}

static void check_basic(struct arena *arena, struct slice text, const struct form *form)
{
    char *value = arena_printf(arena, "Basic %.*s", SLICE_FMT(text));
    struct credentials found = { .id = SLICE_ABSENT };
    struct headers headers;

    if (value == NULL || headers_init(&headers, arena, 1) < 0 ||
        headers_add_id(&headers, HEADER_AUTHORIZATION, slice_str(value)) < 0) {
        return;
    }
    if (credentials_find(&headers, form, arena, &found) == CREDENTIALS_FOUND) {
        check_text(found.id);
        check_text(found.secret);
        credentials_wipe_secret(&found);
    }
    require(slice_is_absent(found.secret));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct form form, empty = { .count = 0 };
    struct arena arena;

    if (size > 32768) {
        return 0;
    }
    arena_init(&arena, NULL, 0, 1u << 20);
    if (form_read(&arena, text, &form) == 0) {
        check_form(&form);
    }
    check_basic(&arena, text, &empty);
    arena_done(&arena);
    return 0;
}
