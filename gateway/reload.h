/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the configuration while serving.  The file is read by a thread of its own; then, from
 * the control thread: new sockets are opened, every worker makes its view, plugins start what is
 * new, and when all of it has worked, every worker switches between two requests.  Anything that
 * fails leaves all as it was.  One at a time: who asks meanwhile waits for one more. */
#pragma once

#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>

struct gateway;
struct reload;

struct reload *reload_new(struct gateway *gateway); /* NULL: no memory */
/* After the workers' threads, before the workers: give up what is under way. NULL is fine. */
void reload_stop(struct reload *reload);
void reload_free(struct reload *reload); /* after the workers, before the process hub */

/* The end, on the control thread: what changed, or the errors with their places; many lines. */
typedef void reload_fn(void *arg, bool ok, const char *text, size_t len);
/* Control thread.  fn may be NULL; it is not called when the gateway stops first. ERR_NO_MEMORY,
 * ERR_BUSY (the gateway drains, or is being upgraded). */
int reload_ask(struct reload *reload, reload_fn *fn, void *arg) MUST_CHECK;
bool reload_is_under_way(const struct reload *reload);
/* fn of `arg` is not called any more. */
void reload_forget(struct reload *reload, void *arg);
