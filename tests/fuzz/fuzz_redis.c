/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a redis server, true or lying, behind some questions that were written at once with a marker.
 * The first byte says how many questions, the second how many bytes come at a time; '@' stands for the
 * marker's true answer.  All questions are answered or none, nobody twice, and how the bytes were cut makes no
 * difference. */
#include "core/redis_client.h"
#include "core/redis_sentinel.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define MAX_ASKED    7u
#define MARKER       UINT64_C(0x0123456789abcdef)
#define MARKER_REPLY "$16\r\n0123456789abcdef\r\n"
#define MAX_BYTES    65536u

struct seen {
    unsigned answered, failed, lost;
    bool is_pushed;
};

static void visit(const struct redis_reply *reply, unsigned depth)
{
    require(depth <= 9); /* hiredis' limit */
    require(reply->type == REDIS_IS_ARRAY || reply->count == 0);
    for (size_t i = 0; i < reply->count; i++) {
        require(reply->items[i] != NULL);
        visit(reply->items[i], depth + 1);
    }
}

static void on_answer(void *arg, int err, const struct redis_reply *reply)
{
    struct seen *seen = arg;
    struct redis_address address;
    uint64_t epoch;
    char host[32];

    require((err == 0) == (reply != NULL));
    seen->answered += err == 0;
    seen->failed += err < 0;
    if (reply != NULL) {
        visit(reply, 0);
        (void)!redis_sentinel_read_epoch(reply, &epoch);
        if (redis_sentinel_read_master(reply, host, sizeof(host), &address) == 0) {
            require(address.port != 0 && address.host.len < sizeof(host));
        }
    }
}

static void on_lost(void *arg, int err)
{
    struct seen *seen = arg;

    require(err < 0);
    seen->lost++;
}

static void on_pushed(void *arg, const struct redis_reply *message)
{
    struct seen *seen = arg;

    require(message->count > 0);
    visit(message, 0);
    seen->is_pushed = true;
}

static const struct redis_ops ops = { .lost = on_lost, .pushed = on_pushed };

/* As if it had been connected, and `asked` questions had left. */
static struct redis *ask(struct loop *loop, unsigned asked, struct seen *seen)
{
    static const struct redis_options options = { .connect_timeout_ms = 1000,
                                                  .command_timeout_ms = 1000,
                                                  .max_queue = MAX_ASKED,
                                                  .max_reply_bytes = MAX_BYTES };
    struct slice argv[2] = { SLICE("EXISTS"), SLICE("a") };
    struct redis *redis = redis_new(loop, NULL, &options, &ops, seen);

    require(redis != NULL);
    buf_init(&redis->stream.in, loop_pool(loop));
    redis->state = REDIS_READY;
    redis->reader = redis_reader_new(MAX_BYTES);
    require(redis->reader != NULL);
    redis_expect_messages(redis);
    for (unsigned i = 0; i < asked; i++) {
        require(redis_send(redis, 2, argv, on_answer, seen) == 0);
        redis_queue_written(&redis->queue);
    }
    if (asked > 0) {
        struct redis_command *marker = redis_marker_new(MARKER);
        require(marker != NULL);
        marker->deadline_ms = UINT64_MAX;
        redis_queue_add_marker(&redis->queue, marker);
        redis_queue_written(&redis->queue);
    }
    return redis;
}

static struct seen run(struct loop *loop, unsigned asked, struct slice bytes, size_t step)
{
    struct seen seen = { 0 };
    struct redis *redis = ask(loop, asked, &seen);

    for (size_t at = 0; at < bytes.len && redis->state == REDIS_READY; at += step) {
        struct slice rest = slice_skip(bytes, at);
        rest.len = rest.len < step ? rest.len : step;
        require(buf_append(&redis->stream.in, rest) == 0);
        redis_on_readable(&redis->stream);
    }
    require(seen.answered == 0 || seen.answered == asked);
    require(seen.lost <= 1 && seen.lost == (redis->state == REDIS_PAUSED));
    require(seen.lost == 0 || seen.answered + seen.failed == asked);
    buf_clear(&redis->stream.in);
    redis_free(redis);
    loop_turn(loop, false);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct loop *loop;
    static char text[MAX_BYTES];
    size_t len = 0;

    if (loop == NULL) {
        loop = loop_new();
        require(loop != NULL);
    }
    for (size_t i = 2; i < size && len + sizeof(MARKER_REPLY) < MAX_BYTES / 2; i++) {
        struct slice one = data[i] == '@' ? SLICE(MARKER_REPLY) : slice_of(&data[i], 1);
        memcpy(text + len, one.ptr, one.len);
        len += one.len;
    }
    if (size > 2) {
        unsigned asked = data[0] % (MAX_ASKED + 1);
        struct seen cut = run(loop, asked, slice_of(text, len), data[1] == 0 ? 1 : data[1]);
        struct seen whole = run(loop, asked, slice_of(text, len), MAX_BYTES);
        require(cut.answered == whole.answered && cut.lost == whole.lost);
    }
    return 0;
}
