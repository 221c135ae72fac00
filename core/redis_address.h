/* SPDX-License-Identifier: Apache-2.0 */
/* Where a Redis server is, as a URL says it.  Pure. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

/* Slices are borrowed from the text that was read. */
struct redis_address {
    struct slice host; /* absent: unix_path */
    uint16_t port;
    struct slice unix_path;
    unsigned database;
};

/* "redis://HOST[:PORT][/DATABASE]" or "unix:/PATH".  ERR_UNSUPPORTED for "rediss:"; ERR_BAD_INPUT,
 * also for a user or password in it. */
int redis_read_url(struct slice url, struct redis_address *ret) MUST_CHECK;
