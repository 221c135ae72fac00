/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include <check.h>

#include <stdlib.h>

static struct diag diag;
static struct arena arena;
static struct option_context ctx;

static void setup(void)
{
    diag_init(&diag);
    arena_init(&arena, NULL, 0, (size_t)1 << 20);
    ctx = (struct option_context){ .diag = &diag, .arena = &arena };
}

static void teardown(void)
{
    diag_done(&diag);
    arena_done(&arena);
}

/* Scalars */

static const struct {
    const char *text;
    int err;
    uint64_t value;
} durations[] = {
    { "250ms", 0, 250 },
    { "5s", 0, 5000 },
    { "1m", 0, 60000 },
    { "12h", 0, 43200000 },
    { "1d", 0, 86400000 },
    { "0s", 0, 0 },
    { "5", ERR_BAD_INPUT, 0 },
    { "", ERR_BAD_INPUT, 0 },
    { "s", ERR_BAD_INPUT, 0 },
    { "1.5s", ERR_BAD_INPUT, 0 },
    { "-1s", ERR_BAD_INPUT, 0 },
    { "5 s", ERR_BAD_INPUT, 0 },
    { "5S", ERR_BAD_INPUT, 0 },
    { "9999999999999s", ERR_BAD_INPUT, 0 },
    { "999999999999d", ERR_BAD_INPUT, 0 },
};

START_TEST(durations_are_an_integer_and_a_unit)
{
    uint64_t ms = 0;

    ck_assert_int_eq(options_duration(slice_str(durations[_i].text), &ms), durations[_i].err);
    if (durations[_i].err == 0) {
        ck_assert_uint_eq(ms, durations[_i].value);
    }
}
END_TEST

static const struct {
    const char *text;
    int err;
    uint64_t value;
} sizes[] = {
    { "16B", 0, 16 },
    { "32KiB", 0, 32768 },
    { "10MiB", 0, 10485760 },
    { "1GiB", 0, 1073741824 },
    { "1KB", ERR_BAD_INPUT, 0 },
    { "16", ERR_BAD_INPUT, 0 },
    { "16b", ERR_BAD_INPUT, 0 },
    { "999999999999GiB", ERR_BAD_INPUT, 0 },
};

START_TEST(sizes_are_an_integer_and_a_unit)
{
    uint64_t bytes = 0;

    ck_assert_int_eq(options_size(slice_str(sizes[_i].text), &bytes), sizes[_i].err);
    if (sizes[_i].err == 0) {
        ck_assert_uint_eq(bytes, sizes[_i].value);
    }
}
END_TEST

/* A table with one key of every type */

struct inner {
    uint64_t time_ms;
};

struct item {
    struct option_element element;
    int64_t n;
};

struct all {
    bool flag;
    int64_t number;
    uint64_t time_ms, bytes;
    struct slice text;
    const char *path;
    int choice;
    struct option_strings strings;
    struct inner inner;
    struct option_list map, list;
    unsigned checked;
};

static const char *const choices[] = { "red", "green", "blue", NULL };
static const struct option inner_table[] = {
    { "time", OPT_DURATION, 0, .def = "\"7s\"", .min = 1000, .max = 10000 },
    { .name = NULL },
};
static const struct option item_table[] = {
    { "n", OPT_INT, offsetof(struct item, n), .def = "3", .min = 1, .max = 9 },
    { .name = NULL },
};

static void count_check(const struct option_context *context, const struct json *value,
                        const char *path, void *field)
{
    ((struct item *)field)->n *= 10;
}

static const struct option all_table[] = {
    { "flag", OPT_BOOL, offsetof(struct all, flag), .def = "true" },
    { "number", OPT_INT, offsetof(struct all, number), .def = "5", .min = 0, .max = 9 },
    { "time", OPT_DURATION, offsetof(struct all, time_ms), .def = "\"2s\"", .min = 1,
      .max = 60000 },
    { "bytes", OPT_SIZE, offsetof(struct all, bytes), .min = 1024, .max = 1048576 },
    { "text", OPT_STRING, offsetof(struct all, text), .min = 1, .max = 5 },
    { "path", OPT_PATH, .offset = offsetof(struct all, path) },
    { "choice", OPT_ENUM, offsetof(struct all, choice), .def = "\"green\"", .choices = choices },
    { "strings", OPT_STRINGS, offsetof(struct all, strings), .min = 1, .max = 2 },
    { "inner", OPT_OBJECT, offsetof(struct all, inner), .def = "{}", .sub = inner_table },
    { "map", OPT_MAP, offsetof(struct all, map), .sub = item_table, .sub_size = sizeof(struct item),
      .has_element = true, .parse = count_check },
    { "list", OPT_LIST, offsetof(struct all, list), .sub = item_table,
      .sub_size = sizeof(struct item), .has_element = true },
    { "needed", OPT_BOOL, offsetof(struct all, flag), .def = "true", .required = true },
    { .name = NULL },
};

