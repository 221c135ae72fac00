/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what on the admin listener.  Reading needs a name of the listener in Host (or a page in a
 * browser could read by DNS rebinding).  Changing something needs the admin token, and must not come
 * from another site's page.  Without a configured token nothing can be changed, but a process of this
 * machine may ask for a reload: it cannot choose what is loaded. */
#pragma once

#include "plugins/plugin.h"

enum admin_need { ADMIN_READ, ADMIN_RELOAD, ADMIN_CHANGE };

/* GW_NEXT, or GW_REPLY with the refusal. */
enum gw_verdict admin_guard(struct gw_call *call, enum admin_need need);

/* Before a plugin's endpoint on the admin listener: ADMIN_CHANGE. */
extern const struct gw_plugin admin_guard_plugin;
