/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/map.h"
#include "core/redis_client.h"

#include <stdio.h>
#include <sys/un.h>

#define IN_BYTES       65536u
#define MIN_BACKOFF_MS 50u
#define MAX_BACKOFF_MS 1000u

/* ---- the pause ---- */

static uint64_t redis_backoff_ms(struct redis *redis)
{
    unsigned shift = redis->attempts < 5 ? redis->attempts : 5;
    uint64_t pause = MIN_BACKOFF_MS << shift;
    uint64_t seed[2] = { clock_precise_ns(), redis->epoch };

    redis->attempts++;
    pause = pause > MAX_BACKOFF_MS ? MAX_BACKOFF_MS : pause;
    return pause / 2 + map_hash(slice_of(seed, sizeof(seed))) % (pause / 2 + 1);
}

void redis_begin_pause(struct redis *redis)
{
    uint64_t next_ms = clock_ms() + (redis->hurries ? 0 : redis_backoff_ms(redis));

    redis->state = REDIS_PAUSED;
    if (loop_timer_set(redis->loop, &redis->phase_timer, next_ms) < 0) {
        (void)err_bug("a reserved timer cannot be set", __FILE__, __LINE__);
    }
}

void redis_close_connection(struct redis *redis)
{
    if (redis->query != NULL) {
        resolver_cancel(redis->query);
        redis->query = NULL;
    }
    if (redis->stream.ops != NULL) {
        stream_close(&redis->stream);
    }
    redis_reader_free(redis->reader);
    redis->reader = NULL;
    redis->has_messages = false;
    redis->pending_err = 0;
    redis->unanswered_bytes = 0;
    redis->epoch++;
}

void redis_reset(struct redis *redis)
{
    if (redis->state == REDIS_PAUSED || redis->state == REDIS_FREED) {
        return;
    }
    redis->pending_err = ERR_RESET;
    loop_defer(redis->loop, &redis->flush);
}

void redis_hurry(struct redis *redis)
{
    if (redis->state != REDIS_PAUSED) {
        return;
    }
    redis->hurries = true;
    if (loop_timer_set(redis->loop, &redis->phase_timer, clock_ms()) < 0) {
        redis->hurries = false; /* then after the pause */
    }
}

void redis_reconnect(struct redis *redis)
{
    if (redis->state == REDIS_PAUSED) {
        redis_hurry(redis);
        return;
    }
    redis->hurries = redis->state != REDIS_FREED;
    redis_reset(redis);
}

/* ---- the greeting ---- */

static void on_greeting(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    /* PING may be answered by an error too: LOADING, NOAUTH, MASTERDOWN. */
    if (err == 0 && reply->type != REDIS_IS_STATUS) {
        redis->pending_err = ERR_CONNECT;
        loop_defer(redis->loop, &redis->flush);
    }
}

static void on_ping(void *arg, int err, const struct redis_reply *reply)
{
    struct redis *redis = (struct redis *)arg;

    on_greeting(arg, err, reply);
    if (err < 0 || redis->pending_err < 0) {
        return;
    }
    redis->state = REDIS_READY;
    redis->attempts = 0;
    loop_timer_clear(&redis->phase_timer);
    loop_defer(redis->loop, &redis->flush);
    if (redis->ops->ready != NULL) {
        redis->ops->ready(redis->arg);
    }
}

static struct redis_command *greeting_new(struct redis *redis, unsigned argc,
                                          const struct slice *argv, redis_fn *fn)
{
    struct redis_command *command = redis_command_new(argc, argv);

    if (command != NULL) {
        command->fn = fn;
        command->arg = redis;
        command->is_greeting = true;
        command->deadline_ms = clock_ms() + redis->options.connect_timeout_ms;
    }
    return command;
}

/* Before everything that waits. */
static int redis_greet(struct redis *redis)
{
    const struct redis_options *options = &redis->options;
    struct redis_command *greetings[3];
    unsigned count = 0;
    char text[16];

    if (!slice_is_absent(options->password)) {
        struct slice full[3] = { SLICE("AUTH"), options->username, options->password };
        struct slice old[2] = { SLICE("AUTH"), options->password };
        bool has_user = !slice_is_absent(options->username);
        greetings[count++] =
            greeting_new(redis, has_user ? 3 : 2, has_user ? full : old, on_greeting);
    }
    if (options->address.database != 0) {
        int len = snprintf(text, sizeof(text), "%u", options->address.database);
        struct slice select[2] = { SLICE("SELECT"), slice_of(text, (size_t)len) };
        greetings[count++] = greeting_new(redis, 2, select, on_greeting);
    }
    struct slice ping[1] = { SLICE("PING") };
    greetings[count++] = greeting_new(redis, 1, ping, on_ping);

    bool is_complete = true;
    for (unsigned i = 0; i < count; i++) {
        is_complete = is_complete && greetings[i] != NULL;
    }
    for (unsigned i = count; i-- > 0;) {
        if (!is_complete) {
            if (greetings[i] != NULL) {
                redis_command_free(greetings[i]);
            }
            continue;
        }
        redis_queue_add_first(&redis->queue, greetings[i]);
    }
    return is_complete ? 0 : ERR_NO_MEMORY;
}

