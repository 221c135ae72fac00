/* SPDX-License-Identifier: Apache-2.0 */
/* The top-level keys of the configuration. */
#include "gateway/config_build.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#define MAX_WORKERS      256
#define HEAD_ARENA_BASE  ((uint64_t)128 << 10)
#define HEAD_ARENA_TIMES 4 /* a head, its parsed fields, and the head that is forwarded */
#define SECONDS          1000
#define MINUTES          (60 * SECONDS)
#define HOURS            (60 * MINUTES)
#define KIB              1024
#define GIB              ((int64_t)1 << 30)

static void parse_version(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_NUMBER, path, "write 1")) {
        return;
    }
    if (!json_int(value, field) || *(int64_t *)field != 1) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write 1",
                "%.*s is not a version that is known", SLICE_FMT(value->text));
    }
}

/* Read with the files, before the tables. */
static void parse_nothing(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
}

static void parse_workers(const struct option_context *ctx, const struct json *value,
                          const char *path, void *field)
{
    int64_t workers = 0;

    if (json_is(value, JSON_STRING) && slice_eq(value->text, SLICE("auto"))) {
        return;
    }
    if (!json_int(value, &workers) || workers < 1 || workers > MAX_WORKERS) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write \"auto\" or 1 to 256",
                "is not a number of workers");
        return;
    }
    *(int64_t *)field = workers;
}

#define LIMIT(field)   offsetof(struct config_limits, field)
#define TIMEOUT(field) offsetof(struct config_timeouts, field)
#define SERVER(field)  offsetof(struct config_server, field)

static const struct option limits_table[] = {
    { "header_bytes", OPT_SIZE, LIMIT(header_bytes), .def = "\"32KiB\"", .min = KIB,
      .max = 256 * KIB, .help = "Request line and all header fields together." },
    { "headers", OPT_INT, LIMIT(headers), .def = "100", .min = 1, .max = 1000,
      .help = "Header fields of a request." },
    { "uri_bytes", OPT_SIZE, LIMIT(uri_bytes), .def = "\"8KiB\"", .min = 64, .max = 64 * KIB,
      .help = "The request line." },
    { "body_bytes", OPT_SIZE, LIMIT(body_bytes), .def = "\"10MiB\"", .min = 0, .max = 1024 * GIB,
      .help = "The body of a request." },
    { "connections", OPT_INT, LIMIT(connections), .def = "10000", .min = 1, .max = 1000000,
      .help = "Client connections at once." },
    { "connections_per_ip", OPT_INT, LIMIT(connections_per_ip), .def = "0", .min = 0,
      .max = 1000000, .help = "Client connections of one address at once; 0: no limit." },
    { "requests_per_connection", OPT_INT, LIMIT(requests_per_connection), .def = "1000", .min = 1,
      .max = 1000000, .help = "Requests after which a client connection is closed." },
    { "tls_handshakes", OPT_INT, LIMIT(tls_handshakes), .def = "512", .min = 1, .max = 1000000,
      .help = "Handshakes of TLS with clients under way, per worker." },
    { .name = NULL },
};

static const struct option timeouts_table[] = {
    { "tls_handshake", OPT_DURATION, TIMEOUT(tls_handshake), .def = "\"10s\"", .min = 1,
      .max = MINUTES, .help = "From the connection to the end of TLS's handshake." },
    { "request_header", OPT_DURATION, TIMEOUT(request_header), .def = "\"10s\"", .min = 1,
      .max = MINUTES, .help = "For a whole request head." },
    { "request_body", OPT_DURATION, TIMEOUT(request_body), .def = "\"30s\"", .min = 1, .max = HOURS,
      .help = "Without a byte of the request's body." },
    { "keep_alive", OPT_DURATION, TIMEOUT(keep_alive), .def = "\"60s\"", .min = 1, .max = HOURS,
      .help = "Idle between two requests of a connection." },
    { "write", OPT_DURATION, TIMEOUT(write), .def = "\"30s\"", .min = 1, .max = HOURS,
      .help = "Without progress in sending to the client." },
    { .name = NULL },
};

static const char *const error_details[] = { "none", "reason", NULL };

