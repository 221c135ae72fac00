/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config_schema.h"

#include "gateway/config_build.h"
#include "gateway/registry.h"

#include <inttypes.h>

#define MEMORY ((size_t)4 << 20)

/* ---- the tables ---- */

/* The top-level table with the plugins' keys and the routes by their table, without any file. */
static const struct option *all_options(struct arena *arena)
{
    struct config config = { .arena = *arena }; /* the tables are made there */
    struct config_loader loader = { .config = &config, .ctx.arena = &config.arena };
    size_t count;
    const struct gw_plugin *const *plugins = registry_plugins(&count);

    config.plugins = arena_calloc(&config.arena, count + 1, sizeof(*config.plugins));
    if (config.plugins == NULL) {
        *arena = config.arena;
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        config.plugins[i] = plugins[i];
    }
    loader.builtin_count = count;
    const struct option *all = config_print_table(&loader);

    *arena = config.arena;
    return all;
}

/* ---- the schema ---- */

struct writer {
    FILE *out;
    unsigned indent;
};

static void write_object(struct writer *w, const struct option *table);

static void new_line(struct writer *w)
{
    fprintf(w->out, "\n%*s", (int)(2 * w->indent), "");
}

static void write_text(struct writer *w, const char *text)
{
    char escaped[2048];
    size_t len = json_escape(slice_str(text), escaped, sizeof(escaped));

    fprintf(w->out, "\"%.*s\"", (int)len, escaped);
}

/* ,"minimum":1,"maximum":9 under the names of the type. */
static void write_bounds(struct writer *w, const struct option *row, const char *min,
                         const char *max)
{
    if (row->min == 0 && row->max == 0) {
        return;
    }
    fprintf(w->out, ",\"%s\":%" PRId64 ",\"%s\":%" PRId64, min, row->min, max, row->max);
}

static void write_enum(struct writer *w, const struct option *row)
{
    fputs("\"enum\":[", w->out);
    for (size_t i = 0; row->choices[i] != NULL; i++) {
        fputs(i == 0 ? "" : ",", w->out);
        write_text(w, row->choices[i]);
    }
    fputc(']', w->out);
}

/* ,"a":1 of {"a":1}; nothing of NULL. */
static void write_members(struct writer *w, const char *object)
{
    if (object != NULL) {
        fprintf(w->out, ",%.*s", (int)strlen(object) - 2, object + 1);
    }
}

/* The text of the row's schema, with its `sub` in place of "@", as members of `allOf`. */
static void write_custom(struct writer *w, const struct option *row)
{
    const char *text = row->schema;

    if (text == NULL && row->sub != NULL) {
        write_object(w, row->sub);
        return;
    }
    if (text == NULL) {
        fputs(row->def != NULL && row->def[0] == '"'
                  ? "\"type\":\"string\""
                  : "\"type\":[\"object\",\"array\",\"string\",\"number\",\"boolean\"]",
              w->out);
        return;
    }
    /* Without its braces: the description and the default are members beside it. */
    size_t len = strlen(text);

    for (size_t i = 1; i + 1 < len; i++) {
        if (text[i] != '@') {
            fputc(text[i], w->out);
            continue;
        }
        fputc('{', w->out);
        write_object(w, row->sub);
        fputc('}', w->out);
    }
}

static void write_type(struct writer *w, const struct option *row)
{
    switch (row->type) {
    case OPT_BOOL: fputs("\"type\":\"boolean\"", w->out); break;
    case OPT_INT:
        fputs("\"type\":\"integer\"", w->out);
        write_bounds(w, row, "minimum", "maximum");
        break;
    case OPT_DURATION:
        fputs("\"type\":\"string\",\"pattern\":\"^[0-9]+(ms|s|m|h|d)$\"", w->out);
        break;
    case OPT_SIZE:
        fputs("\"type\":\"string\",\"pattern\":\"^[0-9]+(B|KiB|MiB|GiB)$\"", w->out);
        break;
    case OPT_STRING:
        fputs("\"type\":\"string\"", w->out);
        write_bounds(w, row, "minLength", "maxLength");
        write_members(w, row->schema);
        break;
    case OPT_PATH: fputs("\"type\":\"string\"", w->out); break;
    case OPT_ENUM: write_enum(w, row); break;
    case OPT_STRINGS:
        fprintf(w->out, "\"type\":\"array\",\"items\":%s",
                row->schema == NULL ? "{\"type\":\"string\"}" : row->schema);
        write_bounds(w, row, "minItems", "maxItems");
        break;
    case OPT_OBJECT:
        write_object(w, row->sub);
        write_members(w, row->schema);
        break;
    case OPT_MAP:
        fputs("\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[A-Za-z0-9._-]{1,64}$\"}",
              w->out);
        write_bounds(w, row, "minProperties", "maxProperties");
        fputs(",\"additionalProperties\":{", w->out);
        write_object(w, row->sub);
        write_members(w, row->schema);
        fputc('}', w->out);
        break;
    case OPT_LIST:
        fputs("\"type\":\"array\"", w->out);
        write_bounds(w, row, "minItems", "maxItems");
        fputs(",\"items\":{", w->out);
        write_object(w, row->sub);
        fputc('}', w->out);
        break;
    case OPT_CUSTOM: write_custom(w, row); break;
    }
}

