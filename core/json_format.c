/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_format.h"

#include "core/json_source.h"

#include <stdlib.h>

#define MAX_COLUMNS     100u
#define MAX_FLAT_HEIGHT 2u
#define MAX_TIMES       16u /* what the canonical form may be longer than the longest text */

/* ---- measuring ---- */

static void measure(struct json_source *node);

static void sum_up(struct json_source *parent, struct json_source *child)
{
    measure(child);
    parent->height = child->height + 1 > parent->height ? child->height + 1 : parent->height;
    parent->flat_bytes += (parent->child == child ? 0 : 2) + child->flat_bytes +
                          (slice_is_absent(child->key) ? 0 : child->key.len + 2);
    parent->has_comments |= child->has_comments || child->before.first != NULL ||
                            child->behind.first != NULL || child->after_open.first != NULL ||
                            child->at_end.first != NULL;
}

/* How high and how long it is, and whether it can be on one line. */
static void measure(struct json_source *node)
{
    if (node->open == 0) {
        node->flat_bytes = node->text.len;
        return;
    }
    node->height = 1;
    node->flat_bytes = node->open == '{' && node->child != NULL ? 4 : 2; /* { "a": 1 } */
    for (struct json_source *child = node->child; child != NULL; child = child->next) {
        sum_up(node, child);
    }
}

/* ---- writing ---- */

struct writer {
    char *buf;
    size_t len, size, max, line_start;
    unsigned depth;
    bool failed; /* no memory, or over max */
};

static void put(struct writer *w, struct slice text)
{
    if (!w->failed && text.len > w->size - w->len) {
        size_t size = 2 * w->size + text.len;
        char *buf = size > w->max ? NULL : realloc(w->buf, size);

        w->failed = buf == NULL;
        w->buf = buf == NULL ? w->buf : buf;
        w->size = buf == NULL ? w->size : size;
    }
    if (w->failed) {
        return;
    }
    memcpy(w->buf + w->len, text.ptr, text.len);
    w->len += text.len;
}

static void put_spaces(struct writer *w, size_t count)
{
    while (count-- > 0 && !w->failed) {
        put(w, SLICE(" "));
    }
}

static void end_line(struct writer *w)
{
    put(w, SLICE("\n"));
    w->line_start = w->len;
}

static void new_line(struct writer *w)
{
    end_line(w);
    put_spaces(w, (size_t)2 * w->depth);
}

static struct slice trim_right(struct slice line)
{
    while (line.len > 0 && json_is_blank(line.ptr[line.len - 1])) {
        line.len--;
    }
    return line;
}

