/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nearest.h"

#define NAME_MAX_BYTES 64

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned min = a < b ? a : b;

    return min < c ? min : c;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b. */
static unsigned edit_distance(struct slice a, struct slice b)
{
    unsigned rows[3][NAME_MAX_BYTES + 1];

    for (unsigned j = 0; j <= b.len; j++) {
        rows[0][j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *above2 = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned differs = a.ptr[i - 1] == b.ptr[j - 1] ? 0 : 1;

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + differs);
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                above2[j - 2] + 1 < row[j]) {
                row[j] = above2[j - 2] + 1;
            }
        }
    }
    return rows[a.len % 3][b.len];
}

const char *nearest_name(struct slice word, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = word.len / 3 > 1 ? (unsigned)(word.len / 3) : 1;

    if (word.len == 0 || word.len > NAME_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct slice name = slice_str(names[i]);

        if (name.len > NAME_MAX_BYTES) {
            continue;
        }
        unsigned distance = edit_distance(word, name);

        /* One letter for one letter is a guess, not a slip. */
        if (distance < best_distance + (best == NULL ? 1 : 0) && distance < word.len) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
