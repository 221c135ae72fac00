/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins do once for the whole process ("Work of the process" in plugins/plugin.h): their
 * states on the control thread, messages between it and the workers, checks of readiness.
 *
 *  * The hub is the gateway's; a struct processes is what one snapshot has of it: where a plugin's
 * top did not change, a reload leaves its process as it is, in both.  Everything is the control
 * thread's, unless it says otherwise. */
#pragma once

#include "core/err.h"
#include "plugins/plugin.h"

#include <stdbool.h>

struct config;
struct gateway;
struct process_hub;
struct processes;

struct process_hub *process_hub_new(struct gateway *gateway); /* NULL: no memory */
/* Call process_done() of all: no thread but the caller runs any more, the workers still exist. */
void process_hub_stop(struct process_hub *hub);
void process_hub_free(struct process_hub *hub); /* after the workers; NULL is fine */

/* Places for all plugins of the snapshot, so that workers can find theirs; NULL: no memory.  Held
 * once, by the caller. `previous`: of the snapshot before, or NULL. */
struct processes *processes_new(struct process_hub *hub, struct config *config,
                                const struct processes *previous);
/* Call process_init() of those that do not run: the workers' views exist, none serves by them
 * yet. */
int processes_start(struct processes *processes, const struct processes *previous) MUST_CHECK;
/* Each view holds it; the last to release ends what no other snapshot has. */
void processes_hold(struct processes *processes, unsigned times);
void processes_release(struct processes *processes);       /* NULL is fine */
void processes_release_later(struct processes *processes); /* any thread */

#define PROCESS_MAX_CHECKS 128u

/* A condition of readiness. Any thread: the list does not change after processes_start(). */
struct process_check {
    const char *name; /* "jwks/corporate" */
    bool ok;
    const char *why; /* static; NULL: nothing to say */
};
/* The first: *ret_pos = 0. False: there are no more. */
bool processes_next_check(const struct processes *processes, unsigned *ret_pos,
                          struct process_check *ret);
/* Are all conditions true? */
bool processes_are_ready(const struct processes *processes);
