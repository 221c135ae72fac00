/* SPDX-License-Identifier: Apache-2.0 */
/* The service manager's watchdog (WATCHDOG_USEC, sd_watchdog_enabled(3)): it hears WATCHDOG=1 only after
 * the loop of every worker has answered, so that a thread that hangs ends in a restart.  Control
 * thread only. */
#pragma once

#include "core/err.h"

struct gateway;
struct watchdog;

/* *ret is NULL where nobody watches. */
int watchdog_start(struct gateway *gateway, struct watchdog **ret) MUST_CHECK;
void watchdog_free(struct watchdog *watchdog); /* the workers' threads have ended; NULL is fine */
