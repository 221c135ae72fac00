/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/issuer/signing_keys.h"

#include "plugins/jwt/key_file.h"

#include <stdlib.h>
#include <unistd.h>

#define AT(field) offsetof(struct signing_spec, field)

static const char *const uses[] = { "sign", "publish", NULL };

const struct option signing_spec_options[] = {
    { .name = "key_file",
      .type = OPT_PATH,
      .offset = AT(key_file),
      .required = true,
      .def = "\"keys/2026-11.pem\"",
      .help = "A private key in PEM, or with HS256 a secret; made by `jwtgate keys generate`." },
    { .name = "use",
      .type = OPT_ENUM,
      .offset = AT(use),
      .def = "\"sign\"",
      .choices = uses,
      .help = "sign: tokens are signed with it; publish: only in the published key set." },
    { .name = NULL },
};

static void keys_free(struct gw_shared *shared)
{
    struct signing_keys *keys = (struct signing_keys *)(void *)shared;

    for (size_t i = 0; i < keys->count; i++) {
        jwa_key_done(&keys->keys[i].key);
    }
    free(keys);
}

/* ---- one key ---- */

static int read_key(const struct key_place *at, const char *file, const struct jwa *alg,
                    struct jwa_key *ret)
{
    struct key_bytes bytes = { 0 };
    const char *why = "the secret is shorter than 32 bytes";
    int err = key_read_file(at, file, true, &bytes);

    if (err < 0) {
        return err;
    }
    key_drop_newline(&bytes);
    err = alg->family == JWA_FAMILY_HS
              ? jwa_key_from_secret((const uint8_t *)bytes.ptr, bytes.len, ret)
              : jwk_read_private_pem(slice_of(bytes.ptr, bytes.len), ret, &why);
    key_bytes_done(&bytes);
    if (err < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path,
                "make one with: jwtgate keys generate", "%s: %s", file, why);
        return ERR_CONFIG;
    }
    if (!jwa_key_fits(ret, alg)) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL,
                "the key in %s is not one for %.*s", file, SLICE_FMT(alg->name));
        jwa_key_done(ret);
        return ERR_CONFIG;
    }
    return 0;
}

static bool has_kid(const struct signing_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->keys[i].kid, kid) == 0) {
            return true;
        }
    }
    return false;
}

/* Read a key; what `one` says of it besides is kept. */
static int add_key(struct signing_keys *keys, const struct key_place *at, const char *file,
                   struct signing_key *one)
{
    int err = read_key(at, file, one->alg, &one->key);

    if (err < 0) {
        return err;
    }
    err = jwk_thumbprint(&one->key, one->kid);
    if (err == 0 && has_kid(keys, one->kid)) {
        key_fail(at, "name each key once", "the key is there already");
        err = ERR_CONFIG;
    }
    if (err < 0) {
        jwa_key_done(&one->key);
        return err;
    }
    keys->keys[keys->count] = *one;
    if (one->state == KEY_SIGNING) {
        keys->active = &keys->keys[keys->count];
    }
    keys->count++;
    return 0;
}

/* ---- the list of the configuration ---- */

static int load_list(struct signing_keys *keys, const struct option_list *list,
                     const struct jwa *alg, const struct key_place *all)
{
    const struct signing_spec *specs = list->items;

    for (size_t i = 0; i < list->count; i++) {
        const struct key_place at = {
            .ctx = all->ctx,
            .where = specs[i].element.where,
            .path = all->path,
        };
        struct signing_key one = {
            .alg = alg,
            .state = specs[i].use == SIGNING_USE_SIGN ? KEY_SIGNING : KEY_PUBLISHED,
        };

        if (one.state == KEY_SIGNING && keys->active != NULL) {
            key_fail(&at, "write \"use\": \"publish\" in all others", "two keys are to sign");
            return ERR_CONFIG;
        }
        int err = add_key(keys, &at, specs[i].key_file, &one);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* ---- the ring ---- */

static int read_ring(const struct key_place *at, const char *file, struct key_ring *ret)
{
    static const char remedy[] = "make it with: jwtgate keys rotate --init";
    struct key_bytes bytes = { 0 };
    const char *why = NULL;

    if (access(file, F_OK) != 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, remedy, "%s does not exist", file);
        return ERR_CONFIG;
    }
    int err = key_read_file(at, file, true, &bytes);

    if (err < 0) {
        return err;
    }
    err = key_ring_read(slice_of(bytes.ptr, bytes.len), ret, &why);
    key_bytes_done(&bytes);
    if (err < 0) {
        diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, remedy, "%s: %s", file, why);
        return ERR_CONFIG;
    }
    return 0;
}

