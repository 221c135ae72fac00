/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwt/token_cache.h"

#include <stdlib.h>

#define BUCKETS 32768u /* a power of two; untouched pages cost nothing */

/* ---- tokens ---- */

static size_t tree_bytes(const struct json *node)
{
    size_t bytes = sizeof(*node) + node->key.len + node->text.len;

    for (const struct json *child = node->child; child != NULL; child = child->next) {
        bytes += tree_bytes(child); /* depth is limited by the parser */
    }
    return bytes;
}

struct copier {
    struct json *nodes;
    char *text;
};

static struct slice copy_text(struct copier *to, struct slice text)
{
    if (slice_is_absent(text)) {
        return text;
    }
    if (text.len > 0) {
        memcpy(to->text, text.ptr, text.len);
    }
    to->text += text.len;
    return slice_of(to->text - text.len, text.len);
}

static struct json *copy_tree(struct copier *to, const struct json *node)
{
    struct json *copy = to->nodes++;
    struct json **next = &copy->child;

    *copy = *node;
    copy->key = copy_text(to, node->key);
    copy->text = copy_text(to, node->text);
    copy->child = NULL;
    copy->next = NULL;
    for (const struct json *child = node->child; child != NULL; child = child->next) {
        *next = copy_tree(to, child);
        next = &(*next)->next;
    }
    return copy;
}

static size_t count_nodes(const struct json *node)
{
    size_t count = 1;

    for (const struct json *child = node->child; child != NULL; child = child->next) {
        count += count_nodes(child);
    }
    return count;
}

static struct slice string_claim(const struct json *claims, struct slice name)
{
    const struct json *value = json_get(claims, name);

    return json_is(value, JSON_STRING) ? value->text : SLICE_ABSENT;
}

struct token *token_new(const struct provider *provider, struct slice text, struct slice kid,
                        const struct json *claims, const struct claims_times *times)
{
    size_t bytes = sizeof(struct token) + tree_bytes(claims) + text.len + kid.len;
    struct token *token = malloc(bytes);

    if (token == NULL) {
        return NULL;
    }
    *token = (struct token){ .refs = 1, .bytes = bytes, .provider = provider, .times = *times };
    struct copier to = { .nodes = (struct json *)(void *)(token + 1) };
    to.text = (char *)(to.nodes + count_nodes(claims));
    token->claims = copy_tree(&to, claims);
    token->text = copy_text(&to, text);
    token->kid = copy_text(&to, kid);
    token->subject = string_claim(token->claims, SLICE("sub"));
    token->certificate = claims_certificate(token->claims);
    token->jti = string_claim(token->claims, SLICE("jti"));
    token->client_id = string_claim(token->claims, SLICE("client_id"));
    if (slice_is_absent(token->client_id)) {
        token->client_id = string_claim(token->claims, SLICE("azp"));
    }
    return token;
}

void token_unref(struct token *token)
{
    if (token == NULL || --token->refs > 0) {
        return;
    }
    free(token->headers.values);
    free(token);
}

/* ---- the cache ---- */

int token_cache_init(struct token_cache *cache, size_t max_entries, size_t max_bytes,
                     uint64_t *gauge)
{
    *cache =
        (struct token_cache){ .max_entries = max_entries, .max_bytes = max_bytes, .gauge = gauge };
    cache->buckets = calloc(BUCKETS, sizeof(*cache->buckets));
    return cache->buckets == NULL ? ERR_NO_MEMORY : 0;
}

void token_cache_done(struct token_cache *cache)
{
    while (cache->oldest != NULL) {
        token_cache_remove(cache, cache->oldest);
    }
    free(cache->buckets);
    cache->buckets = NULL;
}

static struct token **bucket_of(struct token_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (BUCKETS - 1)];
}

struct token *token_cache_find(struct token_cache *cache, uint64_t hash, struct slice text,
                               const struct provider *provider)
{
    for (struct token *token = *bucket_of(cache, hash); token != NULL; token = token->chain) {
        if (token->hash == hash && token->provider == provider && slice_eq(token->text, text)) {
            token->was_used = true;
            return token;
        }
    }
    return NULL;
}

static void queue_push(struct token_cache *cache, struct token *token)
{
    token->older = cache->newest;
    token->newer = NULL;
    if (cache->newest != NULL) {
        cache->newest->newer = token;
    } else {
        cache->oldest = token;
    }
    cache->newest = token;
}

static void queue_remove(struct token_cache *cache, struct token *token)
{
    if (token->older != NULL) {
        token->older->newer = token->newer;
    } else {
        cache->oldest = token->newer;
    }
    if (token->newer != NULL) {
        token->newer->older = token->older;
    } else {
        cache->newest = token->older;
    }
}

/* The oldest that was not used since its last turn. */
static void evict_one(struct token_cache *cache)
{
    struct token *token = cache->oldest;

    while (token->was_used) {
        token->was_used = false;
        queue_remove(cache, token);
        queue_push(cache, token);
        token = cache->oldest;
    }
    token_cache_remove(cache, token);
}

void token_cache_add(struct token_cache *cache, uint64_t hash, struct token *token)
{
    struct token **bucket = bucket_of(cache, hash);

    if (token->is_cached || token->bytes > cache->max_bytes / 16) {
        return;
    }
    while (cache->count > 0 &&
           (cache->count >= cache->max_entries || cache->bytes + token->bytes > cache->max_bytes)) {
        evict_one(cache);
    }
    token->hash = hash;
    token->chain = *bucket;
    *bucket = token_ref(token);
    token->is_cached = true;
    queue_push(cache, token);
    cache->count++;
    cache->bytes += token->bytes;
    if (cache->gauge != NULL) {
        (*cache->gauge)++;
    }
}

void token_cache_remove(struct token_cache *cache, struct token *token)
{
    struct token **link = bucket_of(cache, token->hash);

    if (bug_if(!token->is_cached)) {
        return;
    }
    while (*link != token) {
        link = &(*link)->chain;
    }
    *link = token->chain;
    queue_remove(cache, token);
    token->is_cached = false;
    cache->count--;
    cache->bytes -= token->bytes;
    if (cache->gauge != NULL) {
        (*cache->gauge)--;
    }
    token_unref(token);
}

void token_cache_drop(struct token_cache *cache, const struct provider *provider)
{
    struct token *next;

    for (struct token *token = cache->oldest; token != NULL; token = next) {
        next = token->newer;
        if (token->provider == provider) {
            token_cache_remove(cache, token);
        }
    }
}
