/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate token`: issue, inspect and verify tokens.  Tokens and keys come from standard input or
 * files, never as arguments, where every process could read them. */
#include "gateway/cmd_token.h"

#include "core/clock.h"
#include "gateway/cmd_config.h"

#include <string.h>
#include <time.h>

#define SCRATCH_BYTES ((size_t)4 << 20)

static int dispatch(struct cmd_token *args)
{
    args->now = (int64_t)time(NULL);
    if (args->at != NULL && !cmd_parse_time(args->at, &args->now)) {
        return cmd_usage_error(args->line, "--at is 2026-11-24T20:00:00Z or seconds since 1970");
    }
    if (args->verb == NULL) {
        return cmd_usage_error(args->line, "say what: issue, inspect or verify");
    }
    if (strcmp(args->verb, "issue") == 0) {
        return cmd_token_issue(args);
    }
    if (strcmp(args->verb, "inspect") == 0) {
        return cmd_token_inspect(args);
    }
    if (strcmp(args->verb, "verify") == 0) {
        return cmd_token_verify(args);
    }
    return cmd_usage_error(args->line, "no \"%s\" of tokens", args->verb);
}

/* Options with one value each; NULL: another option. */
static const char **place_of(struct cmd_token *args, int id)
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

static int read_arguments(struct cmd_token *args)
{
    struct cmd_line *line = args->line;
    int id;

    while ((id = cmd_next(line)) != CMD_END) {
        const char **place = place_of(args, id);

        if (place != NULL) {
            *place = line->value;
        } else if (id == 'j') {
            args->as_json = true;
        } else if (id == 'A' && args->audience_count < CMD_TOKEN_VALUES) {
            args->audiences[args->audience_count++] = line->value;
        } else if (id == 'C' && args->claim_count < CMD_TOKEN_VALUES) {
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
    struct cmd_token args = { .line = line };
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
    { 'T', "ttl", "TIME", "issue: how long it is valid, by default " CMD_TOKEN_DEFAULT_TTL, true },
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
