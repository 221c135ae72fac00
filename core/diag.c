/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag.h"

#include <stdarg.h>
#include <stdlib.h>

#define DIAG_MEMORY     ((size_t)1 << 20)
#define NO_FILE         UINT16_MAX
#define EXCERPT_COLUMNS 160
#define NAME_MAX_BYTES  64
#define SCAN_MAX_DEPTH  64

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

/* Names like secrets */

static bool slice_contains(struct slice text, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= text.len; i++) {
        if (slice_eq_nocase(slice_of(text.ptr + i, len), slice_of(word, len))) {
            return true;
        }
    }
    return false;
}

bool diag_is_secret_name(struct slice name)
{
    static const char *const parts[] = { "secret",  "password",   "passwd",  "passphrase",
                                         "private", "credential", "api_key", "apikey" };
    /* "k" and the others are the private members of a JWK (RFC 7518 section 6). */
    static const char *const whole[] = { "token", "key", "k", "d", "p", "q", "dp", "dq", "qi" };
    static const char *const misspelt[] = { "secret", "password", "passphrase" };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (slice_contains(name, parts[i])) {
            return true;
        }
    }
    if (name.len > 6 && slice_eq_nocase(slice_skip(name, name.len - 6), SLICE("_token"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        if (slice_eq_nocase(name, slice_str(whole[i]))) {
            return true;
        }
    }
    return diag_nearest(name, misspelt, sizeof(misspelt) / sizeof(misspelt[0])) != NULL;
}

/* Excerpts: the text is scanned from its start, because whether a value is secret depends on the
 * key before it, maybe lines above.  Tolerant: the text may be the reason for the error. */

struct scan {
    struct slice text;
    size_t pos;
    unsigned depth;
    bool secret[SCAN_MAX_DEPTH]; /* containers that are the value of a secret-like key */
    bool key_secret;             /* the last key is named like a secret */
    bool key_is_short;           /* it has one or two letters */
};

static bool container_is_secret(const struct scan *scan)
{
    return scan->depth > 0 && scan->depth <= SCAN_MAX_DEPTH && scan->secret[scan->depth - 1];
}

static size_t string_end(struct slice text, size_t pos)
{
    for (pos++; pos < text.len && text.ptr[pos] != '"' && text.ptr[pos] != '\n'; pos++) {
        if (text.ptr[pos] == '\\' && pos + 1 < text.len && text.ptr[pos + 1] != '\n') {
            pos++;
        }
    }
    return pos < text.len && text.ptr[pos] == '"' ? pos + 1 : pos;
}

static bool is_followed_by_colon(struct slice text, size_t pos)
{
    while (pos < text.len && memchr(" \t\r\n", text.ptr[pos], 4) != NULL) {
        pos++;
    }
    return pos < text.len && text.ptr[pos] == ':';
}

static size_t comment_end(struct slice text, size_t pos)
{
    bool is_line = text.ptr[pos + 1] == '/';

    for (pos += is_line ? 2 : 3; pos < text.len; pos++) {
        if (is_line && text.ptr[pos] == '\n') {
            return pos;
        }
        if (!is_line && text.ptr[pos - 1] == '*' && text.ptr[pos] == '/') {
            return pos + 1;
        }
    }
    return text.len;
}

static void scan_name(struct scan *scan, struct slice quoted)
{
    struct slice name = slice_of(quoted.ptr + 1, quoted.len >= 2 ? quoted.len - 2 : 0);

    scan->key_is_short = name.len <= 2;
    if (slice_eq(name, SLICE("env")) || slice_eq(name, SLICE("file")) ||
        slice_eq(name, SLICE("encoding")) || slice_eq(name, SLICE("header")) ||
        slice_eq(name, SLICE("scheme"))) {
        scan->key_secret = false; /* where a secret is, not the secret */
        return;
    }
    scan->key_secret = container_is_secret(scan) || diag_is_secret_name(name);
}

/* The next token [*ret_from, scan->pos); true: it is a value to hide. */
static bool scan_token(struct scan *scan, size_t *ret_from)
{
    struct slice text = scan->text;
    size_t from = scan->pos;
    char c = text.ptr[from];

    *ret_from = from;
    scan->pos = from + 1;
    if (c == '"') {
        scan->pos = string_end(text, from);
        if (is_followed_by_colon(text, scan->pos)) {
            scan_name(scan, slice_of(text.ptr + from, scan->pos - from));
            return false;
        }
        return scan->key_secret;
    }
    if (c == '/' && from + 1 < text.len &&
        (text.ptr[from + 1] == '/' || text.ptr[from + 1] == '*')) {
        scan->pos = comment_end(text, from);
        return false;
    }
    if (c == '{' || c == '[') {
        /* Things may be named like the members of a JWK. */
        scan->key_secret = scan->key_secret && !scan->key_is_short;
        if (scan->depth < SCAN_MAX_DEPTH) {
            scan->secret[scan->depth] = scan->key_secret;
        }
        scan->depth++;
        return false;
    }
    if ((c == '}' || c == ']') && scan->depth > 0) {
        scan->depth--;
        scan->key_secret = container_is_secret(scan);
        return false;
    }
    if (c == ',') {
        scan->key_secret = container_is_secret(scan);
        return false;
    }
    return scan->key_secret && c > ' ' && c != ':';
}

/* Copy the line's bytes [start, end) into `ret`, secrets as "*". */
static void mask_line(struct slice text, size_t start, size_t end, char *ret)
{
    struct scan scan = { .text = text };

    memcpy(ret, text.ptr + start, end - start);
    while (scan.pos < end) {
        size_t from;
        bool hide = scan_token(&scan, &from);

        for (size_t i = from < start ? start : from; hide && i < scan.pos && i < end; i++) {
            ret[i - start] = '*';
        }
    }
}

static void find_line(struct slice text, uint32_t line, size_t *ret_start, size_t *ret_end)
{
    size_t start = 0;

    for (uint32_t n = 1; n < line && start < text.len; start++) {
        if (text.ptr[start] == '\n') {
            n++;
        }
    }
    size_t end = start;

    while (end < text.len && text.ptr[end] != '\n' && text.ptr[end] != '\r') {
        end++;
    }
    *ret_start = start;
    *ret_end = end;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static void print_bytes(FILE *out, const char *line, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        unsigned char c = (unsigned char)line[i];

        fputc(c < ' ' || c == 0x7f ? ' ' : c, out);
    }
    fputc('\n', out);
}

static void print_marker(FILE *out, const char *line, size_t from, size_t mark, size_t width)
{
    fputs("      | ", out);
    for (size_t i = from; i < mark; i++) {
        if (!is_continuation(line[i])) {
            fputc(' ', out);
        }
    }
    fputc('^', out);
    for (size_t i = 1; i < width; i++) {
        if (!is_continuation(line[mark + i])) {
            fputc('~', out);
        }
    }
    fputc('\n', out);
}

static void print_excerpt(FILE *out, struct slice text, const struct diag_entry *entry)
{
    size_t start, end;

    find_line(text, entry->line, &start, &end);
    size_t len = end - start;
    size_t mark = entry->column - 1;

    if (mark > len || len == 0) {
        return;
    }
    char *line = malloc(len + 1);

    if (line == NULL) {
        return;
    }
    mask_line(text, start, end, line);
    line[len] = '\0';
    size_t from =
        mark < EXCERPT_COLUMNS / 2 || len <= EXCERPT_COLUMNS ? 0 : mark - EXCERPT_COLUMNS / 2;
    size_t to = len - from > EXCERPT_COLUMNS ? from + EXCERPT_COLUMNS : len;
    size_t width = mark + entry->width > to ? to - mark : entry->width;

    fprintf(out, "%5u | ", entry->line);
    print_bytes(out, line, from, to);
    print_marker(out, line, from, mark, width);
    free(line);
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
        print_excerpt(out, diag->files[entry->file].text, entry);
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

/* Did you mean */

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

const char *diag_nearest(struct slice word, const char *const *names, size_t count)
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
