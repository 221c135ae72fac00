/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include "core/nearest.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_NAMES   128 /* known keys of one object */
#define MAX_ELEMENT 64  /* bytes of a map member's name */

const char *const options_any_key[] = { NULL };

/* Helpers */

static void out_of_memory(const struct option_context *ctx, const struct json *where)
{
    diag_at(ctx->diag, DIAG_ERROR, where, NULL, NULL, "out of memory");
}

const char *options_join(const struct option_context *ctx, const char *path, struct slice name)
{
    const char *joined = path[0] == '\0'
                             ? arena_strdup(ctx->arena, name)
                             : arena_printf(ctx->arena, "%s.%.*s", path, SLICE_FMT(name));

    return joined == NULL ? "" : joined;
}

bool options_expect(const struct option_context *ctx, const struct json *value, enum json_type type,
                    const char *path, const char *remedy)
{
    if (value->type == type) {
        return true;
    }
    diag_at(ctx->diag, DIAG_ERROR, value, path, remedy, "must be %s, not %s", json_type_name(type),
            json_type_name(value->type));
    return false;
}

/* Numbers with units */

struct unit {
    struct slice name;
    uint64_t factor;
};

static const struct unit duration_units[] = {
    { SLICE("ms"), 1 },      { SLICE("s"), 1000 },     { SLICE("m"), 60000 },
    { SLICE("h"), 3600000 }, { SLICE("d"), 86400000 }, { { NULL, 0 }, 0 },
};

static const struct unit size_units[] = {
    { SLICE("B"), 1 },         { SLICE("KiB"), 1 << 10 }, { SLICE("MiB"), 1 << 20 },
    { SLICE("GiB"), 1 << 30 }, { { NULL, 0 }, 0 },
};

static int parse_units(struct slice text, const struct unit *units, uint64_t *ret)
{
    uint64_t number = 0;
    size_t digits = 0;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        if (digits == 12) {
            return ERR_BAD_INPUT;
        }
        number = number * 10 + (uint64_t)(text.ptr[digits] - '0');
        digits++;
    }
    if (digits == 0) {
        return ERR_BAD_INPUT;
    }
    for (; units->factor != 0; units++) {
        if (slice_eq(slice_skip(text, digits), units->name)) {
            return __builtin_mul_overflow(number, units->factor, ret) || *ret > (uint64_t)INT64_MAX
                       ? ERR_BAD_INPUT
                       : 0;
        }
    }
    return ERR_BAD_INPUT;
}

int options_duration(struct slice text, uint64_t *ret_ms)
{
    return parse_units(text, duration_units, ret_ms);
}

int options_size(struct slice text, uint64_t *ret_bytes)
{
    return parse_units(text, size_units, ret_bytes);
}

/* "write "1500ms"": what was likely meant, or NULL. */
static const char *duration_remedy(const struct option_context *ctx, struct slice text)
{
    char number[32];
    char *end;
    double seconds;

    if (text.len == 0 || text.len >= sizeof(number)) {
        return NULL;
    }
    memcpy(number, text.ptr, text.len);
    number[text.len] = '\0';
    seconds = strtod(number, &end);
    if (end == number || seconds < 0 || seconds > 1e9) {
        return NULL;
    }
    double factor = 0;

    for (const struct unit *unit = duration_units; unit->factor != 0; unit++) {
        if (slice_eq_nocase(slice_str(end), unit->name)) {
            factor = (double)unit->factor;
        }
    }
    if (strcmp(end, "sec") == 0 || strcmp(end, "seconds") == 0) {
        factor = 1000;
    } else if (strcmp(end, "min") == 0 || strcmp(end, "minutes") == 0) {
        factor = 60000;
    }
    uint64_t ms = (uint64_t)(seconds * factor);

    if (ms == 0) {
        return NULL;
    }
    return ms % 1000 == 0 ? arena_printf(ctx->arena, "write \"%" PRIu64 "s\"", ms / 1000)
                          : arena_printf(ctx->arena, "write \"%" PRIu64 "ms\"", ms);
}

static const char *size_remedy(const struct option_context *ctx, struct slice text)
{
    size_t digits = 0;
    static const struct {
        const char *seen, *meant;
    } units[] = { { "K", "KiB" },   { "KB", "KiB" }, { "M", "MiB" },   { "MB", "MiB" },
                  { "G", "GiB" },   { "GB", "GiB" }, { "KIB", "KiB" }, { "MIB", "MiB" },
                  { "GIB", "GiB" }, { "B", "B" } };

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    for (size_t i = 0; digits > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_eq_nocase(slice_skip(text, digits), slice_str(units[i].seen))) {
            return arena_printf(ctx->arena, "write \"%.*s%s\"", (int)digits, text.ptr,
                                units[i].meant);
        }
    }
    return NULL;
}

