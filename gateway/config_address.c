/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, targets and networks in the configuration. */
#include "gateway/config_build.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#define MAX_HOST   253
#define MAX_WEIGHT 100

/* "host:port" or "[v6]:port"; the port as a number up to 65535. */
static bool split_port(struct slice text, struct slice *ret_host, unsigned *ret_port)
{
    const char *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
    unsigned port = 0;

    if (colon == NULL) {
        return false;
    }
    struct slice host = slice_of(text.ptr, (size_t)(colon - text.ptr));
    struct slice digits = slice_skip(text, host.len + 1);

    if (digits.len == 0 || digits.len > 5) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(digits.ptr[i] - '0');
    }
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = slice_of(host.ptr + 1, host.len - 2);
        if (memchr(host.ptr, ':', host.len) == NULL) {
            return false;
        }
    } else if (host.len > 0 && memchr(host.ptr, ':', host.len) != NULL) {
        return false; /* IPv6 without brackets */
    }
    *ret_host = host;
    *ret_port = port;
    return host.len > 0 && host.len <= MAX_HOST && port <= UINT16_MAX;
}

static bool literal_of(struct slice host, unsigned port, struct sockaddr_storage *ret,
                       socklen_t *ret_len)
{
    char text[MAX_HOST + 1];
    struct sockaddr_storage addr = { 0 };
    struct sockaddr_in *in = (struct sockaddr_in *)&addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&addr;

    if (host.len > MAX_HOST) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        *ret_len = sizeof(*in);
    } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof(*in6);
    } else {
        return false;
    }
    *ret = addr;
    return true;
}

bool config_address_of(struct slice text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct slice host;
    unsigned port;

    return split_port(text, &host, &port) && literal_of(host, port, ret, ret_len);
}

void config_parse_address(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
    struct config_address *address = field;

    if (!options_expect(ctx, value, JSON_STRING, path, "write it like \"0.0.0.0:8080\"")) {
        return;
    }
    if (!config_address_of(value->text, &address->addr, &address->len)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                "write it like \"0.0.0.0:8080\" or \"[::]:8080\"",
                "\"%.*s\" is not an IP address and a port", SLICE_FMT(value->text));
        return;
    }
    address->text = arena_copy(ctx->arena, value->text);
    if (address->text.ptr == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "out of memory");
    }
}

#define UNIX_PREFIX "unix:"

bool config_unix_address_of(struct slice text, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct slice prefix = SLICE(UNIX_PREFIX), path = slice_skip(text, prefix.len);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (!slice_starts_with(text, prefix) || path.len < 2 || path.ptr[0] != '/' ||
        path.len >= sizeof(addr.sun_path)) {
        return false;
    }
    memcpy(addr.sun_path, path.ptr, path.len);
    memset(ret, 0, sizeof(*ret));
    memcpy(ret, &addr, sizeof(addr));
    *ret_len = sizeof(addr);
    return true;
}

void config_parse_admin_address(const struct option_context *ctx, const struct json *value,
                                const char *path, void *field)
{
    struct config_address *address = field;

    if (!json_is(value, JSON_STRING) || !slice_starts_with(value->text, SLICE(UNIX_PREFIX))) {
        config_parse_address(ctx, value, path, field);
        return;
    }
    if (!config_unix_address_of(value->text, &address->addr, &address->len)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                "write it like \"unix:/run/jwtgate/admin.sock\", at most 107 bytes of path",
                "\"%.*s\" is no absolute path of a socket", SLICE_FMT(value->text));
        return;
    }
    address->text = arena_copy(ctx->arena, value->text);
    if (address->text.ptr == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "out of memory");
    }
}

void config_parse_listener_address(const struct option_context *ctx, const struct json *value,
                                   const char *path, void *field)
{
    struct config_listener *listener = field;
    struct config_address address = { .len = 0 };

    config_parse_address(ctx, value, path, &address);
    listener->address_text = address.text;
    listener->address = address.addr;
    listener->address_len = address.len;
}

/* Targets */

static bool host_is_valid(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = ascii_lower(host.ptr[i]);

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              (c == '.' && i > 0 && host.ptr[i - 1] != '.'))) {
            return false;
        }
    }
    return host.len > 0;
}

