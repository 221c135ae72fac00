/* SPDX-License-Identifier: Apache-2.0 */
/* yajl checks the grammar and says which token comes; places, text checks and limits are ours.
 *
 * The tokens are found again in the raw text (`pos` walks over it, between two tokens there are
 * only spaces, comments and one separator), which gives exact places and the escapes as written:
 * yajl turns lone surrogates into "?" and thereby hides them. */
#include "core/json.h"

#include "core/map.h"
#include "core/utf8.h"

#include <yajl/yajl_parse.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_DEPTH         64u
#define LINEAR_MEMBERS    16u /* objects with more get a map of their names */
#define SCRATCH_BYTES     4096u
#define SCRATCH_MAX_BYTES (64u << 20)

const struct json_limits json_limits_token = {
    .max_bytes = 8192,
    .max_depth = 16,
    .max_nodes = 256,
    .max_string = 4096,
};

const struct json_limits json_limits_config = {
    .max_bytes = 4u << 20,
    .max_depth = 32,
    .max_nodes = 500000,
    .max_string = 1u << 20,
    .comments = true,
};

struct frame { /* an open array or object */
    struct json *node;
    struct json *last; /* child */
    struct map names;  /* of members, once there are more than LINEAR_MEMBERS */
};

struct place {
    size_t offset;
    uint32_t line;
    size_t line_start;
};

struct parser {
    const struct json_limits *limits;
    struct arena *arena;
    struct slice text;
    struct json_error *error;
    bool failed; /* error is filled */

    size_t pos;         /* behind the last token */
    char separator;     /* that must come next: ',' ':' or 0 */
    struct place place; /* moves on only */

    struct json *root;
    unsigned nodes, depth;
    struct slice key; /* of the value that follows; absent in arrays */
    uint32_t key_line, key_column;

    struct arena scratch; /* yajl's memory */
    jmp_buf no_memory;
    struct frame frames[MAX_DEPTH];
};

/* ---- places and errors ---- */

/* Line and column of `offset`, which is not before the last one asked for, so that a whole parse
 * looks at each byte once. */
static void locate(struct parser *p, size_t offset, uint32_t *ret_line, uint32_t *ret_column)
{
    struct place *place = &p->place;

    while (place->offset < offset) {
        const char *from = p->text.ptr + place->offset;
        const char *newline = memchr(from, '\n', offset - place->offset);
        if (newline == NULL) {
            break;
        }
        place->offset = (size_t)(newline - p->text.ptr) + 1;
        place->line_start = place->offset;
        place->line++;
    }
    if (place->offset < offset) {
        place->offset = offset;
    }
    *ret_line = place->line;
    *ret_column = (uint32_t)(offset - place->line_start + 1);
}

__attribute__((format(printf, 3, 4))) static void fail(struct parser *p, size_t offset,
                                                       const char *format, ...)
{
    va_list args;

    if (p->failed) {
        return;
    }
    p->failed = true;
    locate(p, offset, &p->error->line, &p->error->column);
    va_start(args, format);
    (void)vsnprintf(p->error->text, sizeof(p->error->text), format, args);
    va_end(args);
}

static int fail_memory(struct parser *p, size_t offset)
{
    fail(p, offset, "out of memory");
    return 0;
}

static bool check_bytes(struct parser *p)
{
    const unsigned char *s = (const unsigned char *)p->text.ptr;
    uint32_t code;

    for (size_t i = 0; i < p->text.len;) {
        if (s[i] < 0x20 && s[i] != '\t' && s[i] != '\n' && s[i] != '\r') {
            /* Also outside of strings: yajl takes \v and \f for spaces, RFC 8259 does not. */
            fail(p, i, "control byte 0x%02x; in a string it is written \\u%04x", s[i], s[i]);
            return false;
        }
        if (s[i] < 0x80) {
            i++;
            continue;
        }
        unsigned count = utf8_decode(s + i, p->text.len - i, &code);
        if (count == 0) {
            fail(p, i, "byte 0x%02x is not valid UTF-8; save the text as UTF-8", s[i]);
            return false;
        }
        i += count;
    }
    return true;
}