static const char *unit_text(const struct option_context *ctx, enum option_type type, int64_t n)
{
    const struct unit *units = type == OPT_DURATION ? duration_units
                               : type == OPT_SIZE   ? size_units
                                                    : NULL;
    const struct unit *best = NULL;

    for (; units != NULL && units->factor != 0; units++) {
        if (best == NULL || (n != 0 && (uint64_t)n % units->factor == 0)) {
            best = units;
        }
    }
    const char *text = best == NULL ? arena_printf(ctx->arena, "%" PRId64, n)
                                    : arena_printf(ctx->arena, "\"%" PRIu64 "%s\"",
                                                   (uint64_t)n / best->factor, best->name.ptr);

    return text == NULL ? "" : text;
}

static bool check_bounds(const struct option_context *ctx, const struct option *option,
                         const struct json *value, const char *path, int64_t n)
{
    if ((option->min == 0 && option->max == 0) || (n >= option->min && n <= option->max)) {
        return true;
    }
    const char *remedy =
        arena_printf(ctx->arena, "write %s to %s", unit_text(ctx, option->type, option->min),
                     unit_text(ctx, option->type, option->max));

    diag_at(ctx->diag, DIAG_ERROR, value, path, remedy, "%s is too %s",
            unit_text(ctx, option->type, n), n < option->min ? "small" : "large");
    return false;
}

/* Scalars; each returns true when `field` was set */

static bool read_bool(const struct option_context *ctx, const struct option *option,
                      const struct json *value, const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_BOOL, path, "write true or false")) {
        return false;
    }
    *(bool *)field = value->boolean;
    return true;
}

static bool read_int(const struct option_context *ctx, const struct option *option,
                     const struct json *value, const char *path, void *field)
{
    int64_t n;

    if (!options_expect(ctx, value, JSON_NUMBER, path, NULL)) {
        return false;
    }
    if (!json_int(value, &n)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "must be an integer, not %.*s",
                SLICE_FMT(value->text));
        return false;
    }
    if (!check_bounds(ctx, option, value, path, n)) {
        return false;
    }
    *(int64_t *)field = n;
    return true;
}

static bool read_unit(const struct option_context *ctx, const struct option *option,
                      const struct json *value, const char *path, void *field)
{
    bool is_duration = option->type == OPT_DURATION;
    const char *example = is_duration ? "write it like \"5s\"" : "write it like \"32KiB\"";
    uint64_t n;

    if (value->type == JSON_NUMBER) {
        const char *remedy = arena_printf(ctx->arena, "write \"%.*s%s\"", SLICE_FMT(value->text),
                                          is_duration ? "s" : "B");
        diag_at(ctx->diag, DIAG_ERROR, value, path, remedy, "%.*s has no unit",
                SLICE_FMT(value->text));
        return false;
    }
    if (!options_expect(ctx, value, JSON_STRING, path, example)) {
        return false;
    }
    int err = is_duration ? options_duration(value->text, &n) : options_size(value->text, &n);

    if (err < 0) {
        const char *remedy =
            is_duration ? duration_remedy(ctx, value->text) : size_remedy(ctx, value->text);
        const char *units = is_duration ? "write an integer and one of ms, s, m, h, d"
                                        : "write an integer and one of B, KiB, MiB, GiB";

        diag_at(ctx->diag, DIAG_ERROR, value, path, remedy == NULL ? units : remedy,
                "\"%.*s\" is not a %s", SLICE_FMT(value->text), is_duration ? "duration" : "size");
        return false;
    }
    if (!check_bounds(ctx, option, value, path, (int64_t)n)) {
        return false;
    }
    *(uint64_t *)field = n;
    return true;
}

static bool read_string(const struct option_context *ctx, const struct option *option,
                        const struct json *value, const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_STRING, path, NULL)) {
        return false;
    }
    if ((option->min != 0 || option->max != 0) &&
        ((int64_t)value->text.len < option->min || (int64_t)value->text.len > option->max)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL,
                value->text.len == 0 ? "must not be empty"
                                     : "must have %" PRId64 " to %" PRId64 " bytes",
                option->min, option->max);
        return false;
    }
    char *copy = arena_strdup(ctx->arena, value->text);

    if (copy == NULL) {
        out_of_memory(ctx, value);
        return false;
    }
    *(struct slice *)field = slice_of(copy, value->text.len);
    return true;
}

