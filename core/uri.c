/* SPDX-License-Identifier: Apache-2.0 */
#include "core/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>

#define HOST_MAX_BYTES 255u

enum { /* byte classes of RFC 3986 */
       UNRESERVED = 1 << 0,
       PATH = 1 << 1, /* pchar without "%" */
       QUERY =
           1 << 2,    /* visible bytes but '"', "#", "%", "<", ">" (browsers send "[" or "|" raw) */
       NAME = 1 << 3, /* of a registered name */
};
#define U      (UNRESERVED | PATH | QUERY | NAME)
#define P      (PATH | QUERY)
#define U_2(c) [c] = U, [(c) + 1] = U
#define U_8(c) U_2(c), U_2((c) + 2), U_2((c) + 4), U_2((c) + 6)

static const uint8_t classes[256] = {
    U_8('0'),       U_2('8'),      U_8('A'),      U_8('I'),      U_8('Q'),      U_2('Y'),
    U_8('a'),       U_8('i'),      U_8('q'),      U_2('y'),      ['-'] = U,     ['.'] = U,
    ['_'] = U,      ['~'] = U,     ['!'] = P,     ['$'] = P,     ['&'] = P,     ['\''] = P,
    ['('] = P,      [')'] = P,     ['*'] = P,     ['+'] = P,     [','] = P,     [';'] = P,
    ['='] = P,      [':'] = P,     ['@'] = P,     ['/'] = QUERY, ['?'] = QUERY, ['['] = QUERY,
    [']'] = QUERY,  ['{'] = QUERY, ['}'] = QUERY, ['|'] = QUERY, ['^'] = QUERY, ['`'] = QUERY,
    ['\\'] = QUERY,
};

