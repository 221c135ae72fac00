/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_print.h"

#include <check.h>

#include <stdlib.h>

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, NULL, 0, 1 << 20);
}

static void teardown(void)
{
    arena_done(&arena);
}

START_TEST(what_is_printed_reads_back_and_moves_no_terminal)
{
    static const char json[] = "{\"a\":[1,2.50,true,null,\"x\"],\"b\":{\"c\":\"\\u001b["
                               "2J\\n\\u007f\\u009b\"},\"\":{},\"d\":[]}";
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    const struct json *value = json_parse(&arena, slice_str(json), &json_limits_token, NULL);

    ck_assert_ptr_nonnull(value);
    cmd_print_json(out, value);
    fclose(out);
    for (size_t i = 0; i < len; i++) {
        ck_assert((unsigned char)text[i] >= ' ' || text[i] == '\n');
        ck_assert((unsigned char)text[i] < 0x7f);
    }
    const struct json *back = json_parse(&arena, slice_of(text, len), &json_limits_token, NULL);
    ck_assert_ptr_nonnull(back);
    ck_assert(slice_eq(json_pointer(back, SLICE("/b/c"))->text,
                       json_pointer(value, SLICE("/b/c"))->text));
    ck_assert(slice_eq(json_pointer(back, SLICE("/a/1"))->text, SLICE("2.50")));
    ck_assert_uint_eq(back->count, value->count);
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_print");
    TCase *tc = tcase_create("all");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_is_printed_reads_back_and_moves_no_terminal);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
