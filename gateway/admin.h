/* SPDX-License-Identifier: Apache-2.0 */
/* What the admin listener answers: health, readiness, metrics.  A plugin that always answers, so
 * it runs on the request machinery like everything else; the chain of the admin service route. */
#pragma once

#include "plugins/plugin.h"

extern const struct gw_plugin admin_plugin;
