/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/jwks/discovery.h"

#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>

static const struct json_limits limits_metadata = {
    .max_bytes = 256u * 1024u,
    .max_depth = 16,
    .max_nodes = 4096,
    .max_string = 16384,
};

/* Length of "https://host:port". */
static size_t origin_len(struct slice issuer)
{
    const char *slashes = memmem(issuer.ptr, issuer.len, "://", 3);
    const char *path;
    size_t at;

    if (slashes == NULL) {
        return 0;
    }
    at = (size_t)(slashes - issuer.ptr) + 3;
    path = memchr(issuer.ptr + at, '/', issuer.len - at);
    return path == NULL ? issuer.len : (size_t)(path - issuer.ptr);
}

char *discovery_url(struct slice issuer, enum discovery_kind kind)
{
    size_t origin = origin_len(issuer);
    char *url = NULL;
    int len;

    if (origin == 0) {
        return NULL;
    }
    if (issuer.ptr[issuer.len - 1] == '/') {
        issuer.len--;
    }
    if (kind == DISCOVERY_OPENID) { /* behind the issuer's path */
        len = asprintf(&url, "%.*s/.well-known/openid-configuration", SLICE_FMT(issuer));
    } else { /* before it */
        len = asprintf(&url, "%.*s/.well-known/oauth-authorization-server%.*s", (int)origin,
                       issuer.ptr, (int)(issuer.len < origin ? 0 : issuer.len - origin),
                       issuer.ptr + (issuer.len < origin ? 0 : origin));
    }
    return len < 0 ? NULL : url;
}

int discovery_read(struct slice text, size_t max_bytes, struct slice issuer, char **ret_uri,
                   const char **ret_why)
{
    struct json_limits limits = limits_metadata;
    const struct json *root, *named, *uri;
    struct arena arena;
    int err = ERR_BAD_INPUT;

    limits.max_bytes = max_bytes;
    arena_init(&arena, NULL, 0, 8u * max_bytes + (1u << 20));
    root = json_parse(&arena, text, &limits, NULL);
    named = json_is(root, JSON_OBJECT) ? json_get(root, SLICE("issuer")) : NULL;
    uri = json_is(root, JSON_OBJECT) ? json_get(root, SLICE("jwks_uri")) : NULL;
    if (!json_is(root, JSON_OBJECT)) {
        *ret_why = "the metadata are not a JSON object";
    } else if (!json_is(named, JSON_STRING) || !slice_eq(named->text, issuer)) {
        *ret_why = "the metadata are of another issuer";
    } else if (!json_is(uri, JSON_STRING)) {
        *ret_why = "the metadata have no jwks_uri";
    } else {
        *ret_uri = strndup(uri->text.ptr, uri->text.len);
        *ret_why = "out of memory";
        err = *ret_uri == NULL ? ERR_NO_MEMORY : 0;
    }
    arena_done(&arena);
    return err;
}
