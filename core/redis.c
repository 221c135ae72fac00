/* SPDX-License-Identifier: Apache-2.0 */
#include "core/redis.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/redis_client.h"

#include <stdio.h>
#include <stdlib.h>

static void redis_count(const struct redis *redis, unsigned count, int err, uint64_t us)
{
    if (count > 0 && redis->ops->served != NULL) {
        redis->ops->served(redis->arg, count, err, us);
    }
}

/* ---- deadlines ---- */

void redis_watch_deadline(struct redis *redis, uint64_t deadline_ms)
{
    uint64_t set = redis->command_timer.deadline_ms;

    if (set != 0 && set <= deadline_ms) {
        return;
    }
    if (loop_timer_set(redis->loop, &redis->command_timer, deadline_ms) < 0) {
        redis->pending_err = ERR_NO_MEMORY; /* without a deadline nothing may be asked */
        loop_defer(redis->loop, &redis->flush);
    }
}

/* Answer commands that waited too long for a connection. False: the owner freed us. */
static bool redis_expire_unsent(struct redis *redis, uint64_t now)
{
    struct redis_queue *queue = &redis->queue;
    struct redis_command **link = &queue->first;

    while (*link != NULL) {
        if (redis_command_is_written(*link) || (*link)->deadline_ms > now) {
            link = &(*link)->next;
            continue;
        }
        redis_count(redis, 1, ERR_TIMEOUT, 0);
        redis_command_answer(redis_queue_take(queue, link), ERR_TIMEOUT, NULL);
        if (redis->state == REDIS_FREED) {
            return false;
        }
        link = &queue->first; /* the callback may have changed the queue */
    }
    return true;
}

static void on_command_timer(struct loop_timer *timer)
{
    struct redis *redis =
        (struct redis *)(void *)((char *)timer - offsetof(struct redis, command_timer));
    uint64_t now = clock_ms();

    if (redis_queue_is_late(&redis->queue, now)) {
        redis_lose(redis, ERR_TIMEOUT);
        return;
    }
    if (!redis_expire_unsent(redis, now)) {
        return;
    }
    uint64_t next = redis_queue_next_deadline(&redis->queue);
    if (next != 0) {
        redis_watch_deadline(redis, next);
    }
}

/* ---- losing a connection ---- */

void redis_lose(struct redis *redis, int err)
{
    struct redis_queue *queue = &redis->queue;

    redis_count(redis, queue->count, err, 0);
    if (redis->failure[0] == '\0') {
        snprintf(redis->failure, sizeof(redis->failure), "%s", err_text(err));
    }
    redis_close_connection(redis);
    redis_begin_pause(redis);
    /* Not what a callback adds meanwhile. */
    for (unsigned left = queue->count; left > 0 && queue->first != NULL;) {
        struct redis_command *command = redis_queue_take(queue, &queue->first);
        left -= !command->is_marker;
        redis_command_answer(command, err, NULL);
        if (redis->state == REDIS_FREED) {
            return;
        }
    }
    redis_queue_drop_written(queue); /* markers */
    if (queue->first == NULL) {
        loop_timer_clear(&redis->command_timer);
    }
    if (redis->ops->lost != NULL) {
        redis->ops->lost(redis->arg, err);
    }
}

void redis_fail_later(struct redis *redis, int err, struct slice failure)
{
    redis->pending_err = err;
    if (!slice_is_absent(failure)) {
        (void)log_quote(failure, redis->failure, sizeof(redis->failure));
    }
    loop_defer(redis->loop, &redis->flush);
}

/* ---- writing ---- */

static int redis_write_one(struct redis *redis)
{
    int err = buf_append(&redis->stream.out, redis->queue.unsent->text);

    if (err == 0) {
        redis_queue_written(&redis->queue);
    }
    return err;
}

static int redis_write_marker(struct redis *redis, uint64_t deadline_ms, unsigned batch)
{
    struct redis_command *marker = redis_marker_new(++redis->number);

    if (marker == NULL) {
        return ERR_NO_MEMORY;
    }
    marker->deadline_ms = deadline_ms;
    marker->batch = batch;
    marker->sent_ns = clock_precise_ns();
    redis_queue_add_marker(&redis->queue, marker);
    return redis_write_one(redis);
}

static int redis_write_unsent(struct redis *redis)
{
    uint64_t last_ms = 0;
    unsigned batch = 0;

    while (redis->queue.unsent != NULL) {
        const struct redis_command *command = redis->queue.unsent;
        if (redis->state != REDIS_READY && !command->is_greeting) {
            break;
        }
        last_ms = command->deadline_ms > last_ms ? command->deadline_ms : last_ms;
        batch += !command->is_greeting;
        int err = redis_write_one(redis);
        if (err < 0) {
            return err;
        }
    }
    return last_ms == 0 ? 0 : redis_write_marker(redis, last_ms, batch);
}

