/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration objects by table.  A table row is the parser, the default, the check and the
 * documentation of one key; from the same tables come `check --print`, the schema and the manual.
 * Unknown keys (with did-you-mean), wrong types, missing units, values out of range are reported
 * with their place; reading goes on so that all errors of a file come at once. */
#pragma once

#include "core/arena.h"
#include "core/diag.h"
#include "core/json.h"

enum option_type {
    OPT_BOOL,     /* bool */
    OPT_INT,      /* int64_t, min..max */
    OPT_DURATION, /* uint64_t milliseconds, from "250ms" "5s" "1m" "12h" "1d"; min..max in ms */
    OPT_SIZE,     /* uint64_t bytes, from "16B" "32KiB" "10MiB" "1GiB"; min..max */
    OPT_STRING,   /* struct slice (arena) */
    OPT_PATH,     /* const char * (arena): ${VAR} expanded, relative to the file that names it */
    OPT_ENUM,     /* int: index in choices[] */
    OPT_STRINGS,  /* struct option_strings; min..max entries */
    OPT_OBJECT,   /* `sub` read into the struct at offset */
    OPT_MAP,      /* struct option_list: one element of `sub_size` per member, read by `sub` */
    OPT_LIST,     /* struct option_list: one element per array entry, objects only */
    OPT_CUSTOM,   /* `parse` reads it (and reports); field at offset */
};

struct option_strings {
    struct slice *items;
    size_t count;
};

struct option_list {
    void *items; /* count elements of sub_size bytes */
    size_t count;
};

/* A file that a path names, as it was just before it was read. */
struct option_file {
    struct option_file *next;
    const char *path;
    uint64_t device, inode, size;
    int64_t changed_ns; /* st_ctim */
};

struct option_context {
    struct diag *diag;
    struct arena *arena;         /* results live here */
    const char *const *file_dir; /* by json->file: folder that relative paths start from */
    struct option_file **files;  /* a list, each once; NULL: nobody asks */
};

struct option {
    const char *name;
    enum option_type type;
    size_t offset;
    const char *def; /* as the user would write it (JSON text, e.g. "\"5s\"", "100", "[]"); NULL: no
                        default, the field stays zero */
    bool required;   /* `def` is then the example in the message */
    int64_t min, max; /* both 0: no bounds; OPT_STRING: of its length, OPT_MAP/LIST: of the count */
    const char *const *choices; /* OPT_ENUM: NULL-terminated */
    const struct option *sub;   /* OPT_OBJECT, OPT_MAP, OPT_LIST; OPT_CUSTOM: for printing */
    size_t sub_size;
    bool has_element; /* OPT_MAP, OPT_LIST: elements start with a struct option_element */
    /* OPT_CUSTOM: reads the value.  Others (may be NULL): a check after the value was read without
     * error; OPT_MAP and OPT_LIST: of every element, with its own value, path and struct. */
    void (*parse)(const struct option_context *ctx, const struct json *value, const char *path,
                  void *field);
    const char *help; /* one sentence for the reference */
    /* OPT_CUSTOM: JSON Schema of the value, where "@" stands for that of an object by `sub`.  NULL: `sub`'s
     * object, else a value like the default.  OPT_STRINGS: of each string.  OPT_STRING, OPT_OBJECT, and
     * elements of OPT_MAP: more members ({...}) of their schema. */
    const char *schema;
};
/* A table ends with .name = NULL. Structs of OPT_MAP elements may start with
 * `struct option_element` to learn their name and place. */
struct option_element {
    struct slice name;        /* OPT_MAP: the member's name */
    const struct json *where; /* the element's value: borrowed, lives as long as the JSON tree */
};

/* Read `object` by `table` into `out` (zeroed by the caller).  `path` names the object
 * ("upstreams.orders", "" at the top).  `extra` (may be NULL): names of keys that others read;
 * options_any_key: unknown keys are checked by another call. */
void options_read(const struct option_context *ctx, const struct option *table,
                  const struct json *object, const char *path, const char *const *extra, void *out);
extern const char *const options_any_key[];

/* "a.b" in the context's arena (`name` alone under an empty path); "" when out of memory. */
const char *options_join(const struct option_context *ctx, const char *path, struct slice name);
/* One value as OPT_PATH, for OPT_CUSTOM; NULL: reported. "-" stays "-". */
const char *options_read_path(const struct option_context *ctx, const struct json *value,
                              const char *path);
/* NULL: it was not noted. */
const struct option_file *options_find_file(const struct option_file *files, const char *path);
/* Is the member's name fit for a named thing (up to 64 of [A-Za-z0-9._-])?  false: reported. */
bool options_check_name(const struct option_context *ctx, const struct json *element,
                        const char *path);
/* "must be an object, not 5" where the type is another; true: it fits. */
bool options_expect(const struct option_context *ctx, const struct json *value, enum json_type type,
                    const char *path, const char *remedy);

/* The tree of an option's default; messages about it point at `object`. NULL: no memory. */
struct json *options_default(struct arena *arena, const struct option *option,
                             const struct json *object);

/* The effective configuration: `object` with all defaults filled in, by table, as JSON text.
 * Secrets ({"env": X}) print as <env X>. */
void options_print(const struct option *table, const struct json *object, FILE *out,
                   unsigned indent);

/* The scalars by themselves. ERR_BAD_INPUT. */
int options_duration(struct slice text, uint64_t *ret_ms) MUST_CHECK;
int options_size(struct slice text, uint64_t *ret_bytes) MUST_CHECK;
