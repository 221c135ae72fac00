/* SPDX-License-Identifier: Apache-2.0 */
#include "core/diag_excerpt.h"

#include "core/nearest.h"

#include <stdlib.h>

#define EXCERPT_COLUMNS 160
#define SCAN_MAX_DEPTH  64

/* ---- names like secrets ---- */

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
    return nearest_name(name, misspelt, sizeof(misspelt) / sizeof(misspelt[0])) != NULL;
}

/* ---- the excerpt ---- */

/* The text is scanned from its start, because whether a value is secret depends on the
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

void diag_print_excerpt(FILE *out, struct slice text, const struct diag_entry *entry)
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