/* At the end of a turn: everything in one write. */
static void on_flush(struct loop_call *call)
{
    struct redis *redis = (struct redis *)(void *)((char *)call - offsetof(struct redis, flush));
    int err = redis->pending_err;

    if (redis->state == REDIS_FREED) {
        return;
    }
    if (err == 0 && (redis->state == REDIS_GREETING || redis->state == REDIS_READY)) {
        err = redis_write_unsent(redis);
        if (err == 0 && redis->stream.out.len > 0) {
            redis->writes++;
            err = stream_flush(&redis->stream);
        }
    }
    if (err < 0 && redis->state != REDIS_PAUSED) {
        redis_lose(redis, err);
    }
}

static int redis_put(struct redis *redis, unsigned timeout_ms, unsigned argc,
                     const struct slice *argv, struct redis_command **ret)
{
    struct redis_command *command = redis_command_new(argc, argv);

    if (command == NULL) {
        return ERR_NO_MEMORY;
    }
    command->deadline_ms = clock_ms() + timeout_ms;
    redis_queue_add(&redis->queue, command);
    redis->commands++;
    redis_watch_deadline(redis, command->deadline_ms);
    loop_defer(redis->loop, &redis->flush);
    *ret = command;
    return 0;
}

int redis_send_within(struct redis *redis, unsigned timeout_ms, unsigned argc,
                      const struct slice *argv, redis_fn *fn, void *arg)
{
    struct redis_command *command;

    if ((redis->state == REDIS_PAUSED && !redis->hurries) || redis->state == REDIS_FREED) {
        return ERR_CONNECT;
    }
    if (redis_is_outdated(redis)) {
        redis_reconnect(redis);
        return ERR_CONNECT;
    }
    if (redis->queue.count >= redis->options.max_queue) {
        return ERR_BUSY;
    }
    int err = redis_put(redis, timeout_ms, argc, argv, &command);
    if (err < 0) {
        return err;
    }
    command->fn = fn;
    command->arg = arg;
    return 0;
}

int redis_send(struct redis *redis, unsigned argc, const struct slice *argv, redis_fn *fn,
               void *arg)
{
    return redis_send_within(redis, redis->options.command_timeout_ms, argc, argv, fn, arg);
}

void redis_cancel(struct redis *redis, const void *arg)
{
    for (struct redis_command *one = redis->queue.first; one != NULL; one = one->next) {
        if (one->arg == arg && !one->is_greeting) {
            one->fn = NULL;
        }
    }
}

/* ---- reading ---- */

static bool is_message(const struct redis *redis, const struct redis_reply *reply)
{
    return redis->has_messages && reply->type == REDIS_IS_ARRAY && reply->count > 0 &&
           reply->items[0]->type == REDIS_IS_STRING &&
           slice_eq(reply->items[0]->text, SLICE("message"));
}

/* The replies up to the marker, which is the first one without a reply, belong to their questions.  1: this
 * connection is gone. */
static int redis_answer_batch(struct redis *redis)
{
    struct redis_queue *queue = &redis->queue;
    uint64_t epoch = redis->epoch;
    bool is_marker = false;

    redis->unproven_bytes = 0;
    while (!is_marker) {
        struct redis_command *command = redis_queue_take(queue, &queue->first);
        struct redis_reply *reply = command->reply;
        is_marker = command->is_marker;
        command->reply = NULL;
        redis_command_answer(command, 0, reply);
        redis_reply_free(reply);
        if (redis->state == REDIS_FREED || redis->epoch != epoch) {
            return 1;
        }
        if (redis->pending_err < 0) {
            return redis->pending_err;
        }
    }
    return 0;
}

/* "WRONGPASS", "LOADING", "NOAUTH"; what follows may quote a secret. */
static struct slice first_error_code(const struct redis *redis, const struct redis_reply *reply)
{
    for (const struct redis_command *one = redis->queue.first; one != NULL && one->reply != NULL;
         one = one->next) {
        if (one->reply->type == REDIS_IS_ERROR) {
            reply = one->reply;
            break;
        }
    }
    const char *space =
        reply->text.len == 0 ? NULL : (const char *)memchr(reply->text.ptr, ' ', reply->text.len);
    return space == NULL ? reply->text
                         : slice_of(reply->text.ptr, (size_t)(space - reply->text.ptr));
}

