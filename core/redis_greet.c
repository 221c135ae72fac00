/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/redis_client.h"
#include "core/redis_sentinel.h"

#include <stdio.h>

#define MAX_GREETINGS 4u

/* ---- answers ---- */

static void is_ready_now(struct redis *redis)
{
    redis->state = REDIS_READY;
    redis->attempts = 0;
    redis->failure[0] = '\0';
    loop_timer_clear(&redis->phase_timer);
    loop_defer(redis->loop, &redis->flush);
    if (redis->ops->ready != NULL) {
        redis->ops->ready(redis->arg);
    }
}

/* `err` < 0: the connection is being lost. */
static bool is_answer(struct redis *redis, int err, const struct redis_reply *reply,
                      enum redis_reply_type type)
{
    if (err < 0 || redis->pending_err < 0) {
        return false;
    }
    if (reply->type != type) {
        redis_fail_later(redis, ERR_CONNECT, reply->text);
        return false;
    }
    return true;
}

/* Its text is not shown: a server that does not know AUTH quotes what it was sent. */
static void on_auth(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    if (err == 0 && reply->type != REDIS_IS_STATUS) {
        redis_fail_later(redis, ERR_CONNECT,
                         redis->hop_is_sentinel ? SLICE("a sentinel refuses our user and password")
                                                : SLICE("it refuses our user and password"));
    }
}

static void on_greeting(void *arg, int err, const struct redis_reply *reply)
{
    (void)is_answer((struct redis *)arg, err, reply, REDIS_IS_STATUS);
}

/* PING may be answered by an error too: LOADING, NOAUTH, MASTERDOWN. */
static void on_ping(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    if (is_answer(redis, err, reply, REDIS_IS_STATUS)) {
        is_ready_now(redis);
    }
}

/* What a sentinel said may be old. */
static void on_role(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    if (is_answer(redis, err, reply, REDIS_IS_ARRAY) &&
        (reply->count == 0 || !slice_eq(reply->items[0]->text, SLICE("master")))) {
        redis_fail_later(redis, ERR_CONNECT, SLICE("it is not a master"));
    }
}

/* The sentinel may not have heard yet of what another one has done. */
static void on_epoch(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    if (!is_answer(redis, err, reply, REDIS_IS_ARRAY)) {
        return;
    }
    if (redis_sentinel_read_epoch(reply, &redis->master_epoch) < 0) {
        redis_fail_later(redis, ERR_BAD_INPUT, SLICE("the sentinel's answer has no epoch"));
    } else if (!redis_sentinel_take_epoch(redis->options.master_epoch, redis->master_epoch)) {
        redis_fail_later(redis, ERR_CONNECT, SLICE("the sentinel has not heard of a fail-over"));
    }
}

static void on_master(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;
    struct redis_address master;

    if (!is_answer(redis, err, reply, REDIS_IS_ARRAY)) {
        return;
    }
    if (redis_sentinel_read_master(reply, redis->host_text, sizeof(redis->host_text), &master) <
        0) {
        redis_fail_later(redis, ERR_BAD_INPUT, SLICE("the sentinel's answer is no address"));
        return;
    }
    redis->hop = master;
    redis_begin_hop(redis);
}

/* ---- questions ---- */

struct greeting {
    unsigned argc;
    struct slice argv[3];
    redis_fn *fn;
};

/* How many: none without a password. */
static unsigned auth_greetings(struct slice username, struct slice password, struct greeting *ret)
{
    if (slice_is_absent(password)) {
        return 0;
    }
    *ret = slice_is_absent(username)
               ? (struct greeting){ 2, { SLICE("AUTH"), password }, on_auth }
               : (struct greeting){ 3, { SLICE("AUTH"), username, password }, on_auth };
    return 1;
}

static unsigned master_greetings(const struct redis *redis, char database[16],
                                 struct greeting ret[MAX_GREETINGS])
{
    const struct redis_options *options = &redis->options;
    unsigned count = auth_greetings(options->username, options->password, ret);

    if (options->address.database != 0) {
        int len = snprintf(database, 16, "%u", options->address.database);
        ret[count++] = (struct greeting){ 2,
                                          { SLICE("SELECT"), slice_of(database, (size_t)len) },
                                          on_greeting };
    }
    if (options->sentinel_count > 0) {
        ret[count++] = (struct greeting){ 1, { SLICE("ROLE") }, on_role };
    }
    ret[count++] = (struct greeting){ 1, { SLICE("PING") }, on_ping };
    return count;
}

static struct redis_command *command_of(struct redis *redis, const struct greeting *greeting)
{
    struct redis_command *command = redis_command_new(greeting->argc, greeting->argv);

    if (command != NULL) {
        command->fn = greeting->fn;
        command->arg = redis;
        command->is_greeting = true;
        command->deadline_ms = clock_ms() + redis->options.connect_timeout_ms;
    }
    return command;
}

/* First the epoch: the address that follows is at least as new. */
static unsigned sentinel_greetings(const struct redis *redis, struct greeting ret[MAX_GREETINGS])
{
    const struct redis_options *options = &redis->options;
    struct slice name = options->master_name;
    unsigned count = auth_greetings(options->sentinel_username, options->sentinel_password, ret);

    ret[count++] = (struct greeting){ 3, { SLICE("SENTINEL"), SLICE("MASTER"), name }, on_epoch };
    ret[count++] = (struct greeting){ 3,
                                      { SLICE("SENTINEL"), SLICE("GET-MASTER-ADDR-BY-NAME"), name },
                                      on_master };
    return count;
}

int redis_greet(struct redis *redis)
{
    struct greeting greetings[MAX_GREETINGS];
    char database[16];
    unsigned count = redis->hop_is_sentinel ? sentinel_greetings(redis, greetings)
                                            : master_greetings(redis, database, greetings);

    while (count-- > 0) {
        struct redis_command *command = command_of(redis, &greetings[count]);
        if (command == NULL) {
            return ERR_NO_MEMORY; /* those before it are answered when the connection is lost */
        }
        redis_queue_add_first(&redis->queue, command);
    }
    return 0;
}