static const char *choices_text(const struct option_context *ctx, const char *const *choices)
{
    const char *text = "write ";

    for (size_t i = 0; choices[i] != NULL; i++) {
        const char *sep = i == 0 ? "" : choices[i + 1] == NULL ? " or " : ", ";
        const char *longer = arena_printf(ctx->arena, "%s%s\"%s\"", text, sep, choices[i]);

        text = longer == NULL ? text : longer;
    }
    return text;
}

static bool read_enum(const struct option_context *ctx, const struct option *option,
                      const struct json *value, const char *path, void *field)
{
    const char *remedy = choices_text(ctx, option->choices);

    if (!options_expect(ctx, value, JSON_STRING, path, remedy)) {
        return false;
    }
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (slice_eq(value->text, slice_str(option->choices[i]))) {
            *(int *)field = i;
            return true;
        }
    }
    diag_at(ctx->diag, DIAG_ERROR, value, path, remedy, "\"%.*s\" is not a choice",
            SLICE_FMT(value->text));
    return false;
}

/* Paths */

/* Append the value of "${NAME}..." at `text`; bytes used, 0: reported. */
static size_t expand_variable(const struct option_context *ctx, const struct json *value,
                              const char *path, struct slice text, const char **ret)
{
    const char *close = memchr(text.ptr, '}', text.len);

    if (close == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write ${NAME}", "\"${\" has no \"}\"");
        return 0;
    }
    size_t len = (size_t)(close - text.ptr) - 2;
    const char *name = arena_strdup(ctx->arena, slice_of(text.ptr + 2, len));
    const char *content = name == NULL ? NULL : getenv(name);

    if (content == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL,
                "the environment variable %.*s is not set", (int)len, text.ptr + 2);
        return 0;
    }
    *ret = arena_printf(ctx->arena, "%s%s", *ret, content);
    return len + 3;
}

static const char *expand_path(const struct option_context *ctx, const struct json *value,
                               const char *path)
{
    const char *expanded = "";
    struct slice rest = value->text;

    while (rest.len > 0 && expanded != NULL) {
        size_t used = 1;

        if (slice_starts_with(rest, SLICE("${"))) {
            used = expand_variable(ctx, value, path, rest, &expanded);
            if (used == 0) {
                return NULL;
            }
        } else {
            while (used < rest.len && rest.ptr[used] != '$') {
                used++;
            }
            expanded = arena_printf(ctx->arena, "%s%.*s", expanded, (int)used, rest.ptr);
        }
        rest = slice_skip(rest, used);
    }
    if (expanded == NULL) {
        out_of_memory(ctx, value);
    }
    return expanded;
}

const struct option_file *options_find_file(const struct option_file *files, const char *path)
{
    while (files != NULL && strcmp(files->path, path) != 0) {
        files = files->next;
    }
    return files;
}

/* Folders and what is no file (yet) are not noted.  Without memory neither: it is only told. */
static void note_file(const struct option_context *ctx, const char *path)
{
    struct option_file *file;
    struct stat about;

    if (ctx->files == NULL || options_find_file(*ctx->files, path) != NULL ||
        stat(path, &about) != 0 || !S_ISREG(about.st_mode)) {
        return;
    }
    file = arena_calloc(ctx->arena, 1, sizeof(*file));
    if (file == NULL) {
        return;
    }
    *file = (struct option_file){
        .next = *ctx->files,
        .path = path,
        .device = about.st_dev,
        .inode = about.st_ino,
        .size = (uint64_t)about.st_size,
        .changed_ns = (int64_t)about.st_ctim.tv_sec * 1000000000 + about.st_ctim.tv_nsec,
    };
    *ctx->files = file;
}

static const char *resolve_path(const struct option_context *ctx, const struct json *value,
                                const char *path)
{
    if (!options_expect(ctx, value, JSON_STRING, path, NULL)) {
        return NULL;
    }
    if (value->text.len == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "must not be empty");
        return NULL;
    }
    const char *expanded = expand_path(ctx, value, path);

    if (expanded == NULL || expanded[0] == '/' || strcmp(expanded, "-") == 0 ||
        ctx->file_dir == NULL || ctx->file_dir[value->file] == NULL) {
        return expanded;
    }
    const char *joined = arena_printf(ctx->arena, "%s/%s", ctx->file_dir[value->file], expanded);

    if (joined == NULL) {
        out_of_memory(ctx, value);
    }
    return joined;
}

