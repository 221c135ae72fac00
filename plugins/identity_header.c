/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/identity_header.h"

#include "core/headers.h"

const struct slice identity_header_keys[2] = {
    { "claims_to_headers", 17 },
    { "client_cert_to_headers", 22 },
};

struct slice identity_header_lower(struct arena *arena, struct slice text)
{
    char *copy = arena_strdup(arena, text);

    for (size_t i = 0; copy != NULL && i < text.len; i++) {
        copy[i] = ascii_lower(copy[i]);
    }
    return slice_of(copy, copy == NULL ? 0 : text.len);
}

bool identity_header_is_same(struct slice a, struct slice b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        char x = a.ptr[i] == '_' ? '-' : ascii_lower(a.ptr[i]);
        char y = b.ptr[i] == '_' ? '-' : ascii_lower(b.ptr[i]);
        if (x != y) {
            return false;
        }
    }
    return true;
}

static bool is_reserved(struct slice name)
{
    static const struct slice reserved[] = {
        { "authorization", 13 },
        { "connection", 10 },
        { "content-length", 14 },
        { "expect", 6 },
        { "host", 4 },
        { "http2-settings", 14 },
        { "keep-alive", 10 },
        { "proxy-authenticate", 18 },
        { "proxy-authorization", 19 },
        { "proxy-connection", 16 },
        { "te", 2 },
        { "trailer", 7 },
        { "transfer-encoding", 17 },
        { "upgrade", 7 },
    };

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (identity_header_is_same(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

const char *identity_header_fault(const struct json *member)
{
    if (member->type != JSON_STRING || member->key.len == 0) {
        return "not the name of a header";
    }
    if (!header_name_is_valid(member->text)) {
        return "the header's name has characters that no header may have";
    }
    return is_reserved(member->text) ? "this header has a meaning of its own in HTTP" : NULL;
}
