/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate token inspect` and `verify`: tokens that are there. */
#include "core/clock.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_print.h"
#include "gateway/cmd_token.h"
#include "plugins/jwt/jwt_auth.h"

#include <stdlib.h>

#define MAX_TOKEN_BYTES 65536u

/* ---- showing ---- */

/* One member a line; times also as dates. */
static void print_members(const struct json *object, int64_t now)
{
    static const struct slice times[] = { { "exp", 3 }, { "nbf", 3 }, { "iat", 3 } };
    char text[CLOCK_RFC3339_BYTES];
    int64_t unix_time;

    for (const struct json *item = object->child; item != NULL; item = item->next) {
        fputs("  ", stdout);
        cmd_print_string(stdout, item->key);
        fputs(": ", stdout);
        cmd_print_json(stdout, item);
        for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
            if (slice_eq(item->key, times[i]) && claims_numeric_date(item, &unix_time) &&
                unix_time >= 0) {
                int64_t away = unix_time - now;
                clock_format_rfc3339((uint64_t)unix_time * 1000000u, text);
                printf("    %.19sZ, %s%lld s%s", text, away >= 0 ? "in " : "",
                       (long long)(away >= 0 ? away : -away), away >= 0 ? "" : " ago");
            }
        }
        fputc('\n', stdout);
    }
}

/* ---- the token ---- */

static int read_token(struct cmd_token *args, struct slice *ret)
{
    const char *file = args->token_file == NULL ? "-" : args->token_file;
    char *text = arena_alloc(&args->arena, MAX_TOKEN_BYTES);
    size_t len = 0;
    int err = text == NULL ? ERR_NO_MEMORY : cmd_read_text(file, text, MAX_TOKEN_BYTES, &len);

    *ret = slice_of(text, len);
    return err;
}

static const struct json *parse_part(struct cmd_token *args, struct slice part)
{
    struct json_limits limits = json_limits_token;
    struct slice text;

    limits.max_bytes = MAX_TOKEN_BYTES;
    if (jws_decode(&args->arena, part, &text) < 0) {
        return NULL;
    }
    const struct json *root = json_parse(&args->arena, text, &limits, NULL);

    return json_is(root, JSON_OBJECT) ? root : NULL;
}

/* ---- inspect ---- */

int cmd_token_inspect(struct cmd_token *args)
{
    struct slice token;
    struct jws jws;

    if (read_token(args, &token) < 0) {
        return EXIT_UNKNOWN;
    }
    bool is_split = jws_split(token, &jws) == 0;
    const struct json *header = is_split ? parse_part(args, jws.header) : NULL;
    const struct json *claims = is_split ? parse_part(args, jws.payload) : NULL;

    if (header == NULL || claims == NULL) {
        fputs("jwtgate token: this is not a JWT in the compact form\n", stderr);
        return EXIT_NO;
    }
    if (args->as_json) {
        fputs("{\"verified\":false,\"header\":", stdout);
        cmd_print_json(stdout, header);
        fputs(",\"claims\":", stdout);
        cmd_print_json(stdout, claims);
        puts("}");
        return EXIT_YES;
    }
    puts("NOT VERIFIED: anybody could have written this.");
    puts("header");
    print_members(header, args->now);
    puts("claims");
    print_members(claims, args->now);
    return EXIT_YES;
}

/* ---- verify ---- */

struct verdict {
    enum jwt_reason reason;
    const struct provider *provider;
    const struct token *token; /* NULL: none */
};

static void print_verdict(const struct cmd_token *args, const struct verdict *verdict)
{
    const char *reason = jwt_reason_name(verdict->reason);
    bool is_ok = verdict->reason == JWT_OK;

    if (args->as_json) {
        printf("{\"valid\":%s,\"reason\":\"%s\"", is_ok ? "true" : "false", reason);
        if (verdict->provider != NULL) {
            fputs(",\"provider\":", stdout);
            cmd_print_string(stdout, verdict->provider->element.name);
        }
        if (is_ok) {
            fputs(",\"claims\":", stdout);
            cmd_print_json(stdout, verdict->token->claims);
        }
        puts("}");
        return;
    }
    printf("%s: %s", is_ok ? "valid" : "INVALID", reason);
    if (verdict->provider != NULL) {
        printf(", provider %.*s", SLICE_FMT(verdict->provider->element.name));
    }
    fputc('\n', stdout);
    if (is_ok) {
        print_members(verdict->token->claims, args->now);
    }
}

/* By one provider; a token (to unref) on JWT_OK. */
static enum jwt_reason verify_by(struct cmd_token *args, const struct provider *provider,
                                 struct slice text, struct token **ret)
{
    struct verify_keys keys;
    struct verify_result result;

    if (verify_keys_init(&keys, provider) < 0) {
        return JWT_NO_MEMORY;
    }
    if (args->set != NULL && provider->has_jwks && verify_keys_set_remote(&keys, args->set) < 0) {
        verify_keys_done(&keys);
        return JWT_NO_MEMORY;
    }
    enum jwt_reason reason = verify_token(&keys, text, args->now, &args->arena, &result);

    verify_keys_done(&keys);
    *ret = result.token;
    return reason;
}

static bool is_candidate(const struct cmd_token *args, const struct provider *provider,
                         struct slice issuer)
{
    return args->provider != NULL ? slice_eq(provider->element.name, slice_str(args->provider))
                                  : slice_eq(provider->issuer, issuer);
}

static int verify_with(struct cmd_token *args, const struct provider_list *providers,
                       struct slice text)
{
    struct verdict verdict = { .reason = JWT_ISSUER_MISMATCH };
    struct slice issuer = SLICE_ABSENT;
    struct token *token = NULL;
    enum jwt_reason peeked = JWT_OK;

    if (args->provider == NULL) {
        peeked = verify_peek_issuer(text, &args->arena, &issuer);
    }
    if (peeked != JWT_OK) {
        verdict.reason = peeked;
    }
    for (size_t i = 0; i < providers->count && peeked == JWT_OK && token == NULL; i++) {
        if (is_candidate(args, providers->items[i], issuer)) {
            verdict.provider = providers->items[i];
            verdict.reason = verify_by(args, providers->items[i], text, &token);
        }
    }
    if (args->provider != NULL && verdict.provider == NULL) {
        return cmd_usage_error(args->line, "no provider \"%s\"", args->provider);
    }
    verdict.token = token;
    print_verdict(args, &verdict);
    token_unref(token);
    if (args->set == NULL && verdict.provider != NULL && verdict.provider->has_jwks &&
        (verdict.reason == JWT_KID_UNKNOWN || verdict.reason == JWT_SIGNATURE_INVALID)) {
        fputs("jwtgate token: its issuer publishes keys that are not known here; give them with "
              "--jwks\n",
              stderr);
        return EXIT_UNKNOWN;
    }
    return verdict.reason == JWT_OK ? EXIT_YES : EXIT_NO;
}

int cmd_token_verify(struct cmd_token *args)
{
    int exit_code;
    struct slice text;
    struct config *config = cmd_load_config(args->config, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    bool is_read = (args->jwks == NULL || cmd_read_jwks(args->jwks, &args->set) == 0) &&
                   read_token(args, &text) == 0;

    exit_code = is_read ? verify_with(args, jwt_providers(cmd_top(config, &jwt_plugin)), text)
                        : EXIT_UNKNOWN;
    jwks_set_unref(args->set);
    config_unref(config);
    return exit_code;
}