/* Sentinels have users of their own: the operator has to know who it was. */
static void fail_by_error(struct redis *redis, const struct redis_reply *reply)
{
    char text[REDIS_FAILURE_BYTES];
    struct slice code = first_error_code(redis, reply);
    int len =
        snprintf(text, sizeof(text), "%s%.*s", redis->hop_is_sentinel ? "a sentinel says " : "",
                 code.len < 64 ? (int)code.len : 64, code.len == 0 ? "" : code.ptr);

    redis_fail_later(redis, ERR_CONNECT, slice_of(text, (size_t)len));
}

/* Takes the reply over.  ERR_BAD_INPUT: nobody had asked, or it is out of step. */
static int redis_deliver(struct redis *redis, struct redis_reply *reply)
{
    const struct redis_command *command = redis->queue.waiting;
    int err = ERR_BAD_INPUT;

    if (is_message(redis, reply)) {
        if (redis->ops->pushed != NULL) {
            redis->ops->pushed(redis->arg, reply);
        }
        redis->unproven_bytes = 0;
        err = redis->pending_err;
    } else if (command != NULL && !command->is_marker) {
        redis_queue_hold(&redis->queue, reply);
        return 0;
    } else if (command != NULL && redis_marker_is_proven(command, reply)) {
        redis_count(redis, command->batch, 0, (clock_precise_ns() - command->sent_ns) / 1000);
        err = redis_answer_batch(redis);
    } else if (reply->type == REDIS_IS_ERROR) {
        fail_by_error(redis, reply);
        err = ERR_CONNECT;
    }
    redis_reply_free(reply);
    return err;
}

/* All complete replies of what was fed. 1: this connection is gone. */
static int redis_deliver_all(struct redis *redis)
{
    uint64_t epoch = redis->epoch;

    for (;;) {
        struct redis_reply *reply = NULL;
        int err = redis_reader_next(redis->reader, &reply);
        if (err < 0 || reply == NULL) {
            return err;
        }
        err = redis_deliver(redis, reply);
        if (redis->state == REDIS_FREED || redis->epoch != epoch) {
            return 1;
        }
        if (err != 0) {
            return err;
        }
    }
}

void redis_on_readable(struct stream *stream)
{
    struct redis *redis = (struct redis *)stream;

    while (stream->in.len > 0) {
        struct slice front = buf_front(&stream->in);
        int err = redis_reader_feed(redis->reader, front);
        redis->unproven_bytes += front.len;
        buf_drain(&stream->in, front.len);
        err = err == 0 ? redis_deliver_all(redis) : err;
        if (err > 0) {
            return;
        }
        if (err == 0 && redis->unproven_bytes > redis->options.max_reply_bytes) {
            err = ERR_TOO_BIG;
        }
        if (err < 0) {
            redis_lose(redis, err);
            return;
        }
    }
    stream_taken(stream);
}

/* ---- life ---- */

struct redis *redis_new(struct loop *loop, struct resolver *resolver,
                        const struct redis_options *options, const struct redis_ops *ops, void *arg)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (redis == NULL) {
        return NULL;
    }
    redis->loop = loop;
    redis->resolver = resolver;
    redis->options = *options;
    redis->ops = ops;
    redis->arg = arg;
    redis->flush.fn = on_flush;
    redis->command_timer.fn = on_command_timer;
    redis_connect_init(redis);
    redis_queue_init(&redis->queue);
    /* The first attempt starts in the next turn. */
    if (loop_timer_set(loop, &redis->phase_timer, clock_ms()) < 0) {
        free(redis);
        return NULL;
    }
    return redis;
}

static void redis_destroy(void *ptr)
{
    free(ptr);
}

void redis_free(struct redis *redis)
{
    if (redis == NULL || redis->state == REDIS_FREED) {
        return;
    }
    redis_close_connection(redis);
    redis->state = REDIS_FREED;
    redis_queue_done(&redis->queue);
    loop_timer_remove(redis->loop, &redis->phase_timer);
    loop_timer_remove(redis->loop, &redis->command_timer);
    loop_call_cancel(&redis->flush);
    loop_free_later(redis->loop, &redis->grave, redis, redis_destroy);
}

void redis_expect_messages(struct redis *redis)
{
    redis->has_messages = true;
}

bool redis_is_ready(const struct redis *redis)
{
    return redis->state == REDIS_READY;
}

bool redis_is_outdated(const struct redis *redis)
{
    return redis->state == REDIS_READY && redis->options.master_epoch != NULL &&
           redis->master_epoch < atomic_load(redis->options.master_epoch);
}

const char *redis_failure(const struct redis *redis)
{
    return redis->failure;
}

uint64_t redis_command_count(const struct redis *redis)
{
    return redis->commands;
}

uint64_t redis_write_count(const struct redis *redis)
{
    return redis->writes;
}
