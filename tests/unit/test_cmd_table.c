/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd.h"
#include "gateway/cmd_table.h"

#include <check.h>

#include <stdlib.h>

static struct cmd_table table;
static char *text;
static size_t len;

static void begin(void)
{
    static const char *const titles[] = { "ID", "NAMES", "LAST" };

    text = NULL;
    cmd_table_init(&table, titles, 3);
}

static void end(void)
{
    free(text);
}

static void add_row(const char *first, const struct slice *items, size_t count, const char *last)
{
    cmd_table_add(&table, slice_str(first));
    cmd_table_add_list(&table, items, count);
    cmd_table_add(&table, slice_str(last));
}

static void expect(const char *expected)
{
    FILE *out = open_memstream(&text, &len);

    ck_assert_int_eq(cmd_table_end(&table, out), EXIT_YES);
    fclose(out);
    ck_assert_str_eq(text, expected);
}

START_TEST(columns_are_as_wide_as_their_widest_cell)
{
    static const struct slice names[] = { { "read", 4 }, { "write", 5 } };

    add_row("a", names, 2, "x");
    add_row("a-long-name", NULL, 0, "");
    add_row("b", names, 1, "a last one that is long");
    expect("ID           NAMES       LAST\n"
           "a            read,write  x\n"
           "a-long-name  -           \n"
           "b            read        a last one that is long\n");
}
END_TEST

START_TEST(without_rows_there_are_the_titles)
{
    expect("ID  NAMES  LAST\n");
}
END_TEST

START_TEST(a_terminal_gets_no_orders)
{
    static const struct slice names[] = { { "a\nb", 3 }, { "\xff", 1 } };

    add_row("\x1b[2J", names, 2, "\xc2\x9b\x7f");
    add_row("\xc3\xa9\xe2\x82\xac", names, 0, "z");
    expect("ID    NAMES  LAST\n"
           "?[2J  a?b,?  ???\n"
           "\xc3\xa9\xe2\x82\xac    -      z\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cmd_table");
    TCase *cases = tcase_create("cmd_table");

    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, columns_are_as_wide_as_their_widest_cell);
    tcase_add_test(cases, without_rows_there_are_the_titles);
    tcase_add_test(cases, a_terminal_gets_no_orders);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
