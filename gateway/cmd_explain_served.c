/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate explain --request-id`: the running gateway says what it has decided (decisions.h), the
 * configuration says what that means. */
#include "gateway/cmd.h"
#include "gateway/cmd_admin.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_explain.h"
#include "gateway/cmd_print.h"
#include "gateway/decisions.h"
#include "plugins/builtin.h"

#include <stdlib.h>

#define ANSWER_MS     5000u
#define SCRATCH_BYTES ((size_t)1 << 20)

static int complain(const char *what, const char *detail)
{
    fprintf(stderr, "jwtgate explain: %s%s%s\n", what, detail == NULL ? "" : ": ",
            detail == NULL ? "" : detail);
    return EXIT_UNKNOWN;
}

/* ---- asking ---- */

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
        explain->asks_revocation = cmd_route_has(explain->route, &revocation_plugin);
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

static int show(const struct config *config, struct arena *arena, struct slice body, bool as_json)
{
    const struct json *decision = json_parse(arena, body, &json_limits_config, NULL);
    struct explain explain = { .arena = arena };
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

static int judge(const struct config *config, struct arena *arena,
                 const struct cmd_admin_answer *answer, bool as_json)
{
    switch (answer->status) {
    case 200: return show(config, arena, slice_of(answer->body, answer->len), as_json);
    case 404: return complain("the gateway knows no such request among its last ones", NULL);
    default: return complain("the gateway could not answer", NULL);
    }
}

static int ask(struct cmd_admin *admin, const struct config *config, const char *id, bool as_json)
{
    struct cmd_admin_answer answer;
    struct arena arena;
    int code = EXIT_UNKNOWN;

    arena_init(&arena, NULL, 0, SCRATCH_BYTES);
    const char *escaped = escape_id(&arena, id);
    const char *path =
        escaped == NULL ? NULL : arena_printf(&arena, "/api/explain?request_id=%s", escaped);

    if (path == NULL) {
        complain("out of memory", NULL);
    } else if (cmd_admin_ask(admin, false, path, ANSWER_MS, true, &answer) != EXIT_YES) {
        complain("no gateway answers", cmd_admin_place(admin));
    } else {
        code = judge(config, &arena, &answer, as_json);
        free(answer.body);
    }
    arena_done(&arena);
    return code;
}

int explain_served(struct config *config, const char *id, bool as_json)
{
    struct cmd_admin admin = { .config_file = NULL };
    int code;

    if (id[0] == '\0' || strlen(id) > DECISION_MAX_ID_BYTES) {
        fputs("jwtgate explain: this is not a request id\n", stderr);
        return EXIT_USAGE;
    }
    code = cmd_admin_open_for(&admin, config);
    if (code == EXIT_YES) {
        code = ask(&admin, config, id, as_json);
    }
    cmd_admin_close(&admin);
    return code;
}