static size_t leading_blanks(struct slice line)
{
    size_t count = 0;

    while (count < line.len && json_is_blank(line.ptr[count])) {
        count++;
    }
    return count;
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The further lines of a comment move with its first one. */
static void put_comment(struct writer *w, const struct json_comment *comment)
{
    size_t column = at_most(w->len - w->line_start, MAX_COLUMNS);
    size_t from = at_most(comment->column, MAX_COLUMNS);
    struct slice rest = comment->text;

    for (bool is_first = true; rest.ptr != NULL; is_first = false) {
        const char *newline = memchr(rest.ptr, '\n', rest.len);
        struct slice line =
            trim_right(newline == NULL ? rest : slice_of(rest.ptr, (size_t)(newline - rest.ptr)));

        if (!is_first) {
            size_t blanks = leading_blanks(line);

            end_line(w);
            put_spaces(w, line.len == 0 || blanks + column < from ? 0 : blanks + column - from);
            line = slice_skip(line, blanks);
        }
        put(w, line);
        rest = newline == NULL ? (struct slice){ .ptr = NULL }
                               : slice_skip(rest, (size_t)(newline - rest.ptr) + 1);
    }
}

static void put_behind(struct writer *w, const struct json_comments *comments)
{
    for (const struct json_comment *c = comments->first; c != NULL; c = c->next) {
        put(w, SLICE(" "));
        put_comment(w, c);
    }
}

/* Each on a line of its own; the line is begun before it.  True: there was one. */
static bool put_before(struct writer *w, const struct json_comments *comments, bool is_first)
{
    for (const struct json_comment *c = comments->first; c != NULL; c = c->next) {
        if (c->lines > 1 && !is_first) {
            end_line(w);
        }
        new_line(w);
        put_comment(w, c);
        is_first = false;
    }
    return comments->first != NULL;
}

static void put_value(struct writer *w, const struct json_source *node, size_t extra);

static void put_key(struct writer *w, const struct json_source *node)
{
    if (!slice_is_absent(node->key)) {
        put(w, node->key);
        put(w, SLICE(": "));
    }
}

static void put_flat(struct writer *w, const struct json_source *node)
{
    struct slice space = node->open == '{' && node->child != NULL ? SLICE(" ") : SLICE("");

    if (node->open == 0) {
        put(w, node->text);
        return;
    }
    put(w, node->open == '{' ? SLICE("{") : SLICE("["));
    put(w, space);
    for (const struct json_source *child = node->child; child != NULL; child = child->next) {
        put_key(w, child);
        put_flat(w, child);
        put(w, child->next == NULL ? SLICE("") : SLICE(", "));
    }
    put(w, space);
    put(w, node->open == '{' ? SLICE("}") : SLICE("]"));
}

static void put_tall(struct writer *w, const struct json_source *node)
{
    bool is_first = true;

    put(w, node->open == '{' ? SLICE("{") : SLICE("["));
    put_behind(w, &node->after_open);
    w->depth++;
    for (const struct json_source *child = node->child; child != NULL; child = child->next) {
        bool has_comment = put_before(w, &child->before, is_first);

        if (child->is_apart && (has_comment || !is_first)) {
            end_line(w);
        }
        new_line(w);
        put_key(w, child);
        put_value(w, child, child->next == NULL ? 0 : 1);
        put(w, child->next == NULL ? SLICE("") : SLICE(","));
        put_behind(w, &child->behind);
        is_first = false;
    }
    put_before(w, &node->at_end, is_first);
    w->depth--;
    new_line(w);
    put(w, node->open == '{' ? SLICE("}") : SLICE("]"));
}

/* `extra`: bytes that follow on the line. */
static void put_value(struct writer *w, const struct json_source *node, size_t extra)
{
    bool is_flat = !node->has_comments && node->after_open.first == NULL &&
                   node->at_end.first == NULL && node->height <= MAX_FLAT_HEIGHT &&
                   w->len - w->line_start + node->flat_bytes + extra <= MAX_COLUMNS;

    if (node->open == 0 || (node->child == NULL && is_flat) || (is_flat && w->depth > 0)) {
        put_flat(w, node);
    } else {
        put_tall(w, node);
    }
}

/* ---- all of it ---- */

static void put_file(struct writer *w, const struct json_source *root,
                     const struct json_comments *end)
{
    /* Lines end behind their text here, since none comes before the first. */
    for (const struct json_comment *c = root->before.first; c != NULL; c = c->next) {
        if (c->lines > 1 && c != root->before.first) {
            end_line(w);
        }
        put_comment(w, c);
        end_line(w);
    }
    if (root->is_apart && root->before.first != NULL) {
        end_line(w);
    }
    put_value(w, root, 0);
    put_behind(w, &root->behind);
    put_before(w, end, false);
    end_line(w);
}

int json_format(struct arena *arena, struct slice text, const struct json_limits *limits,
                struct json_error *ret_error, struct slice *ret)
{
    struct writer w = { .max = MAX_TIMES * limits->max_bytes };
    struct json_comments end;
    struct json_source *root;

    if (json_parse(arena, text, limits, ret_error) == NULL) {
        return ERR_BAD_INPUT;
    }
    root = json_source_read(arena, text, &end);
    if (root == NULL) {
        return ERR_NO_MEMORY;
    }
    measure(root);
    put_file(&w, root, &end);
    *ret = w.failed ? SLICE_ABSENT : arena_copy(arena, slice_of(w.buf, w.len));
    free(w.buf);
    return slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
}
