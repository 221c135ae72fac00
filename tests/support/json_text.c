/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/json_text.h"

struct arena json_arena;

static void setup(void)
{
    arena_init(&json_arena, NULL, 0, 64 << 20);
}

static void teardown(void)
{
    arena_done(&json_arena);
}

void json_text_use(TCase *tc)
{
    tcase_add_checked_fixture(tc, setup, teardown);
}

void json_text_forget(void)
{
    teardown();
    setup();
}

const struct json *json_text(const char *text)
{
    struct json_error error = { 0 };
    const struct json *json = json_parse(&json_arena, slice_str(text), &json_limits_config, &error);

    ck_assert_msg(json != NULL, "%s: %u:%u: %s", text, error.line, error.column, error.text);
    return json;
}