/* ---- tokens in the raw text ---- */

/* Stops also at a comment without an end. */
static size_t skip_blank(const struct parser *p, size_t pos)
{
    const char *s = p->text.ptr;
    size_t len = p->text.len;

    while (pos < len) {
        if (s[pos] == ' ' || s[pos] == '\t' || s[pos] == '\n' || s[pos] == '\r') {
            pos++;
            continue;
        }
        if (s[pos] != '/' || !p->limits->comments || pos + 1 >= len) {
            return pos;
        }
        if (s[pos + 1] == '/') {
            const char *newline = memchr(s + pos, '\n', len - pos);
            pos = newline == NULL ? len : (size_t)(newline - s) + 1;
        } else if (s[pos + 1] == '*') {
            const char *end = memmem(s + pos + 2, len - pos - 2, "*/", 2);
            if (end == NULL) {
                return pos;
            }
            pos = (size_t)(end - s) + 2;
        } else {
            return pos;
        }
    }
    return pos;
}

/* Where the next token starts: behind blanks and the one separator that may stand here. */
static size_t next_token(const struct parser *p)
{
    size_t pos = skip_blank(p, p->pos);

    if (p->separator != 0 && pos < p->text.len && p->text.ptr[pos] == p->separator) {
        pos = skip_blank(p, pos + 1);
    }
    return pos;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}

/* Four hex digits; yajl has checked that they are. */
static uint32_t read_hex4(const char *s)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < 4; i++) {
        code = code << 4 | (uint32_t)(hex_digit(s[i]) & 15);
    }
    return code;
}

static char unescape_char(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: /* one of "\/ */ return c;
    }
}

/* A \u escape at `pos` (of its backslash), with its second half; the bytes read, 0 after fail(). */
static size_t read_unicode_escape(struct parser *p, size_t pos, size_t end, uint32_t *ret_code)
{
    const char *s = p->text.ptr;

    if (end - pos < 6) {
        fail(p, pos, "incomplete escape");
        return 0;
    }
    uint32_t code = read_hex4(s + pos + 2);
    if (code == 0) {
        fail(p, pos, "\\u0000 is not allowed in a string");
        return 0;
    }
    if (code < 0xd800 || code > 0xdfff) {
        *ret_code = code;
        return 6;
    }
    if (code < 0xdc00 && end - pos >= 12 && s[pos + 6] == '\\' && s[pos + 7] == 'u') {
        uint32_t low = read_hex4(s + pos + 8);
        if (low >= 0xdc00 && low <= 0xdfff) {
            *ret_code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            return 12;
        }
    }
    fail(p, pos, "\\u%04x is half of a surrogate pair; write both halves", code);
    return 0;
}

/* The bytes inside the quotes of the string at `start`, unescaped, in the arena; its end. */
static bool read_string(struct parser *p, size_t start, struct slice *ret, size_t *ret_end)
{
    const char *s = p->text.ptr;
    size_t end = start + 1;

    while (end < p->text.len && s[end] != '"') {
        end += s[end] == '\\' ? 2 : 1;
    }
    if (bug_if(end >= p->text.len || s[start] != '"')) {
        fail(p, start, "no string where yajl found one");
        return false;
    }
    char *copy = arena_alloc(p->arena, end - start - 1); /* unescaped is never longer */
    if (copy == NULL) {
        fail_memory(p, start);
        return false;
    }

    size_t len = 0;
    for (size_t i = start + 1; i < end;) {
        if (s[i] != '\\') {
            copy[len++] = s[i++];
        } else if (s[i + 1] != 'u') {
            copy[len++] = unescape_char(s[i + 1]);
            i += 2;
        } else {
            uint32_t code = 0;
            size_t used = read_unicode_escape(p, i, end, &code);
            if (used == 0) {
                return false;
            }
            len += utf8_encode(code, copy + len);
            i += used;
        }
    }
    if (len > p->limits->max_string) {
        fail(p, start, "string of %zu bytes; at most %zu", len, p->limits->max_string);
        return false;
    }
    *ret = slice_of(copy, len);
    *ret_end = end + 1;
    return true;
}

/* ---- the tree ---- */

