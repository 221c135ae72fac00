/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch a provider's keys once and say what came, for `jwtgate check --online`.  Blocks, on a loop of its
 * own: never in a running gateway. */
#pragma once

#include "plugins/jwks/jwks.h"

void jwks_probe(const struct jwks_options *options, struct slice provider, struct slice issuer,
                gw_probe_fn *say, void *arg);
