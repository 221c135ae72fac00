/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag.h"

#include "core/diag_excerpt.h"

#include <stdarg.h>
#include <stdlib.h>

#define DIAG_MEMORY ((size_t)1 << 20)
#define NO_FILE     UINT16_MAX

void diag_init(struct diag *diag)
{
    *diag = (struct diag){ .count = 0 };
    arena_init(&diag->arena, NULL, 0, DIAG_MEMORY);
}

void diag_done(struct diag *diag)
{
    arena_done(&diag->arena);
    diag->count = 0;
}

int diag_add_file(struct diag *diag, const char *name, struct slice text)
{
    if (diag->file_count == DIAG_MAX_FILES) {
        return ERR_TOO_BIG;
    }
    char *copy = arena_strdup(&diag->arena, slice_str(name));

    if (copy == NULL) {
        return ERR_NO_MEMORY;
    }
    diag->files[diag->file_count].name = copy;
    diag->files[diag->file_count].text = text;
    return (int)diag->file_count++;
}

/* Collecting */

/* The slot for a new entry; an error displaces a warning when all are taken. */
static struct diag_entry *take_slot(struct diag *diag, enum diag_severity severity)
{
    if (severity == DIAG_ERROR) {
        diag->errors++;
    } else {
        diag->warnings++;
    }
    if (diag->count < DIAG_MAX_ENTRIES) {
        return &diag->entries[diag->count++];
    }
    for (unsigned i = DIAG_MAX_ENTRIES; severity == DIAG_ERROR && i-- > 0;) {
        if (diag->entries[i].severity == DIAG_WARNING) {
            return &diag->entries[i];
        }
    }
    return NULL;
}

__attribute__((format(printf, 2, 0))) static const char *
format_text(struct diag *diag, const char *format, va_list args)
{
    char stack[512];
    int len = vsnprintf(stack, sizeof(stack), format, args);

    if (len < 0) {
        return "out of memory";
    }
    size_t kept = (size_t)len < sizeof(stack) ? (size_t)len : sizeof(stack) - 1;
    const char *copy = arena_strdup(&diag->arena, slice_of(stack, kept));

    return copy == NULL ? "out of memory" : copy;
}

static const char *copy_text(struct diag *diag, const char *text)
{
    return text == NULL ? NULL : arena_strdup(&diag->arena, slice_str(text));
}

static void fill_entry(struct diag *diag, struct diag_entry *entry, const struct json *where,
                       bool at_key)
{
    entry->file = NO_FILE;
    if (where == NULL) {
        return;
    }
    entry->file = where->file;
    if (at_key && where->key_line != 0) {
        entry->line = where->key_line;
        entry->column = where->key_column;
        entry->width = (uint32_t)where->key.len + 2;
        return;
    }
    entry->line = where->line;
    entry->column = where->column;
    bool is_short = where->child == NULL && where->end_line == where->line;

    entry->width =
        is_short && where->end_column > where->column ? where->end_column - where->column : 1;
}

__attribute__((format(printf, 5, 0))) static void add(struct diag *diag,
                                                      const struct diag_entry *begun,
                                                      const struct json *where, bool is_key,
                                                      const char *format, va_list args)
{
    struct diag_entry *entry = take_slot(diag, begun->severity);

    if (entry == NULL) {
        return;
    }
    *entry = *begun;
    fill_entry(diag, entry, where, is_key);
    entry->path = copy_text(diag, begun->path);
    entry->remedy = copy_text(diag, begun->remedy);
    entry->message = format_text(diag, format, args);
}

void diag_at(struct diag *diag, enum diag_severity severity, const struct json *where,
             const char *path, const char *remedy, const char *format, ...)
{
    const struct diag_entry entry = { .severity = severity, .path = path, .remedy = remedy };
    va_list args;

    va_start(args, format);
    add(diag, &entry, where, false, format, args);
    va_end(args);
}

void diag_at_key(struct diag *diag, enum diag_severity severity, const struct json *where,
                 const char *path, const char *remedy, const char *format, ...)
{
    const struct diag_entry entry = { .severity = severity, .path = path, .remedy = remedy };
    va_list args;

    va_start(args, format);
    add(diag, &entry, where, true, format, args);
    va_end(args);
}

void diag_lint(struct diag *diag, const char *rule, const struct json *where, const char *path,
               const char *remedy, const char *format, ...)
{
    const struct diag_entry entry = {
        .severity = DIAG_WARNING, .rule = rule, .path = path, .remedy = remedy
    };
    va_list args;

    va_start(args, format);
    add(diag, &entry, where, false, format, args);
    va_end(args);
}

