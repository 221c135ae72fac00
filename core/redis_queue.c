/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis_queue.h"

#include <stdlib.h>

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

void redis_command_free(struct redis_command *command)
{
    redis_text_free(command->text);
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
    queue->count--;
    return command;
}

void redis_queue_written(struct redis_queue *queue)
{
    struct redis_command *command = queue->unsent;

    redis_text_free(command->text);
    command->text = SLICE_ABSENT;
    queue->unsent = command->next;
}

bool redis_queue_is_late(const struct redis_queue *queue, uint64_t now_ms)
{
    for (const struct redis_command *one = queue->first; one != queue->unsent; one = one->next) {
        if (one->deadline_ms <= now_ms) {
            return true;
        }
    }
    return false;
}

uint64_t redis_queue_next_deadline(const struct redis_queue *queue)
{
    uint64_t next = 0;

    for (const struct redis_command *one = queue->first; one != NULL; one = one->next) {
        next = next == 0 || one->deadline_ms < next ? one->deadline_ms : next;
    }
    return next;
}