static const struct option server_table[] = {
    { "workers", OPT_CUSTOM, SERVER(workers), .def = "\"auto\"", .parse = parse_workers,
      .help = "Event-loop threads; \"auto\": one per available CPU.",
      .schema = "{\"anyOf\":[{\"const\":\"auto\"},"
                "{\"type\":\"integer\",\"minimum\":1,\"maximum\":256}]}" },
    { "shutdown_grace", OPT_DURATION, SERVER(shutdown_grace_ms), .def = "\"30s\"", .min = 0,
      .max = HOURS, .help = "How long requests may go on after a signal to stop." },
    { "trusted_proxies", OPT_CUSTOM, 0, .def = "[]", .parse = config_parse_trusted,
      .help = "Networks whose X-Forwarded-* and Forwarded fields are believed.",
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}" },
    { "error_detail", OPT_ENUM, SERVER(error_detail), .def = "\"none\"", .choices = error_details,
      .help = "What clients are told about refused requests." },
    { "startup_timeout", OPT_DURATION, SERVER(startup_timeout_ms), .def = "\"10s\"", .min = 0,
      .max = HOURS, .help = "How long the start waits for keys of identity providers." },
    { "state_dir", OPT_PATH, SERVER(state_dir), .help = "Where state is kept over a restart." },
    { "cache_dir", OPT_PATH, SERVER(cache_dir),
      .help = "Where the last good keys of identity providers are kept; by default nowhere." },
    { "limits", OPT_OBJECT, SERVER(limits), .def = "{}", .sub = limits_table,
      .help = "Limits of requests and connections." },
    { "timeouts", OPT_OBJECT, SERVER(timeouts), .def = "{}", .sub = timeouts_table,
      .help = "Timeouts of client connections." },
    { .name = NULL },
};

/* What the listener offers (ALPN); there is one so far. */
static void parse_protocols(const struct option_context *ctx, const struct json *value,
                            const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_ARRAY, path, "write [\"http/1.1\"]")) {
        return;
    }
    if (value->count == 0) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write [\"http/1.1\"]", "names no protocol");
    }
    for (const struct json *item = value->child; item != NULL; item = item->next) {
        bool is_h2 = json_is(item, JSON_STRING) && slice_eq(item->text, SLICE("h2"));

        if (is_h2) {
            diag_at(ctx->diag, DIAG_ERROR, item, path, "leave it out", "HTTP/2 is not spoken yet");
        } else if (!json_is(item, JSON_STRING) || !slice_eq(item->text, SLICE("http/1.1"))) {
            diag_at(ctx->diag, DIAG_ERROR, item, path, "write [\"http/1.1\"]",
                    "is not a protocol that is known");
        }
    }
}

static const char *const redirects[] = { "none", "https", NULL };

static const struct option listener_table[] = {
    { "address", OPT_CUSTOM, 0, .def = "\"0.0.0.0:8080\"", .required = true,
      .parse = config_parse_listener_address, .help = "IP address and port; port 0: any." },
    { "tls", OPT_CUSTOM, 0, .parse = config_parse_listener_tls, .sub = config_listener_tls_table,
      .help = "Encrypt; without: plain HTTP." },
    { "protocols", OPT_CUSTOM, 0, .def = "[\"http/1.1\"]", .parse = parse_protocols,
      .help = "What is offered to clients, by ALPN where the listener has TLS.",
      .schema = "{\"type\":\"array\",\"minItems\":1,\"items\":{\"const\":\"http/1.1\"}}" },
    { "redirect", OPT_ENUM, offsetof(struct config_listener, redirect), .def = "\"none\"",
      .choices = redirects, .help = "\"https\": serve nothing, send clients on to https." },
    { .name = NULL },
};

static void parse_public_path(const struct option_context *ctx, const struct json *value,
                              const char *path, void *field)
{
    if (!options_expect(ctx, value, JSON_STRING, path, NULL)) {
        return;
    }
    if (value->text.len < 2 || value->text.ptr[0] != '/' ||
        value->text.ptr[value->text.len - 1] == '/') {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write it like \"/-\"",
                "must start with \"/\", not end with it and not be the root");
        return;
    }
    *(const char **)field = arena_strdup(ctx->arena, value->text);
}

#define ADMIN(field) (offsetof(struct config_top, admin.field) - offsetof(struct config_top, admin))

