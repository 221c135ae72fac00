/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate demo`: everything that is needed to see the gateway work, made in one folder: keys, a
 * configuration, tokens of an hour, and a backend inside the process.  Keys and configuration that
 * are there already are used, never replaced. */
#include "gateway/cmd_demo.h"

#include "core/diag.h"
#include "gateway/cmd.h"
#include "gateway/config.h"
#include "gateway/gateway.h"

#define DEMO_ARENA_BYTES (256u * 1024u)

/* ---- configuration ---- */

/* Where upstreams.echo points: the address that the process itself must answer at; NULL: the
 * configuration no longer has it. */
static char *demo_echo_address(struct demo *demo, const struct config *config)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *upstream = &config->upstreams[i];

        if (slice_eq(upstream->element.name, SLICE("echo")) && upstream->target_count > 0) {
            return arena_strdup(&demo->arena, upstream->targets[0].label);
        }
    }
    return NULL;
}

/* Read twice: the address of the echo listener is in the file. */
static struct config *demo_load(struct demo *demo)
{
    const char *path = demo_path(demo, "jwtgate.jsonc");
    struct config *config;
    bool is_missing;
    struct diag diag;

    diag_init(&diag);
    config = path == NULL ? NULL : config_load(path, &diag, &is_missing);
    if (config != NULL) {
        struct config_load_options options = { .serves = true,
                                               .echo_address = demo_echo_address(demo, config) };

        config_unref(config);
        diag_done(&diag);
        diag_init(&diag);
        config = config_load_with(path, &options, &diag, &is_missing);
    }
    diag_print(&diag, stderr);
    diag_done(&diag);
    return config;
}

/* ---- what one sees ---- */

static uint16_t demo_port(const struct gateway *gateway, const uint16_t *ports,
                          enum config_service service)
{
    for (size_t i = 0; i < gateway->config->listener_count; i++) {
        if (gateway->config->listeners[i].service == service) {
            return ports[i];
        }
    }
    return 0;
}

static void demo_print_curl(const char *dir, const char *token, unsigned port, const char *path,
                            const char *note)
{
    if (token == NULL) {
        printf("  curl -i http://127.0.0.1:%u%s\n      # %s\n", port, path, note);
        return;
    }
    printf(
        "  curl -i -H \"Authorization: Bearer $(cat '%s/%s')\" http://127.0.0.1:%u%s\n      # %s\n",
        dir, token, port, path, note);
}

static void demo_on_ready(struct gateway *gateway, const uint16_t *ports, void *arg)
{
    const struct demo *demo = arg;
    unsigned port = demo_port(gateway, ports, CONFIG_PUBLIC);
    unsigned admin = demo_port(gateway, ports, CONFIG_ADMIN);

    printf("\njwtgate is ready. Keys, tokens (1 h) and configuration are in %s\n\n", demo->dir);
    demo_print_curl(demo->dir, NULL, port, "/public", "200: needs no token");
    demo_print_curl(demo->dir, "hs256.token", port, "/hs",
                    "200: HS256; the backend sees X-User-Id");
    demo_print_curl(demo->dir, "rs256.token", port, "/rs", "200: RS256");
    demo_print_curl(demo->dir, "admin.token", port, "/admin", "200: has the scope demo:admin");
    demo_print_curl(demo->dir, "rs256.token", port, "/admin", "403: has not");
    demo_print_curl(demo->dir, "hs256.token", port, "/rs", "401: the wrong issuer's token");
    demo_print_curl(demo->dir, NULL, port, "/hs", "401: no token");
    printf("  curl -i -u \"demo:$(cat '%s/client.secret')\" -d grant_type=client_credentials "
           "http://127.0.0.1:%u/oauth2/token\n      # 200: a token for the client \"demo\"\n",
           demo->dir, port);
    printf("\nadmin: http://127.0.0.1:%u/metrics /livez /readyz\nStop with Ctrl-C.\n\n", admin);
    fflush(stdout);
}

/* ---- the command ---- */

static int demo_run(struct demo *demo)
{
    struct config *config;
    int code;

    if (demo_prepare(demo) != 0) {
        return EXIT_NO;
    }
    config = demo_load(demo);
    if (config == NULL) {
        return EXIT_NO;
    }
    code = gateway_serve(config, demo_on_ready, demo);
    config_unref(config);
    return code;
}

static int run(struct cmd_line *line)
{
    struct demo demo = { .dir = "jwtgate-demo",
                         .listen = "127.0.0.1:8080",
                         .admin = "127.0.0.1:9901" };
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'd': demo.dir = line->value; break;
        case 'l': demo.listen = line->value; break;
        case 'a': demo.admin = line->value; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
        demo.has_address |= id != 'd';
    }
    arena_init(&demo.arena, NULL, 0, DEMO_ARENA_BYTES);
    int code = demo_run(&demo);
    jwa_key_done(&demo.hs256);
    jwa_key_done(&demo.rs256);
    arena_done(&demo.arena);
    return code;
}

static const struct cmd_option options[] = {
    { 'd', "dir", "D", "folder; by default ./jwtgate-demo", true },
    { 'l', "listen", "ADDRESS", "by default 127.0.0.1:8080; port 0: any", true },
    { 'a', "admin", "ADDRESS", "by default 127.0.0.1:9901; port 0: any", true },
    { .name = NULL },
};

const struct command command_demo = {
    .name = "demo",
    .usage = "[--dir D] [--listen ADDRESS] [--admin ADDRESS]",
    .summary = "make keys and a configuration, and serve them",
    .about = "Make keys, tokens and a configuration in D and serve them in front of an echo\n"
             "backend.  What is there already is used, never replaced.",
    .options = options,
    .examples = "demo\ndemo --dir demo --listen 127.0.0.1:0",
    .run = run,
};
