/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of a Redis client that have no answer yet, in the order in which they are sent: written
 * ones first, and of these first those whose reply is there but not proven.
 *
 * Marker: what is written at once ends with a PING that carries a number of its own.  A reply that was lost or
 * added on the way shifts all that follow, and an EXISTS would be given another one's answer; then
 * the number does not come back in its place.  So replies are held until it does. */
#pragma once

#include "core/redis.h"

struct redis_command {
    struct redis_command *next;
    redis_fn *fn; /* NULL: nobody waits */
    void *arg;
    uint64_t deadline_ms;
    struct slice text;         /* until it is written; then absent */
    struct redis_reply *reply; /* held */
    uint64_t number, sent_ns;  /* of a marker */
    unsigned batch;            /* of a marker: commands before it in the same write */
    bool is_greeting, is_marker;
};

struct redis_queue {
    struct redis_command *first, **last;
    struct redis_command *waiting; /* the first one that is written and has no reply */
    struct redis_command *unsent;  /* the first one that is not written */
    unsigned count;                /* without markers */
};

void redis_queue_init(struct redis_queue *queue);
void redis_queue_done(struct redis_queue *queue); /* nobody is called */

/* NULL: no memory. */
struct redis_command *redis_command_new(unsigned argc, const struct slice *argv);
struct redis_command *redis_marker_new(uint64_t number);
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
/* Behind all that is written. */
void redis_queue_add_marker(struct redis_queue *queue, struct redis_command *marker);
/* Free what is written; nobody is called. */
void redis_queue_drop_written(struct redis_queue *queue);
/* The one that is waiting has its reply: hold it there; the queue's from now on. */
void redis_queue_hold(struct redis_queue *queue, struct redis_reply *reply);
/* Does the reply carry the marker's number?  After a SUBSCRIBE it is an array. */
bool redis_marker_is_proven(const struct redis_command *marker, const struct redis_reply *reply);
/* Take out the command that *link points to. */
struct redis_command *redis_queue_take(struct redis_queue *queue, struct redis_command **link);
/* The bytes of the first unsent one were put in a buffer. */
void redis_queue_written(struct redis_queue *queue);
/* Is the reply of one that was written too late?  The marker's deadline is the latest of those before it. */
bool redis_queue_is_late(const struct redis_queue *queue, uint64_t now_ms);
/* 0: none waits. */
uint64_t redis_queue_next_deadline(const struct redis_queue *queue);
