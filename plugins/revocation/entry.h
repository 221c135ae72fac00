/* SPDX-License-Identifier: Apache-2.0 */
/* A revocation as a store keeps it.  An entry that is there only grows: a later end and a later
 * watermark win.  Pure. */
#pragma once

#include "plugins/jwt/provider.h"
#include "plugins/revocation/keys.h"

#define REVOCATION_FOR_EVER INT64_MAX /* as an end */
/* The longest clock skew that a provider may allow, and a second for rounding: so much longer than its
 * token an entry is kept. */
#define REVOCATION_SKEW_S    (CLAIMS_MAX_SKEW_S + 1)
#define REVOCATION_MAX_VALUE 4096u /* bytes of what a watermark is over */

/* With a namespace before it. */
#define REVOCATION_MAX_JTI (CLAIMS_MAX_JTI_BYTES + PROVIDER_MAX_NAMESPACE + 1)

struct revocation_entry {
    char key[REVOCATION_KEY_BYTES];
    size_t key_len;
    int64_t value;      /* 1, or a watermark's Unix time */
    int64_t expires_at; /* Unix time from which it may be forgotten */
};

static inline struct slice revocation_entry_key(const struct revocation_entry *entry)
{
    return slice_of(entry->key, entry->key_len);
}

#define REVOCATION_IS_OVER 1 /* the token has expired: there is nothing to keep */

/* The token with this jti; `expires_at`: of the token.  ERR_BAD_INPUT: no token that passes has such a
 * jti; ERR_CRYPTO. */
int revocation_entry_jti(struct revocation_entry *ret, struct slice jti, int64_t expires_at,
                         int64_t now) MUST_CHECK;
/* All tokens of `value` that were issued before `before` or in that second; `expires_at`: the last one's end. */
int revocation_entry_before(struct revocation_entry *ret, enum revocation_kind kind,
                            struct slice value, int64_t before, int64_t expires_at,
                            int64_t now) MUST_CHECK;
