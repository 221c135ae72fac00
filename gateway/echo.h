/* SPDX-License-Identifier: Apache-2.0 */
/* The backend of `jwtgate demo`: answers every request with what arrived, as JSON, so that one sees
 * which fields the gateway adds and removes. */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin echo_plugin;
