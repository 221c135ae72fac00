/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/entry.h"

#define MAX_TIME INT64_C(999999999999) /* what a token can say */

static int finish(struct revocation_entry *ret, struct slice key, int64_t value, int64_t expires_at,
                  int64_t now)
{
    int64_t end = expires_at > MAX_TIME ? REVOCATION_FOR_EVER : expires_at + REVOCATION_SKEW_S;

    if (slice_is_absent(key)) {
        return ERR_CRYPTO;
    }
    if (end <= now) {
        return REVOCATION_IS_OVER;
    }
    ret->key_len = key.len;
    ret->value = value;
    ret->expires_at = end;
    return 0;
}

int revocation_entry_jti(struct revocation_entry *ret, struct slice jti, int64_t expires_at,
                         int64_t now)
{
    if (jti.len == 0 || jti.len > REVOCATION_MAX_JTI || expires_at < 0) {
        return ERR_BAD_INPUT;
    }
    return finish(ret, revocation_jti_key(ret->key, jti), 1, expires_at, now);
}

int revocation_entry_before(struct revocation_entry *ret, enum revocation_kind kind,
                            struct slice value, int64_t before, int64_t expires_at, int64_t now)
{
    if (value.len == 0 || value.len > REVOCATION_MAX_VALUE || before <= 0 || before > MAX_TIME ||
        expires_at < 0) {
        return ERR_BAD_INPUT;
    }
    return finish(ret, revocation_before_key(ret->key, kind, value), before, expires_at, now);
}
