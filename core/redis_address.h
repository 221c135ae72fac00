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
    bool is_encrypted;
};

/* "redis://HOST[:PORT][/DATABASE]", "rediss://..." (encrypted) or "unix:/PATH".  ERR_BAD_INPUT, also for a
 * user or password in it. */
int redis_read_url(struct slice url, struct redis_address *ret) MUST_CHECK;
/* "HOST[:PORT]", an IPv6 address in brackets. */
int redis_read_authority(struct slice text, uint16_t default_port,
                         struct redis_address *ret) MUST_CHECK;
/* A port as a server tells it: digits only, not 0. */
int redis_read_port(struct slice text, uint16_t *ret) MUST_CHECK;
