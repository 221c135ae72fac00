/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_address.h"

#include <sys/un.h>

#define DEFAULT_PORT 6379u
#define MAX_DATABASE 65535u

static bool read_number(struct slice text, unsigned max, unsigned *ret)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret = value;
    return value <= max;
}

int redis_read_port(struct slice text, uint16_t *ret)
{
    unsigned port;

    if (!read_number(text, UINT16_MAX, &port) || port == 0) {
        return ERR_BAD_INPUT;
    }
    *ret = (uint16_t)port;
    return 0;
}

int redis_read_authority(struct slice text, uint16_t default_port, struct redis_address *ret)
{
    uint16_t port = default_port;
    size_t host_len = text.len;
    bool in_brackets = text.len > 0 && text.ptr[0] == '[';
    const char *end =
        text.len == 0 ? NULL : (const char *)memchr(text.ptr, in_brackets ? ']' : ':', text.len);

    if (in_brackets && end == NULL) {
        return ERR_BAD_INPUT;
    }
    if (end != NULL) {
        host_len = (size_t)(end - text.ptr) + in_brackets;
        if (host_len < text.len && (text.ptr[host_len] != ':' ||
                                    redis_read_port(slice_skip(text, host_len + 1), &port) < 0)) {
            return ERR_BAD_INPUT;
        }
    }
    if (host_len == 0) {
        return ERR_BAD_INPUT;
    }
    ret->host = slice_of(text.ptr, host_len);
    ret->port = port;
    return 0;
}

static int read_unix(struct slice path, struct redis_address *ret)
{
    path = slice_starts_with(path, SLICE("///")) ? slice_skip(path, 2) : path;
    if (path.len < 2 || path.ptr[0] != '/' || path.len >= sizeof(struct sockaddr_un) - 2) {
        return ERR_BAD_INPUT;
    }
    *ret = (struct redis_address){ .unix_path = path };
    return 0;
}

/* What stands behind "redis://". */
static int read_host(struct slice rest, struct redis_address *ret)
{
    const char *slash = rest.len == 0 ? NULL : (const char *)memchr(rest.ptr, '/', rest.len);
    size_t len = slash == NULL ? rest.len : (size_t)(slash - rest.ptr);
    struct slice database = slice_skip(rest, slash == NULL ? len : len + 1);

    if (database.len > 0 && !read_number(database, MAX_DATABASE, &ret->database)) {
        return ERR_BAD_INPUT;
    }
    return redis_read_authority(slice_of(rest.ptr, len), DEFAULT_PORT, ret);
}

int redis_read_url(struct slice url, struct redis_address *ret)
{
    struct redis_address address = { .is_encrypted = slice_starts_with(url, SLICE("rediss://")) };

    if (slice_starts_with(url, SLICE("unix:"))) {
        return read_unix(slice_skip(url, 5), ret);
    }
    if ((!address.is_encrypted && !slice_starts_with(url, SLICE("redis://"))) ||
        memchr(url.ptr, '@', url.len) != NULL) {
        return ERR_BAD_INPUT;
    }
    int err = read_host(slice_skip(url, address.is_encrypted ? 9 : 8), &address);
    if (err == 0) {
        *ret = address;
    }
    return err;
}