static void write_row(struct writer *w, const struct option *row)
{
    write_text(w, row->name);
    fputs(": { ", w->out);
    if (row->help != NULL) {
        fputs("\"description\":", w->out);
        write_text(w, row->help);
        fputs(", ", w->out);
    }
    write_type(w, row);
    if (row->def != NULL) {
        fprintf(w->out, ",\"%s\":%s%s%s", row->required ? "examples" : "default",
                row->required ? "[" : "", row->def, row->required ? "]" : "");
    }
    fputs(" }", w->out);
}

/* The members of an object's schema. */
static void write_object(struct writer *w, const struct option *table)
{
    const char *separator = "";

    fputs("\"type\":\"object\",\"additionalProperties\":false", w->out);
    for (const struct option *row = table; row->name != NULL; row++) {
        if (row->required) {
            fprintf(w->out, "%s\"%s\"", separator[0] == '\0' ? ",\"required\":[" : ",", row->name);
            separator = ",";
        }
    }
    fputs(separator[0] == '\0' ? ",\"properties\":{" : "],\"properties\":{", w->out);
    w->indent++;
    for (const struct option *row = table; row->name != NULL; row++) {
        fputs(row == table ? "" : ",", w->out);
        new_line(w);
        write_row(w, row);
    }
    w->indent--;
    new_line(w);
    fputc('}', w->out);
}

void config_write_schema_of(FILE *out, const char *title, const struct option *table)
{
    struct writer w = { .out = out };

    fputs("{ \"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":", out);
    write_text(&w, title);
    fputc(',', out);
    write_object(&w, table);
    fputs(" }\n", out);
}

int config_write_schema(FILE *out)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, MEMORY);
    const struct option *all = all_options(&arena);

    if (all != NULL) {
        config_write_schema_of(out, "Configuration of jwtgate", all);
    }
    arena_done(&arena);
    return all == NULL ? ERR_NO_MEMORY : 0;
}

/* ---- key by key ---- */

struct walk {
    struct arena arena;
    config_key_fn *fn;
    void *arg;
};

static const char *type_name(const struct option *row)
{
    static const char *const names[] = {
        [OPT_BOOL] = "true or false",
        [OPT_INT] = "integer",
        [OPT_DURATION] = "duration",
        [OPT_SIZE] = "size",
        [OPT_STRING] = "string",
        [OPT_PATH] = "path",
        [OPT_ENUM] = "word",
        [OPT_STRINGS] = "list of strings",
        [OPT_OBJECT] = "object",
        [OPT_MAP] = "objects by name",
        [OPT_LIST] = "list of objects",
        [OPT_CUSTOM] = NULL,
    };
    const char *name = names[row->type];

    return name != NULL ? name : row->sub != NULL ? "object" : "value";
}

static const char *choices_text(struct walk *walk, const struct option *row)
{
    const char *text = "";

    for (size_t i = 0; row->choices[i] != NULL && text != NULL; i++) {
        text =
            arena_printf(&walk->arena, "%s%s\"%s\"", text, i == 0 ? "" : " or ", row->choices[i]);
    }
    return text;
}

static const char *range_text(struct walk *walk, const struct option *row)
{
    if (row->type == OPT_ENUM) {
        return choices_text(walk, row);
    }
    if (row->type != OPT_INT || (row->min == 0 && row->max == 0)) {
        return NULL;
    }
    return arena_printf(&walk->arena, "%" PRId64 " to %" PRId64, row->min, row->max);
}

static int walk_table(struct walk *walk, const char *path, const struct option *table)
{
    for (const struct option *row = table; row->name != NULL; row++) {
        const char *own =
            arena_printf(&walk->arena, "%s%s%s", path, path[0] == '\0' ? "" : ".", row->name);
        bool is_map = row->type == OPT_MAP, is_list = row->type == OPT_LIST;

        if (own == NULL) {
            return ERR_NO_MEMORY;
        }
        const struct config_key key = { .path = own,
                                        .type = type_name(row),
                                        .def = row->required ? NULL : row->def,
                                        .range = range_text(walk, row),
                                        .help = row->help,
                                        .required = row->required };

        walk->fn(walk->arg, &key);
        if (row->sub == NULL) {
            continue;
        }
        own = arena_printf(&walk->arena, "%s%s", own, is_map ? ".NAME" : is_list ? "[]" : "");
        if (own == NULL || walk_table(walk, own, row->sub) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

int config_each_key(config_key_fn *fn, void *arg)
{
    struct walk walk = { .fn = fn, .arg = arg };

    arena_init(&walk.arena, NULL, 0, MEMORY);
    const struct option *all = all_options(&walk.arena);
    int err = all == NULL ? ERR_NO_MEMORY : walk_table(&walk, "", all);

    arena_done(&walk.arena);
    return err;
}
