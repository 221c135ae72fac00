/* SPDX-License-Identifier: Apache-2.0 */
/* One open-addressing table of paths.  A path's key is its hash: for prefixes that of its segments,
 * extended segment by segment while a request's path is walked, so that all prefixes of a path
 * cost one pass over its bytes.  A node holds the rules of one path: by host, then by method. */
#include "gateway/router.h"

#include "core/map.h"

#include <stdlib.h>

#define MAX_SEGMENTS 64 /* of a prefix in the configuration */
#define MAX_HOST     255
#define HASH_PREFIX  0x9e3779b97f4a7c15u
#define HASH_EXACT   0xc2b2ae3d27d4eb4fu

/* The routes of one path and one host pattern. */
struct rules {
    const struct config_route *by_method[HTTP_METHODS]; /* those that name the method */
    const struct config_route *any_method;
    uint32_t given;
    struct rules *next; /* all rules of the router, for router_free() */
};

struct node {
    uint64_t hash;
    struct slice path;
    bool exact;
    bool used;
    bool has_wildcards;
    struct rules *any_host;
    struct map hosts; /* "api.example.com", ".example.com" -> struct rules */
};

struct router {
    struct node *nodes;
    size_t capacity; /* a power of two */
    struct rules *all_rules;
    uint64_t prefix_lengths; /* bit n: there is a prefix of n segments */
    bool has_exact;
};

/* Hash */

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
    __uint128_t product = (__uint128_t)(hash ^ word) * 0xd6e8feb86659fd93u;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t len)
{
    uint64_t word;

    hash += len; /* "ab" is not "a" and "b" */
    for (; len >= sizeof(word); len -= sizeof(word), bytes += sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    for (size_t i = 0; i < len; i++) {
        word = word << 8 | (unsigned char)bytes[i];
    }
    return mix(hash, word ^ 0x5bd1e995);
}

/* The end of the segment that starts behind the "/" at `pos`. */
static inline size_t segment_end(struct slice path, size_t pos)
{
    const char *slash = memchr(path.ptr + pos + 1, '/', path.len - pos - 1);

    return slash == NULL ? path.len : (size_t)(slash - path.ptr);
}

static uint64_t prefix_hash(struct slice prefix, unsigned *ret_segments)
{
    uint64_t hash = HASH_PREFIX;
    unsigned segments = 0;

    for (size_t pos = 0; pos < prefix.len; segments++) {
        size_t end = segment_end(prefix, pos);

        hash = hash_bytes(hash, prefix.ptr + pos, end - pos);
        pos = end;
    }
    *ret_segments = segments;
    return hash;
}

static struct node *find_node(const struct router *router, uint64_t hash, struct slice path,
                              bool exact)
{
    size_t mask = router->capacity - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct node *node = &router->nodes[i];

        if (!node->used ||
            (node->hash == hash && node->exact == exact && slice_eq(node->path, path))) {
            return node; /* or the free place where it belongs */
        }
    }
}

/* Building */

struct build {
    struct router *router;
    struct diag *diag;
    const struct config_route *route;
    bool is_tie;
};

static void report_tie(struct build *build, const struct config_route *other)
{
    const struct json *here = build->route->element.where;
    const struct json *there = other->element.where;
    char path[160];

    if (build->is_tie) {
        return; /* once per route */
    }
    build->is_tie = true;
    if (build->diag == NULL) {
        return;
    }
    snprintf(path, sizeof(path), "routes.%.*s.match", SLICE_FMT(build->route->element.name));
    const struct json *match = json_get(here, SLICE("match"));
    const struct json *other_match = json_get(there, SLICE("match"));

    if (match == NULL || other_match == NULL || other_match->file >= build->diag->file_count) {
        diag_at(build->diag, DIAG_ERROR, match, path, "change one of them",
                "matches the same requests as \"%.*s\"", SLICE_FMT(other->element.name));
        return;
    }
    diag_at_key(build->diag, DIAG_ERROR, match, path, "change one of them",
                "matches the same requests as \"%.*s\" at %s:%u:%u", SLICE_FMT(other->element.name),
                build->diag->files[other_match->file].name, other_match->key_line,
                other_match->key_column);
}

