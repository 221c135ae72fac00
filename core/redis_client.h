/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis client from the inside: redis.c asks and is answered, redis_connect.c brings a connection from
 * nothing to greeting, redis_greet.c from there to ready, again and again.
 *
 * Hop: one connection on the way to be ready; with sentinels there are two, the first one to a
 * sentinel. */
#pragma once

#include "core/redis_queue.h"
#include "core/stream.h"

#define REDIS_HOST_BYTES    256u
#define REDIS_FAILURE_BYTES 160u

enum redis_state {
    REDIS_PAUSED, /* until the next attempt */
    REDIS_RESOLVING,
    REDIS_CONNECTING,
    REDIS_GREETING, /* AUTH, SELECT and PING, or a question to a sentinel, are under way */
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
    size_t unproven_bytes; /* fed since the last marker */
    uint64_t number;       /* of the last marker; starts anywhere */
    uint64_t epoch;        /* counts connections */
    bool has_messages;
    int pending_err; /* why it shall be closed at the end of the turn */

    struct redis_queue queue;

    /* Attempts. */
    struct redis_address
        hop; /* where to now; its host is host_text, or borrowed from the options */
    bool hop_is_sentinel;
    uint64_t master_epoch; /* under which a sentinel has told it */
    bool knows_master;     /* `hop` is what a sentinel said a moment ago */
    char host_text[REDIS_HOST_BYTES];
    unsigned next_sentinel;
    char failure[REDIS_FAILURE_BYTES];
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
/* Close the connection at the end of this turn; `failure` is cut and quoted. */
void redis_fail_later(struct redis *redis, int err, struct slice failure);

/* ---- redis_connect.c ---- */

/* Prepare for redis_begin_pause(). */
void redis_connect_init(struct redis *redis);
/* Connect without a pause to redis->hop, which a sentinel has told. */
void redis_begin_hop(struct redis *redis);
void redis_begin_pause(struct redis *redis);
void redis_close_connection(struct redis *redis);

/* ---- redis_greet.c ---- */

/* Put the first commands of a connection before everything that waits. */
int redis_greet(struct redis *redis) MUST_CHECK;