/* A new node for the value at `start`, linked to its parent; NULL after fail(). */
static struct json *add_node(struct parser *p, enum json_type type, size_t start)
{
    if (p->nodes >= p->limits->max_nodes) {
        fail(p, start, "more than %u values", p->limits->max_nodes);
        return NULL;
    }
    struct json *node = arena_calloc(p->arena, 1, sizeof(*node));
    if (node == NULL) {
        fail_memory(p, start);
        return NULL;
    }

    p->nodes++;
    node->type = type;
    node->file = p->limits->file;
    locate(p, start, &node->line, &node->column);
    if (p->depth == 0) {
        p->root = node;
        return node;
    }

    struct frame *frame = &p->frames[p->depth - 1];
    if (frame->node->type == JSON_OBJECT) {
        node->key = p->key;
        node->key_line = p->key_line;
        node->key_column = p->key_column;
    }
    *(frame->last == NULL ? &frame->node->child : &frame->last->next) = node;
    frame->last = node;
    frame->node->count++;
    return node;
}

/* The value that ends before `end` is complete. */
static int finish_value(struct parser *p, struct json *node, size_t end)
{
    p->pos = end;
    p->separator = p->depth == 0 ? 0 : ',';
    locate(p, end, &node->end_line, &node->end_column);
    return 1;
}

static int add_literal(struct parser *p, enum json_type type, bool boolean, size_t len)
{
    size_t start = next_token(p);
    struct json *node = add_node(p, type, start);

    if (node == NULL) {
        return 0;
    }
    node->boolean = boolean;
    return finish_value(p, node, start + len);
}

static int on_null(void *ctx)
{
    return add_literal(ctx, JSON_NULL, false, 4);
}

static int on_boolean(void *ctx, int value)
{
    return add_literal(ctx, JSON_BOOL, value != 0, value != 0 ? 4 : 5);
}

static int on_number(void *ctx, const char *digits, size_t len)
{
    struct parser *p = ctx;
    size_t start = next_token(p);

    if (len > p->limits->max_string) {
        fail(p, start, "number of %zu digits; at most %zu", len, p->limits->max_string);
        return 0;
    }
    struct json *node = add_node(p, JSON_NUMBER, start);
    if (node == NULL) {
        return 0;
    }
    node->text = arena_copy(p->arena, slice_of(digits, len));
    if (slice_is_absent(node->text)) {
        return fail_memory(p, start);
    }
    return finish_value(p, node, start + len);
}

static int on_string(void *ctx, const unsigned char *bytes, size_t len)
{
    struct parser *p = ctx;
    size_t start = next_token(p);
    size_t end;
    struct json *node = add_node(p, JSON_STRING, start);

    if (node == NULL || !read_string(p, start, &node->text, &end)) {
        return 0;
    }
    return finish_value(p, node, end);
}

static int open_container(struct parser *p, enum json_type type)
{
    size_t start = next_token(p);
    unsigned max_depth = p->limits->max_depth < MAX_DEPTH ? p->limits->max_depth : MAX_DEPTH;

    if (p->depth >= max_depth) {
        fail(p, start, "nested deeper than %u", max_depth);
        return 0;
    }
    struct json *node = add_node(p, type, start);
    if (node == NULL) {
        return 0;
    }
    p->frames[p->depth++] = (struct frame){ .node = node };
    p->pos = start + 1;
    p->separator = 0;
    return 1;
}

static int close_container(struct parser *p)
{
    size_t end = skip_blank(p, p->pos) + 1;

    p->depth--;
    map_done(&p->frames[p->depth].names);
    return finish_value(p, p->frames[p->depth].node, end);
}

static int on_object(void *ctx)
{
    return open_container(ctx, JSON_OBJECT);
}

static int on_array(void *ctx)
{
    return open_container(ctx, JSON_ARRAY);
}

static int on_end(void *ctx)
{
    return close_container(ctx);
}

/* An earlier member of the object named `key`.  *ret_err: no memory for the map of names. */
static struct json *find_member(struct frame *frame, struct slice key, int *ret_err)
{
    *ret_err = 0;
    if (frame->node->count <= LINEAR_MEMBERS) {
        return json_get(frame->node, key);
    }

