/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a Redis client that have no answer yet, in the order in which they are sent: written
 * ones first. */
#pragma once

#include "core/redis.h"

struct redis_command {
    struct redis_command *next;
    redis_fn *fn; /* NULL: nobody waits */
    void *arg;
    uint64_t deadline_ms;
    struct slice text; /* until it is written; then absent */
    bool is_greeting;
};

struct redis_queue {
    struct redis_command *first, **last;
    struct redis_command *unsent; /* the first one that is not written */
    unsigned count;
};

void redis_queue_init(struct redis_queue *queue);
void redis_queue_done(struct redis_queue *queue); /* nobody is called */

/* NULL: no memory. */
struct redis_command *redis_command_new(unsigned argc, const struct slice *argv);
void redis_command_free(struct redis_command *command);
/* Free it and tell who asked. */
void redis_command_answer(struct redis_command *command, int err, const struct redis_reply *reply);
static inline bool redis_command_is_written(const struct redis_command *command)
{
    return slice_is_absent(command->text);
}

void redis_queue_add(struct redis_queue *queue, struct redis_command *command);
/* Before all others; nothing may have been written. */
void redis_queue_add_first(struct redis_queue *queue, struct redis_command *command);
/* Take out the command that *link points to. */
struct redis_command *redis_queue_take(struct redis_queue *queue, struct redis_command **link);
/* Its bytes were put in a buffer. */
void redis_queue_written(struct redis_queue *queue);
/* Is one that was written too late? */
bool redis_queue_is_late(const struct redis_queue *queue, uint64_t now_ms);
/* 0: none waits. */
uint64_t redis_queue_next_deadline(const struct redis_queue *queue);
