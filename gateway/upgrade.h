/* SPDX-License-Identifier: Apache-2.0 */
/* Another program takes the place of this one without a refused connection (SIGUSR2): the file that is
 * now where ours was is started with our listening sockets (inherit.h) and reads the configuration
 * anew.  While it starts, we serve.  When it says that it is ready, we drain; when it ends or is not
 * ready in time, we go on and say why.  Control thread only. */
#pragma once

#include <stdbool.h>

struct gateway;
struct upgrade;

typedef void upgrade_fn(void *arg);

/* `on_ready`: the other serves, on all sockets; ours are to be closed.  NULL: no memory. */
struct upgrade *upgrade_new(struct gateway *gateway, upgrade_fn *on_ready, void *arg);
/* Begin; the end is logged.  A reload that is under way ends first. */
void upgrade_ask(struct upgrade *upgrade);
/* The sockets have been handed out: the configuration may not change. */
bool upgrade_is_under_way(const struct upgrade *upgrade);
/* Reload afterwards: here, or where we have been replaced. */
void upgrade_reload_later(struct upgrade *upgrade);
/* We end: so shall what we have started, unless it is ready. */
void upgrade_stop(struct upgrade *upgrade); /* NULL is fine */
void upgrade_free(struct upgrade *upgrade); /* NULL is fine */