const char *options_read_path(const struct option_context *ctx, const struct json *value,
                              const char *path)
{
    const char *file = resolve_path(ctx, value, path);

    if (file != NULL) {
        note_file(ctx, file);
    }
    return file;
}

static bool read_path(const struct option_context *ctx, const struct option *option,
                      const struct json *value, const char *path, void *field)
{
    const char *text = options_read_path(ctx, value, path);

    if (text == NULL) {
        return false;
    }
    *(const char **)field = text;
    return true;
}

/* Collections */

static bool check_count(const struct option_context *ctx, const struct option *option,
                        const struct json *value, const char *path)
{
    int64_t count = value->count;

    if ((option->min == 0 && option->max == 0) || (count >= option->min && count <= option->max)) {
        return true;
    }
    if (count < option->min) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL,
                count == 0 ? "must not be empty" : "must have at least %" PRId64 " entries",
                option->min);
    } else {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL,
                "must have at most %" PRId64 " entries, not %" PRId64, option->max, count);
    }
    return false;
}

static const char *index_path(const struct option_context *ctx, const char *path, size_t i)
{
    const char *text = arena_printf(ctx->arena, "%s[%zu]", path, i);

    return text == NULL ? path : text;
}

static bool read_strings(const struct option_context *ctx, const struct option *option,
                         const struct json *value, const char *path, void *field)
{
    const struct option plain = { .type = OPT_STRING };

    if (!options_expect(ctx, value, JSON_ARRAY, path, "write [\"...\"]") ||
        !check_count(ctx, option, value, path)) {
        return false;
    }
    struct slice *items = arena_calloc(ctx->arena, value->count + 1, sizeof(*items));
    size_t count = 0;
    bool ok = true;

    if (items == NULL) {
        out_of_memory(ctx, value);
        return false;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        ok = read_string(ctx, &plain, item, index_path(ctx, path, count), &items[count]) && ok;
        count++;
    }
    *(struct option_strings *)field = (struct option_strings){ .items = items, .count = count };
    return ok;
}

bool options_check_name(const struct option_context *ctx, const struct json *element,
                        const char *path)
{
    struct slice name = element->key;
    bool ok = name.len > 0 && name.len <= MAX_ELEMENT;

    for (size_t i = 0; ok && i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);

        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    }
    if (!ok) {
        diag_at_key(ctx->diag, DIAG_ERROR, element, path,
                    "use up to 64 letters, digits, \"-\", \"_\" and \".\"",
                    "\"%.*s\" is not a name", SLICE_FMT(name));
    }
    return ok;
}

static bool read_list(const struct option_context *ctx, const struct option *option,
                      const struct json *value, const char *path, void *field)
{
    bool is_map = option->type == OPT_MAP;

    if (!options_expect(ctx, value, is_map ? JSON_OBJECT : JSON_ARRAY, path, NULL) ||
        !check_count(ctx, option, value, path)) {
        return false;
    }
    char *items = arena_calloc(ctx->arena, value->count + 1, option->sub_size);
    size_t count = 0;

    if (items == NULL) {
        out_of_memory(ctx, value);
        return false;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next, count++) {
        char *element = items + count * option->sub_size;
        const char *item_path =
            is_map ? options_join(ctx, path, item->key) : index_path(ctx, path, count);
        unsigned errors = ctx->diag->errors;

        if (is_map && !options_check_name(ctx, item, path)) {
            continue;
        }
        options_read(ctx, option->sub, item, item_path, NULL, element);
        if (option->has_element) {
            struct option_element *head = (struct option_element *)(void *)element;

            head->name = is_map ? arena_copy(ctx->arena, item->key) : SLICE_ABSENT;
            head->where = item;
            if (is_map && head->name.ptr == NULL) {
                out_of_memory(ctx, item);
            }
        }
        if (option->parse != NULL && ctx->diag->errors == errors) {
            option->parse(ctx, item, item_path, element);
        }
    }
    *(struct option_list *)field = (struct option_list){ .items = items, .count = count };
    return true;
}

/* Objects */

