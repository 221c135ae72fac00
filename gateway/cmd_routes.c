/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate routes`: what is exposed to whom. */
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_table.h"
#include "plugins/jwt/jwt_auth.h"

#include <stdlib.h>

#define MAX_JSON_BYTES ((size_t)64 << 20)
#define COLUMNS        6u

static bool is_exact(const struct config_route *route)
{
    return !slice_is_absent(route->match.exact);
}

static struct slice path_of(const struct config_route *route)
{
    struct slice path = is_exact(route) ? route->match.exact : route->match.path_prefix;

    return path.len == 0 ? SLICE("/") : path;
}

static int compare_routes(const void *a_arg, const void *b_arg)
{
    const struct config_route *a = *(const struct config_route *const *)a_arg;
    const struct config_route *b = *(const struct config_route *const *)b_arg;
    struct slice x = path_of(a), y = path_of(b);
    int order = memcmp(x.ptr, y.ptr, x.len < y.len ? x.len : y.len);

    if (order == 0) {
        order = (x.len > y.len) - (x.len < y.len);
    }
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

static const struct config_route **sort_routes(const struct config *config)
{
    const struct config_route **routes = calloc(config->route_count + 1, sizeof(*routes));

    for (size_t i = 0; routes != NULL && i < config->route_count; i++) {
        routes[i] = &config->routes[i];
    }
    if (routes != NULL) {
        qsort(routes, config->route_count, sizeof(*routes), compare_routes);
    }
    return routes;
}

/* ---- the table ---- */

/* "a, b" in memory of the caller; "-" and the like for an empty list. */
static const char *join(struct arena *arena, const struct slice *items, size_t count,
                        const char *separator, const char *none)
{
    const char *text = count == 0 ? none : "";

    for (size_t i = 0; i < count && text != NULL; i++) {
        text = arena_printf(arena, "%s%s%.*s", text, i == 0 ? "" : separator, SLICE_FMT(items[i]));
    }
    return text == NULL ? none : text;
}

static const char *methods_text(struct arena *arena, uint32_t methods)
{
    struct slice names[HTTP_METHODS];
    size_t count = 0;

    for (unsigned m = HTTP_OTHER + 1; m < HTTP_METHODS; m++) {
        if ((methods & (UINT32_C(1) << m)) != 0) {
            names[count++] = http_method_name((enum http_method)m);
        }
    }
    return join(arena, names, count, ",", "any");
}

static const char *alternative_text(struct arena *arena, const struct jwt_alternative *one)
{
    const struct claims_policy *policy = &one->provider->policy;
    const char *audiences = join(arena, policy->audiences, policy->audience_count, " or ", "any");
    const char *scopes =
        join(arena, one->scopes, one->scope_count, one->any_scope ? " or " : " and ", "");
    const char *text =
        arena_printf(arena, "%.*s: iss %.*s, aud %s%s%s%s", SLICE_FMT(one->provider->element.name),
                     SLICE_FMT(policy->issuer), audiences, one->scope_count == 0 ? "" : ", scope ",
                     scopes, one->rule_count == 0 ? "" : ", claims");

    return text == NULL ? "?" : text;
}

static const char *cell(struct arena *arena, const struct config_route *route, unsigned column)
{
    const char *text = "";

    switch (column) {
    case 0: text = arena_strdup(arena, route->element.name); break;
    case 1: text = join(arena, route->match.hosts, route->match.host_count, ",", "any"); break;
    case 2:
        text = arena_printf(arena, "%.*s%s", SLICE_FMT(path_of(route)),
                            is_exact(route)                     ? ""
                            : route->match.path_prefix.len == 0 ? "*"
                                                                : "/*");
        break;
    case 3: text = methods_text(arena, route->match.methods); break;
    case 4:
        text = route->upstream == NULL ? "-" : arena_strdup(arena, route->upstream->element.name);
        break;
    default: break;
    }
    return text == NULL ? "?" : text;
}

/* The last column; each alternative but the first is a row of its own. */
static void add_who(struct cmd_table *table, struct arena *arena, const struct jwt_route *auth)
{
    for (size_t i = 0; auth != NULL && i < auth->alternative_count; i++) {
        const char *text = arena_printf(arena, "%s%s", auth->is_optional ? "PUBLIC, or " : "",
                                        alternative_text(arena, &auth->alternatives[i]));

        for (unsigned c = 0; i > 0 && c < COLUMNS - 1; c++) {
            cmd_table_add(table, SLICE(""));
        }
        cmd_table_add(table, slice_str(text == NULL ? "?" : text));
    }
    if (auth == NULL) {
        cmd_table_add(table, SLICE("PUBLIC"));
    }
}

static int print_table(struct arena *arena, const struct config_route **routes, size_t count)
{
    static const char *const titles[COLUMNS] = { "ROUTE",   "HOSTS",    "PATH",
                                                 "METHODS", "UPSTREAM", "WHO" };
    struct cmd_table table;

    cmd_table_init(&table, titles, COLUMNS);
    for (size_t i = 0; i < count; i++) {
        for (unsigned c = 0; c < COLUMNS - 1; c++) {
            cmd_table_add(&table, slice_str(cell(arena, routes[i], c)));
        }
        add_who(&table, arena, cmd_route_config(routes[i], &jwt_plugin));
    }
    return cmd_table_end(&table, stdout);
}

/* ---- JSON ---- */

static void write_list(struct json_writer *w, const char *key, const struct slice *items,
                       size_t count)
{
    json_write_begin(w, key, '[');
    for (size_t i = 0; i < count; i++) {
        json_write_string(w, NULL, items[i]);
    }
    json_write_end(w, ']');
}

static void write_methods(struct json_writer *w, uint32_t methods)
{
    json_write_begin(w, "methods", '[');
    for (unsigned m = HTTP_OTHER + 1; m < HTTP_METHODS; m++) {
        if ((methods & (UINT32_C(1) << m)) != 0) {
            json_write_string(w, NULL, http_method_name((enum http_method)m));
        }
    }
    json_write_end(w, ']');
}

static void write_alternative(struct json_writer *w, const struct jwt_alternative *one)
{
    const struct claims_policy *policy = &one->provider->policy;

    json_write_begin(w, NULL, '{');
    json_write_string(w, "provider", one->provider->element.name);
    json_write_string(w, "issuer", policy->issuer);
    if (policy->any_audience) {
        json_write_string(w, "audiences", SLICE("any"));
    } else {
        write_list(w, "audiences", policy->audiences, policy->audience_count);
    }
    write_list(w, "scopes", one->scopes, one->scope_count);
    json_write_bool(w, "any_scope", one->any_scope);
    json_write_begin(w, "claims", '[');
    for (size_t i = 0; i < one->rule_count; i++) {
        json_write_string(w, NULL, one->rules[i].name);
    }
    json_write_end(w, ']');
    json_write_end(w, '}');
}

static void write_route(struct json_writer *w, const struct config_route *route)
{
    const struct jwt_route *auth = cmd_route_config(route, &jwt_plugin);

    json_write_begin(w, NULL, '{');
    json_write_string(w, "route", route->element.name);
    write_list(w, "hosts", route->match.hosts, route->match.host_count);
    json_write_string(w, is_exact(route) ? "exact" : "path_prefix", path_of(route));
    write_methods(w, route->match.methods);
    if (route->upstream != NULL) {
        json_write_string(w, "upstream", route->upstream->element.name);
    }
    json_write_bool(w, "public", auth == NULL || auth->is_optional);
    json_write_begin(w, "auth", '[');
    for (size_t i = 0; auth != NULL && i < auth->alternative_count; i++) {
        write_alternative(w, &auth->alternatives[i]);
    }
    json_write_end(w, ']');
    json_write_end(w, '}');
}

static int print_json(const struct config_route **routes, size_t count)
{
    struct json_writer w;

    json_writer_init(&w, MAX_JSON_BYTES);
    json_write_begin(&w, NULL, '[');
    for (size_t i = 0; i < count; i++) {
        write_route(&w, routes[i]);
    }
    json_write_end(&w, ']');
    int exit_code = w.failed ? EXIT_NO : EXIT_YES;

    if (exit_code == EXIT_YES) {
        printf("%.*s\n", (int)w.len, w.buf);
    }
    json_writer_done(&w);
    return exit_code;
}

/* ---- the command ---- */

static int show(struct config *config, bool as_json)
{
    const struct config_route **routes = sort_routes(config);
    int exit_code = EXIT_YES;

    if (routes == NULL) {
        fputs("jwtgate routes: out of memory\n", stderr);
        return EXIT_NO;
    }
    if (as_json) {
        exit_code = print_json(routes, config->route_count);
    } else {
        exit_code = print_table(&config->arena, routes, config->route_count);
    }
    free(routes);
    return exit_code;
}

static int run(struct cmd_line *line)
{
    const char *file = NULL;
    bool as_json = false;
    int id, exit_code;

    while ((id = cmd_next(line)) != CMD_END) {
        switch (id) {
        case 'c': file = line->value; break;
        case 'j': as_json = true; break;
        case CMD_WORD: return cmd_unexpected(line);
        default: return line->exit_code;
        }
    }
    struct config *config = cmd_load_config(file, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    exit_code = show(config, as_json);
    config_unref(config);
    return exit_code;
}

static const struct cmd_option options[] = { CMD_OPTION_CONFIG, CMD_OPTION_JSON, { .name = NULL } };

const struct command command_routes = {
    .name = "routes",
    .usage = "[-c FILE] [--json]",
    .summary = "show what is exposed to whom",
    .about = "Show for each route whose tokens pass: issuer, audiences, scopes.  A route that\n"
             "needs no token is marked PUBLIC.",
    .options = options,
    .examples = "routes\n"
                "routes --json | jq '.[] | select(.public) | .route'",
    .run = run,
};
