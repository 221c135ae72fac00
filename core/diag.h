/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and warnings about configuration text: collected, sorted by place, printed with an
 * excerpt: `file:line:col: error: path: what; what would be right`.  At most 20 are kept. */
#pragma once

#include "core/arena.h"
#include "core/json.h"

#include <stdio.h>

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

struct diag_entry {
    enum diag_severity severity;
    uint16_t file;
    uint32_t line, column, width;
    const char *rule;    /* stable name of a lint rule, or NULL */
    const char *path;    /* "routes.admin.auth.scopes" */
    const char *message; /* what is wrong */
    const char *remedy;  /* what would be right; NULL when the message says it */
};

#define DIAG_MAX_ENTRIES 20
#define DIAG_MAX_FILES   64

struct diag {
    struct arena arena;
    struct diag_entry entries[DIAG_MAX_ENTRIES];
    unsigned count;
    unsigned errors, warnings; /* all, also those not kept */
    struct {
        const char *name;
        struct slice text;
    } files[DIAG_MAX_FILES];
    unsigned file_count;
};

void diag_init(struct diag *diag);
void diag_done(struct diag *diag);
/* Register a file's name and text (borrowed until diag_done) for excerpts; its number. */
int diag_add_file(struct diag *diag, const char *name, struct slice text);

/* At the value (or, diag_key, at the member's name) `where`; NULL: no place. `path` is copied. */
void diag_at(struct diag *diag, enum diag_severity severity, const struct json *where,
             const char *path, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
void diag_at_key(struct diag *diag, enum diag_severity severity, const struct json *where,
                 const char *path, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* A warning by the lint rule `rule` (static text); an error with `check --strict`. */
void diag_lint(struct diag *diag, const char *rule, const struct json *where, const char *path,
               const char *remedy, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* A syntax error of json_parse(). */
void diag_syntax(struct diag *diag, int file, const struct json_error *error);

/* Text form, sorted by file and place, then "N errors, nothing was changed".  Excerpts never show
 * values of keys named like secrets. */
void diag_print(const struct diag *diag, FILE *out);
/* Array of {file, line, column, severity, rule, path, message, remedy}. */
void diag_print_json(const struct diag *diag, FILE *out);
