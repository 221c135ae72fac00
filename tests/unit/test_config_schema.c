/* SPDX-License-Identifier: Apache-2.0 */
/* The keys as documentation. */
#include "core/arena.h"
#include "core/json.h"
#include "gateway/config_schema.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/config_file.h"

static unsigned keys, described;

static void see_key(void *arg, const struct config_key *key)
{
    const char *parent = arg;

    ck_assert_str_ne(key->path, parent);
    keys++;
    described += key->help != NULL && key->help[0] != '\0';
}

START_TEST(every_key_is_described)
{
    keys = described = 0;
    ck_assert_int_eq(config_each_key(see_key, (char[]){ "" }), 0);
    ck_assert_uint_gt(keys, 100);
    ck_assert_uint_eq(described, keys);
}
END_TEST

/* Every object that says which keys it has says that it has no others. */
static void expect_closed(const struct json *node)
{
    if (node->type == JSON_OBJECT && json_is(json_get(node, SLICE("properties")), JSON_OBJECT) &&
        json_is(json_get(node, SLICE("type")), JSON_STRING)) {
        ck_assert_msg(json_get(node, SLICE("additionalProperties")) != NULL, "line %u", node->line);
    }
    for (const struct json *child = node->child; child != NULL; child = child->next) {
        expect_closed(child);
    }
}

START_TEST(the_schema_is_json_and_closed)
{
    struct arena arena = { 0 };
    struct json_error error;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    arena_init(&arena, NULL, 0, (size_t)64 << 20);
    ck_assert_int_eq(config_write_schema(out), 0);
    fclose(out);
    struct json *root = json_parse(&arena, slice_of(text, len), &json_limits_config, &error);
    ck_assert_msg(root != NULL, "%u:%u %s", error.line, error.column, error.text);
    ck_assert(slice_eq(json_get(root, SLICE("$schema"))->text,
                       SLICE("https://json-schema.org/draft/2020-12/schema")));
    expect_closed(root);
    arena_done(&arena);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_schema");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, config_file_setup, config_file_teardown);
    tcase_add_test(tc, every_key_is_described);
    tcase_add_test(tc, the_schema_is_json_and_closed);
    suite_add_tcase(suite, tc);
    return config_file_run(suite);
}
