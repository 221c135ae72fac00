/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/config_change.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_LISTENERS     255u /* an index is a byte in connections and requests */
#define MAX_CHANGES_BYTES 4096u

bool config_same_top_text(const struct gw_plugin *plugin, const struct json *old,
                          const struct json *root)
{
    const struct option *option = plugin->top_options;

    for (; option != NULL && option->name != NULL; option++) {
        struct slice name = slice_str(option->name);

        if (!json_equal(json_get(old, name), json_get(root, name))) {
            return false;
        }
    }
    return true;
}

/* ---- listeners ---- */

static bool same_socket(const struct config_listener *a, const struct config_listener *b)
{
    return !a->is_gone && !b->is_gone && a->service == b->service &&
           (a->tls == NULL) == (b->tls == NULL) && a->address_len == b->address_len &&
           memcmp(&a->address, &b->address, a->address_len) == 0;
}

bool config_keeps_listener(const struct config *old, const struct config *config, unsigned index)
{
    return index < old->listener_count && index < config->listener_count &&
           same_socket(&old->listeners[index], &config->listeners[index]);
}

struct adoption {
    const struct config *previous;
    struct config_listener *made; /* by new index; address_len 0 and no name: free */
    bool *taken;
    size_t count;
};

static bool same_name(const struct config_listener *a, const struct config_listener *b)
{
    return slice_eq(a->element.name, b->element.name);
}

static bool adopt_as(struct adoption *adoption, const struct config_listener *listener,
                     bool (*is_same)(const struct config_listener *a,
                                     const struct config_listener *b))
{
    for (size_t i = 0; i < adoption->previous->listener_count; i++) {
        if (!adoption->taken[i] && is_same(&adoption->previous->listeners[i], listener)) {
            adoption->taken[i] = true;
            adoption->made[i] = *listener;
            return true;
        }
    }
    return false;
}

/* Sockets that stay (of several with port 0 on one address, those of the same name) come first. */
static bool same_socket_and_name(const struct config_listener *a, const struct config_listener *b)
{
    return same_socket(a, b) && same_name(a, b);
}

static void adopt_all(struct adoption *adoption, const struct config *config, bool *done)
{
    static bool (*const passes[])(const struct config_listener *a,
                                  const struct config_listener *b) = { same_socket_and_name,
                                                                       same_socket, same_name };

    for (size_t pass = 0; pass < sizeof(passes) / sizeof(passes[0]); pass++) {
        for (size_t i = 0; i < config->listener_count; i++) {
            done[i] = done[i] || adopt_as(adoption, &config->listeners[i], passes[pass]);
        }
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        if (!done[i]) {
            adoption->made[adoption->count++] = config->listeners[i];
        }
    }
}

static int keep_places(struct adoption *adoption, struct arena *arena)
{
    for (size_t i = 0; i < adoption->previous->listener_count; i++) {
        const struct config_listener *old = &adoption->previous->listeners[i];

        if (adoption->taken[i]) {
            continue;
        }
        adoption->made[i] = (struct config_listener){
            .element = { .name = arena_copy(arena, old->element.name) },
            .service = old->service,
            .redirect = old->redirect, /* who came by it may still ask */
            .is_gone = true,
        };
        if (slice_is_absent(adoption->made[i].element.name)) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

int config_adopt_listeners(struct config *config, const struct config *previous)
{
    struct arena *arena = &config->arena;
    size_t most = previous->listener_count + config->listener_count;
    struct adoption adoption = {
        .previous = previous,
        .made = arena_calloc(arena, most + 1, sizeof(*adoption.made)),
        .taken = arena_calloc(arena, most + 1, sizeof(*adoption.taken)),
        .count = previous->listener_count,
    };
    bool *done = arena_calloc(arena, most + 1, sizeof(*done));

    if (adoption.made == NULL || adoption.taken == NULL || done == NULL) {
        return ERR_NO_MEMORY;
    }
    adopt_all(&adoption, config, done);
    if (adoption.count > MAX_LISTENERS) {
        return ERR_TOO_BIG;
    }
    int err = keep_places(&adoption, arena);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < adoption.count; i++) {
        adoption.made[i].index = (unsigned)i;
    }
    config->listeners = adoption.made;
    config->listener_count = adoption.count;
    return 0;
}

/* ---- what has changed, in words ---- */

struct changes {
    char text[MAX_CHANGES_BYTES];
    size_t len;
};

static void changes_add(struct changes *changes, char sign, const char *kind, struct slice name)
{
    size_t room = sizeof(changes->text) - changes->len;
    int n =
        snprintf(changes->text + changes->len, room, "%s%c%s%s%.*s", changes->len > 0 ? ", " : "",
                 sign, kind, kind[0] == '\0' ? "" : " ", SLICE_FMT(name));

    if (n > 0 && (size_t)n < room) {
        changes->len += (size_t)n;
    } else {
        changes->text[changes->len] = '\0';
    }
}

/* What maps hold has names; of the rest, only the key is told. */
static const char *kind_of(struct slice key)
{
    static const struct {
        struct slice key;
        const char *kind;
    } kinds[] = {
        { { "listeners", 9 }, "listener" }, { { "upstreams", 9 }, "upstream" },
        { { "routes", 6 }, "route" },       { { "providers", 9 }, "provider" },
        { { "rate_limits", 11 }, "limit" },
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (slice_eq(kinds[i].key, key)) {
            return kinds[i].kind;
        }
    }
    return NULL;
}

static void compare(struct changes *changes, const struct json *old, const struct json *new,
                    const char *kind);

static void compare_member(struct changes *changes, const struct json *old,
                           const struct json *value, const char *kind)
{
    const char *inner = kind[0] == '\0' ? kind_of(value->key) : NULL;

    if (inner != NULL && (old == NULL || json_is(old, JSON_OBJECT)) &&
        json_is(value, JSON_OBJECT)) {
        compare(changes, old, value, inner);
    } else if (old == NULL) {
        changes_add(changes, '+', kind, value->key);
    } else if (!json_equal(old, value)) {
        changes_add(changes, '~', kind, value->key);
    }
}

static void compare(struct changes *changes, const struct json *old, const struct json *new,
                    const char *kind)
{
    for (const struct json *at = new->child; at != NULL; at = at->next) {
        compare_member(changes, json_get(old, at->key), at, kind);
    }
    for (const struct json *at = old == NULL ? NULL : old->child; at != NULL; at = at->next) {
        if (json_get(new, at->key) == NULL) {
            changes_add(changes, '-', kind, at->key);
        }
    }
}

static bool same_file(const struct option_file *a, const struct option_file *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed_ns == b->changed_ns;
}

static void compare_files(struct changes *changes, const struct config *old,
                          const struct config *config)
{
    const char *log = config->access_log.path; /* which we write */

    for (const struct option_file *file = config->files; file != NULL; file = file->next) {
        const struct option_file *before = options_find_file(old->files, file->path);

        if (before != NULL && !same_file(before, file) &&
            (log == NULL || strcmp(log, file->path) != 0)) {
            changes_add(changes, '~', "file", slice_str(file->path));
        }
    }
}

const char *config_changes(const struct config *old, const struct config *config,
                           struct arena *arena)
{
    struct changes changes = { 0 };

    if (old->root != NULL && config->root != NULL) {
        compare(&changes, old->root, config->root, "");
    }
    compare_files(&changes, old, config);
    return arena_strdup(arena, slice_of(changes.text, changes.len));
}
