/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate explain --request-id`: the running gateway says what it has decided (decisions.h), the
 * configuration says what that means. */
#include "core/fetch.h"
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_explain.h"
#include "gateway/cmd_print.h"
#include "gateway/decisions.h"
#include "plugins/builtin.h"

#include <netinet/in.h>
#include <stdlib.h>

#define CONNECT_MS    2000u
#define ANSWER_MS     5000u
#define ANSWER_BYTES  16384u
#define SCRATCH_BYTES ((size_t)1 << 20)

struct answer {
    struct arena arena;
    bool is_done;
    unsigned status; /* 0: none came */
    struct slice body;
};

static int complain(const char *what, const char *detail)
{
    fprintf(stderr, "jwtgate explain: %s%s%s\n", what, detail == NULL ? "" : ": ",
            detail == NULL ? "" : detail);
    return EXIT_UNKNOWN;
}

/* ---- asking ---- */

/* "http://127.0.0.1:9901", also where it listens on all addresses; NULL: there is none. */
static const char *admin_url(struct arena *arena, const struct config *config)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        const struct sockaddr_in *v4 = (const void *)&listener->address;
        const struct sockaddr_in6 *v6 = (const void *)&listener->address;

        if (listener->service != CONFIG_ADMIN) {
            continue;
        }
        if (v4->sin_family == AF_INET && v4->sin_addr.s_addr == INADDR_ANY) {
            return arena_printf(arena, "http://127.0.0.1:%u", ntohs(v4->sin_port));
        }
        if (v6->sin6_family == AF_INET6 && memcmp(&v6->sin6_addr, &any, sizeof(any)) == 0) {
            return arena_printf(arena, "http://[::1]:%u", ntohs(v6->sin6_port));
        }
        return arena_printf(arena, "http://%.*s", SLICE_FMT(listener->address_text));
    }
    return NULL;
}

static const char *escape_id(struct arena *arena, const char *id)
{
    const char *text = "";

    for (; *id != '\0' && text != NULL; id++) {
        unsigned char c = (unsigned char)*id;
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        text = arena_printf(arena, is_plain ? "%s%c" : "%s%%%02X", text, c);
    }
    return text;
}

static void on_answer(void *arg, const struct fetch_answer *from)
{
    struct answer *answer = arg;

    answer->is_done = true;
    answer->status = from->err == 0 ? from->status : 0;
    answer->body = from->err == 0 ? arena_copy(&answer->arena, from->body) : SLICE_ABSENT;
}

static void fetch(struct answer *answer, const char *url)
{
    const struct fetch_options options = { .url = url,
                                           .allow_http = true,
                                           .connect_timeout_ms = CONNECT_MS,
                                           .timeout_ms = ANSWER_MS,
                                           .max_bytes = ANSWER_BYTES };
    struct loop *loop = loop_new();
    struct fetcher *fetcher = loop == NULL ? NULL : fetcher_new(loop);

    answer->is_done = fetcher == NULL || fetch_start(fetcher, &options, on_answer, answer) == NULL;
    while (!answer->is_done) {
        loop_turn(loop, true);
    }
    if (fetcher != NULL) {
        fetcher_free(fetcher);
    }
    loop_free(loop);
}

/* ---- telling ---- */

static struct slice text_of(const struct json *decision, const char *name)
{
    const struct json *member = json_get(decision, slice_str(name));

    return json_is(member, JSON_STRING) ? member->text : SLICE_ABSENT;
}

static const char *string_of(struct arena *arena, const struct json *decision, const char *name)
{
    struct slice text = text_of(decision, name);

    return slice_is_absent(text) ? NULL : arena_strdup(arena, text);
}

static const struct config_route *find_route(const struct config *config, struct slice name)
{
    for (size_t i = 0; i < config->route_count; i++) {
        if (slice_eq(config->routes[i].element.name, name)) {
            return &config->routes[i];
        }
    }
    return NULL;
}

/* False: the route is not there any more. */
static bool tell(struct explain *explain, const struct config *config, const struct json *decision)
{
    struct slice route = text_of(decision, "route");

    explain->is_served = true;
    explain->outcome = string_of(explain->arena, decision, "outcome");
    explain->auth_reason = string_of(explain->arena, decision, "auth");
    explain->provider = text_of(decision, "provider");
    explain->kid = text_of(decision, "kid");
    explain->subject = text_of(decision, "sub");
    explain->route = slice_is_absent(route) ? NULL : find_route(config, route);
    if (explain->outcome == NULL || (!slice_is_absent(route) && explain->route == NULL)) {
        return false;
    }
    if (explain->route != NULL) {
        explain->auth = cmd_route_config(explain->route, &jwt_plugin);
        explain->asks_revocation = cmd_route_config(explain->route, &revocation_plugin) != NULL;
    }
    explain_tell(explain);
    return true;
}

static void print_json(const struct explain *explain, const struct json *decision, bool has_steps)
{
    fputc('{', stdout);
    for (const struct json *member = decision->child; member != NULL; member = member->next) {
        cmd_print_string(stdout, member->key);
        fputc(':', stdout);
        cmd_print_json(stdout, member);
        fputs(member->next == NULL ? "" : ",", stdout);
    }
    if (has_steps) {
        fputc(',', stdout);
        explain_print_steps_json(explain);
    }
    puts("}");
}

static void print_value(const struct json *decision, const char *name)
{
    cmd_print_string(stdout, text_of(decision, name));
}

static void print_text(const struct explain *explain, const struct json *decision, unsigned status,
                       bool has_steps)
{
    struct slice reason = text_of(decision, "reason");

    printf("%.*s ", SLICE_FMT(text_of(decision, "method")));
    print_value(decision, "path");
    fputs("    request ", stdout);
    print_value(decision, "request_id");
    printf(" at %.*s\n", SLICE_FMT(text_of(decision, "time")));
    if (has_steps) {
        explain_print_steps(explain);
    }
    printf("answer: %u %.*s, %.*s", status, SLICE_FMT(http_status_text(status)),
           SLICE_FMT(text_of(decision, "outcome")));
    printf("%s%.*s\n", slice_is_absent(reason) ? "" : ": ", SLICE_FMT(reason));
}

static int show(const struct config *config, struct answer *answer, bool as_json)
{
    const struct json *decision =
        json_parse(&answer->arena, answer->body, &json_limits_config, NULL);
    struct explain explain = { .arena = &answer->arena };
    int64_t status = 0;

    if (!json_is(decision, JSON_OBJECT) ||
        !json_int(json_get(decision, SLICE("status")), &status)) {
        return complain("the gateway's answer is not what was expected", NULL);
    }
    bool has_steps = tell(&explain, config, decision);

    if (!has_steps) {
        (void)complain("its route is not in the configuration any more", NULL);
    } else if (!slice_eq(text_of(decision, "config"), slice_str(config->hash))) {
        (void)complain("decided by another configuration than this; details are of this one", NULL);
    }
    if (as_json) {
        print_json(&explain, decision, has_steps);
    } else {
        print_text(&explain, decision, (unsigned)status, has_steps);
    }
    return status < 400 ? EXIT_YES : EXIT_NO;
}

static int ask(struct answer *answer, const struct config *config, const char *id, bool as_json)
{
    const char *admin = admin_url(&answer->arena, config);
    const char *escaped = escape_id(&answer->arena, id);

    if (admin == NULL) {
        return complain("the configuration has no admin listener to ask", NULL);
    }
    const char *url = escaped == NULL ? NULL
                                      : arena_printf(&answer->arena, "%s/api/explain?request_id=%s",
                                                     admin, escaped);

    if (url == NULL) {
        return complain("out of memory", NULL);
    }
    fetch(answer, url);
    switch (answer->status) {
    case 0: return complain("no gateway answers", admin);
    case 200: return show(config, answer, as_json);
    case 404: return complain("the gateway knows no such request among its last ones", NULL);
    default: return complain("the gateway could not answer", admin);
    }
}

int explain_served(struct config *config, const char *id, bool as_json)
{
    struct answer answer = { .status = 0 };

    if (id[0] == '\0' || strlen(id) > DECISION_MAX_ID_BYTES) {
        fputs("jwtgate explain: this is not a request id\n", stderr);
        return EXIT_USAGE;
    }
    arena_init(&answer.arena, NULL, 0, SCRATCH_BYTES);
    int exit_code = ask(&answer, config, id, as_json);

    arena_done(&answer.arena);
    return exit_code;
}
