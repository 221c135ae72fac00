/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate token`: what its subcommands share. */
#pragma once

#include "core/arena.h"
#include "gateway/cmd.h"

#include <stdint.h>

#define CMD_TOKEN_VALUES      32u
#define CMD_TOKEN_DEFAULT_TTL "15m"

struct jwks_set; /* plugins/jwks/set.h */

struct cmd_token {
    struct cmd_line *line;
    const char *verb;
    const char *config, *provider, *token_file, *at, *jwks;
    const char *key, *alg, *kid, *issuer, *subject, *scope, *ttl;
    const char *audiences[CMD_TOKEN_VALUES], *claims[CMD_TOKEN_VALUES];
    size_t audience_count, claim_count;
    bool as_json;
    struct arena arena;
    struct jwks_set *set; /* of --jwks, while it is verified; NULL: none */
    int64_t now;
};

/* Exit codes. */
int cmd_token_issue(struct cmd_token *args);
int cmd_token_inspect(struct cmd_token *args);
int cmd_token_verify(struct cmd_token *args);