static const struct option admin_table[] = {
    { "address", OPT_CUSTOM, ADMIN(address), .def = "\"127.0.0.1:9901\"", .required = true,
      .parse = config_parse_admin_address,
      .help = "IP address and port of the admin listener, or \"unix:/run/jwtgate/admin.sock\"." },
    { "public_path", OPT_CUSTOM, ADMIN(public_path), .parse = parse_public_path,
      .help = "Path under which health is public.",
      .schema = "{\"type\":\"string\",\"pattern\":\"^/.*[^/]$\"}" },
    { "token", OPT_OBJECT, ADMIN(token), .sub = secret_options,
      .help = "Secret of those who may change something; without it nobody may." },
    { "explained_requests", OPT_INT, ADMIN(explained_requests), .def = "1000", .min = 0,
      .max = 1000000,
      .help = "Decisions that each worker remembers for `jwtgate explain --request-id`." },
    { .name = NULL },
};

#define UPSTREAM(field) offsetof(struct config_upstream, field)

static const char *const balancings[] = { "round_robin", "least_request", NULL };

static const struct option upstream_timeouts_table[] = {
    { "connect", OPT_DURATION, UPSTREAM(timeouts.connect) - UPSTREAM(timeouts), .def = "\"1s\"",
      .min = 1, .max = MINUTES, .help = "To open a connection, with TLS's handshake." },
    { "response", OPT_DURATION, UPSTREAM(timeouts.response) - UPSTREAM(timeouts), .def = "\"30s\"",
      .min = 1, .max = 24 * HOURS, .help = "Until the response's head." },
    { "idle", OPT_DURATION, UPSTREAM(timeouts.idle) - UPSTREAM(timeouts), .def = "\"60s\"",
      .min = 1, .max = 24 * HOURS, .help = "Without a byte, and of an idle connection." },
    { .name = NULL },
};

static const struct option retries_table[] = {
    { "attempts", OPT_INT, 0, .def = "1", .min = 0, .max = 10, .help = "Tries after the first." },
    { .name = NULL },
};

static const struct option upstream_table[] = {
    { "targets", OPT_CUSTOM, 0, .def = "[\"127.0.0.1:9001\"]", .required = true,
      .parse = config_parse_targets, .sub = config_target_table,
      .help = "\"host:port\" or {\"address\", \"weight\"}.",
      .schema = "{\"type\":\"array\",\"minItems\":1,"
                "\"items\":{\"anyOf\":[{\"type\":\"string\"},@]}}" },
    { "tls", OPT_CUSTOM, 0, .parse = config_parse_upstream_tls, .sub = config_upstream_tls_table,
      .help = "Encrypt, and check who answers; without: plain HTTP." },
    { "load_balancing", OPT_ENUM, UPSTREAM(balancing), .def = "\"round_robin\"",
      .choices = balancings, .help = "How a target is chosen." },
    { "timeouts", OPT_OBJECT, UPSTREAM(timeouts), .def = "{}", .sub = upstream_timeouts_table,
      .help = "Timeouts of the upstream." },
    { "retries", OPT_OBJECT, UPSTREAM(retries), .def = "{}", .sub = retries_table,
      .help = "Tries on another target, where that is safe." },
    { "max_connections", OPT_INT, UPSTREAM(max_connections), .def = "1024", .min = 0,
      .max = 1000000, .help = "Connections per worker; 0: no limit." },
    { .name = NULL },
};

static const char *const log_formats[] = { "json", "combined", NULL };

static const struct option access_log_table[] = {
    { "path", OPT_PATH, offsetof(struct config_access_log, path), .def = "\"-\"",
      .help = "File; \"-\": standard output." },
    { "format", OPT_ENUM, offsetof(struct config_access_log, format), .def = "\"json\"",
      .choices = log_formats, .help = "One JSON object per line, or the combined format." },
    { "hash_subject", OPT_BOOL, offsetof(struct config_access_log, hash_subject), .def = "false",
      .help = "Log a keyed hash of the subject." },
    { .name = NULL },
};

static void parse_access_log(const struct option_context *ctx, const struct json *value,
                             const char *path, void *field)
{
    struct config_access_log *log = field;

    if (json_is(value, JSON_STRING) && slice_eq(value->text, SLICE("off"))) {
        return;
    }
    if (!json_is(value, JSON_OBJECT)) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write \"off\" or {\"path\": \"-\"}",
                "is not an access log");
        return;
    }
    options_read(ctx, access_log_table, value, path, NULL, log);
    log->enabled = true;
}

static const char *const trusts[] = { "any", "trusted_proxies", NULL };

