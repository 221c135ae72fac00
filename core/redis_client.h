/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis client from the inside: redis.c asks and is answered, redis_connect.c brings a connection from
 * nothing to ready, again and again. */
#pragma once

#include "core/redis_queue.h"
#include "core/stream.h"

enum redis_state {
    REDIS_PAUSED, /* until the next attempt */
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_GREETING, /* AUTH, SELECT and PING are under way */
    REDIS_READY,
    REDIS_FREED,
};

struct redis {
    struct stream stream; /* first: callbacks cast */
    enum redis_state state;
    struct loop *loop;
    struct resolver *resolver;
    struct redis_options options;
    const struct redis_ops *ops;
    void *arg;

    /* This connection. */
    struct redis_reader *reader;
    size_t unanswered_bytes; /* fed since the last complete reply */
    uint64_t epoch;          /* counts connections */
    bool has_messages;
    int pending_err; /* why it shall be closed at the end of the turn */

    struct redis_queue queue;

    /* Attempts. */
    struct resolve_query *query;
    unsigned attempts; /* since it was last ready */
    bool hurries;      /* the next attempt comes without a pause */
    struct loop_timer phase_timer, command_timer;
    struct loop_call flush;
    struct loop_grave grave;
    uint64_t commands, writes;
};

/* ---- redis.c ---- */

/* Close this connection, answer what is pending with `err`, begin a pause.  Runs from the loop only, as
 * callbacks run inside. */
void redis_lose(struct redis *redis, int err);
void redis_watch_deadline(struct redis *redis, uint64_t deadline_ms);
void redis_on_readable(struct stream *stream);

/* ---- redis_connect.c ---- */

/* Prepare for redis_begin_pause(). */
void redis_connect_init(struct redis *redis);
void redis_begin_pause(struct redis *redis);
void redis_close_connection(struct redis *redis);