static bool read_value(const struct option_context *ctx, const struct option *option,
                       const struct json *value, const char *path, void *field)
{
    switch (option->type) {
    case OPT_BOOL: return read_bool(ctx, option, value, path, field);
    case OPT_INT: return read_int(ctx, option, value, path, field);
    case OPT_DURATION:
    case OPT_SIZE: return read_unit(ctx, option, value, path, field);
    case OPT_STRING: return read_string(ctx, option, value, path, field);
    case OPT_PATH: return read_path(ctx, option, value, path, field);
    case OPT_ENUM: return read_enum(ctx, option, value, path, field);
    case OPT_STRINGS: return read_strings(ctx, option, value, path, field);
    case OPT_MAP:
    case OPT_LIST: return read_list(ctx, option, value, path, field);
    case OPT_OBJECT:
        options_read(ctx, option->sub, value, path, NULL, field);
        return value->type == JSON_OBJECT;
    case OPT_CUSTOM: return true;
    }
    return false;
}

static void read_row(const struct option_context *ctx, const struct option *option,
                     const struct json *value, const char *path, void *field)
{
    unsigned errors = ctx->diag->errors;
    bool is_list = option->type == OPT_MAP || option->type == OPT_LIST;

    if (read_value(ctx, option, value, path, field) && option->parse != NULL && !is_list &&
        ctx->diag->errors == errors) {
        option->parse(ctx, value, path, field);
    }
}

struct json *options_default(struct arena *arena, const struct option *option,
                             const struct json *object)
{
    struct json_limits limits = json_limits_config;

    limits.file = object->file;
    struct json *value = json_parse(arena, slice_str(option->def), &limits, NULL);

    if (value != NULL) {
        value->line = object->line;
        value->column = object->column;
        value->end_line = object->line;
        value->end_column = object->column + 1;
    }
    return value;
}

static void read_missing(const struct option_context *ctx, const struct option *option,
                         const struct json *object, const char *path, void *field)
{
    if (option->required) {
        const char *remedy = option->def == NULL ? NULL
                                                 : arena_printf(ctx->arena, "write \"%s\": %s",
                                                                option->name, option->def);

        diag_at_key(ctx->diag, DIAG_ERROR, object, path, remedy, "\"%s\" is missing", option->name);
        return;
    }
    if (option->def == NULL) {
        return;
    }
    const struct json *value = options_default(ctx->arena, option, object);

    if (value == NULL) {
        out_of_memory(ctx, object);
        return;
    }
    read_row(ctx, option, value, options_join(ctx, path, slice_str(option->name)), field);
}

static size_t collect_names(const struct option *table, const char *const *extra,
                            const char **ret_names)
{
    size_t count = 0;

    for (; table->name != NULL && count < MAX_NAMES; table++) {
        ret_names[count++] = table->name;
    }
    for (; extra != NULL && *extra != NULL && count < MAX_NAMES; extra++) {
        ret_names[count++] = *extra;
    }
    return count;
}

static void check_keys(const struct option_context *ctx, const struct option *table,
                       const struct json *object, const char *path, const char *const *extra)
{
    const char *names[MAX_NAMES];
    size_t count = collect_names(table, extra, names);

    for (const struct json *member = object->child; member != NULL; member = member->next) {
        bool known = false;

        for (size_t i = 0; i < count && !known; i++) {
            known = slice_eq(member->key, slice_str(names[i]));
        }
        if (known) {
            continue;
        }
        const char *nearest = nearest_name(member->key, names, count);
        const char *remedy =
            nearest == NULL ? NULL : arena_printf(ctx->arena, "did you mean \"%s\"?", nearest);

        diag_at_key(ctx->diag, DIAG_ERROR, member, path, remedy, "unknown key \"%.*s\"",
                    SLICE_FMT(member->key));
    }
}

void options_read(const struct option_context *ctx, const struct option *table,
                  const struct json *object, const char *path, const char *const *extra, void *out)
{
    if (!options_expect(ctx, object, JSON_OBJECT, path, NULL)) {
        return;
    }
    if (extra != options_any_key) {
        check_keys(ctx, table, object, path, extra);
    }
    for (const struct option *option = table; option->name != NULL; option++) {
        struct slice name = slice_str(option->name);
        const struct json *value = json_get(object, name);
        void *field = (char *)out + option->offset;

        if (value == NULL) {
            read_missing(ctx, option, object, path, field);
            continue;
        }
        read_row(ctx, option, value, options_join(ctx, path, name), field);
    }
}
