/* SPDX-License-Identifier: Apache-2.0 */
/* What can be parsed can be formatted; that keeps the values and changes nothing the second time. */
#include "core/json_format.h"

#include "tests/fuzz/fuzz.h"

/* Equal in types, names, texts and order. */
static bool is_same(const struct json *a, const struct json *b)
{
    if (a->type != b->type || a->boolean != b->boolean || a->count != b->count ||
        !slice_eq(a->key, b->key) || !slice_eq(a->text, b->text)) {
        return false;
    }
    const struct json *x = a->child, *y = b->child;

    while (x != NULL && y != NULL && is_same(x, y)) {
        x = x->next;
        y = y->next;
    }
    return x == NULL && y == NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits limits = json_limits_config;
    struct slice once, twice, text = slice_of(data, size);
    struct arena arena;

    arena_init(&arena, NULL, 0, 256u << 20);
    const struct json *before = json_parse(&arena, text, &limits, NULL);
    int err = json_format(&arena, text, &limits, NULL, &once);

    require(before == NULL ? err == ERR_BAD_INPUT : err == 0);
    if (err == 0) {
        limits.max_bytes = 1u << 30;
        const struct json *after = json_parse(&arena, once, &limits, NULL);
        require(after != NULL && is_same(before, after));
        require(json_format(&arena, once, &limits, NULL, &twice) == 0 && slice_eq(once, twice));
    }
    arena_done(&arena);
    return 0;
}
