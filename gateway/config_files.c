/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a configuration: read, parsed, and united into one tree. */
#include "core/file.h"
#include "core/map.h"
#include "gateway/config_build.h"

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FNV_PRIME 0x100000001b3u

static const char *const united_names[] = { "listeners", "upstreams",   "routes",
                                            "providers", "rate_limits", "cors" };

/* Where an include is named, for messages; both NULL for the main file. */
struct origin {
    const struct json *where;
    const char *path;
};

static void hash_text(struct config_loader *loader, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        loader->hash = (loader->hash ^ (unsigned char)text.ptr[i]) * FNV_PRIME;
    }
}

/* The bytes of `fd`; they live as long as diag, which quotes them. */
static int read_text(struct diag *diag, int fd, size_t size, struct slice *ret)
{
    char *text = arena_alloc(&diag->arena, size + 1);
    size_t len = 0;
    int err = text == NULL ? ERR_NO_MEMORY : file_read(fd, text, size, &len);

    *ret = slice_of(text, len);
    return err;
}

static bool is_read_already(const struct config_loader *loader, const struct stat *st)
{
    for (unsigned i = 0; i < loader->diag->file_count; i++) {
        if (loader->file_ids[i].device == st->st_dev && loader->file_ids[i].inode == st->st_ino) {
            return true;
        }
    }
    return false;
}

/* Open and check; -1: reported. */
static int open_file(struct config_loader *loader, const char *path, const struct origin *origin,
                     struct stat *ret_st)
{
    const char *problem = NULL;
    int fd = file_open(path, 0, ret_st, &problem);

    if (fd < 0) {
        loader->missing = loader->missing || (origin->where == NULL && errno == ENOENT);
        diag_at(loader->diag, DIAG_ERROR, origin->where, origin->path, NULL,
                "%s cannot be opened: %s", path, problem);
        return -1;
    }
    if ((uint64_t)ret_st->st_size > json_limits_config.max_bytes) {
        problem = "is larger than 4 MiB";
    } else if (is_read_already(loader, ret_st)) {
        problem = "is included twice";
    } else if (loader->diag->file_count == DIAG_MAX_FILES) {
        problem = "is one file too many; 64 are possible";
    }
    if (problem != NULL) {
        diag_at(loader->diag, DIAG_ERROR, origin->where, origin->path, NULL, "%s %s", path,
                problem);
        close(fd);
        return -1;
    }
    return fd;
}

static const char *dir_of(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL) {
        return NULL; /* relative to the working directory */
    }
    return slash == path ? "/" : arena_strdup(arena, slice_of(path, (size_t)(slash - path)));
}

/* The tree of one file, or NULL: reported. */
static struct json *parse_file(struct config_loader *loader, const char *path,
                               const struct origin *origin)
{
    struct diag *diag = loader->diag;
    struct json_limits limits = json_limits_config;
    struct json_error error = { .line = 0 };
    struct stat st;
    struct slice text;
    int fd = open_file(loader, path, origin, &st);

    if (fd < 0) {
        return NULL;
    }
    int err = read_text(diag, fd, (size_t)st.st_size, &text);

    close(fd);
    int file = err < 0 ? err : diag_add_file(diag, path, text);

    if (file < 0) {
        diag_at(diag, DIAG_ERROR, origin->where, origin->path, NULL, "%s cannot be read: %s", path,
                err_text(file));
        return NULL;
    }
    loader->file_ids[file].device = st.st_dev;
    loader->file_ids[file].inode = st.st_ino;
    loader->file_dirs[file] = dir_of(&loader->config->arena, path);
    hash_text(loader, text);
    limits.file = (uint16_t)file;
    struct json *root = json_parse(&loader->config->arena, text, &limits, &error);

    if (root == NULL) {
        diag_syntax(diag, file, &error);
        return NULL;
    }
    return options_expect(&loader->ctx, root, JSON_OBJECT, "", NULL) ? root : NULL;
}

/* Unite */

static bool is_united(struct slice name)
{
    for (size_t i = 0; i < sizeof(united_names) / sizeof(united_names[0]); i++) {
        if (slice_eq(name, slice_str(united_names[i]))) {
            return true;
        }
    }
    return false;
}

static void append_member(struct json *object, struct json *member)
{
    struct json **end = &object->child;

    while (*end != NULL) {
        end = &(*end)->next;
    }
    member->next = NULL;
    *end = member;
    object->count++;
}

