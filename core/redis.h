/* SPDX-License-Identifier: Apache-2.0 */
/* A client of one Redis server on one connection that comes back by itself: commands are answered in
 * their order, each by its deadline.  A connection that missed a deadline, brought a malformed, a
 * surplus, a lost or an endless reply is closed and never used again; another one follows after a pause
 * with jitter.  All commands of one loop turn leave in one write, and a PING with a number of its own behind
 * them: nobody has an answer before that number came back in its place (core/redis_queue.h).
 *
 * Words: lost: the connection is gone; what was pending was answered with an error (Redis may have
 * done it nevertheless).  No callback runs inside a call of the owner.  Thread: the loop's. */
#pragma once

#include "core/err.h"
#include "core/loop.h"
#include "core/redis_address.h"
#include "core/redis_wire.h"
#include "core/resolve.h"

#include <stdatomic.h>
#include <stdint.h>

struct tls_client; /* core/tls.h */

struct redis_options { /* all is borrowed: it must outlive the client */
    struct redis_address address;
    struct slice username, password; /* absent: none */
    const struct tls_client *tls;    /* NULL: not encrypted */
    /* Who knows where the server is; of `address` only the database counts then.  Each connection is
     * preceded by a question to the next one of them, and must then find a master (ROLE). */
    const struct redis_address *sentinels;
    unsigned sentinel_count;
    struct slice sentinel_username, sentinel_password; /* absent: none */
    struct slice master_name;                          /* as they call it */
    _Atomic uint64_t
        *master_epoch; /* of the last fail-over that any thread has heard of; starts at 0 */
    unsigned connect_timeout_ms, command_timeout_ms;
    unsigned max_queue;     /* commands without an answer */
    size_t max_reply_bytes; /* of what answers one write */
};

struct redis_ops {                    /* all may be NULL */
    void (*ready)(void *arg);         /* connected, authenticated, answering */
    void (*lost)(void *arg, int err); /* after the callbacks of what was pending; also when
                                         it was never ready */
    void (*pushed)(void *arg, const struct redis_reply *message); /* of a subscription */
    /* Before their callbacks: `count` commands that left in one write were answered `us` after it (err
     * 0), or got no answer. */
    void (*served)(void *arg, unsigned count, int err, uint64_t us);
};

struct redis;

/* `err` 0 with a reply (it may be REDIS_IS_ERROR), valid during the call; or a negative ERR_*. */
typedef void redis_fn(void *arg, int err, const struct redis_reply *reply);

/* Starts connecting.  `resolver` may be NULL when the host is an address.  NULL: no memory. */
struct redis *redis_new(struct loop *loop, struct resolver *resolver,
                        const struct redis_options *options, const struct redis_ops *ops,
                        void *arg);
/* What is pending never calls back. NULL is fine. */
void redis_free(struct redis *redis);

/* Ask; fn runs once, in a later turn, unless cancelled.  While connecting the command waits for it.
 * Arguments are copied.  ERR_CONNECT: no connection now; ERR_BUSY: the queue is full;
 * ERR_NO_MEMORY.  fn may be NULL. */
int redis_send(struct redis *redis, unsigned argc, const struct slice *argv, redis_fn *fn,
               void *arg) MUST_CHECK;
/* The same with a deadline of its own (WAIT). */
int redis_send_within(struct redis *redis, unsigned timeout_ms, unsigned argc,
                      const struct slice *argv, redis_fn *fn, void *arg) MUST_CHECK;
/* The callbacks of commands sent with `arg` do not run. */
void redis_cancel(struct redis *redis, const void *arg);
/* From now on arrays that start with "message" are messages, not answers. */
void redis_expect_messages(struct redis *redis);
/* Close this connection and make another: what it said cannot be right. */
void redis_reset(struct redis *redis);
/* The server is known to be there: end a pause now. */
void redis_hurry(struct redis *redis);
/* The server is known to be another: close this connection (what is pending fails) and make a new one
 * without a pause. */
void redis_reconnect(struct redis *redis);
bool redis_is_ready(const struct redis *redis);
/* Connected to a master, and since then a fail-over was heard of: redis_send() refuses and reconnects. */
bool redis_is_outdated(const struct redis *redis);
/* Why there was no connection last, for the operator; valid until the next turn. */
const char *redis_failure(const struct redis *redis);
/* Commands and writes since the start, for tests and numbers. */
uint64_t redis_command_count(const struct redis *redis);
uint64_t redis_write_count(const struct redis *redis);