static const struct option tracing_table[] = {
    { "trust", OPT_ENUM, 0, .def = "\"any\"", .choices = trusts,
      .help = "Whose traceparent is continued." },
    { .name = NULL },
};

#define TOP(field) offsetof(struct config_top, field)

const struct option config_top_table[] = {
    { "$schema", OPT_CUSTOM, 0, .parse = parse_nothing, .help = "For editors.",
      .schema = "{\"type\":\"string\"}" },
    { "version", OPT_CUSTOM, TOP(version), .def = "1", .required = true, .parse = parse_version,
      .help = "Version of the configuration: 1.", .schema = "{\"const\":1}" },
    { "include", OPT_CUSTOM, 0, .parse = parse_nothing, .help = "Globs of further files.",
      .schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}" },
    { "server", OPT_OBJECT, TOP(server), .def = "{}", .sub = server_table, .help = "The process." },
    { "listeners", OPT_MAP, TOP(listeners), .def = "{\"public\": {\"address\": \"0.0.0.0:8080\"}}",
      .required = true, .min = 1, .max = 64, .sub = listener_table, .has_element = true,
      .sub_size = sizeof(struct config_listener), .help = "Where clients connect." },
    { "admin", OPT_OBJECT, TOP(admin), .sub = admin_table, .help = "The admin listener." },
    { "upstreams", OPT_MAP, TOP(upstreams), .def = "{}", .sub = upstream_table, .has_element = true,
      .sub_size = sizeof(struct config_upstream), .help = "Where requests go." },
    { "access_log", OPT_CUSTOM, TOP(access_log), .def = "{\"path\": \"-\", \"format\": \"json\"}",
      .parse = parse_access_log, .sub = access_log_table,
      .help = "One line per request, or \"off\".",
      .schema = "{\"anyOf\":[{\"const\":\"off\"},@]}" },
    { "tracing", OPT_OBJECT, TOP(tracing), .def = "{}", .sub = tracing_table,
      .help = "Trace context." },
    { "routes", OPT_CUSTOM, 0, .def = "{}", .required = true, .parse = parse_nothing,
      .help = "Which requests go where, and who may send them.",
      .schema = "{\"allOf\":[{\"required\":[\"auth\"]}]}" },
    { .name = NULL },
};

/* After the tables */

static bool same_address(const struct config_listener *a, const struct config_listener *b)
{
    if (a->address_len != b->address_len || a->address_len == 0) {
        return false;
    }
    in_port_t port = a->address.ss_family == AF_INET
                         ? ((const struct sockaddr_in *)&a->address)->sin_port
                         : ((const struct sockaddr_in6 *)&a->address)->sin6_port;

    return port != 0 && memcmp(&a->address, &b->address, a->address_len) == 0;
}

static void check_redirect(struct config_loader *loader, const struct config_listener *listener,
                           const char *path)
{
    if (listener->redirect != CONFIG_REDIRECT_NONE && listener->tls != NULL) {
        diag_at(loader->diag, DIAG_ERROR, json_get(listener->element.where, SLICE("redirect")),
                path, "leave out \"tls\" or \"redirect\"",
                "a listener with TLS does not send to https");
    }
}

static void check_listener(struct config_loader *loader, const struct config_listener *listener)
{
    const struct option_element *element = &listener->element;
    const char *path = options_join(&loader->ctx, "listeners", element->name);

    check_redirect(loader, listener, path);
    for (unsigned i = 0; i < listener->index; i++) {
        const struct config_listener *other = &loader->config->listeners[i];

        if (slice_eq(other->element.name, element->name)) {
            diag_at_key(loader->diag, DIAG_ERROR, element->where, path, "choose another name",
                        "\"%.*s\" is a listener of the gateway itself", SLICE_FMT(element->name));
        } else if (same_address(other, listener)) {
            diag_at(loader->diag, DIAG_ERROR, element->where, path, "change one of them",
                    "has the address of \"%.*s\"", SLICE_FMT(other->element.name));
        }
    }
}

/* Only this machine comes there. */
static bool is_local(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_UNIX) {
        return true;
    }
    if (addr->ss_family == AF_INET) {
        return (ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24) == 127;
    }
    return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)addr)->sin6_addr) != 0;
}

