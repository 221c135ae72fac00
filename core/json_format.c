/* SPDX-License-Identifier: Apache-2.0 */
/* The text was accepted by json_parse(): what is read here needs no check, and its depth is limited. */
#include "core/json_format.h"

#include <stdlib.h>

#define MAX_COLUMNS     100u
#define MAX_FLAT_HEIGHT 2u
#define MAX_TIMES       16u /* what the canonical form may be longer than the longest text */

struct comment {
    struct slice text;
    size_t column;  /* in the source, from 0 */
    unsigned lines; /* newlines between it and what stands before it */
    struct comment *next;
};

struct comments {
    struct comment *first, *last;
};

struct node {
    struct slice key;           /* with quotes; absent: none */
    struct slice text;          /* of a scalar, as written */
    char open;                  /* '{', '[' or 0: a scalar */
    bool is_apart;              /* an empty line stands before it */
    unsigned height;            /* of containers, itself included; 0: a scalar */
    size_t flat_bytes;          /* of the value on one line */
    bool has_comments;          /* somewhere inside */
    struct comments before;     /* each on its own line */
    struct comments behind;     /* on its last line */
    struct comments after_open; /* on the bracket's line */
    struct comments at_end;     /* before the closing bracket */
    struct node *child, *next;
};

/* ---- reading ---- */

struct reader {
    struct arena *arena;
    const char *at, *end;
    const char *line; /* start of the current one */
    bool failed;      /* no memory */
};

/* Comments between two tokens. */
struct gap {
    struct comments comments;
    unsigned lines; /* newlines behind the last of them */
};

static void comments_add(struct comments *list, struct comment *comment)
{
    *(list->first == NULL ? &list->first : &list->last->next) = comment;
    list->last = comment;
    comment->next = NULL;
}

static void comments_move(struct comments *to, struct comments *from)
{
    if (from->first != NULL) {
        *(to->first == NULL ? &to->first : &to->last->next) = from->first;
        to->last = from->last;
        *from = (struct comments){ .first = NULL };
    }
}

static bool is_line_comment(const struct comment *comment)
{
    return comment->text.ptr[1] == '/';
}