static struct json *find_member(struct json *object, struct slice name)
{
    for (struct json *member = object->child; member != NULL; member = member->next) {
        if (slice_eq(member->key, name)) {
            return member;
        }
    }
    return NULL;
}

static void report_twice(struct config_loader *loader, const struct json *member,
                         const struct json *first, const char *path)
{
    diag_at_key(loader->diag, DIAG_ERROR, member, path, "change one of them",
                "\"%.*s\" is also at %s:%u:%u", SLICE_FMT(member->key),
                loader->diag->files[first->file].name, first->key_line, first->key_column);
}

/* The members of `object` by name. */
static int map_members(const struct json *object, struct map *map)
{
    for (struct json *member = object->child; member != NULL; member = member->next) {
        int err = map_set(map, member->key, member);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* Move the members of `from` that `into` does not have. */
static void unite_maps(struct config_loader *loader, struct json *into, struct json *from)
{
    const char *path = options_join(&loader->ctx, "", from->key);
    struct map names = { 0 };
    struct json **end = &into->child;
    struct json *next;

    if (map_members(into, &names) < 0) {
        diag_at(loader->diag, DIAG_ERROR, from, path, NULL, "out of memory");
        map_done(&names);
        return;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    for (struct json *member = from->child; member != NULL; member = next) {
        const struct json *first = map_get(&names, member->key);

        next = member->next;
        if (first != NULL) {
            report_twice(loader, member, first, path);
            continue;
        }
        member->next = NULL;
        *end = member;
        end = &member->next;
        into->count++;
    }
    map_done(&names);
}

static void unite(struct config_loader *loader, struct json *from)
{
    struct json *root = loader->root;
    struct json *next;

    for (struct json *member = from->child; member != NULL; member = next) {
        struct json *first = find_member(root, member->key);

        next = member->next;
        if (slice_eq(member->key, SLICE("include"))) {
            diag_at_key(loader->diag, DIAG_ERROR, member, "",
                        "include the files from the main file",
                        "an included file cannot include others");
        } else if (first == NULL) {
            append_member(root, member);
        } else if (is_united(member->key) && json_is(first, JSON_OBJECT) &&
                   json_is(member, JSON_OBJECT)) {
            unite_maps(loader, first, member);
        } else if (!slice_eq(member->key, SLICE("version")) &&
                   !slice_eq(member->key, SLICE("$schema"))) {
            report_twice(loader, member, first, "");
        }
    }
}

/* Include */

static void include_pattern(struct config_loader *loader, const struct json *item, const char *path)
{
    const struct origin origin = { .where = item, .path = path };
    const char *pattern = options_read_path(&loader->ctx, item, path);
    glob_t found = { .gl_pathc = 0 };

    if (pattern == NULL) {
        return;
    }
    /* NOCHECK: a plain path that is missing comes back, to be reported by open(). */
    int flags = strpbrk(pattern, "*?[") == NULL ? GLOB_NOCHECK : 0;
    int err = glob(pattern, flags, NULL, &found);

    if (err != 0 && err != GLOB_NOMATCH) {
        diag_at(loader->diag, DIAG_ERROR, item, path, NULL, "the folder cannot be read");
    }
    for (size_t i = 0; err == 0 && i < found.gl_pathc; i++) {
        struct json *tree = parse_file(loader, found.gl_pathv[i], &origin);

        if (tree != NULL) {
            unite(loader, tree);
        }
    }
    globfree(&found);
}

static void include_all(struct config_loader *loader)
{
    const struct json *include = json_get(loader->root, SLICE("include"));
    size_t i = 0;

    if (include == NULL || !options_expect(&loader->ctx, include, JSON_ARRAY, "include",
                                           "write [\"conf.d/*.jsonc\"]")) {
        return;
    }
    for (const struct json *item = include->child; item != NULL; item = item->next) {
        const char *path = arena_printf(&loader->config->arena, "include[%zu]", i++);

        include_pattern(loader, item, path == NULL ? "include" : path);
    }
}

void config_read_files(struct config_loader *loader, const char *path)
{
    const struct origin origin = { .where = NULL };

    loader->root = parse_file(loader, path, &origin);
    if (loader->root != NULL) {
        include_all(loader);
    }
}
