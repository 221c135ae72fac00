/* SPDX-License-Identifier: Apache-2.0 */
/* Revocation's work for the whole process, on the control thread: opens the local store or follows
 * Redis, tells the workers, keeps the gauges and the condition of readiness. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/config.h"

struct revocation_control;

/* In process_init(); `settings` outlive it.  On error what is wrong is in the log. */
int revocation_control_new(struct gw_process *gw, const struct revocation_settings *settings,
                           struct revocation_control **ret) MUST_CHECK;
void revocation_control_free(struct revocation_control *control); /* NULL is fine */
/* For gw_process_post(): a struct revocation_order. */
void revocation_control_take_order(void *control, const void *order);