void diag_syntax(struct diag *diag, int file, const struct json_error *error)
{
    struct diag_entry *entry = take_slot(diag, DIAG_ERROR);

    if (entry == NULL) {
        return;
    }
    *entry = (struct diag_entry){ .severity = DIAG_ERROR, .width = 1 };
    entry->file = (uint16_t)file;
    entry->line = error->line;
    entry->column = error->column;
    entry->message = copy_text(diag, error->text);
    if (entry->message == NULL) {
        entry->message = "out of memory";
    }
}

/* Printing */

static bool comes_before(const struct diag_entry *a, const struct diag_entry *b)
{
    if (a->file != b->file) {
        return a->file < b->file;
    }
    if (a->line != b->line) {
        return a->line < b->line;
    }
    return a->column < b->column;
}

/* Indices in the order of the text; stable. */
static void sort_entries(const struct diag *diag, unsigned *ret_order)
{
    for (unsigned i = 0; i < diag->count; i++) {
        unsigned j = i;

        while (j > 0 && comes_before(&diag->entries[i], &diag->entries[ret_order[j - 1]])) {
            ret_order[j] = ret_order[j - 1];
            j--;
        }
        ret_order[j] = i;
    }
}

static void print_entry(const struct diag *diag, const struct diag_entry *entry, FILE *out)
{
    bool has_place = entry->file < diag->file_count && entry->line != 0;

    if (has_place) {
        fprintf(out, "%s:%u:%u: ", diag->files[entry->file].name, entry->line, entry->column);
    } else if (diag->file_count > 0) {
        fprintf(out, "%s: ", diag->files[0].name);
    }
    fputs(entry->severity == DIAG_ERROR ? "error: " : "warning: ", out);
    if (entry->path != NULL && entry->path[0] != '\0') {
        fprintf(out, "%s: ", entry->path);
    }
    fputs(entry->message, out);
    if (entry->remedy != NULL) {
        fprintf(out, "; %s", entry->remedy);
    }
    if (entry->rule != NULL) {
        fprintf(out, " [%s]", entry->rule);
    }
    fputc('\n', out);
    if (has_place) {
        diag_print_excerpt(out, diag->files[entry->file].text, entry);
    }
}

static void print_summary(const struct diag *diag, FILE *out)
{
    if (diag->errors + diag->warnings == 0) {
        return;
    }
    if (diag->errors > 0) {
        fprintf(out, "%u error%s", diag->errors, diag->errors == 1 ? "" : "s");
    }
    if (diag->warnings > 0) {
        fprintf(out, "%s%u warning%s", diag->errors > 0 ? ", " : "", diag->warnings,
                diag->warnings == 1 ? "" : "s");
    }
    if (diag->errors + diag->warnings > diag->count) {
        fprintf(out, " (%u shown)", diag->count);
    }
    fputs(diag->errors > 0 ? ", nothing was changed\n" : "\n", out);
}

void diag_print(const struct diag *diag, FILE *out)
{
    unsigned order[DIAG_MAX_ENTRIES];

    sort_entries(diag, order);
    for (unsigned i = 0; i < diag->count; i++) {
        print_entry(diag, &diag->entries[order[i]], out);
    }
    print_summary(diag, out);
}

static void write_text(struct json_writer *w, const char *key, const char *text)
{
    if (text != NULL) {
        json_write_string(w, key, slice_str(text));
    }
}

static void write_entry(struct json_writer *w, const struct diag *diag,
                        const struct diag_entry *entry)
{
    json_write_begin(w, NULL, '{');
    if (entry->file < diag->file_count) {
        write_text(w, "file", diag->files[entry->file].name);
        json_write_int(w, "line", entry->line);
        json_write_int(w, "column", entry->column);
    }
    write_text(w, "severity", entry->severity == DIAG_ERROR ? "error" : "warning");
    write_text(w, "rule", entry->rule);
    write_text(w, "path", entry->path);
    write_text(w, "message", entry->message);
    write_text(w, "remedy", entry->remedy);
    json_write_end(w, '}');
}

void diag_print_json(const struct diag *diag, FILE *out)
{
    unsigned order[DIAG_MAX_ENTRIES];
    struct json_writer w;

    sort_entries(diag, order);
    json_writer_init(&w, DIAG_MEMORY);
    json_write_begin(&w, NULL, '[');
    for (unsigned i = 0; i < diag->count; i++) {
        write_entry(&w, diag, &diag->entries[order[i]]);
    }
    json_write_end(&w, ']');
    if (!w.failed) {
        fprintf(out, "%.*s\n", (int)w.len, w.buf);
    }
    json_writer_done(&w);
}
