/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/map.h"
#include "core/redis_client.h"
#include "core/tls.h"

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

static void set_phase_timer(struct redis *redis, uint64_t deadline_ms)
{
    if (loop_timer_set(redis->loop, &redis->phase_timer, deadline_ms) < 0) {
        (void)err_bug("a reserved timer cannot be set", __FILE__, __LINE__);
    }
}

void redis_begin_pause(struct redis *redis)
{
    uint64_t next_ms = clock_ms() + (redis->hurries ? 0 : redis_backoff_ms(redis));

    redis->state = REDIS_PAUSED;
    redis->knows_master = false;
    set_phase_timer(redis, next_ms);
}

void redis_begin_hop(struct redis *redis)
{
    redis_close_connection(redis);
    redis_queue_drop_written(&redis->queue);
    redis->state = REDIS_PAUSED;
    redis->hurries = redis->knows_master = true;
    set_phase_timer(redis, clock_ms());
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
    redis->unproven_bytes = 0;
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

/* ---- connecting ---- */

static void on_connected(struct stream *stream)
{
    struct redis *redis = (struct redis *)stream;

    uint64_t seed[2] = { clock_precise_ns(), redis->epoch };

    redis->state = REDIS_GREETING;
    redis->number = map_hash(slice_of(seed, sizeof(seed)));
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
    struct redis *redis = (struct redis *)stream;

    if (err == ERR_CRYPTO && stream->tls != NULL && stream->tls->failure != NULL) {
        snprintf(redis->failure, sizeof(redis->failure), "TLS: %s", stream->tls->failure);
    }
    redis_lose(redis, err);
}

static const struct stream_ops stream_callbacks = {
    .connected = on_connected,
    .readable = redis_on_readable,
    .gone = on_gone,
};

/* The host as TLS wants it: without the brackets of an IPv6 address. */
static struct tls *encrypt(const struct redis *redis)
{
    char host[REDIS_HOST_BYTES];
    struct slice bare = redis->hop.host;

    if (bare.len > 2 && bare.ptr[0] == '[') {
        bare = slice_of(bare.ptr + 1, bare.len - 2);
    }
    if (bare.len >= sizeof(host)) {
        return NULL;
    }
    memcpy(host, bare.ptr, bare.len);
    host[bare.len] = '\0';
    return tls_connect(redis->options.tls, host, NULL);
}

static void redis_connect(struct redis *redis, const struct sockaddr *addr, socklen_t len)
{
    bool is_encrypted = redis->options.tls != NULL && !slice_is_absent(redis->hop.host);

    redis->state = REDIS_CONNECTING;
    int err = is_encrypted ? stream_connect_tls(&redis->stream, redis->loop, addr, len,
                                                &stream_callbacks, IN_BYTES, encrypt(redis))
                           : stream_connect(&redis->stream, redis->loop, addr, len,
                                            &stream_callbacks, IN_BYTES);
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
    set_port(&to.addr, redis->hop.port);
    redis_connect(redis, (const struct sockaddr *)&to.addr, to.len);
}

static void redis_connect_unix(struct redis *redis)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct slice path = redis->hop.unix_path;

    if (path.len >= sizeof(addr.sun_path)) {
        redis_lose(redis, ERR_CONNECT);
        return;
    }
    memcpy(addr.sun_path, path.ptr, path.len);
    redis_connect(redis, (const struct sockaddr *)&addr, sizeof(addr));
}

static void redis_resolve(struct redis *redis)
{
    struct slice name = redis->hop.host;
    struct sockaddr_storage addr;
    socklen_t len;
    char host[REDIS_HOST_BYTES];

    if (name.len >= sizeof(host)) {
        redis_lose(redis, ERR_RESOLVE);
        return;
    }
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    if (resolve_literal(host, redis->hop.port, &addr, &len)) {
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

static void choose_hop(struct redis *redis)
{
    const struct redis_options *options = &redis->options;

    redis->hop_is_sentinel = options->sentinel_count > 0 && !redis->knows_master;
    if (redis->hop_is_sentinel) {
        redis->hop = options->sentinels[redis->next_sentinel++ % options->sentinel_count];
    } else if (!redis->knows_master) {
        redis->hop = options->address;
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
    redis->state = REDIS_CONNECTING;
    redis->hurries = false;
    redis->failure[0] = '\0';
    set_phase_timer(redis, clock_ms() + redis->options.connect_timeout_ms);
    choose_hop(redis);
    if (slice_is_absent(redis->hop.host)) {
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
