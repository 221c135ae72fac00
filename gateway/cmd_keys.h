/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the commands about keys. */
#pragma once

#include <stdbool.h>

struct cmd_line;

struct keys_rotation {
    struct cmd_line *line;
    const char *config;     /* NULL: the default places */
    const char *alg, *bits; /* of a new key; NULL: as configured */
    bool begins;            /* make the file and a first key, which signs at once */
    bool is_forced;         /* also when it is not safe yet */
    bool as_json;
};

/* `jwtgate keys rotate`: take the next step of the file that token_issuer.signing_keys_file names
 * (plugins/issuer/key_ring.h).  The exit code. */
int keys_rotate(const struct keys_rotation *rotation);
