/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in plugins, in the order in which they run on a request: request_id, identity_strip,
 * jwt, revocation, authorize, client_cert, identity, login (issuer/); on the response backwards.
 * revocation_api only answers. */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin request_id_plugin, identity_strip_plugin, revocation_plugin,
    authorize_plugin, client_cert_plugin, identity_plugin, login_plugin, revocation_api_plugin;

extern const struct gw_plugin *const builtin_plugins[]; /* ends with NULL */

/* For `jwtgate explain`, in place of revocation: no store is asked, and no token is thought revoked. */
extern const struct gw_plugin revocation_unasked_plugin;