static const char *beside(struct arena *arena, const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');

    return slash == NULL ? name : arena_printf(arena, "%.*s/%s", (int)(slash - file), file, name);
}

static int load_ring(struct signing_keys *keys, const char *file, const struct key_place *at)
{
    struct key_ring ring;
    int err = read_ring(at, file, &ring);

    for (size_t i = 0; err == 0 && i < ring.count; i++) {
        const struct key_ring_entry *entry = &ring.entries[i];
        const char *key_file = beside(at->ctx->arena, file, entry->file);
        struct signing_key one = { .alg = entry->alg,
                                   .state = entry->state,
                                   .since = entry->since };

        err = key_file == NULL ? ERR_NO_MEMORY : add_key(keys, at, key_file, &one);
        if (err == 0 && strcmp(keys->keys[i].kid, entry->kid) != 0) {
            diag_at(at->ctx->diag, DIAG_ERROR, at->where, at->path, NULL,
                    "the key in %s is another one than %s says", key_file, file);
            err = ERR_CONFIG;
        }
    }
    return err;
}

/* ---- all of them ---- */

int signing_keys_load(const struct signing_settings *settings, const struct jwa *alg,
                      const struct option_context *ctx, struct signing_keys **ret)
{
    bool is_ring = settings->ring_file != NULL;
    const struct json *file = json_get(settings->where, SLICE("signing_keys_file"));
    const struct key_place at = {
        .ctx = ctx,
        .where = file == NULL ? settings->where : file,
        .path = is_ring ? "token_issuer.signing_keys_file" : "token_issuer.signing_keys",
    };
    struct signing_keys *keys = calloc(1, sizeof(*keys));

    if (keys == NULL) {
        return ERR_NO_MEMORY;
    }
    keys->shared = (struct gw_shared){ .refs = 1, .free = keys_free };
    int err = is_ring ? load_ring(keys, settings->ring_file, &at)
                      : load_list(keys, &settings->list, alg, &at);

    if (err < 0) {
        signing_keys_unref(keys);
        return err;
    }
    *ret = keys;
    return 0;
}

bool signing_keys_are_same(const struct signing_keys *a, const struct signing_keys *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct signing_key *one = &a->keys[i], *other = &b->keys[i];

        if (strcmp(one->kid, other->kid) != 0 || one->alg != other->alg ||
            one->state != other->state || one->since != other->since) {
            return false;
        }
    }
    return true;
}

bool signing_keys_have_secret(const struct signing_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].key.type == JWA_KEY_OCT) {
            return true;
        }
    }
    return false;
}

int signing_keys_write_set(const struct signing_keys *keys, struct json_writer *w)
{
    int err = 0;

    json_write_begin(w, NULL, '{');
    json_write_begin(w, "keys", '[');
    for (size_t i = 0; i < keys->count && err == 0; i++) {
        const struct signing_key *one = &keys->keys[i];

        if (one->key.type != JWA_KEY_OCT) {
            err = jwk_write(w, &one->key, slice_str(one->kid), one->alg);
        }
    }
    json_write_end(w, ']');
    json_write_end(w, '}');
    return err == 0 && w->failed ? ERR_NO_MEMORY : err;
}