    if (frame->names.count == 0) {
        for (struct json *member = frame->node->child; member != NULL; member = member->next) {
            *ret_err = map_set(&frame->names, member->key, member);
            if (*ret_err < 0) {
                return NULL;
            }
        }
    } else { /* all but the last are there */
        *ret_err = map_set(&frame->names, frame->last->key, frame->last);
        if (*ret_err < 0) {
            return NULL;
        }
    }
    return map_get(&frame->names, key);
}

static int on_key(void *ctx, const unsigned char *bytes, size_t len)
{
    struct parser *p = ctx;
    struct frame *frame = &p->frames[p->depth - 1];
    size_t start = next_token(p);
    size_t end;
    int err;

    locate(p, start, &p->key_line, &p->key_column);
    if (!read_string(p, start, &p->key, &end)) {
        return 0;
    }
    const struct json *first = find_member(frame, p->key, &err);
    if (err < 0) {
        return fail_memory(p, start);
    }
    if (first != NULL) {
        /* A name that is not ours to print may be long or hold controls. */
        char name[64];
        size_t shown = json_escape(p->key, name, sizeof(name));
        fail(p, start, "member \"%.*s\" is there twice; first at line %u", (int)shown, name,
             first->key_line);
        return 0;
    }
    p->pos = end;
    p->separator = ':';
    return 1;
}

/* ---- yajl ---- */

/* yajl does not check for NULL from malloc, so the parse is left by longjmp: yajl's memory is all
 * in the scratch arena, and nothing of ours is between. */
static void *scratch_alloc(void *ctx, size_t size)
{
    struct parser *p = ctx;
    size_t *block = size > SCRATCH_MAX_BYTES ? NULL : arena_alloc(&p->scratch, size + 16);

    if (block == NULL) {
        longjmp(p->no_memory, 1);
    }
    block[0] = size;
    return (char *)block + 16;
}

static void *scratch_realloc(void *ctx, void *ptr, size_t size)
{
    size_t *copy = scratch_alloc(ctx, size);

    if (ptr != NULL) {
        const size_t *block = (const size_t *)(const void *)((const char *)ptr - 16);
        memcpy(copy, ptr, block[0] < size ? block[0] : size);
    }
    return copy;
}

static void scratch_free(void *ctx, void *ptr)
{
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_object,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_array,
    .yajl_end_array = on_end,
};

/* Where in the text an error is: the token's start, or where yajl stopped, or just before. */
enum error_place { AT_TOKEN, AT_BYTE, BEFORE_BYTE };

/* yajl's words, and ours for those that do not say what would be right. */
static const struct {
    const char *yajl, *ours;
    enum error_place place;
} phrases[] = {
    { "trailing garbage", "text after the end of the value; remove it", AT_TOKEN },
    { "unallowed token", "a value must stand here", AT_TOKEN },
    { "invalid object key", "a member's name in double quotes must stand here", AT_TOKEN },
    { "separated by a colon", "\":\" must stand between a member's name and its value", AT_TOKEN },
    { "after key and value", "\",\" or \"}\" must follow a member", AT_TOKEN },
    { "after array element", "\",\" or \"]\" must follow an element", AT_TOKEN },
    { "probable comment", "comments are not allowed here", AT_TOKEN },
    { "invalid char in json text", "a value must stand here; strings need double quotes",
      AT_TOKEN },
    { "invalid string in json text", "a value must stand here; strings need double quotes",
      AT_TOKEN },
    { "invalid character inside string", "control characters in strings must be escaped", AT_BYTE },
    { "inside a string, '\\' occurs before", "unknown escape; \"\\\" itself is written \"\\\\\"",
      BEFORE_BYTE },
    { "invalid (non-hex) character", "four hexadecimal digits must follow \"\\u\"", AT_BYTE },
    { "required after the minus", "a digit must follow \"-\"", AT_TOKEN },
    { "required after the decimal", "a digit must follow \".\"", AT_TOKEN },
    { "required after the exponent", "a digit must follow the exponent", AT_TOKEN },
};

