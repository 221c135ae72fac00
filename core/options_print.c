/* SPDX-License-Identifier: Apache-2.0 */
/* The effective configuration as text, by the tables that read it. */
#include "core/diag_excerpt.h"
#include "core/options.h"

#include <stdlib.h>

#define PRINT_ARENA ((size_t)16 << 20)
#define INDENT      2

static void print_indent(FILE *out, unsigned indent)
{
    fprintf(out, "%*s", (int)indent, "");
}

static void print_string(FILE *out, struct slice text)
{
    size_t size = text.len * 6 + 1;
    char *escaped = malloc(size);

    if (escaped == NULL) {
        fputs("\"\"", out);
        return;
    }
    size_t len = json_escape(text, escaped, size);

    fprintf(out, "\"%.*s\"", (int)len, escaped);
    free(escaped);
}

/* {"env": X} and {"file": X} stand for a secret. */
static bool print_secret(FILE *out, const struct json *value)
{
    const struct json *env = json_get(value, SLICE("env"));
    const struct json *file = json_get(value, SLICE("file"));

    if (json_is(env, JSON_STRING)) {
        fprintf(out, "\"<env %.*s>\"", SLICE_FMT(env->text));
        return true;
    }
    if (json_is(file, JSON_STRING)) {
        fprintf(out, "\"<file %.*s>\"", SLICE_FMT(file->text));
        return true;
    }
    return false;
}

static void print_json(FILE *out, const struct json *value, unsigned indent);

static void print_children(FILE *out, const struct json *value, unsigned indent)
{
    bool is_object = value->type == JSON_OBJECT;

    fputs(is_object ? "{" : "[", out);
    for (const struct json *child = value->child; child != NULL; child = child->next) {
        fputs(child == value->child ? "\n" : ",\n", out);
        print_indent(out, indent + INDENT);
        if (is_object) {
            print_string(out, child->key);
            fputs(": ", out);
        }
        print_json(out, child, indent + INDENT);
    }
    if (value->child != NULL) {
        fputc('\n', out);
        print_indent(out, indent);
    }
    fputs(is_object ? "}" : "]", out);
}

static void print_json(FILE *out, const struct json *value, unsigned indent)
{
    switch (value->type) {
    case JSON_NULL: fputs("null", out); return;
    case JSON_BOOL: fputs(value->boolean ? "true" : "false", out); return;
    case JSON_NUMBER: fprintf(out, "%.*s", SLICE_FMT(value->text)); return;
    case JSON_STRING:
        if (!slice_is_absent(value->key) && diag_is_secret_name(value->key)) {
            fputs("\"<hidden>\"", out);
            return;
        }
        print_string(out, value->text);
        return;
    case JSON_OBJECT:
        if (print_secret(out, value)) {
            return;
        }
        print_children(out, value, indent);
        return;
    case JSON_ARRAY: print_children(out, value, indent); return;
    }
}

static void print_table(FILE *out, struct arena *arena, const struct option *table,
                        const struct json *object, unsigned indent);

/* The members of a map or list whose elements have a table. */
static void print_elements(FILE *out, struct arena *arena, const struct option *option,
                           const struct json *value, unsigned indent)
{
    bool is_map = value->type == JSON_OBJECT;

    fputs(is_map ? "{" : "[", out);
    for (const struct json *child = value->child; child != NULL; child = child->next) {
        fputs(child == value->child ? "\n" : ",\n", out);
        print_indent(out, indent + INDENT);
        if (is_map) {
            print_string(out, child->key);
            fputs(": ", out);
        }
        if (child->type == JSON_OBJECT) {
            print_table(out, arena, option->sub, child, indent + INDENT);
        } else {
            print_json(out, child, indent + INDENT);
        }
    }
    if (value->child != NULL) {
        fputc('\n', out);
        print_indent(out, indent);
    }
    fputs(is_map ? "}" : "]", out);
}

static void print_row(FILE *out, struct arena *arena, const struct option *option,
                      const struct json *value, unsigned indent)
{
    bool is_container = value->type == JSON_OBJECT || value->type == JSON_ARRAY;

    if (option->sub == NULL || !is_container) {
        print_json(out, value, indent);
    } else if (value->type == JSON_OBJECT && option->type != OPT_MAP) {
        print_table(out, arena, option->sub, value, indent);
    } else {
        print_elements(out, arena, option, value, indent);
    }
}

static void print_table(FILE *out, struct arena *arena, const struct option *table,
                        const struct json *object, unsigned indent)
{
    bool first = true;

    if (print_secret(out, object)) {
        return;
    }
    fputs("{", out);
    for (const struct option *option = table; option->name != NULL; option++) {
        const struct json *value = json_get(object, slice_str(option->name));

        if (value == NULL && option->def != NULL && !option->required) {
            value = options_default(arena, option, object);
        }
        if (value == NULL) {
            continue;
        }
        fputs(first ? "\n" : ",\n", out);
        first = false;
        print_indent(out, indent + INDENT);
        print_string(out, slice_str(option->name));
        fputs(": ", out);
        print_row(out, arena, option, value, indent + INDENT);
    }
    if (!first) {
        fputc('\n', out);
        print_indent(out, indent);
    }
    fputs("}", out);
}

void options_print(const struct option *table, const struct json *object, FILE *out,
                   unsigned indent)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, PRINT_ARENA);
    print_table(out, &arena, table, object, indent);
    fputc('\n', out);
    arena_done(&arena);
}