/* The listener of the gateway itself, before those of the file. */
static void add_service(struct config_loader *loader, const char *name, enum config_service service,
                        const struct config_address *address)
{
    struct config *config = loader->config;
    unsigned index = (unsigned)config->listener_count++;

    config->listeners[index] = (struct config_listener){
        .element = { .name = slice_str(name) },
        .address_text = address->text,
        .address = address->addr,
        .address_len = address->len,
        .service = service,
        .index = index,
    };
}

static void read_admin_token(struct config_loader *loader)
{
    struct admin_token *token = &loader->config->admin_token;
    const struct json *where = json_pointer(loader->root, SLICE("/admin/token"));

    token->source = loader->top.admin.token;
    if (where != NULL) {
        admin_token_read(token, &loader->ctx, where, "admin.token");
    }
}

static void add_admin(struct config_loader *loader)
{
    const struct config_address *address = &loader->top.admin.address;

    if (address->len == 0) {
        return;
    }
    if (!is_local(&address->addr)) {
        const struct json *admin = json_get(loader->root, SLICE("admin"));

        diag_lint(loader->diag, "admin-public", json_get(admin, SLICE("address")), "admin.address",
                  "use a loopback address or a private network",
                  "the admin listener is open to other hosts");
    }
    add_service(loader, "admin", CONFIG_ADMIN, address);
    read_admin_token(loader);
}

static void add_echo(struct config_loader *loader, const char *echo_address)
{
    struct config_address address = { .text = slice_str(echo_address) };

    if (echo_address == NULL) {
        return;
    }
    if (!config_address_of(address.text, &address.addr, &address.len)) {
        diag_at(loader->diag, DIAG_ERROR, NULL, NULL, NULL, "\"%s\" is not an address",
                echo_address);
        return;
    }
    address.text = arena_copy(loader->ctx.arena, address.text);
    add_service(loader, "echo", CONFIG_ECHO, &address);
}

static void build_listeners(struct config_loader *loader, const char *echo_address)
{
    struct config *config = loader->config;
    const struct config_listener *read = loader->top.listeners.items;
    size_t count = loader->top.listeners.count;

    config->listeners = arena_calloc(&config->arena, count + 2, sizeof(*config->listeners));
    if (config->listeners == NULL) {
        diag_at(loader->diag, DIAG_ERROR, NULL, NULL, NULL, "out of memory");
        return;
    }
    add_admin(loader);
    add_echo(loader, echo_address);
    for (size_t i = 0; i < count; i++) {
        unsigned index = (unsigned)config->listener_count++;

        config->listeners[index] = read[i];
        config->listeners[index].index = index;
        check_listener(loader, &config->listeners[index]);
    }
}

static void build_limits(struct config_limits *limits)
{
    limits->request_memory = HEAD_ARENA_BASE + HEAD_ARENA_TIMES * limits->header_bytes;
    limits->h1 = h1_limits_default;
    limits->h1.head_bytes = (uint32_t)limits->header_bytes;
    limits->h1.line_bytes = (uint32_t)limits->uri_bytes;
    limits->h1.fields = (uint32_t)limits->headers;
}

static size_t plugin_names(const struct config_loader *loader, const char **ret_names)
{
    size_t count = 0;

    for (size_t i = 0; i < loader->builtin_count; i++) {
        const struct option *option = loader->config->plugins[i]->top_options;

        for (; option != NULL && option->name != NULL && count < CONFIG_MAX_NAMES; option++) {
            ret_names[count++] = option->name;
        }
    }
    ret_names[count] = NULL;
    return count;
}

void config_read_top(struct config_loader *loader, const char *echo_address)
{
    const char *names[CONFIG_MAX_NAMES + 1];
    struct config *config = loader->config;
    struct config_top *top = &loader->top;

    plugin_names(loader, names);
    options_read(&loader->ctx, config_top_table, loader->root, "", names, top);
    config->server = top->server;
    build_limits(&config->server.limits);
    build_listeners(loader, echo_address);
    config->public_path = top->admin.public_path;
    config->explained_requests =
        top->admin.address.len == 0 ? 0 : (uint64_t)top->admin.explained_requests;
    config->access_log = top->access_log;
    config->tracing.trust_any = top->tracing.trust == 0;
    config->upstreams = top->upstreams.items;
    config->upstream_count = top->upstreams.count;
    for (size_t i = 0; i < config->upstream_count; i++) {
        config->upstreams[i].index = (unsigned)i;
    }
}