static bool is_class(char c, uint8_t class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" at `text` stands for; -1 when it is no escape. */
static int escape_value(const char *text, const char *end)
{
    int high, low;

    if (end - text < 3) {
        return -1;
    }
    high = hex_value(text[1]);
    low = hex_value(text[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Writing never overtakes reading: a normal form is never longer. */
struct path {
    const char *in, *end;
    char *start, *out; /* [start, out) is normal and ends with "/" between segments */
};

static const char *copy_escape(struct path *path)
{
    static const char digits[] = "0123456789ABCDEF";
    int byte = escape_value(path->in, path->end);

    if (byte < 0) {
        return "bad escape in the path";
    }
    if (byte < 0x20 || byte == 0x7f) {
        return "escaped control byte in the path";
    }
    if (byte == '/' || byte == '\\') {
        return "escaped slash in the path";
    }
    if (is_class((char)byte, UNRESERVED)) {
        *path->out++ = (char)byte;
    } else {
        *path->out++ = '%';
        *path->out++ = digits[byte >> 4];
        *path->out++ = digits[byte & 15];
    }
    path->in += 3;
    return NULL;
}

/* Up to the next "/" or the end. */
static const char *copy_segment(struct path *path)
{
    const char *reason;

    while (path->in < path->end && *path->in != '/') {
        if (is_class(*path->in, PATH)) {
            *path->out++ = *path->in++;
            continue;
        }
        if (*path->in == '\\') {
            return "backslash in the path";
        }
        if (*path->in == '#') {
            return "fragment in the target";
        }
        if (*path->in != '%') {
            return "byte outside the path characters";
        }
        reason = copy_escape(path);
        if (reason != NULL) {
            return reason;
        }
    }
    return NULL;
}

/* Some servers cut ";..." off before they resolve dot segments. */
static bool is_dot_with_parameter(struct slice segment)
{
    size_t dots = 0;

    while (dots < segment.len && dots < 2 && segment.ptr[dots] == '.') {
        dots++;
    }
    segment = slice_skip(segment, dots);
    return dots > 0 &&
           (slice_starts_with(segment, SLICE(";")) || slice_starts_with(segment, SLICE("%3B")));
}

static const char *resolve_segment(struct path *path, char *from)
{
    struct slice segment = slice_of(from, (size_t)(path->out - from));
    bool more = path->in < path->end;

    if (segment.len == 0 || slice_eq(segment, SLICE("."))) {
        path->out = from;
        return NULL;
    }
    if (slice_eq(segment, SLICE(".."))) {
        if (from == path->start + 1) {
            return "dot segments above the root";
        }
        path->out = from - 1;
        while (path->out[-1] != '/') {
            path->out--;
        }
        return NULL;
    }
    if (is_dot_with_parameter(segment)) {
        return "dot segment with a parameter";
    }
    if (more) {
        *path->out++ = '/';
    }
    return NULL;
}

/* [start, end) starts with "/". */
static const char *normalise_path(char *start, const char *end, struct slice *ret)
{
    struct path path = { .in = start, .end = end, .start = start, .out = start + 1 };
    const char *reason;

    while (path.in < end) {
        char *from = path.out;

        path.in++; /* the "/", written already */
        reason = copy_segment(&path);
        if (reason == NULL) {
            reason = resolve_segment(&path, from);
        }
        if (reason != NULL) {
            return reason;
        }
    }
    *ret = slice_of(start, (size_t)(path.out - start));
    return NULL;
}

static const char *check_query(struct slice query)
{
    const char *end = query.ptr + query.len;

    for (const char *c = query.ptr; c < end; c++) {
        if (is_class(*c, QUERY)) {
            continue;
        }
        if (*c == '#') {
            return "fragment in the target";
        }
        if (*c != '%') {
            return "byte outside the query characters";
        }
        if (escape_value(c, end) < 0) {
            return "bad escape in the query";
        }
    }
    return NULL;
}

/* The scheme and its "://" at the start of `target`: how many bytes; 0 for none. */
static size_t match_scheme(struct slice target, struct slice *ret_scheme)
{
    static const struct slice schemes[] = { { .ptr = "http", .len = 4 },
                                            { .ptr = "https", .len = 5 } };

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = schemes[i].len;

        if (target.len >= len + 3 && slice_eq_nocase(slice_of(target.ptr, len), schemes[i]) &&
            memcmp(target.ptr + len, "://", 3) == 0) {
            *ret_scheme = schemes[i];
            return len + 3;
        }
    }
    return 0;
}

/* What follows the authority: where the path starts; NULL with *ret_reason. */
static char *split_absolute(char *target, const char *end, struct uri *uri, const char **ret_reason)
{
    size_t skip = match_scheme(slice_of(target, (size_t)(end - target)), &uri->scheme);
    char *authority = target + skip;
    char *rest = authority;

    if (skip == 0) {
        *ret_reason = "neither origin nor absolute form";
        return NULL;
    }
    while (rest < end && *rest != '/' && *rest != '?' && *rest != '#') {
        rest++;
    }
    uri->authority = slice_of(authority, (size_t)(rest - authority));
    if (!uri_authority_is_valid(uri->authority)) {
        *ret_reason = "bad authority in the target";
        return NULL;
    }
    uri->authority = uri_authority_normalise(authority, uri->authority.len);
    return rest;
}

int uri_parse(char *target, size_t len, struct uri *ret, const char **ret_reason)
{
    struct uri uri = { 0 };
    const char *end = target + len;
    char *path = target;
    const char *path_end;

    *ret_reason = "empty target";
    if (len == 0) {
        return ERR_BAD_INPUT;
    }
    *ret_reason = NULL;
    if (len == 1 && *target == '*') {
        *ret = (struct uri){ .path = slice_of(target, 1) };
        return 0;
    }
    if (*target != '/') {
        path = split_absolute(target, end, &uri, ret_reason);
        if (path == NULL) {
            return ERR_BAD_INPUT;
        }
    }
    path_end = memchr(path, '?', (size_t)(end - path));
    if (path_end != NULL) {
        uri.query = slice_of(path_end + 1, (size_t)(end - path_end - 1));
        *ret_reason = check_query(uri.query);
    } else {
        path_end = end;
    }
    if (*ret_reason == NULL && path == path_end) {
        uri.path = SLICE("/");
    } else if (*ret_reason == NULL && *path != '/') {
        *ret_reason = "fragment in the target";
    } else if (*ret_reason == NULL) {
        *ret_reason = normalise_path(path, path_end, &uri.path);
    }
    if (*ret_reason != NULL) {
        return ERR_BAD_INPUT;
    }
    *ret = uri;
    return 0;
}

static bool port_is_valid(struct slice port)
{
    unsigned value = 0;

    if (port.len == 0 || port.len > 5) {
        return false;
    }
    for (size_t i = 0; i < port.len; i++) {
        if (port.ptr[i] < '0' || port.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned)(port.ptr[i] - '0');
    }
    return value >= 1 && value <= 65535;
}

static bool ipv6_is_valid(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (host.len < 4 || host.ptr[host.len - 1] != ']' || host.len - 2 >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.ptr + 1, host.len - 2);
    text[host.len - 2] = '\0';
    /* The parser stops at a NUL: what it did not see must not count as checked. */
    return memchr(text, '\0', host.len - 2) == NULL && inet_pton(AF_INET6, text, &address) == 1;
}

static bool name_is_valid(struct slice host)
{
    char before = '.';

    if (host.len == 0 || host.len > HOST_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < host.len; i++) {
        if (!is_class(host.ptr[i], NAME) || (host.ptr[i] == '.' && before == '.')) {
            return false; /* also for an empty label */
        }
        before = host.ptr[i];
    }
    return true;
}

struct slice uri_authority_host(struct slice authority)
{
    const char *from = authority.ptr;
    const char *colon;

    if (authority.len == 0) {
        return authority;
    }
    if (*from == '[') {
        const char *bracket = memchr(from, ']', authority.len);

        return bracket == NULL ? authority : slice_of(from, (size_t)(bracket + 1 - from));
    }
    colon = memchr(from, ':', authority.len);
    return colon == NULL ? authority : slice_of(from, (size_t)(colon - from));
}

bool uri_authority_is_valid(struct slice authority)
{
    struct slice host = uri_authority_host(authority);
    struct slice rest;

    if (host.len == 0) {
        return false;
    }
    rest = slice_skip(authority, host.len);
    if (rest.len > 0 && (rest.ptr[0] != ':' || !port_is_valid(slice_skip(rest, 1)))) {
        return false;
    }
    return host.ptr[0] == '[' ? ipv6_is_valid(host) : name_is_valid(host);
}

struct slice uri_authority_normalise(char *authority, size_t len)
{
    size_t host_len = uri_authority_host(slice_of(authority, len)).len;

    for (size_t i = 0; i < len; i++) {
        authority[i] = ascii_lower(authority[i]);
    }
    if (host_len > 0 && authority[host_len - 1] == '.') {
        memmove(authority + host_len - 1, authority + host_len, len - host_len);
        len--;
    }
    return slice_of(authority, len);
}
