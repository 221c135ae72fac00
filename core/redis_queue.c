/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_queue.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBER_DIGITS 16

void redis_queue_init(struct redis_queue *queue)
{
    *queue = (struct redis_queue){ .last = &queue->first };
}

void redis_queue_done(struct redis_queue *queue)
{
    while (queue->first != NULL) {
        redis_command_free(redis_queue_take(queue, &queue->first));
    }
}

struct redis_command *redis_command_new(unsigned argc, const struct slice *argv)
{
    struct redis_command *command = calloc(1, sizeof(*command));

    if (command == NULL) {
        return NULL;
    }
    command->text = redis_text_new(argc, argv);
    if (slice_is_absent(command->text)) {
        free(command);
        return NULL;
    }
    return command;
}

struct redis_command *redis_marker_new(uint64_t number)
{
    char text[NUMBER_DIGITS + 1];

    snprintf(text, sizeof(text), "%0*llx", NUMBER_DIGITS, (unsigned long long)number);
    struct slice argv[2] = { SLICE("PING"), slice_of(text, NUMBER_DIGITS) };
    struct redis_command *marker = redis_command_new(2, argv);
    if (marker != NULL) {
        marker->number = number;
        marker->is_marker = true;
    }
    return marker;
}

bool redis_marker_is_proven(const struct redis_command *marker, const struct redis_reply *reply)
{
    char text[NUMBER_DIGITS + 1];

    if (reply->type == REDIS_IS_ARRAY && reply->count == 2 &&
        slice_eq(reply->items[0]->text, SLICE("pong"))) {
        reply = reply->items[1];
    }
    snprintf(text, sizeof(text), "%0*llx", NUMBER_DIGITS, (unsigned long long)marker->number);
    return reply->type == REDIS_IS_STRING && slice_eq(reply->text, slice_str(text));
}

void redis_command_free(struct redis_command *command)
{
    redis_text_free(command->text);
    redis_reply_free(command->reply);
    free(command);
}

void redis_command_answer(struct redis_command *command, int err, const struct redis_reply *reply)
{
    redis_fn *fn = command->fn;
    void *arg = command->arg;

    redis_command_free(command);
    if (fn != NULL) {
        fn(arg, err, reply);
    }
}

void redis_queue_add(struct redis_queue *queue, struct redis_command *command)
{
    *queue->last = command;
    queue->last = &command->next;
    queue->count++;
    if (queue->unsent == NULL) {
        queue->unsent = command;
    }
}

void redis_queue_add_first(struct redis_queue *queue, struct redis_command *command)
{
    command->next = queue->first;
    if (queue->first == NULL) {
        queue->last = &command->next;
    }
    queue->first = queue->unsent = command;
    queue->count++;
}

static struct redis_command *next_waiting(const struct redis_queue *queue,
                                          const struct redis_command *command)
{
    return command->next == queue->unsent ? NULL : command->next;
}

struct redis_command *redis_queue_take(struct redis_queue *queue, struct redis_command **link)
{
    struct redis_command *command = *link;

    *link = command->next;
    if (queue->last == &command->next) {
        queue->last = link;
    }
    if (queue->unsent == command) {
        queue->unsent = command->next;
    }
    if (queue->waiting == command) {
        queue->waiting = next_waiting(queue, command);
    }
    queue->count -= !command->is_marker;
    return command;
}

void redis_queue_written(struct redis_queue *queue)
{
    struct redis_command *command = queue->unsent;

    redis_text_free(command->text);
    command->text = SLICE_ABSENT;
    queue->unsent = command->next;
    if (queue->waiting == NULL) {
        queue->waiting = command;
    }
}

void redis_queue_add_marker(struct redis_queue *queue, struct redis_command *marker)
{
    struct redis_command **link = queue->last;

    if (queue->unsent != NULL) { /* while greeting only */
        for (link = &queue->first; *link != queue->unsent; link = &(*link)->next) {
        }
    } else {
        queue->last = &marker->next;
    }
    marker->next = *link;
    *link = marker;
    queue->unsent = marker;
}

void redis_queue_drop_written(struct redis_queue *queue)
{
    while (queue->first != queue->unsent) {
        redis_command_free(redis_queue_take(queue, &queue->first));
    }
}

void redis_queue_hold(struct redis_queue *queue, struct redis_reply *reply)
{
    queue->waiting->reply = reply;
    queue->waiting = next_waiting(queue, queue->waiting);
}

bool redis_queue_is_late(const struct redis_queue *queue, uint64_t now_ms)
{
    for (const struct redis_command *one = queue->first; one != queue->unsent; one = one->next) {
        if (one->reply == NULL && one->deadline_ms <= now_ms) {
            return true;
        }
    }
    return false;
}

uint64_t redis_queue_next_deadline(const struct redis_queue *queue)
{
    uint64_t next = 0;

    for (const struct redis_command *one = queue->first; one != NULL; one = one->next) {
        if (one->reply == NULL) {
            next = next == 0 || one->deadline_ms < next ? one->deadline_ms : next;
        }
    }
    return next;
}
