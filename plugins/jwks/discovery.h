/* SPDX-License-Identifier: Apache-2.0 */
/* From an issuer to the address of its keys: OpenID Connect Discovery 1.0 section 4 and RFC 8414
 * section 3.  Pure. */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/slice.h"

enum discovery_kind { DISCOVERY_OPENID, DISCOVERY_OAUTH, DISCOVERY_KINDS };

/* Where the metadata are; malloc'ed.  NULL: no memory, or the issuer is no http(s) address. */
char *discovery_url(struct slice issuer, enum discovery_kind kind);
/* The member jwks_uri of metadata whose issuer is exactly `issuer`; malloc'ed. ERR_BAD_INPUT with
 * *ret_why (static), ERR_NO_MEMORY. */
int discovery_read(struct slice text, size_t max_bytes, struct slice issuer, char **ret_uri,
                   const char **ret_why) MUST_CHECK;