static void read_text(const char *text, const char *const *extra, struct all *ret)
{
    struct json_limits limits = json_limits_config;
    struct json_error error = { .line = 0 };
    int file = diag_add_file(&diag, "f", slice_str(text));

    ck_assert_int_ge(file, 0);
    limits.file = (uint16_t)file;
    const struct json *root = json_parse(&arena, slice_str(text), &limits, &error);

    ck_assert_msg(root != NULL, "%s", error.text);
    memset(ret, 0, sizeof(*ret));
    options_read(&ctx, all_table, root, "", extra, ret);
}

START_TEST(defaults_fill_what_is_missing)
{
    struct all all;

    read_text("{\"needed\": true}", NULL, &all);
    ck_assert_uint_eq(diag.errors, 0);
    ck_assert(all.flag);
    ck_assert_int_eq(all.number, 5);
    ck_assert_uint_eq(all.time_ms, 2000);
    ck_assert_uint_eq(all.bytes, 0);
    ck_assert_int_eq(all.choice, 1);
    ck_assert_uint_eq(all.inner.time_ms, 7000);
    ck_assert_ptr_null(all.path);
}
END_TEST

START_TEST(values_are_read_into_their_fields)
{
    struct all all;
    static const char *const dirs[] = { "/etc/x" };

    ctx.file_dir = dirs;
    setenv("TEST_OPTIONS_DIR", "sub", 1);
    read_text("{\"needed\": true, \"flag\": false, \"number\": 9, \"time\": \"1m\",\n"
              "\"bytes\": \"1KiB\", \"text\": \"abc\", \"path\": \"${TEST_OPTIONS_DIR}/f\",\n"
              "\"choice\": \"blue\", \"strings\": [\"x\", \"y\"], \"inner\": {\"time\": \"1s\"},\n"
              "\"map\": {\"a\": {\"n\": 4}, \"b\": {}}, \"list\": [{\"n\": 1}]}",
              NULL, &all);
    ck_assert_uint_eq(diag.errors, 0);
    ck_assert_int_eq(all.number, 9);
    ck_assert_uint_eq(all.time_ms, 60000);
    ck_assert_uint_eq(all.bytes, 1024);
    ck_assert(slice_eq(all.text, SLICE("abc")));
    ck_assert_str_eq(all.path, "/etc/x/sub/f");
    ck_assert_int_eq(all.choice, 2);
    ck_assert_uint_eq(all.strings.count, 2);
    ck_assert(slice_eq(all.strings.items[1], SLICE("y")));
    ck_assert_uint_eq(all.inner.time_ms, 1000);
    const struct item *map = all.map.items;

    ck_assert_uint_eq(all.map.count, 2);
    ck_assert(slice_eq(map[0].element.name, SLICE("a")));
    ck_assert_int_eq(map[0].n, 40); /* the check ran on every element */
    ck_assert_int_eq(map[1].n, 30);
    ck_assert_uint_eq(map[1].element.where->line, 4);
    ck_assert_int_eq(((const struct item *)all.list.items)[0].n, 1);
}
END_TEST

