/* SPDX-License-Identifier: Apache-2.0 */
/* Text in columns, each as wide as its widest cell, the last one open; safe for a terminal: no cell has a
 * control character. */
#pragma once

#include "core/arena.h"
#include "core/slice.h"

#include <stdio.h>

#define CMD_TABLE_COLUMNS 8u

struct cmd_table {
    struct arena arena;
    struct cmd_table_cell {
        struct cmd_table_cell *next;
        struct slice text;
        int width; /* in characters */
    } * first, **last;
    unsigned columns;
    bool failed; /* no memory */
};

/* `titles`: so many as there are columns. */
void cmd_table_init(struct cmd_table *table, const char *const *titles, unsigned columns);
/* The next cell of a row, or of the row after. */
void cmd_table_add(struct cmd_table *table, struct slice text);
/* One with "a,b"; "-" when there is nothing. */
void cmd_table_add_list(struct cmd_table *table, const struct slice *items, size_t count);
/* Write it, and free it.  EXIT_YES; EXIT_UNKNOWN: said on stderr. */
int cmd_table_end(struct cmd_table *table, FILE *out);
