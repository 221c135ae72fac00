/* SPDX-License-Identifier: Apache-2.0 */
/* The body of POST /revocations: what is to be revoked, one or an array of
 *   {"token": "..."}
 *   {"jti": "...", "expires_at": UNIX}
 *   {"before": {"sub" | "client" | "kid" | "iss": "...", "time": UNIX}, "expires_at": UNIX}
 * "expires_at" may be left out: kept for ever.  "wait_replicas": N in any of them is for all.  A token is
 * not verified: who may revoke may revoke any name.  Pure. */
#pragma once

#include "plugins/revocation/entry.h"
#include "plugins/revocation/names.h"

#define REVOCATION_BODY_MAX_ENTRIES  256u
#define REVOCATION_BODY_MAX_REPLICAS 16

struct revocation_body {
    struct revocation_entry *entries; /* malloc'ed */
    unsigned count;
    unsigned expired; /* of tokens that have expired: nothing to keep */
    unsigned replicas;
};

/* ERR_BAD_INPUT, ERR_TOO_BIG (too many), ERR_NO_MEMORY: *ret_why, static, says what is wrong. */
int revocation_body_read(struct slice text, int64_t now, const struct revocation_spaces *spaces,
                         struct revocation_body *ret, const char **ret_why) MUST_CHECK;
void revocation_body_done(struct revocation_body *body); /* zeroed is fine */

/* The jti, in the namespace of its issuer, and the end of a token that is not verified (its end:
 * REVOCATION_FOR_EVER when it has none).  ERR_BAD_INPUT: not a token with a "jti".  The jti lives in
 * `arena`. */
int revocation_read_token(struct arena *arena, const struct revocation_spaces *spaces,
                          struct slice token, struct slice *ret_jti,
                          int64_t *ret_expires_at) MUST_CHECK;
