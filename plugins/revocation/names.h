/* SPDX-License-Identifier: Apache-2.0 */
/* What revocations call a token.  A jti is unique for its issuer only, and so is a subject: in the names of a
 * provider with a "revocation_namespace" that and a colon stand before each value (but for the issuer
 * itself): blocklist:jti:NAMESPACE:JTI.  Who revokes by name writes it so. */
#pragma once

#include "plugins/jwt/verify.h"
#include "plugins/revocation/lookup.h"

/* Who knows the namespaces of issuers; in its place NULL: there are none. */
struct revocation_spaces {
    struct slice (*find)(const void *arg, struct slice issuer); /* absent: none */
    const void *arg;
};

/* `value` in the namespace, made in `arena`; without a namespace, or absent, as it is.  ERR_NO_MEMORY. */
int revocation_name(struct arena *arena, struct slice space, struct slice value,
                    struct slice *ret) MUST_CHECK;
/* Of a verified token; borrowed from it and the arena. */
int revocation_names_of(struct arena *arena, const struct token *token,
                        struct revocation_names *ret) MUST_CHECK;