static void fail_phrase(struct parser *p, const char *text, size_t token, size_t consumed)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (strstr(text, phrases[i].yajl) == NULL) {
            continue;
        }
        size_t at = phrases[i].place == BEFORE_BYTE && consumed > 0 ? consumed - 1 : consumed;
        if (phrases[i].place == AT_TOKEN || at < token) {
            at = token;
        }
        fail(p, at, "%s", phrases[i].ours);
        return;
    }
    fail(p, token, "%.*s", (int)strcspn(text, "\n"), text);
}

/* `consumed`: bytes of our text that yajl has read. */
static void fail_yajl(struct parser *p, yajl_handle yajl, size_t consumed)
{
    const char *text = (const char *)yajl_get_error(yajl, 0, NULL, 0);
    size_t token = next_token(p);
    size_t before = skip_blank(p, p->pos);
    struct slice rest = slice_skip(p->text, token);

    if (rest.len == 0) {
        fail(p, token, p->root == NULL ? "no value" : "the text ends in the middle");
    } else if (before < token && p->separator == ',' &&
               (rest.ptr[0] == ']' || rest.ptr[0] == '}')) {
        fail(p, before, "trailing comma; remove it");
    } else if (p->limits->comments && slice_starts_with(rest, SLICE("/*"))) {
        fail(p, token, "this comment has no end; close it with \"*/\"");
    } else if (strstr(text, "premature EOF") != NULL) {
        fail(p, token,
             rest.ptr[0] == '"' ? "this string has no end; close it with '\"'"
                                : "the text ends in the middle");
    } else {
        fail_phrase(p, text, token, consumed);
    }
}

static void run_yajl(struct parser *p)
{
    yajl_alloc_funcs alloc = {
        .malloc = scratch_alloc, .realloc = scratch_realloc, .free = scratch_free, .ctx = p
    };

    if (setjmp(p->no_memory) != 0) {
        fail_memory(p, p->pos);
        return;
    }
    yajl_handle yajl = yajl_alloc(&callbacks, &alloc, p);
    (void)yajl_config(yajl, yajl_allow_comments, p->limits->comments ? 1 : 0);
    yajl_status status = yajl_parse(yajl, (const unsigned char *)p->text.ptr, p->text.len);
    size_t consumed = yajl_get_bytes_consumed(yajl);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(yajl);
    }
    if (status != yajl_status_ok) {
        if (!p->failed) {
            fail_yajl(p, yajl, consumed);
        }
        return;
    }

    /* yajl does not mind an open comment at the end. */
    size_t end = skip_blank(p, p->pos);
    if (end < p->text.len) {
        fail(p, end, "this comment has no end; close it with \"*/\"");
    }
}

/* What needs no grammar: the size, the encoding. */
static bool check_text(struct parser *p)
{
    if (p->text.len > p->limits->max_bytes) {
        fail(p, 0, "text of %zu bytes; at most %zu", p->text.len, p->limits->max_bytes);
        return false;
    }
    if (slice_starts_with(p->text, SLICE("\xef\xbb\xbf"))) {
        fail(p, 0, "the text starts with a byte-order mark; save it without");
        return false;
    }
    return check_bytes(p);
}

struct json *json_parse(struct arena *arena, struct slice text, const struct json_limits *limits,
                        struct json_error *ret_error)
{
    char first[SCRATCH_BYTES];
    struct json_error ignored;
    struct parser p; /* the frames are large and set when they are used */

    memset(&p, 0, offsetof(struct parser, frames));
    p.limits = limits;
    p.arena = arena;
    p.text = slice_is_absent(text) ? SLICE("") : text;
    p.error = ret_error == NULL ? &ignored : ret_error;
    p.place.line = 1;
    if (!check_text(&p)) {
        return NULL;
    }

    arena_init(&p.scratch, first, sizeof(first), SCRATCH_MAX_BYTES);
    run_yajl(&p);
    arena_done(&p.scratch);
    while (p.depth > 0) {
        map_done(&p.frames[--p.depth].names);
    }
    if (!p.failed && bug_if(p.root == NULL)) {
        fail(&p, 0, "no value");
    }
    return p.failed ? NULL : p.root;
}
