/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/builtin.h"

#include "plugins/issuer/client_endpoints.h"
#include "plugins/issuer/issuer.h"
#include "plugins/jwt/jwt_auth.h"

const struct gw_plugin *const builtin_plugins[] = {
    /* clang-format off */
    &issuer_plugin,
    &request_id_plugin,
    &identity_strip_plugin,
    &jwt_plugin,
    &revocation_plugin,
    &client_endpoints_plugin,
    &authorize_plugin,
    &client_cert_plugin,
    &identity_plugin,
    &login_plugin,
    &revocation_api_plugin,
    NULL,
    /* clang-format on */
};
