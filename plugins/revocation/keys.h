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
/* The Unix time in a watermark's value: digits only.  ERR_BAD_INPUT. */
int revocation_read_time(struct slice text, int64_t *ret) MUST_CHECK;
