/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/body.h"

#include "plugins/jwt/claims.h"
#include "plugins/jwt/jws.h"

#include <stdlib.h>

#define ARENA_BYTES ((size_t)1 << 20)

/* Each token again has a limit of its own. */
static const struct json_limits limits = {
    .max_bytes = 65536,
    .max_depth = 4,
    .max_nodes = 8 * REVOCATION_BODY_MAX_ENTRIES,
    .max_string = 32768,
};

struct reader {
    struct arena arena; /* of the tree */
    int64_t now;
    const struct revocation_spaces *spaces;
    struct revocation_body *body;
    const char *why;
};

static int fail(struct reader *reader, const char *why)
{
    reader->why = why;
    return ERR_BAD_INPUT;
}

int revocation_read_token(struct arena *arena, const struct revocation_spaces *spaces,
                          struct slice token, struct slice *ret_jti, int64_t *ret_expires_at)
{
    struct jws jws;
    struct slice payload;

    if (jws_split(token, &jws) < 0 || jws_decode(arena, jws.payload, &payload) < 0) {
        return ERR_BAD_INPUT;
    }
    const struct json *claims = json_parse(arena, payload, &json_limits_token, NULL);
    const struct json *jti = json_get(claims, SLICE("jti"));
    const struct json *exp = json_get(claims, SLICE("exp"));
    const struct json *iss = json_get(claims, SLICE("iss"));
    if (!json_is(jti, JSON_STRING) || jti->text.len == 0) {
        return ERR_BAD_INPUT;
    }
    *ret_expires_at = REVOCATION_FOR_EVER;
    if (exp != NULL && !claims_numeric_date(exp, ret_expires_at)) {
        return ERR_BAD_INPUT;
    }
    struct slice issuer = json_is(iss, JSON_STRING) ? iss->text : SLICE_ABSENT;
    struct slice space = spaces == NULL ? SLICE_ABSENT : spaces->find(spaces->arg, issuer);
    return revocation_name(arena, space, jti->text, ret_jti);
}

/* ---- one entry ---- */

static int read_before(struct reader *reader, const struct json *before, int64_t expires_at,
                       struct revocation_entry *ret)
{
    const struct json *time = json_get(before, SLICE("time"));
    int64_t when;

    if (!json_is(before, JSON_OBJECT) || before->count != 2 || !json_int(time, &when)) {
        return fail(reader,
                    "\"before\" is an object with \"time\" and one of sub, client, kid, iss");
    }
    for (unsigned i = 0; i < REVOCATION_KINDS; i++) {
        const struct json *value = json_get(before, slice_str(revocation_kind_names[i]));
        if (json_is(value, JSON_STRING)) {
            return revocation_entry_before(ret, (enum revocation_kind)i, value->text, when,
                                           expires_at, reader->now);
        }
    }
    return fail(reader, "\"before\" has none of sub, client, kid, iss with a text");
}

static int read_token(struct reader *reader, const struct json *token, struct revocation_entry *ret)
{
    struct slice jti;
    int64_t expires_at;

    if (!json_is(token, JSON_STRING) ||
        revocation_read_token(&reader->arena, reader->spaces, token->text, &jti, &expires_at) < 0) {
        return fail(reader, "\"token\" is not a token with a \"jti\"");
    }
    return revocation_entry_jti(ret, jti, expires_at, reader->now);
}

