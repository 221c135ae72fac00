/* SPDX-License-Identifier: Apache-2.0 */
/* Verified tokens of one worker: none outlives the keys that vouched for it, nor its provider.  The
 * key is the whole token and its provider; the hash is keyed and only finds the place.  Bounded in
 * entries and bytes, oldest unused first.  A token is one allocation (and a memo), counted plainly:
 * requests hold references until their end. */
#pragma once

#include "plugins/jwt/provider.h"

#define TOKEN_CACHE_MAX_ENTRIES 32768u
#define TOKEN_CACHE_MAX_BYTES   (16u * 1024u * 1024u)

struct token {
    unsigned refs;
    size_t bytes; /* of the allocation */
    const struct provider *provider;
    struct slice text; /* the compact form */
    const struct json *claims;
    struct claims_times times;
    struct slice kid, subject, client_id, jti; /* absent: none */
    struct slice certificate;                  /* whose holder may use it; absent: anyone's */
    uint64_t generation; /* of the keys that vouched for it (struct verify_keys) */

    /* Of the cache. */
    uint64_t hash;
    struct token *chain; /* same bucket */
    struct token *older, *newer;
    bool is_cached;
    bool was_used; /* since it was last looked at for eviction */

    /* What authorize and identity found out for the last route, by its number (jwt_number()): an
     * address may be another route's after a reload. */
    struct {
        uint64_t route;
        const void *alternative;
        enum jwt_reason reason;
    } authorized;
    struct {
        uint64_t route;
        struct slice *values; /* one allocation with its texts */
        enum jwt_reason reason;
    } headers;
};

struct token_cache {
    struct token **buckets;
    struct token *oldest, *newest;
    size_t count, bytes;
    size_t max_entries, max_bytes;
    uint64_t *gauge; /* of entries; may be NULL */
};

/* A deep copy of claims and text with one reference; NULL: no memory.  kid may be absent. */
struct token *token_new(const struct provider *provider, struct slice text, struct slice kid,
                        const struct json *claims, const struct claims_times *times);
static inline struct token *token_ref(struct token *token)
{
    token->refs++;
    return token;
}
void token_unref(struct token *token); /* NULL is fine */

int token_cache_init(struct token_cache *cache, size_t max_entries, size_t max_bytes,
                     uint64_t *gauge) MUST_CHECK;
void token_cache_done(struct token_cache *cache);
/* map_hash() of the text is `hash`.  A borrowed token, or NULL. */
struct token *token_cache_find(struct token_cache *cache, uint64_t hash, struct slice text,
                               const struct provider *provider);
/* Takes its own reference; makes room; a token over the limits is just not kept. */
void token_cache_add(struct token_cache *cache, uint64_t hash, struct token *token);
void token_cache_remove(struct token_cache *cache, struct token *token);
/* Remove all tokens of a provider: before it goes. */
void token_cache_drop(struct token_cache *cache, const struct provider *provider);
