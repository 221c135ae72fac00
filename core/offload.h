/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for what blocks (fsync) or burns (signing): a job is worked on by one of them, then handed back to the loop
 * that submitted it.  Bounded: a full queue is an error, not a wait. */
#pragma once

#include "core/err.h"
#include "core/loop.h"

struct offload;
struct offload_job;

typedef void offload_fn(struct offload_job *job);

struct offload_job {  /* embedded in its owner, who leaves it alone until `done` runs */
    offload_fn *work; /* on a thread of the pool */
    offload_fn *done; /* on the loop's thread */
    struct loop *loop;
    struct offload_job *next;
};

/* NULL: no memory or no threads. */
struct offload *offload_new(unsigned threads, unsigned max_jobs);
/* The same with threads that give way to the loops, where the system permits it: for jobs that burn. */
struct offload *offload_new_background(unsigned threads, unsigned max_jobs);
/* Ends what was submitted, then the threads.  `done` of the last jobs runs in a later turn of their
 * loop. NULL is fine. */
void offload_free(struct offload *offload);
/* Any thread.  ERR_BUSY: as many jobs wait as may. */
int offload_submit(struct offload *offload, struct loop *loop, struct offload_job *job) MUST_CHECK;