/* ---- connecting ---- */

static void on_connected(struct stream *stream)
{
    struct redis *redis = (struct redis *)stream;

    redis->state = REDIS_GREETING;
    redis->reader = redis_reader_new(redis->options.max_reply_bytes);
    int err = redis->reader == NULL ? ERR_NO_MEMORY : redis_greet(redis);
    if (err < 0) {
        redis_lose(redis, err);
        return;
    }
    redis_watch_deadline(redis, redis->queue.first->deadline_ms);
    loop_defer(redis->loop, &redis->flush);
}

static void on_gone(struct stream *stream, int err)
{
    redis_lose((struct redis *)stream, err);
}

static const struct stream_ops stream_callbacks = {
    .connected = on_connected,
    .readable = redis_on_readable,
    .gone = on_gone,
};

static void redis_connect(struct redis *redis, const struct sockaddr *addr, socklen_t len)
{
    redis->state = REDIS_CONNECTING;
    int err = stream_connect(&redis->stream, redis->loop, addr, len, &stream_callbacks, IN_BYTES);
    if (err < 0) {
        redis_lose(redis, err);
    }
}

static void set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)addr)->sin_port = htons(port);
    }
}

static void on_resolved(void *arg, const struct resolve_answer *answer)
{
    struct redis *redis = (struct redis *)arg;

    redis->query = NULL;
    if (answer->err < 0 || answer->count == 0) {
        redis_lose(redis, answer->err < 0 ? answer->err : ERR_RESOLVE);
        return;
    }
    /* Each attempt takes the next address. */
    struct resolve_address to = answer->addresses[redis->attempts % answer->count];
    set_port(&to.addr, redis->options.address.port);
    redis_connect(redis, (const struct sockaddr *)&to.addr, to.len);
}

static void redis_connect_unix(struct redis *redis)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct slice path = redis->options.address.unix_path;

    if (path.len >= sizeof(addr.sun_path)) {
        redis_lose(redis, ERR_CONNECT);
        return;
    }
    memcpy(addr.sun_path, path.ptr, path.len);
    redis_connect(redis, (const struct sockaddr *)&addr, sizeof(addr));
}

static void redis_resolve(struct redis *redis)
{
    const struct redis_address *address = &redis->options.address;
    struct sockaddr_storage addr;
    socklen_t len;
    char host[256];

    if (address->host.len >= sizeof(host)) {
        redis_lose(redis, ERR_RESOLVE);
        return;
    }
    memcpy(host, address->host.ptr, address->host.len);
    host[address->host.len] = '\0';
    if (resolve_literal(host, address->port, &addr, &len)) {
        redis_connect(redis, (const struct sockaddr *)&addr, len);
        return;
    }
    redis->state = REDIS_RESOLVING;
    if (redis->resolver != NULL) {
        redis->query = resolver_ask(redis->resolver, host, on_resolved, redis);
    }
    if (redis->query == NULL) {
        redis_lose(redis, redis->resolver == NULL ? ERR_RESOLVE : ERR_NO_MEMORY);
    }
}

/* The pause is over, or an attempt has taken too long. */
static void on_phase_timer(struct loop_timer *timer)
{
    struct redis *redis =
        (struct redis *)(void *)((char *)timer - offsetof(struct redis, phase_timer));

    if (redis->state != REDIS_PAUSED) {
        redis_lose(redis, ERR_TIMEOUT);
        return;
    }
    uint64_t deadline_ms = clock_ms() + redis->options.connect_timeout_ms;
    redis->state = REDIS_CONNECTING;
    redis->hurries = false;
    int err = loop_timer_set(redis->loop, &redis->phase_timer, deadline_ms);
    if (err < 0) {
        (void)err_bug("a reserved timer cannot be set", __FILE__, __LINE__);
    }
    if (slice_is_absent(redis->options.address.host)) {
        redis_connect_unix(redis);
    } else {
        redis_resolve(redis);
    }
}

void redis_connect_init(struct redis *redis)
{
    redis->stream.fd = -1;
    redis->phase_timer.fn = on_phase_timer;
    redis->state = REDIS_PAUSED;
}
