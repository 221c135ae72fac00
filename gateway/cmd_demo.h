/* SPDX-License-Identifier: Apache-2.0 */
/* `jwtgate demo`: what its folder and its gateway share. */
#pragma once

#include "core/arena.h"
#include "plugins/jwt/jwa.h"

struct demo {
    const char *dir;
    const char *listen, *admin;
    bool has_address; /* --listen or --admin was given */
    struct arena arena;
    struct jwa_key hs256, rs256; /* rs256: the private key */
};

/* Make the folder and what is not there yet: keys, the client, the configuration; tokens always.  What is
 * wrong is said on stderr.  ERR_IO, ERR_EXISTS, ERR_NO_MEMORY, ERR_CRYPTO. */
int demo_prepare(struct demo *demo);
/* Of a file in the folder; NULL: no memory. */
const char *demo_path(struct demo *demo, const char *name);
