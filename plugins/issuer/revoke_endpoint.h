/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/revoke (RFC 7009): a client takes back a token that was issued to it.  200 when no gateway
 * that asks the same store will accept it any more, and also when it was no token of ours or is long over
 * (section 2.2).  A token of another client is refused (section 2.1).  Without "revocation" in the
 * configuration there is no such endpoint. */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin revoke_endpoint_plugin;
