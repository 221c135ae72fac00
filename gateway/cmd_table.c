/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_table.h"

#include "core/utf8.h"
#include "gateway/cmd.h"

#define MAX_MEMORY ((size_t)64 << 20)

void cmd_table_init(struct cmd_table *table, const char *const *titles, unsigned columns)
{
    *table = (struct cmd_table){ .columns = columns };
    table->last = &table->first;
    arena_init(&table->arena, NULL, 0, MAX_MEMORY);
    for (unsigned i = 0; i < columns; i++) {
        cmd_table_add(table, slice_str(titles[i]));
    }
}

/* The length of the character at the front; 0: none that may be shown. */
static unsigned shown(struct slice text)
{
    uint32_t code;
    unsigned len = utf8_decode((const unsigned char *)text.ptr, text.len, &code);

    return len > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0) ? len : 0;
}

/* What may not be shown becomes "?". */
static int copy_shown(char *to, struct slice text, size_t *ret_len)
{
    size_t len = 0;
    int width = 0;

    for (; text.len > 0; width++) {
        unsigned one = shown(text);

        memcpy(to + len, one == 0 ? "?" : text.ptr, one == 0 ? 1 : one);
        len += one == 0 ? 1 : one;
        text = slice_skip(text, one == 0 ? 1 : one);
    }
    *ret_len = len;
    return width;
}

void cmd_table_add(struct cmd_table *table, struct slice text)
{
    struct cmd_table_cell *cell = arena_calloc(&table->arena, 1, sizeof(*cell));
    char *bytes = arena_alloc(&table->arena, text.len + 1);
    size_t len;

    if (cell == NULL || bytes == NULL) {
        table->failed = true;
        return;
    }
    cell->width = copy_shown(bytes, text, &len);
    cell->text = slice_of(bytes, len);
    *table->last = cell;
    table->last = &cell->next;
}

void cmd_table_add_list(struct cmd_table *table, const struct slice *items, size_t count)
{
    size_t size = 0, len = 0;

    for (size_t i = 0; i < count; i++) {
        size += items[i].len + 1;
    }
    char *text = arena_alloc(&table->arena, size + 1);

    if (text == NULL) {
        table->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        text[len] = ',';
        len += i == 0 ? 0 : 1;
        memcpy(text + len, items[i].ptr, items[i].len);
        len += items[i].len;
    }
    cmd_table_add(table, count == 0 ? SLICE("-") : slice_of(text, len));
}

static void print_cell(FILE *out, const struct cmd_table_cell *cell, int width)
{
    fprintf(out, "%.*s%*s", SLICE_FMT(cell->text), width - cell->width, "");
}

static void print_all(const struct cmd_table *table, FILE *out)
{
    int widths[CMD_TABLE_COLUMNS] = { 0 };
    unsigned column = 0, last = table->columns - 1;

    for (const struct cmd_table_cell *cell = table->first; cell != NULL; cell = cell->next) {
        widths[column] = cell->width > widths[column] ? cell->width : widths[column];
        column = column == last ? 0 : column + 1;
    }
    for (const struct cmd_table_cell *cell = table->first; cell != NULL; cell = cell->next) {
        print_cell(out, cell, column == last ? cell->width : widths[column] + 2);
        if (column == last) {
            fputc('\n', out);
        }
        column = column == last ? 0 : column + 1;
    }
}

int cmd_table_end(struct cmd_table *table, FILE *out)
{
    int code = table->failed ? EXIT_UNKNOWN : EXIT_YES;

    if (table->failed) {
        fputs("jwtgate: out of memory\n", stderr);
    } else {
        print_all(table, out);
    }
    arena_done(&table->arena);
    return code;
}