static bool parse_target_address(const struct option_context *ctx, const struct json *value,
                                 const char *path, struct config_target *target)
{
    struct slice host;
    unsigned port;

    if (!options_expect(ctx, value, JSON_STRING, path, "write it like \"127.0.0.1:9001\"")) {
        return false;
    }
    bool has_scheme = memmem(value->text.ptr, value->text.len, "://", 3) != NULL;

    if (has_scheme || !split_port(value->text, &host, &port) || port == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path,
                has_scheme ? "leave out the scheme and the path"
                           : "write it like \"127.0.0.1:9001\" or \"orders.internal:9001\"",
                "\"%.*s\" is not a host and a port", SLICE_FMT(value->text));
        return false;
    }
    target->is_literal = literal_of(host, port, &target->address, &target->address_len);
    if (!target->is_literal && !host_is_valid(host)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "\"%.*s\" is not a host name",
                SLICE_FMT(host));
        return false;
    }
    char *copy = arena_strdup(ctx->arena, host);

    target->host = slice_of(copy, copy == NULL ? 0 : host.len);
    target->port = (uint16_t)port;
    target->label = arena_copy(ctx->arena, value->text);
    if (copy == NULL || target->label.ptr == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "out of memory");
        return false;
    }
    return true;
}

static void parse_target_field(const struct option_context *ctx, const struct json *value,
                               const char *path, void *field)
{
    (void)parse_target_address(ctx, value, path, field);
}

const struct option config_target_table[] = {
    { "address", OPT_CUSTOM, 0, .def = "\"127.0.0.1:9001\"", .required = true,
      .parse = parse_target_field, .help = "Host and port." },
    { "weight", OPT_INT, offsetof(struct config_target, weight), .def = "1", .min = 1,
      .max = MAX_WEIGHT, .help = "Share of the requests, relative to the other targets." },
    { .name = NULL },
};

void config_parse_targets(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
    struct config_upstream *upstream = field;
    size_t i = 0;

    if (!options_expect(ctx, value, JSON_ARRAY, path, "write [\"127.0.0.1:9001\"]")) {
        return;
    }
    if (value->count == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write [\"127.0.0.1:9001\"]",
                "must not be empty");
        return;
    }
    struct config_target *targets = arena_calloc(ctx->arena, value->count, sizeof(*targets));

    if (targets == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "out of memory");
        return;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next, i++) {
        const char *item_path = arena_printf(ctx->arena, "%s[%zu]", path, i);

        targets[i].weight = 1;
        if (item->type == JSON_OBJECT) {
            options_read(ctx, config_target_table, item, item_path == NULL ? path : item_path, NULL,
                         &targets[i]);
        } else {
            parse_target_field(ctx, item, item_path == NULL ? path : item_path, &targets[i]);
        }
    }
    upstream->targets = targets;
    upstream->target_count = value->count;
}

/* Networks */

static bool bits_of(struct slice text, unsigned max, unsigned *ret)
{
    unsigned bits = 0;

    if (text.len == 0 || text.len > 3) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret = bits;
    return bits <= max;
}

static bool host_bits_are_zero(const struct config_cidr *cidr)
{
    for (unsigned bit = cidr->bits; bit < 128; bit++) {
        if ((cidr->address[bit / 8] >> (7 - bit % 8) & 1) != 0) {
            return false;
        }
    }
    return true;
}

static bool cidr_of(struct slice text, struct config_cidr *ret)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    struct slice host = slash == NULL ? text : slice_of(text.ptr, (size_t)(slash - text.ptr));
    struct sockaddr_storage addr;
    socklen_t len;

    if (!literal_of(host, 0, &addr, &len)) {
        return false;
    }
    bool is_v4 = addr.ss_family == AF_INET;

    ret->bits = is_v4 ? 32 : 128;
    if (slash != NULL && !bits_of(slice_skip(text, host.len + 1), ret->bits, &ret->bits)) {
        return false;
    }
    memset(ret->address, 0, sizeof(ret->address));
    if (is_v4) {
        memset(ret->address + 10, 0xff, 2);
        memcpy(ret->address + 12, &((struct sockaddr_in *)&addr)->sin_addr, 4);
        ret->bits += 96;
    } else {
        memcpy(ret->address, &((struct sockaddr_in6 *)&addr)->sin6_addr, 16);
    }
    return true;
}

void config_parse_trusted(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
    struct config_server *server = field;
    size_t i = 0;

    if (!options_expect(ctx, value, JSON_ARRAY, path, "write [\"10.0.0.0/8\"]")) {
        return;
    }
    struct config_cidr *cidrs = arena_calloc(ctx->arena, value->count + 1, sizeof(*cidrs));

    if (cidrs == NULL) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, NULL, "out of memory");
        return;
    }
    for (const struct json *item = value->child; item != NULL; item = item->next, i++) {
        if (item->type != JSON_STRING || !cidr_of(item->text, &cidrs[i])) {
            diag_at(ctx->diag, DIAG_ERROR, item, path, "write it like \"10.0.0.0/8\"",
                    "is not a network");
        } else if (!host_bits_are_zero(&cidrs[i])) {
            diag_at(ctx->diag, DIAG_ERROR, item, path,
                    "write the network's first address, or a longer prefix",
                    "\"%.*s\" has bits set behind its prefix", SLICE_FMT(item->text));
        }
    }
    server->trusted_proxies = cidrs;
    server->trusted_proxy_count = i;
}
