/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth2/token: tokens for clients that authenticate (RFC 6749 section 4.4), as RFC 9068 has them.
 * A client gets the scopes and audiences that its entry allows: those that it asks for (`scope`, and
 * `audience` or RFC 8707's `resource`), or all of them. */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin token_endpoint_plugin;
