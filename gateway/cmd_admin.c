/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/cmd_admin.h"

#include "core/clock.h"
#include "core/fetch.h"
#include "core/json.h"
#include "core/loop.h"
#include "core/secret.h"
#include "gateway/cmd_config.h"

#include <openssl/crypto.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX     "unix:"
#define CONNECT_MS      2000u
#define MAX_BODY_BYTES  ((size_t)8 << 20)
#define MAX_TOKEN_BYTES 1000u /* of what a field may hold */
#define ARENA_BYTES     ((size_t)64 << 10)

bool cmd_admin_take(struct cmd_admin *admin, const struct cmd_line *line, int option)
{
    switch (option) {
    case 'c': admin->config_file = line->value; return true;
    case CMD_ADMIN_ADDRESS: admin->address = line->value; return true;
    case CMD_ADMIN_TOKEN_FILE: admin->token_file = line->value; return true;
    default: return false;
    }
}

/* ---- where ---- */

static const struct config_listener *find_listener(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].service == CONFIG_ADMIN) {
            return &config->listeners[i];
        }
    }
    return NULL;
}

static void use_socket(struct cmd_admin *admin, const char *path)
{
    snprintf(admin->url, sizeof(admin->url), "http://127.0.0.1");
    snprintf(admin->socket, sizeof(admin->socket), "%s", path);
}

/* Who listens on every address is asked by loopback. */
static int url_of(const struct sockaddr_storage *address, char *ret, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    uint16_t port;

    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        bool is_any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);

        port = ntohs(in6->sin6_port);
        inet_ntop(AF_INET6, is_any ? &in6addr_loopback : &in6->sin6_addr, host, sizeof(host));
        snprintf(ret, size, "http://[%s]:%u", host, port);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        struct in_addr addr = in->sin_addr;

        if (addr.s_addr == htonl(INADDR_ANY)) {
            addr.s_addr = htonl(INADDR_LOOPBACK);
        }
        port = ntohs(in->sin_port);
        inet_ntop(AF_INET, &addr, host, sizeof(host));
        snprintf(ret, size, "http://%s:%u", host, port);
    }
    if (port == 0) {
        fprintf(stderr,
                "jwtgate: the kernel chose the admin port: see the gateway's log and give it "
                "with --address\n");
        return EXIT_UNKNOWN;
    }
    return EXIT_YES;
}

/* ---- who ---- */

static int read_token(const struct secret_source *source, char *ret, size_t size)
{
    char text[SECRET_MAX_BYTES];
    size_t len = 0;
    struct arena arena;
    struct diag diag;
    int code = EXIT_NO;

    arena_init(&arena, NULL, 0, ARENA_BYTES);
    diag_init(&diag);
    struct option_context ctx = { .diag = &diag, .arena = &arena };
    if (secret_read(source, &ctx, NULL, "the admin token", text, &len) < 0) {
        diag_print(&diag, stderr);
    } else if (len > MAX_TOKEN_BYTES || memchr(text, '\0', len) != NULL) {
        fprintf(stderr, "jwtgate: the admin token is too long or holds a NUL\n");
    } else {
        snprintf(ret, size, "Bearer %.*s", (int)len, text);
        code = EXIT_YES;
    }
    OPENSSL_cleanse(text, sizeof(text));
    diag_done(&diag);
    arena_done(&arena);
    return code;
}

static int find_url(struct cmd_admin *admin, const struct config *config)
{
    const struct config_listener *listener = find_listener(config);

    if (listener == NULL) {
        fprintf(stderr, "jwtgate: the configuration has no admin listener to ask\n");
        return EXIT_UNKNOWN;
    }
    if (listener->address.ss_family == AF_UNIX) {
        use_socket(admin, ((const struct sockaddr_un *)(const void *)&listener->address)->sun_path);
        return EXIT_YES;
    }
    return url_of(&listener->address, admin->url, sizeof(admin->url));
}

static int read_config(struct cmd_admin *admin, bool changes)
{
    int code = EXIT_YES;
    struct config *config = cmd_load_config(admin->config_file, &code);

    if (config == NULL) {
        return code;
    }
    code = find_url(admin, config);
    if (code == EXIT_YES && changes && admin->token_file == NULL && config->admin_token.is_set) {
        code = read_token(&config->admin_token.source, admin->authorization,
                          sizeof(admin->authorization));
    }
    config_unref(config);
    return code;
}

/* ---- asking ---- */

static int open_loop(struct cmd_admin *admin)
{
    clock_update();
    admin->loop = loop_new();
    admin->fetcher = admin->loop == NULL ? NULL : fetcher_new(admin->loop);
    if (admin->fetcher == NULL) {
        fprintf(stderr, "jwtgate: out of memory\n");
        return EXIT_UNKNOWN;
    }
    return EXIT_YES;
}

const char *cmd_admin_place(const struct cmd_admin *admin)
{
    return admin->socket[0] == '\0' ? admin->url : admin->socket;
}

