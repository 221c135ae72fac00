/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
}

static void teardown(void)
{
    arena_done(&arena);
}

static const struct option inner_table[] = {
    { "time", OPT_DURATION, 0, .def = "\"7s\"", .min = 1000, .max = 10000 },
    { .name = NULL },
};
static const struct option map_table[] = {
    { "items", OPT_MAP, 0, .sub = inner_table, .sub_size = sizeof(uint64_t) },
    { "list", OPT_LIST, 0, .sub = inner_table, .sub_size = sizeof(uint64_t) },
    { .name = "text", .type = OPT_STRING },
    { .name = NULL },
};

/* What is printed for `json`; to be freed. */
static char *printed(const struct option *table, const char *json)
{
    const struct json *root = json_parse(&arena, slice_str(json), &json_limits_config, NULL);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    ck_assert_ptr_nonnull(root);
    options_print(table, root, out, 0);
    fclose(out);
    return text;
}

START_TEST(printing_fills_defaults_and_hides_secrets)
{
    static const struct option secret_table[] = {
        { "inner", OPT_OBJECT, 0, .def = "{}", .sub = inner_table },
        { .name = "secret", .type = OPT_CUSTOM },
        { .name = "other", .type = OPT_CUSTOM },
        { .name = "password", .type = OPT_CUSTOM },
        { "list", OPT_CUSTOM, 0, .def = "[]" },
        { .name = NULL },
    };
    char *text =
        printed(secret_table, "{\"secret\": {\"env\": \"X\"}, \"other\": {\"file\": \"y\"}, "
                              "\"password\": \"pw\"}");

    ck_assert_str_eq(text, "{\n"
                           "  \"inner\": {\n"
                           "    \"time\": \"7s\"\n"
                           "  },\n"
                           "  \"secret\": \"<env X>\",\n"
                           "  \"other\": \"<file y>\",\n"
                           "  \"password\": \"<hidden>\",\n"
                           "  \"list\": []\n"
                           "}\n");
    free(text);
}
END_TEST

START_TEST(elements_get_their_defaults_too)
{
    char *text =
        printed(map_table, "{\"items\": {\"a\": {}, \"b\": {\"time\": \"2s\"}}, \"list\": [{}]}");

    ck_assert_str_eq(text, "{\n"
                           "  \"items\": {\n"
                           "    \"a\": {\n"
                           "      \"time\": \"7s\"\n"
                           "    },\n"
                           "    \"b\": {\n"
                           "      \"time\": \"2s\"\n"
                           "    }\n"
                           "  },\n"
                           "  \"list\": [\n"
                           "    {\n"
                           "      \"time\": \"7s\"\n"
                           "    }\n"
                           "  ]\n"
                           "}\n");
    free(text);
}
END_TEST

START_TEST(text_is_escaped)
{
    char *text = printed(map_table, "{\"text\": \"a\\\"\\u0001\"}");

    ck_assert_str_eq(text, "{\n  \"text\": \"a\\\"\\u0001\"\n}\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options_print");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, printing_fills_defaults_and_hides_secrets);
    tcase_add_test(tc, elements_get_their_defaults_too);
    tcase_add_test(tc, text_is_escaped);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