/* Members that are not known could mean something: an entry with one is refused. */
static int read_members(struct reader *reader, const struct json *item, int64_t *ret_expires_at)
{
    int64_t replicas;

    for (const struct json *one = item->child; one != NULL; one = one->next) {
        if (slice_eq(one->key, SLICE("expires_at"))) {
            if (!json_int(one, ret_expires_at) || *ret_expires_at < 0) {
                return fail(reader, "\"expires_at\" is not a time in seconds since 1970");
            }
        } else if (slice_eq(one->key, SLICE("wait_replicas"))) {
            if (!json_int(one, &replicas) || replicas < 0 ||
                replicas > REVOCATION_BODY_MAX_REPLICAS) {
                return fail(reader, "\"wait_replicas\" is not a number from 0 to 16");
            }
            if (replicas > (int64_t)reader->body->replicas) {
                reader->body->replicas = (unsigned)replicas;
            }
        } else if (!slice_eq(one->key, SLICE("token")) && !slice_eq(one->key, SLICE("jti")) &&
                   !slice_eq(one->key, SLICE("before"))) {
            return fail(reader, "an entry has a member that is not known");
        }
    }
    return 0;
}

static int make_entry(struct reader *reader, const struct json *item, int64_t expires_at,
                      struct revocation_entry *ret)
{
    const struct json *token = json_get(item, SLICE("token"));
    const struct json *jti = json_get(item, SLICE("jti"));
    const struct json *before = json_get(item, SLICE("before"));

    if ((token != NULL) + (jti != NULL) + (before != NULL) != 1) {
        return fail(reader, "an entry has none or several of token, jti, before");
    }
    if (token != NULL) {
        return expires_at == REVOCATION_FOR_EVER
                   ? read_token(reader, token, ret)
                   : fail(reader, "\"expires_at\" does not go with \"token\", which says it");
    }
    if (before != NULL) {
        return read_before(reader, before, expires_at, ret);
    }
    if (!json_is(jti, JSON_STRING)) {
        return fail(reader, "\"jti\" is not a text");
    }
    return revocation_entry_jti(ret, jti->text, expires_at, reader->now);
}

static int read_entry(struct reader *reader, const struct json *item)
{
    struct revocation_body *body = reader->body;
    int64_t expires_at = REVOCATION_FOR_EVER;

    if (!json_is(item, JSON_OBJECT)) {
        return fail(reader, "an entry is not an object");
    }
    int err = read_members(reader, item, &expires_at);
    if (err < 0) {
        return err;
    }
    err = make_entry(reader, item, expires_at, &body->entries[body->count]);
    if (err == REVOCATION_IS_OVER) {
        body->expired++;
        return 0;
    }
    if (err == 0) {
        body->count++;
    } else if (reader->why == NULL) {
        reader->why = "a name or a time is empty or too long";
    }
    return err;
}

/* ---- all of it ---- */

static int read_tree(struct reader *reader, const struct json *root)
{
    bool is_array = json_is(root, JSON_ARRAY);
    unsigned total = is_array ? root->count : 1;
    int err = 0;

    if (total > REVOCATION_BODY_MAX_ENTRIES) {
        reader->why = "more than 256 entries";
        return ERR_TOO_BIG;
    }
    if (total == 0) {
        return fail(reader, "no entries");
    }
    reader->body->entries = calloc(total, sizeof(*reader->body->entries));
    if (reader->body->entries == NULL) {
        return ERR_NO_MEMORY;
    }
    for (const struct json *item = is_array ? root->child : root; item != NULL && err == 0;
         item = is_array ? item->next : NULL) {
        err = read_entry(reader, item);
    }
    return err;
}

int revocation_body_read(struct slice text, int64_t now, const struct revocation_spaces *spaces,
                         struct revocation_body *ret, const char **ret_why)
{
    struct revocation_body body = { 0 };
    struct reader reader = { .now = now, .spaces = spaces, .body = &body };

    arena_init(&reader.arena, NULL, 0, ARENA_BYTES);
    const struct json *root = json_parse(&reader.arena, text, &limits, NULL);
    int err =
        root == NULL ? fail(&reader, "not JSON, or too much of it") : read_tree(&reader, root);
    arena_done(&reader.arena);
    if (err < 0) {
        *ret_why = reader.why;
        revocation_body_done(&body);
        return err;
    }
    *ret = body;
    return 0;
}

void revocation_body_done(struct revocation_body *body)
{
    free(body->entries);
    *body = (struct revocation_body){ 0 };
}