static void add_methods(struct build *build, struct rules *rules)
{
    const struct config_route *route = build->route;
    uint32_t methods = route->match.methods;

    if (methods == 0) {
        if (rules->any_method != NULL) {
            report_tie(build, rules->any_method);
        } else {
            rules->any_method = route;
        }
        return;
    }
    for (unsigned method = 0; method < HTTP_METHODS; method++) {
        if ((methods >> method & 1) == 0) {
            continue;
        }
        if (rules->by_method[method] != NULL) {
            report_tie(build, rules->by_method[method]);
        } else {
            rules->by_method[method] = route;
        }
    }
    rules->given |= methods;
}

static struct rules *new_rules(struct router *router)
{
    struct rules *rules = calloc(1, sizeof(*rules));

    if (rules != NULL) {
        rules->next = router->all_rules;
        router->all_rules = rules;
    }
    return rules;
}

static int add_host(struct build *build, struct node *node, struct slice host)
{
    bool is_wildcard = slice_starts_with(host, SLICE("*."));
    struct slice key = is_wildcard ? slice_skip(host, 1) : host;
    struct rules *rules = map_get(&node->hosts, key);

    if (rules == NULL) {
        rules = new_rules(build->router);
        if (rules == NULL || map_set(&node->hosts, key, rules) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    node->has_wildcards = node->has_wildcards || is_wildcard;
    add_methods(build, rules);
    return 0;
}

static int add_route(struct build *build)
{
    struct router *router = build->router;
    const struct config_match *match = &build->route->match;
    bool exact = !slice_is_absent(match->exact);
    struct slice path = exact ? match->exact : match->path_prefix;
    unsigned segments = 0;
    uint64_t hash =
        exact ? hash_bytes(HASH_EXACT, path.ptr, path.len) : prefix_hash(path, &segments);
    struct node *node = find_node(router, hash, path, exact);

    node->used = true;
    node->hash = hash;
    node->path = path;
    node->exact = exact;
    if (exact) {
        router->has_exact = true;
    } else if (segments < MAX_SEGMENTS) {
        router->prefix_lengths |= UINT64_C(1) << segments;
    } else {
        return ERR_TOO_BIG;
    }
    for (size_t i = 0; i < match->host_count; i++) {
        if (add_host(build, node, match->hosts[i]) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    if (match->host_count > 0) {
        return 0;
    }
    if (node->any_host == NULL) {
        node->any_host = new_rules(router);
    }
    if (node->any_host == NULL) {
        return ERR_NO_MEMORY;
    }
    add_methods(build, node->any_host);
    return 0;
}

static bool has_path(const struct config_route *route)
{
    return !slice_is_absent(route->match.exact) || !slice_is_absent(route->match.path_prefix);
}

static struct router *router_alloc(size_t routes)
{
    struct router *router = calloc(1, sizeof(*router));
    size_t capacity = 16;

    while (capacity < routes * 2) {
        capacity *= 2;
    }
    if (router == NULL) {
        return NULL;
    }
    router->capacity = capacity;
    router->nodes = calloc(capacity, sizeof(*router->nodes));
    if (router->nodes == NULL) {
        free(router);
        return NULL;
    }
    return router;
}

struct router *router_new(const struct config *config, struct diag *diag)
{
    struct router *router = router_alloc(config->route_count);
    bool failed = false;

    for (size_t i = 0; router != NULL && i < config->route_count; i++) {
        struct build build = { .router = router, .diag = diag, .route = &config->routes[i] };

        if (!has_path(build.route)) {
            continue; /* broken, and reported */
        }
        int err = add_route(&build);

        if (err == ERR_TOO_BIG && diag != NULL) {
            diag_at(diag, DIAG_ERROR, build.route->element.where, NULL, NULL,
                    "a path of a route has at most %d segments", MAX_SEGMENTS - 1);
        }
        failed = failed || build.is_tie || err < 0;
    }
    if (failed) {
        router_free(router);
        return NULL;
    }
    return router;
}

void router_free(struct router *router)
{
    if (router == NULL) {
        return;
    }
    for (size_t i = 0; i < router->capacity; i++) {
        map_done(&router->nodes[i].hosts);
    }
    for (struct rules *rules = router->all_rules; rules != NULL;) {
        struct rules *next = rules->next;

        free(rules);
        rules = next;
    }
    free(router->nodes);
    free(router);
}

/* Finding */

struct search {
    struct slice host;
    enum http_method method;
    uint32_t methods; /* seen where path and host fit */
};

static inline const struct config_route *try_rules(struct search *search, const struct rules *rules)
{
    if (rules == NULL) {
        return NULL;
    }
    const struct config_route *route = rules->by_method[search->method];

    if (route == NULL) {
        route = rules->any_method;
    }
    search->methods |= rules->given;
    return route;
}

static const struct config_route *try_hosts(struct search *search, const struct node *node)
{
    struct slice host = search->host;
    const struct config_route *route = try_rules(search, map_get(&node->hosts, host));

    for (size_t i = 1; route == NULL && node->has_wildcards && i < host.len; i++) {
        if (host.ptr[i] == '.') {
            route = try_rules(search, map_get(&node->hosts, slice_skip(host, i)));
        }
    }
    return route;
}

static inline const struct config_route *try_node(struct search *search, const struct node *node)
{
    const struct config_route *route = NULL;

    if (!node->used) {
        return NULL;
    }
    if (node->hosts.count > 0 && search->host.len > 0 && search->host.len <= MAX_HOST) {
        route = try_hosts(search, node);
    }
    return route != NULL ? route : try_rules(search, node->any_host);
}

/* The hashes of the path's prefixes that exist as a length; longest last.  Their number. */
static unsigned collect_prefixes(const struct router *router, struct slice path,
                                 uint64_t *ret_hashes, size_t *ret_lengths)
{
    uint64_t lengths = router->prefix_lengths;
    uint64_t hash = HASH_PREFIX;
    unsigned count = 0;

    for (size_t pos = 0;; lengths >>= 1) {
        if ((lengths & 1) != 0) {
            ret_hashes[count] = hash;
            ret_lengths[count++] = pos;
        }
        if (pos == path.len || lengths <= 1) {
            return count;
        }
        size_t end = segment_end(path, pos);

        hash = hash_bytes(hash, path.ptr + pos, end - pos);
        pos = end;
    }
}

enum router_result router_find(const struct router *router, struct slice host, struct slice path,
                               enum http_method method, const struct config_route **ret_route,
                               uint32_t *ret_methods)
{
    struct search search = { .host = host, .method = method };
    const struct config_route *route = NULL;
    uint64_t hashes[MAX_SEGMENTS];
    size_t lengths[MAX_SEGMENTS];

    if (path.len == 0 || path.ptr[0] != '/') {
        return ROUTER_NO_ROUTE;
    }
    if (router->has_exact) {
        uint64_t hash = hash_bytes(HASH_EXACT, path.ptr, path.len);

        route = try_node(&search, find_node(router, hash, path, true));
    }
    unsigned count = route == NULL ? collect_prefixes(router, path, hashes, lengths) : 0;

    while (route == NULL && count-- > 0) {
        struct slice prefix = slice_of(path.ptr, lengths[count]);

        route = try_node(&search, find_node(router, hashes[count], prefix, false));
    }
    if (route != NULL) {
        *ret_route = route;
        return ROUTER_FOUND;
    }
    *ret_methods = search.methods;
    return search.methods == 0 ? ROUTER_NO_ROUTE : ROUTER_METHOD_NOT_ALLOWED;
}