static void pass_newlines(struct reader *reader, struct slice text)
{
    const char *newline = memrchr(text.ptr, '\n', text.len);

    if (newline != NULL) {
        reader->line = newline + 1;
    }
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* At its "//" or slash and star. */
static struct slice comment_text(struct reader *reader)
{
    const char *start = reader->at;
    size_t left = (size_t)(reader->end - start);

    if (start[1] == '/') {
        const char *end = memchr(start, '\n', left);
        reader->at = end == NULL ? reader->end : end;
    } else {
        const char *end = memmem(start + 2, left - 2, "*/", 2);
        reader->at = end == NULL ? reader->end : end + 2;
    }
    return slice_of(start, (size_t)(reader->at - start));
}

static void read_comment(struct reader *reader, struct gap *gap)
{
    struct comment *comment = arena_calloc(reader->arena, 1, sizeof(*comment));
    size_t column = (size_t)(reader->at - reader->line);
    struct slice text = comment_text(reader);

    pass_newlines(reader, text);
    if (comment == NULL) {
        reader->failed = true;
        return;
    }
    *comment = (struct comment){ .text = text, .column = column, .lines = gap->lines };
    comments_add(&gap->comments, comment);
    gap->lines = 0;
}

static struct gap read_gap(struct reader *reader)
{
    struct gap gap = { .lines = 0 };

    while (reader->at < reader->end && !reader->failed) {
        if (*reader->at == '/') {
            read_comment(reader, &gap);
            continue;
        }
        if (!is_blank(*reader->at)) {
            break;
        }
        gap.lines += *reader->at == '\n' ? 1 : 0;
        pass_newlines(reader, slice_of(reader->at++, 1));
    }
    return gap;
}

/* NUL at the end. */
static char next_char(const struct reader *reader)
{
    return reader->at < reader->end ? *reader->at : '\0';
}

/* Does the next value stand on the same line, with only comments before it? */
static bool leads_to_value(const struct reader *reader, const struct gap *gap)
{
    bool leads = gap->lines == 0 && strchr(",}]", next_char(reader)) == NULL;

    for (const struct comment *c = gap->comments.first; c != NULL; c = c->next) {
        leads = leads && c->lines == 0;
    }
    return leads;
}

/* Comments on the line of the token before them belong to it, unless the next value follows there. */
static void take_behind(const struct reader *reader, struct gap *gap, struct comments *behind)
{
    bool is_behind =
        !leads_to_value(reader, gap) && (behind->last == NULL || !is_line_comment(behind->last));
    struct comments all = gap->comments, rest = { .first = NULL };

    for (struct comment *c = all.first, *next; c != NULL; c = next) {
        next = c->next;
        is_behind = is_behind && c->lines == 0;
        comments_add(is_behind ? behind : &rest, c);
    }
    gap->comments = rest;
}

static struct slice read_string(struct reader *reader)
{
    const char *start = reader->at++;

    while (reader->at < reader->end && *reader->at != '"') {
        reader->at += *reader->at == '\\' ? 2 : 1;
    }
    reader->at = reader->at < reader->end ? reader->at + 1 : reader->end;
    return slice_of(start, (size_t)(reader->at - start));
}

static struct slice read_word(struct reader *reader)
{
    const char *start = reader->at;

    while (reader->at < reader->end && !is_blank(*reader->at) &&
           strchr(",]}/", *reader->at) == NULL) {
        reader->at++;
    }
    return slice_of(start, (size_t)(reader->at - start));
}

static void read_value(struct reader *reader, struct node *node);

/* "name": with comments around the colon, which move before it. */
static void read_key(struct reader *reader, struct node *node)
{
    node->key = read_string(reader);
    for (unsigned i = 0; i < 2; i++) {
        struct gap gap = read_gap(reader);

        comments_move(&node->before, &gap.comments);
        if (i == 0 && next_char(reader) == ':') {
            reader->at++;
        }
    }
}

static void sum_up(struct node *parent, const struct node *child)
{
    parent->height = child->height + 1 > parent->height ? child->height + 1 : parent->height;
    parent->flat_bytes += (parent->child == child ? 0 : 2) + child->flat_bytes +
                          (slice_is_absent(child->key) ? 0 : child->key.len + 2);
    parent->has_comments |= child->has_comments || child->before.first != NULL ||
                            child->behind.first != NULL || child->after_open.first != NULL ||
                            child->at_end.first != NULL;
}

/* One element or member, with what stands before and behind it. */
static struct node *read_element(struct reader *reader, struct node *parent, struct gap *gap)
{
    struct node *node = arena_calloc(reader->arena, 1, sizeof(*node));

    if (node == NULL) {
        reader->failed = true;
        return NULL;
    }
    comments_move(&node->before, &gap->comments);
    node->is_apart = gap->lines > 1;
    if (parent->open == '{') {
        read_key(reader, node);
    }
    read_value(reader, node);
    *gap = read_gap(reader);
    take_behind(reader, gap, &node->behind);
    if (next_char(reader) == ',') {
        struct comments before_comma = gap->comments;

        reader->at++;
        *gap = read_gap(reader);
        take_behind(reader, gap, &node->behind);
        comments_move(&before_comma, &gap->comments);
        gap->comments = before_comma;
    }
    return node;
}

static void read_container(struct reader *reader, struct node *node)
{
    struct node **last = &node->child;

    node->open = *reader->at++;
    node->height = 1;
    node->flat_bytes = 2;
    struct gap gap = read_gap(reader);

    take_behind(reader, &gap, &node->after_open);
    while (!reader->failed && strchr("}]", next_char(reader)) == NULL) {
        struct node *child = read_element(reader, node, &gap);

        if (child == NULL) {
            return;
        }
        *last = child;
        last = &child->next;
        sum_up(node, child);
    }
    if (reader->at < reader->end) {
        reader->at++;
    }
    comments_move(&node->at_end, &gap.comments);
    if (node->open == '{' && node->child != NULL) {
        node->flat_bytes += 2; /* { "a": 1 } */
    }
}

static void read_value(struct reader *reader, struct node *node)
{
    char c = next_char(reader);

    if (c == '{' || c == '[') {
        read_container(reader, node);
        return;
    }
    node->text = c == '"' ? read_string(reader) : read_word(reader);
    node->flat_bytes = node->text.len;
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
    while (line.len > 0 && is_blank(line.ptr[line.len - 1])) {
        line.len--;
    }
    return line;
}

static size_t leading_blanks(struct slice line)
{
    size_t count = 0;

    while (count < line.len && is_blank(line.ptr[count])) {
        count++;
    }
    return count;
}

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The further lines of a comment move with its first one. */
static void put_comment(struct writer *w, const struct comment *comment)
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

static void put_behind(struct writer *w, const struct comments *comments)
{
    for (const struct comment *c = comments->first; c != NULL; c = c->next) {
        put(w, SLICE(" "));
        put_comment(w, c);
    }
}

/* Each on a line of its own; the line is begun before it.  True: there was one. */
static bool put_before(struct writer *w, const struct comments *comments, bool is_first)
{
    for (const struct comment *c = comments->first; c != NULL; c = c->next) {
        if (c->lines > 1 && !is_first) {
            end_line(w);
        }
        new_line(w);
        put_comment(w, c);
        is_first = false;
    }
    return comments->first != NULL;
}

static void put_value(struct writer *w, const struct node *node, size_t extra);

static void put_key(struct writer *w, const struct node *node)
{
    if (!slice_is_absent(node->key)) {
        put(w, node->key);
        put(w, SLICE(": "));
    }
}

static void put_flat(struct writer *w, const struct node *node)
{
    struct slice space = node->open == '{' && node->child != NULL ? SLICE(" ") : SLICE("");

    if (node->open == 0) {
        put(w, node->text);
        return;
    }
    put(w, node->open == '{' ? SLICE("{") : SLICE("["));
    put(w, space);
    for (const struct node *child = node->child; child != NULL; child = child->next) {
        put_key(w, child);
        put_flat(w, child);
        put(w, child->next == NULL ? SLICE("") : SLICE(", "));
    }
    put(w, space);
    put(w, node->open == '{' ? SLICE("}") : SLICE("]"));
}

static void put_tall(struct writer *w, const struct node *node)
{
    bool is_first = true;

    put(w, node->open == '{' ? SLICE("{") : SLICE("["));
    put_behind(w, &node->after_open);
    w->depth++;
    for (const struct node *child = node->child; child != NULL; child = child->next) {
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
static void put_value(struct writer *w, const struct node *node, size_t extra)
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

static void put_file(struct writer *w, const struct node *root, const struct comments *end)
{
    /* Lines end behind their text here, since none comes before the first. */
    for (const struct comment *c = root->before.first; c != NULL; c = c->next) {
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

static struct node *read_file(struct reader *reader, struct comments *ret_end)
{
    struct gap gap = read_gap(reader);
    struct node *root = arena_calloc(reader->arena, 1, sizeof(*root));

    if (root == NULL) {
        return NULL;
    }
    comments_move(&root->before, &gap.comments);
    root->is_apart = gap.lines > 1;
    read_value(reader, root);
    gap = read_gap(reader);
    take_behind(reader, &gap, &root->behind);
    *ret_end = gap.comments;
    return reader->failed ? NULL : root;
}

int json_format(struct arena *arena, struct slice text, const struct json_limits *limits,
                struct json_error *ret_error, struct slice *ret)
{
    struct reader reader = {
        .arena = arena, .at = text.ptr, .end = text.ptr + text.len, .line = text.ptr
    };
    struct writer w = { .max = MAX_TIMES * limits->max_bytes };
    struct comments end;

    if (json_parse(arena, text, limits, ret_error) == NULL) {
        return ERR_BAD_INPUT;
    }
    const struct node *root = read_file(&reader, &end);

    if (root == NULL) {
        return ERR_NO_MEMORY;
    }
    put_file(&w, root, &end);
    *ret = w.failed ? SLICE_ABSENT : arena_copy(arena, slice_of(w.buf, w.len));
    free(w.buf);
    return slice_is_absent(*ret) ? ERR_NO_MEMORY : 0;
}

bool json_same(const struct json *a, const struct json *b)
{
    if (a->type != b->type || a->boolean != b->boolean || a->count != b->count ||
        !slice_eq(a->key, b->key) || !slice_eq(a->text, b->text)) {
        return false;
    }
    const struct json *x = a->child, *y = b->child;

    while (x != NULL && y != NULL && json_same(x, y)) {
        x = x->next;
        y = y->next;
    }
    return x == NULL && y == NULL;
}
