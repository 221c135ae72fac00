/* SPDX-License-Identifier: Apache-2.0 */
/* The names under which revocations are kept: blocklist:jti:<jti> for one token,
 * blocklist:before:{sub,client,kid,iss}:<value> for all that were issued by the second that is the
 * value.  A text of more than 256 bytes stands as sha256:<hex of its hash>.  Pure. */
#pragma once

#include "core/slice.h"
#include "plugins/revocation/filter.h"

#define REVOCATION_KEY_BYTES 320u

/* Both write to `buf` and return what they wrote; absent: the hash cannot be made. */
struct slice revocation_jti_key(char buf[REVOCATION_KEY_BYTES], struct slice jti);
struct slice revocation_before_key(char buf[REVOCATION_KEY_BYTES], enum revocation_kind kind,
                                   struct slice value);
/* A configuration may give them another prefix in Redis; in the program, and in the local store, they have
 * REVOCATION_PREFIX.  The key of a name, and the name of a key: absent if it has another prefix, or is longer
 * than any name.  Both may return the slice that they got. */
#define REVOCATION_MAX_PREFIX      64u
#define REVOCATION_REDIS_KEY_BYTES (REVOCATION_KEY_BYTES + REVOCATION_MAX_PREFIX)
struct slice revocation_redis_key(char buf[REVOCATION_REDIS_KEY_BYTES], struct slice prefix,
                                  struct slice name);
struct slice revocation_name_of(char buf[REVOCATION_KEY_BYTES], struct slice prefix,
                                struct slice key);
/* The Unix time in a watermark's value: digits only.  ERR_BAD_INPUT. */
int revocation_read_time(struct slice text, int64_t *ret) MUST_CHECK;
