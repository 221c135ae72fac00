/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/clients_edit.h"

#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_MEMORY ((size_t)64 << 20)

const char clients_edit_empty[] = "// Who may ask for tokens.  Change it with: jwtgate client\n"
                                  "{\n"
                                  "  \"clients\": {\n"
                                  "  }\n"
                                  "}\n";

/* ---- places ---- */

static size_t offset_of(struct slice text, uint32_t line, uint32_t column)
{
    size_t at = 0;

    for (; line > 1; line--) {
        at = (size_t)((const char *)memchr(text.ptr + at, '\n', text.len - at) - text.ptr) + 1;
    }
    return at + column - 1;
}

static size_t start_of(struct slice text, const struct json *member)
{
    return offset_of(text, member->key_line, member->key_column);
}

static size_t end_of(struct slice text, const struct json *value)
{
    return offset_of(text, value->end_line, value->end_column);
}

/* Behind the blanks and comments that begin at `at`. */
static size_t skip_blank(struct slice text, size_t at)
{
    while (at < text.len) {
        struct slice rest = slice_skip(text, at);

        if (strchr(" \t\r\n", rest.ptr[0]) != NULL) {
            at++;
        } else if (slice_starts_with(rest, SLICE("//"))) {
            const char *newline = memchr(rest.ptr, '\n', rest.len);
            at = newline == NULL ? text.len : (size_t)(newline - text.ptr) + 1;
        } else if (slice_starts_with(rest, SLICE("/*"))) {
            const char *end = memmem(rest.ptr + 2, rest.len - 2, "*/", 2);
            at = end == NULL ? text.len : (size_t)(end - text.ptr) + 2;
        } else {
            break;
        }
    }
    return at;
}

static size_t line_start(struct slice text, size_t at)
{
    while (at > 0 && text.ptr[at - 1] != '\n') {
        at--;
    }
    return at;
}

static bool is_blank(struct slice text, size_t from, size_t to)
{
    while (from < to && (text.ptr[from] == ' ' || text.ptr[from] == '\t')) {
        from++;
    }
    return from == to;
}

/* ---- splicing ---- */

struct writing {
    FILE *stream;
    char *text;
    size_t len;
    struct slice from; /* the old text */
    size_t at;         /* what was copied of it */
};

static int begin(struct writing *w, struct slice text)
{
    *w = (struct writing){ .from = text };
    w->stream = open_memstream(&w->text, &w->len);
    return w->stream == NULL ? ERR_NO_MEMORY : 0;
}

static void copy_until(struct writing *w, size_t offset)
{
    fwrite(w->from.ptr + w->at, 1, offset - w->at, w->stream);
    w->at = offset;
}

static int finish(struct writing *w, char **ret)
{
    copy_until(w, w->from.len);
    bool failed = ferror(w->stream) != 0;

    if (fclose(w->stream) != 0 || failed) {
        free(w->text);
        return ERR_NO_MEMORY;
    }
    *ret = w->text;
    return 0;
}

/* ---- add ---- */

static const struct json *last_of(const struct json *object)
{
    const struct json *last = object->child;

    while (last != NULL && last->next != NULL) {
        last = last->next;
    }
    return last;
}

/* The comma goes behind the last client, the new one in front of the brace: a comment between them stays
 * with the last one. */
static int add(const struct json *clients, struct slice text, struct slice id, struct slice object,
               char **ret)
{
    const struct json *last = last_of(clients);
    size_t brace = end_of(text, clients) - 1;
    size_t line = line_start(text, brace);
    struct writing w;

    if (begin(&w, text) < 0) {
        return ERR_NO_MEMORY;
    }
    if (last != NULL) {
        copy_until(&w, end_of(text, last));
        fputc(',', w.stream);
    }
    if (is_blank(text, line, brace)) {
        copy_until(&w, line);
        fprintf(w.stream, CLIENTS_EDIT_INDENT "\"%.*s\": %.*s\n", SLICE_FMT(id), SLICE_FMT(object));
    } else {
        copy_until(&w, brace);
        fprintf(w.stream, "%s\"%.*s\": %.*s", last == NULL ? "" : " ", SLICE_FMT(id),
                SLICE_FMT(object));
    }
    return finish(&w, ret);
}

/* ---- remove ---- */

struct range {
    size_t from, to;
};

static void leave_out(struct writing *w, struct range range)
{
    copy_until(w, range.from);
    w->at = range.to;
}

/* The comma that goes with the member: the next one, or of the last member the one before. */
static struct range comma_of(struct slice text, const struct json *before,
                             const struct json *member)
{
    size_t at = skip_blank(text, end_of(text, member));

    if (text.ptr[at] != ',') {
        if (before == NULL) {
            return (struct range){ 0, 0 };
        }
        at = skip_blank(text, end_of(text, before));
    }
    return (struct range){ at, at + 1 };
}

/* With its line, when nothing else is on it. */
static void widen_to_lines(struct slice text, struct range *range)
{
    size_t line = line_start(text, range->from);
    const char *newline = memchr(text.ptr + range->to, '\n', text.len - range->to);
    size_t end = newline == NULL ? text.len : (size_t)(newline - text.ptr);

    if (newline != NULL && is_blank(text, line, range->from) && is_blank(text, range->to, end)) {
        *range = (struct range){ line, end + 1 };
    }
}

static int remove_member(const struct json *before, const struct json *member, struct slice text,
                         char **ret)
{
    struct range all = { start_of(text, member), end_of(text, member) };
    struct range comma = comma_of(text, before, member);
    struct writing w;

    if (begin(&w, text) < 0) {
        return ERR_NO_MEMORY;
    }
    if (comma.from == all.to) {
        all.to = comma.to;
        comma = (struct range){ 0, 0 };
    }
    widen_to_lines(text, &all);
    if (comma.from < all.from) {
        leave_out(&w, comma);
        leave_out(&w, all);
    } else {
        leave_out(&w, all);
        leave_out(&w, comma);
    }
    return finish(&w, ret);
}

/* ---- both ---- */

static const struct json *parse(struct arena *arena, struct slice text)
{
    arena_init(arena, NULL, 0, MAX_MEMORY);
    const struct json *clients =
        json_get(json_parse(arena, text, &json_limits_config, NULL), SLICE("clients"));

    return json_is(clients, JSON_OBJECT) ? clients : NULL;
}

int clients_edit_add(struct slice text, struct slice id, struct slice object, char **ret)
{
    struct arena arena;
    const struct json *clients = parse(&arena, text);
    int err = clients == NULL                 ? ERR_BAD_INPUT
              : json_get(clients, id) != NULL ? ERR_EXISTS
                                              : add(clients, text, id, object, ret);

    arena_done(&arena);
    return err;
}

static int find_and_remove(const struct json *clients, struct slice text, struct slice id,
                           char **ret)
{
    const struct json *before = NULL, *member = clients->child;

    while (member != NULL && !slice_eq(member->key, id)) {
        before = member;
        member = member->next;
    }
    return member == NULL ? ERR_NOT_FOUND : remove_member(before, member, text, ret);
}

int clients_edit_remove(struct slice text, struct slice id, char **ret)
{
    struct arena arena;
    const struct json *clients = parse(&arena, text);
    int err = clients == NULL ? ERR_BAD_INPUT : find_and_remove(clients, text, id, ret);

    arena_done(&arena);
    return err;
}
