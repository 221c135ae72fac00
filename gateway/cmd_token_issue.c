/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate token issue`: by a key in a file, or by a provider's secret. */
#include "gateway/cmd_config.h"
#include "gateway/cmd_key.h"
#include "gateway/cmd_print.h"
#include "gateway/cmd_token.h"
#include "plugins/jwt/jti.h"
#include "plugins/jwt/jwt_auth.h"

#include <openssl/evp.h>

#include <stdlib.h>

/* ---- what a token is made with ---- */

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
static int choose_algorithm(const struct cmd_token *args, struct issue *issue)
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

static int choose_key(const struct cmd_token *args, struct issue *issue)
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

/* ---- claims ---- */

static void write_member(FILE *out, const char *name, struct slice value)
{
    if (!slice_is_absent(value)) {
        fprintf(out, "\"%s\":", name);
        cmd_print_string(out, value);
        fputc(',', out);
    }
}

/* One as a string, several as a list (RFC 7519 section 4.1.3). */
static void write_audiences(FILE *out, const struct cmd_token *args, const struct issue *issue)
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
static int write_claim(FILE *out, struct cmd_token *args, const char *text)
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

static int write_claims(FILE *out, struct cmd_token *args, const struct issue *issue)
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

/* ---- all of it ---- */

static int print_token(struct cmd_token *args, const struct issue *issue)
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

static int issue_with(struct cmd_token *args, struct issue *issue)
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

int cmd_token_issue(struct cmd_token *args)
{
    struct issue one = { .kid = SLICE_ABSENT };
    int exit_code;

    if (options_duration(slice_str(args->ttl == NULL ? CMD_TOKEN_DEFAULT_TTL : args->ttl),
                         &one.ttl_ms) < 0) {
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
