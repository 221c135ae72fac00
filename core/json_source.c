/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_source.h"

struct reader {
    struct arena *arena;
    const char *at, *end;
    const char *line; /* start of the current one */
    bool failed;      /* no memory */
};

/* Comments between two tokens. */
struct gap {
    struct json_comments comments;
    unsigned lines; /* newlines behind the last of them */
};

static void comments_add(struct json_comments *list, struct json_comment *comment)
{
    *(list->first == NULL ? &list->first : &list->last->next) = comment;
    list->last = comment;
    comment->next = NULL;
}

static void comments_move(struct json_comments *to, struct json_comments *from)
{
    if (from->first != NULL) {
        *(to->first == NULL ? &to->first : &to->last->next) = from->first;
        to->last = from->last;
        *from = (struct json_comments){ .first = NULL };
    }
}

static bool is_line_comment(const struct json_comment *comment)
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
    struct json_comment *comment = arena_calloc(reader->arena, 1, sizeof(*comment));
    size_t column = (size_t)(reader->at - reader->line);
    struct slice text = comment_text(reader);

    pass_newlines(reader, text);
    if (comment == NULL) {
        reader->failed = true;
        return;
    }
    *comment = (struct json_comment){ .text = text, .column = column, .lines = gap->lines };
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
        if (!json_is_blank(*reader->at)) {
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

    for (const struct json_comment *c = gap->comments.first; c != NULL; c = c->next) {
        leads = leads && c->lines == 0;
    }
    return leads;
}

/* Comments on the line of the token before them belong to it, unless the next value follows there. */
static void take_behind(const struct reader *reader, struct gap *gap, struct json_comments *behind)
{
    bool is_behind =
        !leads_to_value(reader, gap) && (behind->last == NULL || !is_line_comment(behind->last));
    struct json_comments all = gap->comments, rest = { .first = NULL };

    for (struct json_comment *c = all.first, *next; c != NULL; c = next) {
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

    while (reader->at < reader->end && !json_is_blank(*reader->at) &&
           strchr(",]}/", *reader->at) == NULL) {
        reader->at++;
    }
    return slice_of(start, (size_t)(reader->at - start));
}

static void read_value(struct reader *reader, struct json_source *node);

/* "name": with comments around the colon, which move before it. */
static void read_key(struct reader *reader, struct json_source *node)
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

/* One element or member, with what stands before and behind it. */
static struct json_source *read_element(struct reader *reader, struct json_source *parent,
                                        struct gap *gap)
{
    struct json_source *node = arena_calloc(reader->arena, 1, sizeof(*node));

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
        struct json_comments before_comma = gap->comments;

        reader->at++;
        *gap = read_gap(reader);
        take_behind(reader, gap, &node->behind);
        comments_move(&before_comma, &gap->comments);
        gap->comments = before_comma;
    }
    return node;
}

static void read_container(struct reader *reader, struct json_source *node)
{
    struct json_source **last = &node->child;

    node->open = *reader->at++;
    struct gap gap = read_gap(reader);

    take_behind(reader, &gap, &node->after_open);
    while (!reader->failed && strchr("}]", next_char(reader)) == NULL) {
        struct json_source *child = read_element(reader, node, &gap);

        if (child == NULL) {
            return;
        }
        *last = child;
        last = &child->next;
    }
    if (reader->at < reader->end) {
        reader->at++;
    }
    comments_move(&node->at_end, &gap.comments);
}

static void read_value(struct reader *reader, struct json_source *node)
{
    char c = next_char(reader);

    if (c == '{' || c == '[') {
        read_container(reader, node);
        return;
    }
    node->text = c == '"' ? read_string(reader) : read_word(reader);
}

static struct json_source *read_all(struct reader *reader, struct json_comments *ret_end)
{
    struct gap gap = read_gap(reader);
    struct json_source *root = arena_calloc(reader->arena, 1, sizeof(*root));

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

struct json_source *json_source_read(struct arena *arena, struct slice text,
                                     struct json_comments *ret_end)
{
    struct reader reader = {
        .arena = arena, .at = text.ptr, .end = text.ptr + text.len, .line = text.ptr
    };

    return read_all(&reader, ret_end);
}
