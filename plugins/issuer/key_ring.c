/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/key_ring.h"

#include <stdio.h>

#define TREE_BYTES ((size_t)1 << 20)

static const struct json_limits limits = {
    .max_bytes = KEY_RING_MAX_BYTES,
    .max_depth = 4,
    .max_nodes = 64,
    .max_string = KEY_RING_MAX_NAME - 1,
};

static const char *const state_names[KEY_STATES] = {
    [KEY_PUBLISHED] = "published",
    [KEY_SIGNING] = "signing",
    [KEY_RETIRED] = "retired",
};

const char *key_state_name(enum key_state state)
{
    return state_names[state];
}

/* ---- reading ---- */

static bool has_members(const struct json *object, uint32_t count)
{
    return json_is(object, JSON_OBJECT) && object->count == count;
}

/* Into `ret` of `size` bytes, as text of file names and kids only. */
static bool read_name(const struct json *value, char *ret, size_t size)
{
    if (!json_is(value, JSON_STRING) || value->text.len == 0 || value->text.len >= size ||
        value->text.ptr[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < value->text.len; i++) {
        char c = value->text.ptr[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    memcpy(ret, value->text.ptr, value->text.len);
    ret[value->text.len] = '\0';
    return true;
}

static bool read_state(const struct json *value, enum key_state *ret)
{
    for (unsigned i = 0; json_is(value, JSON_STRING) && i < KEY_STATES; i++) {
        if (slice_eq(value->text, slice_str(state_names[i]))) {
            *ret = (enum key_state)i;
            return true;
        }
    }
    return false;
}

static const char *read_entry(const struct json *object, struct key_ring_entry *ret)
{
    const struct json *alg = json_get(object, SLICE("alg"));

    if (!has_members(object, 5)) {
        return "a key has not just kid, alg, key_file, state and since";
    }
    if (!read_name(json_get(object, SLICE("kid")), ret->kid, sizeof(ret->kid)) ||
        strlen(ret->kid) != JWK_THUMBPRINT_BYTES) {
        return "\"kid\" is not a thumbprint";
    }
    if (!read_name(json_get(object, SLICE("key_file")), ret->file, sizeof(ret->file))) {
        return "\"key_file\" is not the plain name of a file beside this one";
    }
    ret->alg = json_is(alg, JSON_STRING) ? jwa_find(alg->text) : NULL;
    if (ret->alg == NULL) {
        return "\"alg\" is not an algorithm";
    }
    if (!read_state(json_get(object, SLICE("state")), &ret->state)) {
        return "\"state\" is not published, signing or retired";
    }
    if (!json_int(json_get(object, SLICE("since")), &ret->since) || ret->since < 0) {
        return "\"since\" is not a time in seconds";
    }
    return NULL;
}

static const char *check(const struct key_ring *ring)
{
    unsigned in_state[KEY_STATES] = { 0 };

    for (size_t i = 0; i < ring->count; i++) {
        const struct key_ring_entry *one = &ring->entries[i];

        in_state[one->state]++;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(one->kid, ring->entries[k].kid) == 0 ||
                strcmp(one->file, ring->entries[k].file) == 0) {
                return "a key is there twice";
            }
        }
    }
    if (in_state[KEY_SIGNING] != 1) {
        return "not exactly one key is signing";
    }
    return in_state[KEY_PUBLISHED] > 1 || in_state[KEY_RETIRED] > 1
               ? "more than one key is published, or retired"
               : NULL;
}

static const char *read_root(const struct json *root, struct key_ring *ring)
{
    const struct json *keys = json_get(root, SLICE("keys"));
    int64_t version = 0;

    if (!has_members(root, 2) || !json_int(json_get(root, SLICE("version")), &version) ||
        version != 1 || !json_is(keys, JSON_ARRAY)) {
        return "it is not {\"version\": 1, \"keys\": [...]}";
    }
    for (const struct json *item = keys->child; item != NULL; item = item->next) {
        if (ring->count == KEY_RING_MAX_KEYS) {
            return "there are too many keys";
        }
        const char *why = read_entry(item, &ring->entries[ring->count++]);

        if (why != NULL) {
            return why;
        }
    }
    return check(ring);
}

int key_ring_read(struct slice text, struct key_ring *ret, const char **ret_why)
{
    struct key_ring ring = { .count = 0 };
    struct arena arena;

    arena_init(&arena, NULL, 0, TREE_BYTES);
    const struct json *root = json_parse(&arena, text, &limits, NULL);

    *ret_why = root == NULL ? "it is not JSON" : read_root(root, &ring);
    arena_done(&arena);
    if (*ret_why != NULL) {
        return ERR_BAD_INPUT;
    }
    *ret = ring;
    return 0;
}

void key_ring_write(const struct key_ring *ring, struct json_writer *w)
{
    json_write_begin(w, NULL, '{');
    json_write_int(w, "version", 1);
    json_write_begin(w, "keys", '[');
    for (size_t i = 0; i < ring->count; i++) {
        const struct key_ring_entry *one = &ring->entries[i];

        json_write_begin(w, NULL, '{');
        json_write_string(w, "kid", slice_str(one->kid));
        json_write_string(w, "alg", one->alg->name);
        json_write_string(w, "key_file", slice_str(one->file));
        json_write_string(w, "state", slice_str(state_names[one->state]));
        json_write_int(w, "since", one->since);
        json_write_end(w, '}');
    }
    json_write_end(w, ']');
    json_write_end(w, '}');
}

/* ---- rotation ---- */

/* The index; ring->count: none. */
static size_t find(const struct key_ring *ring, enum key_state state)
{
    size_t i = 0;

    while (i < ring->count && ring->entries[i].state != state) {
        i++;
    }
    return i;
}

void key_ring_next(const struct key_ring *ring, const struct key_ring_waits *waits,
                   struct key_ring_plan *ret)
{
    size_t published = find(ring, KEY_PUBLISHED), retired = find(ring, KEY_RETIRED);

    /* The place of the retired key is needed by the one that signs now. */
    if (retired < ring->count) {
        *ret = (struct key_ring_plan){
            .step = KEY_RING_REMOVE,
            .index = retired,
            .safe_at = ring->entries[retired].since + waits->retired,
        };
    } else if (published < ring->count) {
        *ret = (struct key_ring_plan){
            .step = KEY_RING_SIGN,
            .index = published,
            .safe_at = ring->entries[published].since + waits->published,
        };
    } else {
        *ret = (struct key_ring_plan){ .step = KEY_RING_PUBLISH, .index = ring->count };
    }
}

static void move(struct key_ring_entry *entry, enum key_state state, int64_t now)
{
    entry->state = state;
    entry->since = now;
}

void key_ring_take(struct key_ring *ring, const struct key_ring_plan *plan,
                   const struct key_ring_entry *added, int64_t now)
{
    struct key_ring_entry *entry = &ring->entries[plan->index];

    switch (plan->step) {
    case KEY_RING_PUBLISH:
        *entry = *added;
        move(entry, KEY_PUBLISHED, now);
        ring->count++;
        break;
    case KEY_RING_SIGN:
        move(&ring->entries[find(ring, KEY_SIGNING)], KEY_RETIRED, now);
        move(entry, KEY_SIGNING, now);
        break;
    case KEY_RING_REMOVE:
        ring->count--;
        memmove(entry, entry + 1, (ring->count - plan->index) * sizeof(*entry));
        break;
    }
}
