/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate explain`: what the gateway would do with a request, and why.  The request goes through the
 * parser, the router and the plugins of the server, in a worker that has no socket. */
#include "gateway/cmd_explain.h"

#include "core/clock.h"
#include "core/h1_parser.h"
#include "gateway/chain.h"
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_print.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/reply.h"
#include "plugins/builtin.h"
#include "plugins/jwt/token_source.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#define MAX_FIELDS      64u
#define MAX_TOKEN_BYTES 65536u
#define SCRATCH_BYTES   ((size_t)8 << 20)

struct arguments {
    struct cmd_line *line;
    const char *config, *token_file, *at, *jwks, *request_id;
    const char *method, *url;
    const char *fields[MAX_FIELDS];
    size_t field_count;
    bool as_json;
    struct arena arena;
};

/* ---- the request as text ---- */

static bool has_field(const struct arguments *args, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i < args->field_count; i++) {
        if (strncasecmp(args->fields[i], name, len) == 0 && args->fields[i][len] == ':') {
            return true;
        }
    }
    return false;
}

/* "/a?b" of "https://host/a?b", and the host. */
static void split_url(struct slice url, struct slice *ret_host, struct slice *ret_target)
{
    const char *scheme = memmem(url.ptr, url.len, "://", 3);

    *ret_host = SLICE("localhost");
    *ret_target = url;
    if (scheme == NULL || url.ptr[0] == '/') {
        return;
    }
    struct slice rest = slice_skip(url, (size_t)(scheme - url.ptr) + 3);
    size_t len = 0;

    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?') {
        len++;
    }
    *ret_host = slice_of(rest.ptr, len);
    *ret_target = len == rest.len ? SLICE("/") : slice_skip(rest, len);
}

static int append_token(struct arguments *args, const char **text)
{
    char *token = arena_alloc(&args->arena, MAX_TOKEN_BYTES);
    size_t len = 0;
    int err = token == NULL ? ERR_NO_MEMORY
                            : cmd_read_text(args->token_file, token, MAX_TOKEN_BYTES, &len);

    if (err == 0 && memchr(token, '\n', len) != NULL) {
        fputs("jwtgate explain: the token has more than one line\n", stderr);
        err = ERR_BAD_INPUT;
    }
    if (err == 0) {
        *text =
            arena_printf(&args->arena, "%sAuthorization: Bearer %.*s\r\n", *text, (int)len, token);
    }
    return err;
}

/* A whole head; ERR_* were reported. */
static int make_head(struct arguments *args, struct slice *ret)
{
    struct slice host, target;

    split_url(slice_str(args->url), &host, &target);
    bool slash = target.len > 0 && target.ptr[0] == '?';
    const char *text = arena_printf(&args->arena, "%s %s%.*s HTTP/1.1\r\n", args->method,
                                    slash ? "/" : "", SLICE_FMT(target));

    if (text != NULL && !has_field(args, "Host")) {
        text = arena_printf(&args->arena, "%sHost: %.*s\r\n", text, SLICE_FMT(host));
    }
    for (size_t i = 0; text != NULL && i < args->field_count; i++) {
        text = arena_printf(&args->arena, "%s%s\r\n", text, args->fields[i]);
    }
    if (text != NULL && args->token_file != NULL) {
        int err = append_token(args, &text);

        if (err < 0) {
            return err;
        }
    }
    text = text == NULL ? NULL : arena_printf(&args->arena, "%s\r\n", text);
    *ret = slice_str(text);
    return text == NULL ? ERR_NO_MEMORY : 0;
}

/* ---- the answer ---- */

/* Of our own answer; 0: the request would be forwarded. */
static unsigned status_of(struct request *req)
{
    if (req->outcome == OUTCOME_NONE) {
        return 0;
    }
    return reply_build(req) == 0 ? req->response.status : outcome_status(req->outcome);
}

static void print_forwarded(const struct explain *explain, const struct request *req)
{
    const struct headers *added = &req->added_headers;

    printf("answer: forwarded to upstream %.*s", SLICE_FMT(req->route->upstream->element.name));
    for (uint32_t i = 0; i < added->count; i++) {
        if (!added->items[i].removed) {
            printf("%s%.*s: ", i == 0 ? ", with " : ", ", SLICE_FMT(added->items[i].name));
            cmd_print_string(stdout, added->items[i].value);
        }
    }
    puts(explain->asks_revocation ? ", unless the token is revoked" : "");
}

static void print_answer(const struct explain *explain, const struct request *req, unsigned status)
{
    struct slice challenge = headers_get_id(&req->response.headers, HEADER_WWW_AUTHENTICATE);

    if (explain->is_open) {
        puts("answer: unknown: it depends on keys that only a running gateway fetches");
        return;
    }
    if (status == 0) {
        print_forwarded(explain, req);
        return;
    }
    printf("answer: %u %.*s", status, SLICE_FMT(http_status_text(status)));
    if (status != 0 && !slice_is_absent(challenge)) {
        printf(", WWW-Authenticate: %.*s", SLICE_FMT(challenge));
    }
    fputc('\n', stdout);
}

static void print_member(const char *name, struct slice value)
{
    if (!slice_is_absent(value)) {
        printf(",\"%s\":", name);
        cmd_print_string(stdout, value);
    }
}

static void print_json(const struct explain *explain, const struct request *req, unsigned status)
{
    bool passes = status == 0 && !explain->is_open;

    printf("{\"answer\":\"%s\"", explain->is_open ? "unknown" : passes ? "forwarded" : "refused");
    if (status != 0) {
        printf(",\"status\":%u", status);
        print_member("outcome", slice_str(outcome_word(req->outcome)));
        print_member("www_authenticate",
                     headers_get_id(&req->response.headers, HEADER_WWW_AUTHENTICATE));
    }
    print_member("reason", slice_str(req->reason));
    print_member("provider", req->attrs[GW_ATTR_PROVIDER]);
    if (req->route != NULL) {
        print_member("route", req->route->element.name);
    }
    if (passes) {
        print_member("upstream", req->route->upstream->element.name);
        fputs(",\"headers\":{", stdout);
        for (uint32_t i = 0; i < req->added_headers.count; i++) {
            fputs(i == 0 ? "" : ",", stdout);
            cmd_print_string(stdout, req->added_headers.items[i].name);
            fputc(':', stdout);
            cmd_print_string(stdout, req->added_headers.items[i].value);
        }
        fputc('}', stdout);
    }
    fputc(',', stdout);
    explain_print_steps_json(explain);
    puts("}");
}

/* ---- the decision ---- */

/* Leave out the question whether the token is revoked: it needs the store.  True: there was one. */
static bool skip_revocation(struct arena *arena, struct request *req)
{
    struct config_route *route = arena_calloc(arena, 1, sizeof(*route));
    struct config_link *chain = arena_calloc(arena, req->route->chain_length + 1u, sizeof(*chain));
    bool is_skipped = false;

    if (route == NULL || chain == NULL) {
        return false;
    }
    *route = *req->route;
    route->chain = chain;
    for (unsigned i = 0; i < route->chain_length; i++) {
        chain[i] = req->route->chain[i];
        if (chain[i].plugin == &revocation_plugin) {
            chain[i].plugin = &revocation_unasked_plugin;
            is_skipped = true;
        }
    }
    req->route = route;
    return is_skipped;
}

static int tell(struct arguments *args, struct request *req)
{
    struct explain explain = { .now = clock_unix(),
                               .arena = &args->arena,
                               .has_jwks = args->jwks != NULL };
    bool goes_on = request_decide(req);

    if (req->route != NULL) {
        explain.auth = cmd_route_config(req->route, &jwt_plugin);
    }
    if (explain.auth != NULL) {
        struct token_found found;

        (void)token_find(gw_request_of(req), explain.auth, &found);
        explain.token = found.token;
        explain.source = found.source;
        explain.asks_revocation = skip_revocation(&args->arena, req);
    }
    while (goes_on) {
        goes_on = request_decide(req);
    }
    explain.route = req->route;
    explain.outcome = outcome_word(req->outcome);
    explain.auth_reason = req->auth_reason;
    explain.provider = req->attrs[GW_ATTR_PROVIDER];
    explain_tell(&explain);
    explain.is_open |= req->outcome == OUTCOME_NONE && req->sm.state < REQ_CONNECT;
    unsigned status = status_of(req);

    if (args->as_json) {
        print_json(&explain, req, status);
    } else {
        printf("%s %.*s    offline\n", args->method, SLICE_FMT(req->head.path));
        explain_print_steps(&explain);
        print_answer(&explain, req, status);
    }
    if (explain.is_open) {
        return EXIT_UNKNOWN;
    }
    return status == 0 || status < 400 ? EXIT_YES : EXIT_NO;
}

static int refuse_head(const struct arguments *args, const struct request *req, enum h1_error error)
{
    unsigned status = h1_error_status(error);

    if (args->as_json) {
        printf("{\"answer\":\"refused\",\"status\":%u,\"reason\":\"%s\"}\n", status,
               h1_error_word(error));
    } else {
        printf("answer: %u %.*s, because the request is malformed: %s%s%s\n", status,
               SLICE_FMT(http_status_text(status)), h1_error_word(error),
               req->parse_detail == NULL ? "" : ", ",
               req->parse_detail == NULL ? "" : req->parse_detail);
    }
    return EXIT_NO;
}

/* As codec_h1.c does it. */
static int run_request(struct arguments *args, struct conn *conn, struct slice head)
{
    const struct h1_limits *limits = &conn->worker->view->config->server.limits.h1;
    struct h1_scan scan = { .pos = 0 };
    enum h1_error error = H1_OK;
    struct request *req = request_new(conn);
    size_t len = 0;
    int exit_code;

    if (req == NULL) {
        return EXIT_UNKNOWN;
    }
    char *copy = arena_strdup(&req->arena, head);
    enum parse parse = h1_scan(&scan, head, limits, true, &len, &error);

    if (copy == NULL) {
        error = H1_MEMORY;
    } else if (parse == PARSE_DONE) {
        error = h1_parse_request(copy, len, limits, &req->arena, SLICE("http"), &req->head,
                                 &req->parse_detail);
    }
    exit_code = error == H1_OK ? tell(args, req) : refuse_head(args, req, error);
    request_client_gone(req);
    return exit_code;
}

static uint8_t public_listener(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].service == CONFIG_PUBLIC) {
            return (uint8_t)i;
        }
    }
    return 0;
}

/* The keys of --jwks for the plugin's state in this worker. */
static int give_keys(const struct arguments *args, struct worker *worker)
{
    const struct config *config = worker->view->config;
    struct jwks_set *set = NULL;
    int err = args->jwks == NULL ? 0 : cmd_read_jwks(args->jwks, &set);

    for (size_t i = 0; i < config->plugin_count && err == 0 && set != NULL; i++) {
        if (config->plugins[i] == &jwt_plugin) {
            err = jwt_set_keys(worker->view->plugin_workers[i], set);
        }
    }
    jwks_set_unref(set);
    return err;
}

static int run_worker(struct arguments *args, struct config *config, struct slice head)
{
    struct gateway gateway = { .config = config };
    struct worker *worker = worker_new(&gateway, config, 1);
    struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
    struct conn conn = { .worker = worker, .listener_index = public_listener(config) };
    int exit_code = EXIT_UNKNOWN;

    if (worker != NULL && give_keys(args, worker) == 0) {
        memcpy(conn.peer, &loopback, sizeof(conn.peer));
        exit_code = run_request(args, &conn, head);
    }
    worker_free(worker);
    return exit_code;
}

static int explain_with(struct arguments *args, struct config *config)
{
    struct slice head;
    int64_t now = (int64_t)time(NULL);

    if (args->at != NULL && !cmd_parse_time(args->at, &now)) {
        return cmd_usage_error(args->line, "--at is 2026-11-24T20:00:00Z or seconds since 1970");
    }
    int err = make_head(args, &head);

    if (err < 0) {
        return err == ERR_BAD_INPUT ? EXIT_USAGE : EXIT_UNKNOWN;
    }
    clock_update();
    clock_set(clock_ms(), (uint64_t)now * 1000000u);
    int exit_code = run_worker(args, config, head);

    clock_unset();
    return exit_code;
}

/* ---- the command ---- */

static bool is_field(const char *text)
{
    return strchr(text, ':') != NULL && strpbrk(text, "\r\n") == NULL;
}

/* -1: go on. */
static int read_arguments(struct arguments *args)
{
    struct cmd_line *line = args->line;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'c': args->config = line->value; break;
        case 'f': args->token_file = line->value; break;
        case 'k':
            args->token_file = "-";
            if (strcmp(line->value, "-") != 0) { /* every process could read it */
                return cmd_usage_error(line, "--token is \"-\": it is read from standard input");
            }
            break;
        case 't': args->at = line->value; break;
        case 'w': args->jwks = line->value; break;
        case 'r': args->request_id = line->value; break;
        case 'j': args->as_json = true; break;
        case 'H':
            if (!is_field(line->value) || args->field_count == MAX_FIELDS) {
                return cmd_usage_error(line, "-H is written like \"Accept: text/plain\"");
            }
            args->fields[args->field_count++] = line->value;
            break;
        case CMD_WORD:
            if (args->url != NULL) {
                return cmd_usage_error(line, "too many arguments");
            }
            *(args->method == NULL ? &args->method : &args->url) = line->value;
            break;
        default: return line->exit_code;
        }
    }
    if (args->request_id != NULL && (args->method != NULL || args->field_count > 0 ||
                                     args->token_file != NULL || args->at != NULL)) {
        return cmd_usage_error(line, "--request-id names a request that was made already");
    }
    return args->url != NULL || args->request_id != NULL
               ? -1
               : cmd_usage_error(line, "name a method and a URL, or --request-id");
}

static int run(struct cmd_line *line)
{
    struct arguments args = { .line = line };
    int exit_code = read_arguments(&args);

    if (exit_code >= 0) {
        return exit_code;
    }
    struct config *config = cmd_load_config(args.config, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    if (args.request_id != NULL) {
        exit_code = explain_served(config, args.request_id, args.as_json);
    } else {
        arena_init(&args.arena, NULL, 0, SCRATCH_BYTES);
        exit_code = explain_with(&args, config);
        arena_done(&args.arena);
    }
    config_unref(config);
    return exit_code;
}

static const struct cmd_option options[] = {
    CMD_OPTION_CONFIG,
    { 'H', "header", "FIELD", "a request header, \"Name: value\"; may be repeated", false },
    { 'k', "token", "-", "the access token from standard input", true },
    { 'f', "token-file", "FILE", "the access token from a file", true },
    { 'w', "jwks", "FILE", "the keys that issuers publish, as a JWK set", true },
    { 'r', "request-id", "ID", "a request that the running gateway has served", true },
    { 't', "at", "TIME", "instead of now: 2026-11-24T20:00:00Z, or UNIX seconds", true },
    CMD_OPTION_JSON,
    { .name = NULL },
};

const struct command command_explain = {
    .name = "explain",
    .usage = "METHOD URL [-c FILE] [-H FIELD]... [--token -] [OPTIONS]\n"
             "--request-id ID [-c FILE] [--json]",
    .summary = "say what would be done with a request, and why",
    .about = "Send a request through the code of the server, without a server, and tell each\n"
             "step.  No upstream is asked.  With --request-id: ask the running gateway about one\n"
             "of its last requests (X-Request-Id of the answer), of which it has kept no token.\n"
             "Exit codes: 0 passes, 1 would be refused, 2 wrong usage, 3 could not find out",
    .options = options,
    .examples = "explain GET /orders/7 --token - < token\n"
                "explain POST https://api.example.com/orders -H 'Content-Length: 0'\n"
                "explain --request-id 01JDK0RZ3Q8YV5T6W7X8Y9Z0AB",
    .run = run,
};
