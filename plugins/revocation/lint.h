/* SPDX-License-Identifier: Apache-2.0 */
/* What is valid and dangerous about looking for revoked tokens, for `jwtgate check`. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/config.h"

void revocation_lint(const struct revocation_settings *settings, const struct option_context *ctx,
                     const struct gw_lint_route *routes, size_t count);
