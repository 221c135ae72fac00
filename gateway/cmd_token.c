/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate token`: issue, inspect and verify tokens.  Tokens and keys come from standard input or
 * files, never as arguments, where every process could read them. */
#include "core/clock.h"
#include "gateway/cmd.h"
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_print.h"
#include "plugins/jwt/jti.h"
#include "plugins/jwt/jwt_auth.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <time.h>

#define MAX_TOKEN_BYTES 65536u
#define MAX_VALUES      32u
#define SCRATCH_BYTES   ((size_t)4 << 20)
#define DEFAULT_TTL     "15m"

struct arguments {
    struct cmd_line *line;
    const char *verb;
    const char *config, *provider, *token_file, *at, *jwks;
    const char *key, *alg, *kid, *issuer, *subject, *scope, *ttl;
    const char *audiences[MAX_VALUES], *claims[MAX_VALUES];
    size_t audience_count, claim_count;
    bool as_json;
    struct arena arena;
    struct jwks_set *set; /* of --jwks; NULL: none */
    int64_t now;
};

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

static int read_token(struct arguments *args, struct slice *ret)
{
    const char *file = args->token_file == NULL ? "-" : args->token_file;
    char *text = arena_alloc(&args->arena, MAX_TOKEN_BYTES);
    size_t len = 0;
    int err = text == NULL ? ERR_NO_MEMORY : cmd_read_text(file, text, MAX_TOKEN_BYTES, &len);

    *ret = slice_of(text, len);
    return err;
}

static const struct json *parse_part(struct arguments *args, struct slice part)
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

static int inspect(struct arguments *args)
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

static void print_verdict(const struct arguments *args, const struct verdict *verdict)
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
static enum jwt_reason verify_by(struct arguments *args, const struct provider *provider,
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

static bool is_candidate(const struct arguments *args, const struct provider *provider,
                         struct slice issuer)
{
    return args->provider != NULL ? slice_eq(provider->element.name, slice_str(args->provider))
                                  : slice_eq(provider->issuer, issuer);
}

static int verify_with(struct arguments *args, const struct provider_list *providers,
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

static int verify(struct arguments *args)
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

/* ---- issue ---- */

/* What a token is made with. */
struct issue {
    const struct provider *provider; /* NULL: none was named */
    struct cmd_key own;              /* of --key */
    const struct jwa_key *key;
    const struct jwa *alg;
    struct slice kid;
    char thumbprint[JWK_THUMBPRINT_BYTES + 1];
    uint64_t ttl_ms;
};

static bool allows(const struct issue *issue, const struct jwa *alg)
{
    return jwa_key_fits(issue->key, alg) &&
           (issue->provider == NULL || (issue->provider->algorithms & (1u << alg->id)) != 0);
}

/* The named algorithm, or the first that the key and the provider can do. */
static int choose_algorithm(const struct arguments *args, struct issue *issue)
{
    for (unsigned i = 0; i < JWA_IDS && issue->alg == NULL; i++) {
        const struct jwa *alg = jwa_by_id((enum jwa_id)i);

        if (allows(issue, alg) &&
            (args->alg == NULL || slice_eq(alg->name, slice_str(args->alg)))) {
            issue->alg = alg;
        }
    }
    if (issue->alg == NULL) {
        fputs("jwtgate token: the key is not one for that algorithm\n", stderr);
        return ERR_BAD_INPUT;
    }
    return 0;
}

static bool is_same_key(const struct jwa_key *a, const struct jwa_key *b)
{
    return a->type == b->type && a->type != JWA_KEY_OCT && EVP_PKEY_eq(a->pkey, b->pkey) == 1;
}

/* The provider's own secret, or what it calls the key of --key. */
static void use_provider(struct issue *issue)
{
    for (size_t i = 0; i < issue->provider->key_count; i++) {
        const struct jwk *jwk = &issue->provider->keys[i];

        if (issue->key == NULL && jwk->key.type == JWA_KEY_OCT) {
            issue->key = &jwk->key;
            issue->kid = jwk->kid;
            return;
        }
        if (issue->key != NULL && is_same_key(issue->key, &jwk->key)) {
            issue->kid = jwk->kid;
            return;
        }
    }
}

static int choose_key(const struct arguments *args, struct issue *issue)
{
    if (args->key != NULL) {
        int err = cmd_key_read(args->key, &issue->own);

        if (err < 0) {
            return err;
        }
        issue->key = &issue->own.key;
        if (!issue->own.is_private) {
            fprintf(stderr, "jwtgate token: %s is a public key; it cannot sign\n", args->key);
            return ERR_BAD_INPUT;
        }
    }
    if (issue->provider != NULL) {
        use_provider(issue);
    }
    if (issue->key == NULL) {
        fputs("jwtgate token: the provider has no secret; name the private key with --key\n",
              stderr);
        return ERR_BAD_INPUT;
    }
    if (args->kid != NULL) {
        issue->kid = slice_str(args->kid);
    } else if (slice_is_absent(issue->kid)) {
        int err = jwk_thumbprint(issue->key, issue->thumbprint);

        if (err < 0) {
            return err;
        }
        issue->kid = slice_str(issue->thumbprint);
    }
    return choose_algorithm(args, issue);
}

static void write_member(FILE *out, const char *name, struct slice value)
{
    if (!slice_is_absent(value)) {
        fprintf(out, "\"%s\":", name);
        cmd_print_string(out, value);
        fputc(',', out);
    }
}

/* One as a string, several as a list (RFC 7519 section 4.1.3). */
static void write_audiences(FILE *out, const struct arguments *args, const struct issue *issue)
{
    const struct provider *provider = issue->provider;

    if (args->audience_count == 0 && provider != NULL && provider->policy.audience_count > 0) {
        write_member(out, "aud", provider->policy.audiences[0]);
    } else if (args->audience_count == 1) {
        write_member(out, "aud", slice_str(args->audiences[0]));
    } else if (args->audience_count > 1) {
        fputs("\"aud\":[", out);
        for (size_t i = 0; i < args->audience_count; i++) {
            fputs(i == 0 ? "" : ",", out);
            cmd_print_string(out, slice_str(args->audiences[i]));
        }
        fputs("],", out);
    }
}

/* NAME=VALUE; JSON where it is JSON, else a string. */
static int write_claim(FILE *out, struct arguments *args, const char *text)
{
    static const char *const own[] = { "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope" };
    const char *equals = strchr(text, '=');
    struct slice name = slice_of(text, equals == NULL ? 0 : (size_t)(equals - text));
    bool is_own = name.len == 0;

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        is_own |= slice_eq(name, slice_str(own[i]));
    }
    if (is_own) {
        return ERR_BAD_INPUT;
    }
    const struct json *value =
        json_parse(&args->arena, slice_str(equals + 1), &json_limits_token, NULL);

    cmd_print_string(out, name);
    fputc(':', out);
    if (value == NULL) {
        cmd_print_string(out, slice_str(equals + 1));
    } else {
        cmd_print_json(out, value);
    }
    fputc(',', out);
    return 0;
}

static int write_claims(FILE *out, struct arguments *args, const struct issue *issue)
{
    char jti[JTI_BYTES];
    struct slice issuer = slice_str(args->issuer);
    int err = jti_make(jti);

    if (slice_is_absent(issuer) && issue->provider != NULL) {
        issuer = issue->provider->issuer;
    }
    fputc('{', out);
    write_member(out, "iss", issuer);
    write_member(out, "sub", slice_str(args->subject));
    write_audiences(out, args, issue);
    write_member(out, "scope", slice_str(args->scope));
    for (size_t i = 0; i < args->claim_count && err == 0; i++) {
        err = write_claim(out, args, args->claims[i]);
        if (err == ERR_BAD_INPUT) {
            fprintf(stderr,
                    "jwtgate token: --claim %s: write NAME=VALUE, of a name that has no "
                    "option of its own\n",
                    args->claims[i]);
        }
    }
    fprintf(out, "\"iat\":%lld,\"exp\":%lld,\"jti\":\"%s\"}", (long long)args->now,
            (long long)(args->now + (int64_t)(issue->ttl_ms / 1000)), jti);
    return err;
}

static int print_token(struct arguments *args, const struct issue *issue)
{
    char *claims = NULL, *token = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&claims, &len);
    int err = out == NULL ? ERR_NO_MEMORY : write_claims(out, args, issue);

    if (out != NULL && fclose(out) != 0) {
        err = ERR_NO_MEMORY;
    }
    if (err == 0) {
        token =
            jws_sign(issue->alg, issue->key, issue->kid, SLICE("at+jwt"), slice_of(claims, len));
        err = token == NULL ? ERR_CRYPTO : 0;
    }
    if (err == 0) {
        puts(token);
    } else if (err != ERR_BAD_INPUT) {
        fprintf(stderr, "jwtgate token: %s\n", err_text(err));
    }
    free(token);
    free(claims);
    return err;
}

static int issue_with(struct arguments *args, struct issue *issue)
{
    int err = choose_key(args, issue);

    if (err == 0) {
        err = print_token(args, issue);
    }
    jwa_key_done(&issue->own.key);
    return err == 0 ? EXIT_YES : err == ERR_IO ? EXIT_UNKNOWN : EXIT_NO;
}

static const struct provider *find_provider(const struct provider_list *providers, const char *name)
{

    for (size_t i = 0; i < providers->count; i++) {
        if (slice_eq(providers->items[i]->element.name, slice_str(name))) {
            return providers->items[i];
        }
    }
    return NULL;
}

static int issue(struct arguments *args)
{
    struct issue one = { .kid = SLICE_ABSENT };
    int exit_code;

    if (options_duration(slice_str(args->ttl == NULL ? DEFAULT_TTL : args->ttl), &one.ttl_ms) < 0) {
        return cmd_usage_error(args->line, "--ttl is written like 15m or 1h");
    }
    if (args->provider == NULL) {
        return args->key != NULL ? issue_with(args, &one)
                                 : cmd_usage_error(args->line, "issue needs --key or --provider");
    }
    struct config *config = cmd_load_config(args->config, &exit_code);

    if (config == NULL) {
        return exit_code;
    }
    one.provider = find_provider(jwt_providers(cmd_top(config, &jwt_plugin)), args->provider);
    exit_code = one.provider != NULL
                    ? issue_with(args, &one)
                    : cmd_usage_error(args->line, "no provider \"%s\"", args->provider);
    config_unref(config);
    return exit_code;
}

/* ---- the command ---- */

static int dispatch(struct arguments *args)
{
    args->now = (int64_t)time(NULL);
    if (args->at != NULL && !cmd_parse_time(args->at, &args->now)) {
        return cmd_usage_error(args->line, "--at is 2026-11-24T20:00:00Z or seconds since 1970");
    }
    if (args->verb == NULL) {
        return cmd_usage_error(args->line, "say what: issue, inspect or verify");
    }
    if (strcmp(args->verb, "issue") == 0) {
        return issue(args);
    }
    if (strcmp(args->verb, "inspect") == 0) {
        return inspect(args);
    }
    if (strcmp(args->verb, "verify") == 0) {
        return verify(args);
    }
    return cmd_usage_error(args->line, "no \"%s\" of tokens", args->verb);
}

/* Options with one value each; NULL: another option. */
static const char **place_of(struct arguments *args, int id)
{
    switch (id) {
    case 'c': return &args->config;
    case 'p': return &args->provider;
    case 'f': return &args->token_file;
    case 't': return &args->at;
    case 'w': return &args->jwks;
    case 'k': return &args->key;
    case 'a': return &args->alg;
    case 'K': return &args->kid;
    case 'i': return &args->issuer;
    case 's': return &args->subject;
    case 'S': return &args->scope;
    case 'T': return &args->ttl;
    default: return NULL;
    }
}

static int read_arguments(struct arguments *args)
{
    struct cmd_line *line = args->line;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        const char **place = place_of(args, id);

        if (place != NULL) {
            *place = line->value;
        } else if (id == 'j') {
            args->as_json = true;
        } else if (id == 'A' && args->audience_count < MAX_VALUES) {
            args->audiences[args->audience_count++] = line->value;
        } else if (id == 'C' && args->claim_count < MAX_VALUES) {
            args->claims[args->claim_count++] = line->value;
        } else if (id == CMD_WORD && args->verb == NULL) {
            args->verb = line->value;
        } else {
            /* A token as an argument may be what is unexpected: not repeated. */
            return id == CMD_STOP ? line->exit_code
                                  : cmd_usage_error(line, "too many arguments; a token is read "
                                                          "from standard input");
        }
    }
    return -1;
}

static int run(struct cmd_line *line)
{
    struct arguments args = { .line = line };
    int exit_code = read_arguments(&args);

    if (exit_code >= 0) {
        return exit_code;
    }
    arena_init(&args.arena, NULL, 0, SCRATCH_BYTES);
    exit_code = dispatch(&args);
    arena_done(&args.arena);
    return exit_code;
}

static const char *const words[] = { "issue", "inspect", "verify", NULL };

static const struct cmd_option options[] = {
    CMD_OPTION_CONFIG,
    { 'p', "provider", "NAME", "of the configuration", true },
    { 'f', "token-file", "FILE", "instead of standard input", true },
    { 't', "at", "TIME", "instead of now: 2026-11-24T20:00:00Z, or UNIX seconds", true },
    { 'w', "jwks", "FILE", "verify: the keys that the issuer publishes", true },
    CMD_OPTION_JSON,
    { 'k', "key", "FILE", "issue: private key in PEM, or a secret", true },
    { 'a', "alg", "ALG", "issue: by default the first that fits the key", true },
    { 'K', "kid", "KID", "issue: by default the provider's, or the thumbprint", true },
    { 'i', "issuer", "I", "issue: the claim iss", true },
    { 's', "subject", "S", "issue: the claim sub", true },
    { 'A', "audience", "A", "issue: the claim aud; may be repeated", true },
    { 'S', "scope", "S", "issue: the claim scope, words with blanks between", true },
    { 'T', "ttl", "TIME", "issue: how long it is valid, by default " DEFAULT_TTL, true },
    { 'C', "claim", "N=V", "issue: another claim; V may be JSON", true },
    { .name = NULL },
};

const struct command command_token = {
    .name = "token",
    .usage = "issue (--key FILE | --provider NAME) [OPTIONS]\n"
             "inspect [--token-file FILE] [--json]\n"
             "verify [-c FILE] [--provider NAME] [--jwks FILE] [OPTIONS]",
    .summary = "issue, inspect and verify tokens",
    .about = "The token is read from standard input.  inspect shows it without verifying;\n"
             "verify checks it by the providers of the configuration, as the gateway does.\n"
             "Exit codes: 0 valid, 1 invalid, 2 wrong usage, 3 could not find out",
    .words = words,
    .options = options,
    .examples = "token issue --provider internal --subject alice --ttl 5m > token\n"
                "token verify < token",
    .run = run,
};