int cmd_admin_open_for(struct cmd_admin *admin, const struct config *config)
{
    int code = find_url(admin, config);

    return code == EXIT_YES ? open_loop(admin) : code;
}

int cmd_admin_open(struct cmd_admin *admin, bool changes)
{
    int code = EXIT_YES;

    if (admin->address != NULL && strncmp(admin->address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
        if (strlen(admin->address) - strlen(UNIX_PREFIX) >= sizeof(admin->socket)) {
            fprintf(stderr, "jwtgate: the path of a socket has at most %zu bytes\n",
                    sizeof(admin->socket) - 1);
            return EXIT_USAGE;
        }
        use_socket(admin, admin->address + strlen(UNIX_PREFIX));
    } else if (admin->address != NULL) {
        snprintf(admin->url, sizeof(admin->url), "http://%.100s", admin->address);
    } else {
        code = read_config(admin, changes);
    }
    if (code == EXIT_YES && admin->token_file != NULL) {
        struct secret_source source = { .file = admin->token_file };

        code = read_token(&source, admin->authorization, sizeof(admin->authorization));
    }
    if (code == EXIT_YES && !fetch_url_is_valid(admin->url, true)) {
        fprintf(stderr, "jwtgate: \"%s\" is no address: write HOST:PORT or unix:PATH\n",
                admin->address);
        code = EXIT_USAGE;
    }
    return code == EXIT_YES ? open_loop(admin) : code;
}

struct question {
    bool is_over;
    int err;
    char detail[160];
    struct cmd_admin_answer *answer;
};

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    struct question *question = arg;

    question->is_over = true;
    question->err = answer->err;
    snprintf(question->detail, sizeof(question->detail), "%s",
             answer->detail == NULL ? "" : answer->detail);
    question->answer->status = answer->status;
    question->answer->body = calloc(1, answer->body.len + 1);
    if (question->answer->body != NULL && answer->body.len > 0) {
        memcpy(question->answer->body, answer->body.ptr, answer->body.len);
        question->answer->len = answer->body.len;
    }
}

static int ask(struct cmd_admin *admin, struct fetch_options *options, const char *path, bool quiet,
               struct cmd_admin_answer *ret)
{
    char url[1024];
    struct question question = { .answer = ret };

    options->url = url;
    options->socket = admin->socket[0] == '\0' ? NULL : admin->socket;
    options->allow_http = true;
    options->connect_timeout_ms = CONNECT_MS;
    options->max_bytes = MAX_BODY_BYTES;
    options->authorization = admin->authorization[0] == '\0' ? NULL : admin->authorization;
    *ret = (struct cmd_admin_answer){ .status = 0 };
    snprintf(url, sizeof(url), "%s%s", admin->url, path);
    if (fetch_start(admin->fetcher, options, on_answer, &question) == NULL) {
        fprintf(stderr, "jwtgate: out of memory\n");
        return EXIT_UNKNOWN;
    }
    while (!question.is_over) {
        loop_turn(admin->loop, true);
    }
    if (question.err == 0 && ret->body != NULL) {
        return EXIT_YES;
    }
    if (!quiet) {
        fprintf(stderr, "jwtgate: no answer from %s: %s\n", cmd_admin_place(admin),
                question.err == 0 ? "out of memory" : question.detail);
    }
    free(ret->body);
    ret->body = NULL;
    return EXIT_UNKNOWN;
}

int cmd_admin_ask(struct cmd_admin *admin, bool posts, const char *path, unsigned timeout_ms,
                  bool quiet, struct cmd_admin_answer *ret)
{
    struct fetch_options options = { .timeout_ms = timeout_ms, .posts = posts };

    return ask(admin, &options, path, quiet, ret);
}

int cmd_admin_post(struct cmd_admin *admin, const char *path, struct slice body,
                   unsigned timeout_ms, bool quiet, struct cmd_admin_answer *ret)
{
    struct fetch_options options = { .timeout_ms = timeout_ms, .posts = true, .post = body };

    return ask(admin, &options, path, quiet, ret);
}

int cmd_admin_refused(const struct cmd_admin_answer *answer)
{
    struct arena arena;

    arena_init(&arena, NULL, 0, ARENA_BYTES);
    const struct json *problem =
        json_parse(&arena, slice_of(answer->body, answer->len), &json_limits_token, NULL);
    const struct json *detail = json_get(problem, SLICE("detail"));
    const struct json *title = json_get(problem, SLICE("title"));
    const struct json *text = json_is(detail, JSON_STRING) ? detail : title;

    fprintf(stderr, "jwtgate: refused (%u): %.*s\n", answer->status,
            SLICE_FMT(json_is(text, JSON_STRING) ? text->text : SLICE("no reason given")));
    arena_done(&arena);
    return EXIT_NO;
}

void cmd_admin_close(struct cmd_admin *admin)
{
    OPENSSL_cleanse(admin->authorization, sizeof(admin->authorization));
    if (admin->fetcher != NULL) {
        fetcher_free(admin->fetcher);
    }
    loop_free(admin->loop);
}
