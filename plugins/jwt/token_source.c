/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/token_source.h"

static enum jwt_reason take(struct token_found *found, const struct token_source *source,
                            struct slice token)
{
    if (found->source != NULL) {
        return JWT_MULTIPLE_TOKENS;
    }
    found->source = source;
    found->token = token;
    return JWT_OK;
}

/* The token behind "Bearer " (any case, one blank or more); false: another scheme. */
static bool strip_scheme(struct slice scheme, struct slice value, struct slice *ret)
{
    size_t at = scheme.len;

    if (value.len < at || !slice_eq_nocase(slice_of(value.ptr, at), scheme)) {
        return false;
    }
    if (at > 0 && at < value.len && value.ptr[at] != ' ') {
        return false;
    }
    while (at < value.len && value.ptr[at] == ' ') {
        at++;
    }
    *ret = slice_skip(value, at);
    return true;
}

static enum jwt_reason find_in_header(const struct headers *headers,
                                      const struct token_source *source, struct token_found *found)
{
    struct slice value = headers_get(headers, source->name);
    struct slice token;

    if (slice_is_absent(value)) {
        return JWT_OK;
    }
    if (headers_count(headers, source->name) > 1) {
        return JWT_MULTIPLE_TOKENS;
    }
    if (!strip_scheme(source->scheme, value, &token)) {
        found->has_other_scheme = true;
        return JWT_OK;
    }
    return take(found, source, token);
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = slice_skip(text, 1);
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* The next "name=value" up to `separator`; false at the end. */
static bool next_pair(struct slice *rest, char separator, struct slice *pair, struct slice *value)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->ptr, separator, rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    *pair = trim(slice_of(rest->ptr, len));
    *rest = slice_skip(*rest, end == NULL ? len : len + 1);

    const char *equals = pair->len == 0 ? NULL : memchr(pair->ptr, '=', pair->len);
    *value = equals == NULL ? SLICE_ABSENT : slice_skip(*pair, (size_t)(equals - pair->ptr) + 1);
    return true;
}

static bool pair_is(struct slice pair, struct slice value, struct slice name)
{
    return !slice_is_absent(value) && pair.len - value.len - 1 == name.len &&
           memcmp(pair.ptr, name.ptr, name.len) == 0;
}