static const struct {
    const char *members; /* beside "needed" */
    uint32_t column;
    const char *path, *message, *remedy;
} errors[] = {
    { "\"flag\": 1", 26, "flag", "must be true or false, not a number", "write true or false" },
    { "\"number\": \"1\"", 28, "number", "must be a number, not a string", NULL },
    { "\"number\": 1.5", 28, "number", "must be an integer, not 1.5", NULL },
    { "\"number\": 10", 28, "number", "10 is too large", "write 0 to 9" },
    { "\"number\": -1", 28, "number", "-1 is too small", "write 0 to 9" },
    { "\"time\": 5", 26, "time", "5 has no unit", "write \"5s\"" },
    { "\"time\": \"1.5s\"", 26, "time", "\"1.5s\" is not a duration", "write \"1500ms\"" },
    { "\"time\": \"5 sec\"", 26, "time", "\"5 sec\" is not a duration",
      "write an integer and one of ms, s, m, h, d" },
    { "\"time\": \"2h\"", 26, "time", "\"2h\" is too large", "write \"1ms\" to \"1m\"" },
    { "\"bytes\": \"32KB\"", 27, "bytes", "\"32KB\" is not a size", "write \"32KiB\"" },
    { "\"bytes\": 4096", 27, "bytes", "4096 has no unit", "write \"4096B\"" },
    { "\"bytes\": \"1B\"", 27, "bytes", "\"1B\" is too small", "write \"1KiB\" to \"1MiB\"" },
    { "\"text\": \"\"", 26, "text", "must not be empty", NULL },
    { "\"text\": \"abcdef\"", 26, "text", "must have 1 to 5 bytes", NULL },
    { "\"path\": \"${UNSET_VARIABLE_X}/a\"", 26, "path",
      "the environment variable UNSET_VARIABLE_X is not set", NULL },
    { "\"path\": \"${OPEN\"", 26, "path", "\"${\" has no \"}\"", "write ${NAME}" },
    { "\"choice\": \"pink\"", 28, "choice", "\"pink\" is not a choice",
      "write \"red\", \"green\" or \"blue\"" },
    { "\"strings\": []", 29, "strings", "must not be empty", NULL },
    { "\"strings\": [\"a\", 1]", 35, "strings[1]", "must be a string, not a number", NULL },
    { "\"inner\": []", 27, "inner", "must be an object, not an array", NULL },
    { "\"inner\": {\"tme\": \"1s\"}", 28, "inner", "unknown key \"tme\"",
      "did you mean \"time\"?" },
    { "\"map\": {\"a b\": {}}", 26, "map", "\"a b\" is not a name",
      "use up to 64 letters, digits, \"-\", \"_\" and \".\"" },
    { "\"map\": {\"a\": {\"n\": 0}}", 37, "map.a.n", "0 is too small", "write 1 to 9" },
    { "\"list\": [{}, {\"n\": 0}]", 37, "list[1].n", "0 is too small", "write 1 to 9" },
    { "\"numbre\": 1", 18, "", "unknown key \"numbre\"", "did you mean \"number\"?" },
    { "\"zzzzzz\": 1", 18, "", "unknown key \"zzzzzz\"", NULL },
};

START_TEST(every_kind_of_error_has_its_place_and_remedy)
{
    struct all all;
    char text[256];

    snprintf(text, sizeof(text), "{\"needed\": true, %s}", errors[_i].members);
    read_text(text, NULL, &all);
    ck_assert_msg(diag.count == 1, "%s: %u errors", text, diag.count);
    ck_assert_str_eq(diag.entries[0].message, errors[_i].message);
    ck_assert_str_eq(diag.entries[0].path, errors[_i].path);
    ck_assert_uint_eq(diag.entries[0].column, errors[_i].column);
    ck_assert_pstr_eq(diag.entries[0].remedy, errors[_i].remedy);
}
END_TEST

START_TEST(a_missing_key_is_reported_with_an_example)
{
    struct all all;

    read_text("{}", NULL, &all);
    ck_assert_uint_eq(diag.count, 1);
    ck_assert_str_eq(diag.entries[0].message, "\"needed\" is missing");
    ck_assert_str_eq(diag.entries[0].remedy, "write \"needed\": true");
}
END_TEST

START_TEST(keys_of_others_are_known_and_suggested)
{
    static const char *const extra[] = { "providers", NULL };
    struct all all;

    read_text("{\"needed\": true, \"providers\": 1}", extra, &all);
    ck_assert_uint_eq(diag.count, 0);
    read_text("{\"needed\": true, \"provider\": 1}", extra, &all);
    ck_assert_uint_eq(diag.count, 1);
    ck_assert_str_eq(diag.entries[0].remedy, "did you mean \"providers\"?");
    read_text("{\"needed\": true, \"anything\": 1}", options_any_key, &all);
    ck_assert_uint_eq(diag.count, 1);
}
END_TEST

START_TEST(all_errors_come_at_once)
{
    struct all all;

    read_text("{\"flag\": 1, \"number\": 99, \"time\": 5, \"inner\": {\"x\": 1}}", NULL, &all);
    ck_assert_uint_eq(diag.errors, 5);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tc = tcase_create("options");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, durations_are_an_integer_and_a_unit, 0, COUNT(durations));
    tcase_add_loop_test(tc, sizes_are_an_integer_and_a_unit, 0, COUNT(sizes));
    tcase_add_test(tc, defaults_fill_what_is_missing);
    tcase_add_test(tc, values_are_read_into_their_fields);
    tcase_add_loop_test(tc, every_kind_of_error_has_its_place_and_remedy, 0, COUNT(errors));
    tcase_add_test(tc, a_missing_key_is_reported_with_an_example);
    tcase_add_test(tc, keys_of_others_are_known_and_suggested);
    tcase_add_test(tc, all_errors_come_at_once);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
