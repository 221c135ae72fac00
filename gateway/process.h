/* SPDX-License-Identifier: Apache-2.0 */
/* What plugins do once for the whole process ("Work of the process" in plugins/plugin.h): their states on
 * the control thread, messages between it and the workers, checks of readiness. */
#pragma once

#include "core/err.h"
#include "plugins/plugin.h"

#include <stdbool.h>

struct gateway;
struct processes;

/* Places for all plugins of the snapshot, so that workers can find theirs; NULL: no memory. */
struct processes *processes_new(struct gateway *gateway);
/* Call process_init() of all: the workers exist, their threads do not run yet. */
int processes_start(struct processes *processes) MUST_CHECK;
/* Call process_done(): no thread but the caller runs any more, the workers still exist. */
void processes_stop(struct processes *processes);
void processes_free(struct processes *processes); /* NULL is fine */

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