static enum jwt_reason find_in_pairs(struct slice text, char separator,
                                     const struct token_source *source, struct token_found *found)
{
    struct slice pair, value;

    while (next_pair(&text, separator, &pair, &value)) {
        if (!pair_is(pair, value, source->name)) {
            continue;
        }
        enum jwt_reason reason = take(found, source, value);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    return JWT_OK;
}

static enum jwt_reason find_in_cookies(const struct headers *headers,
                                       const struct token_source *source, struct token_found *found)
{
    for (uint32_t i = 0; i < headers->count; i++) {
        const struct header *header = &headers->items[i];
        if (header->removed || header->id != HEADER_COOKIE) {
            continue;
        }
        enum jwt_reason reason = find_in_pairs(header->value, ';', source, found);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    return JWT_OK;
}

/* A bearer token beside the one in a cookie or the query: which one counts would be a guess. */
static bool has_bearer_beside(const struct headers *headers)
{
    struct slice value = headers_get_id(headers, HEADER_AUTHORIZATION), token;

    return !slice_is_absent(value) && strip_scheme(SLICE("Bearer"), value, &token);
}

static enum jwt_reason find_at(struct gw_request *req, const struct token_source *source,
                               struct token_found *found)
{
    const struct headers *headers = gw_headers(req);
    enum jwt_reason reason = JWT_OK;

    switch (source->place) {
    case TOKEN_IN_HEADER: return find_in_header(headers, source, found);
    case TOKEN_IN_COOKIE: reason = find_in_cookies(headers, source, found); break;
    case TOKEN_IN_QUERY: {
        struct slice query = gw_query(req);
        if (!slice_is_absent(query)) {
            reason = find_in_pairs(query, '&', source, found);
        }
        break;
    }
    }
    if (reason == JWT_OK && found->source == source && has_bearer_beside(headers)) {
        return JWT_MULTIPLE_TOKENS;
    }
    return reason;
}

static bool is_same_source(const struct token_source *a, const struct token_source *b)
{
    return a->place == b->place && slice_eq(a->name, b->name) && slice_eq(a->scheme, b->scheme);
}

static bool was_searched(const struct jwt_route *route, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (is_same_source(&route->alternatives[i].provider->source,
                           &route->alternatives[index].provider->source)) {
            return true;
        }
    }
    return false;
}

enum jwt_reason token_find(struct gw_request *req, const struct jwt_route *route,
                           struct token_found *ret)
{
    *ret = (struct token_found){ 0 };
    if (headers_count_id(gw_headers(req), HEADER_AUTHORIZATION) > 1) {
        return JWT_MULTIPLE_TOKENS;
    }
    for (size_t i = 0; i < route->alternative_count; i++) {
        if (i > 0 && was_searched(route, i)) {
            continue;
        }
        enum jwt_reason reason = find_at(req, &route->alternatives[i].provider->source, ret);
        if (reason != JWT_OK) {
            return reason;
        }
    }
    if (ret->source != NULL) {
        return JWT_OK;
    }
    return ret->has_other_scheme ? JWT_AUTH_SCHEME_UNSUPPORTED : JWT_TOKEN_MISSING;
}

/* ---- what the upstream sees ---- */

/* `text` without the pairs of this name, joined by `joint`; absent: no memory. */
static struct slice without_pair(struct arena *arena, struct slice text, char separator,
                                 struct slice joint, struct slice name)
{
    char *kept = arena_alloc(arena, text.len * joint.len + 1);
    struct slice pair, value;
    size_t len = 0;

    if (kept == NULL) {
        return SLICE_ABSENT;
    }
    while (next_pair(&text, separator, &pair, &value)) {
        if (pair.len == 0 || pair_is(pair, value, name)) {
            continue;
        }
        if (len > 0) {
            memcpy(kept + len, joint.ptr, joint.len);
            len += joint.len;
        }
        memcpy(kept + len, pair.ptr, pair.len);
        len += pair.len;
    }
    return slice_of(kept, len);
}

static int drop_from_cookies(struct gw_request *req, struct slice name)
{
    struct headers *headers = gw_headers(req);

    for (uint32_t i = 0; i < headers->count; i++) {
        struct header *header = &headers->items[i];
        if (header->removed || header->id != HEADER_COOKIE) {
            continue;
        }
        struct slice kept = without_pair(gw_arena(req), header->value, ';', SLICE("; "), name);
        if (slice_is_absent(kept)) {
            return ERR_NO_MEMORY;
        }
        header->value = kept;
        header->removed = kept.len == 0;
    }
    return 0;
}

static int drop_from_query(struct gw_request *req, struct slice name)
{
    struct slice kept = without_pair(gw_arena(req), gw_query(req), '&', SLICE("&"), name);

    if (slice_is_absent(kept)) {
        return ERR_NO_MEMORY;
    }
    return gw_query_set(req, kept.len == 0 ? SLICE_ABSENT : kept);
}

int token_hide(struct gw_request *req, const struct jwt_route *route,
               const struct token_source *source)
{
    if (route->forward_token) {
        return 0;
    }
    headers_remove_id(gw_headers(req), HEADER_AUTHORIZATION);
    if (source == NULL) {
        return 0;
    }
    switch (source->place) {
    case TOKEN_IN_HEADER: headers_remove(gw_headers(req), source->name); return 0;
    case TOKEN_IN_COOKIE: return drop_from_cookies(req, source->name);
    case TOKEN_IN_QUERY: return drop_from_query(req, source->name);
    }
    return 0;
}
