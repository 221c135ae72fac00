/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/writer.h"

#include "core/clock.h"
#include "plugins/revocation/local_store.h"
#include "plugins/revocation/put.h"

#include <stdio.h>
#include <stdlib.h>

#define MAP_BYTES     ((size_t)16 << 20)
#define MAX_MAP_BYTES ((size_t)16 << 30)
#define NEVER_MS      3600000u
#define MIN_WAIT_MS   2000u
#define DISK_WAIT_MS  30000u

struct revocation_writer {
    struct loop *loop;
    struct resolver *resolver;
    struct redis *redis;
    struct slice prefix; /* borrowed from the settings */
    struct offload *offload;
    struct local_store *local;
    unsigned timeout_ms;

    bool is_answered;
    int err;
    bool is_there;
    char error[REVOCATION_ERROR_BYTES];
};

static void keep_error(struct revocation_writer *writer, const char *text)
{
    snprintf(writer->error, sizeof(writer->error), "%s", text);
}

/* ---- waiting ---- */

static void on_timeout(struct loop_timer *timer)
{
}

/* Turn the loop until *done or the time is over. */
static int wait_for(struct revocation_writer *writer, bool (*is_done)(struct revocation_writer *))
{
    struct loop_timer timer = { .fn = on_timeout };
    uint64_t end = clock_ms() + writer->timeout_ms;
    int err = loop_timer_set(writer->loop, &timer, end);

    while (err == 0 && !is_done(writer)) {
        if (clock_ms() >= end) {
            err = ERR_TIMEOUT;
            break;
        }
        loop_turn(writer->loop, true);
    }
    loop_timer_remove(writer->loop, &timer);
    if (err < 0) {
        keep_error(writer, err_text(err));
    }
    return err;
}

static bool is_connected(struct revocation_writer *writer)
{
    return redis_is_ready(writer->redis);
}

static bool is_answered(struct revocation_writer *writer)
{
    return writer->is_answered;
}

static int wait_for_answer(struct revocation_writer *writer, int err)
{
    if (err == 0) {
        err = wait_for(writer, is_answered);
        return err < 0 ? err : writer->err;
    }
    keep_error(writer, err_text(err));
    return err;
}

/* ---- Redis ---- */

static void on_redis(void *arg, int err, const struct redis_reply *reply)
{
    struct revocation_writer *writer = arg;

    writer->is_answered = true;
    writer->err = err;
    if (err < 0) {
        keep_error(writer, err_text(err));
        return;
    }
    if (reply->type != REDIS_IS_INTEGER) {
        writer->err = ERR_BAD_INPUT;
        snprintf(writer->error, sizeof(writer->error), "redis says: %.*s",
                 (int)(reply->text.len < 200 ? reply->text.len : 200),
                 reply->text.len == 0 ? "" : reply->text.ptr);
        return;
    }
    writer->is_there = reply->integer == 1;
}

static int put_redis(struct revocation_writer *writer, const struct revocation_entry *entry)
{
    writer->is_answered = false;
    return wait_for_answer(writer, revocation_put(writer->redis, writer->prefix, writer->timeout_ms,
                                                  entry, clock_unix(), on_redis, writer));
}

static int open_redis(struct revocation_writer *writer, const struct revocation_settings *settings)
{
    static const struct redis_ops ops = { 0 };

    writer->timeout_ms =
        settings->client.connect_timeout_ms * 2 + settings->client.command_timeout_ms;
    if (writer->timeout_ms < MIN_WAIT_MS) {
        writer->timeout_ms = MIN_WAIT_MS;
    }
    writer->prefix = settings->redis.prefix;
    writer->resolver = resolver_new(writer->loop);
    if (writer->resolver != NULL) {
        writer->redis = redis_new(writer->loop, writer->resolver, &settings->client, &ops, writer);
    }
    if (writer->redis == NULL) {
        keep_error(writer, err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    int err = wait_for(writer, is_connected);
    if (err < 0) {
        const char *why = redis_failure(writer->redis);
        snprintf(writer->error, sizeof(writer->error), "redis does not let us in: %s",
                 why[0] == '\0' ? err_text(err) : why);
    }
    return err;
}

/* ---- the local store ---- */

static void on_local(void *arg, int err)
{
    struct revocation_writer *writer = arg;

    writer->is_answered = true;
    writer->err = err;
    if (err < 0) {
        keep_error(writer, err_text(err));
    }
}

static int open_local(struct revocation_writer *writer, const char *state_dir)
{
    char folder[4096];
    struct local_store_options options = { .folder = folder,
                                           .map_bytes = MAP_BYTES,
                                           .max_map_bytes = MAX_MAP_BYTES,
                                           .purge_interval_ms = NEVER_MS };

    snprintf(folder, sizeof(folder), "%s/revocations", state_dir);
    writer->offload = offload_new(1, 1);
    if (writer->offload == NULL) {
        keep_error(writer, err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    return local_store_open(&options, writer->loop, writer->offload, &writer->local, writer->error);
}

/* ---- both ---- */

/* With Redis, too, what is revoked here is kept here, for the gateway of this machine. */
static int open_stores(struct revocation_writer *writer, const struct revocation_settings *settings,
                       const char *state_dir)
{
    int err = 0;

    writer->timeout_ms = DISK_WAIT_MS;
    if (state_dir == NULL && revocation_is_local(settings)) {
        keep_error(writer, "the configuration has neither server.state_dir nor revocation.redis");
        return ERR_CONFIG;
    }
    if (!revocation_is_local(settings)) {
        err = open_redis(writer, settings);
    }
    return err == 0 && state_dir != NULL ? open_local(writer, state_dir) : err;
}

int revocation_writer_open(const struct revocation_settings *settings, const char *state_dir,
                           struct revocation_writer **ret, char ret_error[REVOCATION_ERROR_BYTES])
{
    struct revocation_writer *writer = calloc(1, sizeof(*writer));
    int err = ERR_NO_MEMORY;

    if (writer != NULL) {
        writer->loop = loop_new();
    }
    if (writer == NULL || writer->loop == NULL) {
        snprintf(ret_error, REVOCATION_ERROR_BYTES, "%s", err_text(err));
    } else {
        err = open_stores(writer, settings, state_dir);
        memcpy(ret_error, writer->error, REVOCATION_ERROR_BYTES);
    }
    if (err < 0) {
        revocation_writer_close(writer);
        return err;
    }
    *ret = writer;
    return 0;
}

void revocation_writer_close(struct revocation_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    redis_free(writer->redis);
    if (writer->resolver != NULL) {
        resolver_free(writer->resolver);
    }
    offload_free(writer->offload);
    local_store_close(writer->local);
    if (writer->loop != NULL) {
        loop_turn(writer->loop, false);
        loop_free(writer->loop);
    }
    free(writer);
}

int revocation_writer_put(struct revocation_writer *writer, const struct revocation_entry *entry)
{
    struct local_entry local = { .key = revocation_entry_key(entry),
                                 .value = entry->value,
                                 .expires_at = entry->expires_at };

    int err = 0;
    if (writer->local != NULL) {
        writer->is_answered = false;
        err = wait_for_answer(writer, local_store_put(writer->local, &local, 1, on_local, writer));
    }
    return err == 0 && writer->redis != NULL ? put_redis(writer, entry) : err;
}

static int find_redis(struct revocation_writer *writer, struct slice key)
{
    char buf[REVOCATION_REDIS_KEY_BYTES];
    struct slice argv[2] = { SLICE("EXISTS"), revocation_redis_key(buf, writer->prefix, key) };

    writer->is_answered = false;
    int err = wait_for_answer(writer, redis_send(writer->redis, 2, argv, on_redis, writer));
    return err == 0 && !writer->is_there ? ERR_NOT_FOUND : err;
}

int revocation_writer_find(struct revocation_writer *writer, struct slice key)
{
    int64_t value;

    if (writer->redis != NULL) {
        return find_redis(writer, key);
    }
    int err = local_store_find(writer->local, key, &value);
    if (err < 0) {
        keep_error(writer, err_text(err));
    }
    return err;
}

/* ---- all entries ---- */

struct visit {
    struct revocation_writer *writer;
    bool (*fn)(void *arg, const struct local_entry *entry);
    void *arg;
    char cursor[24];
    bool is_stopped;
};

/* A page of names in one step, each with its value and its life. */
static const char page_script[] =
    "local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 500) "
    "local out = { page[1] } "
    "for _, key in ipairs(page[2]) do "
    "local value = redis.pcall('GET', key) "
    "out[#out + 1] = key "
    "out[#out + 1] = type(value) == 'string' and value or '' "
    "out[#out + 1] = tostring(redis.call('TTL', key)) "
    "end "
    "return out";

static bool visit_row(struct visit *visit, struct slice key, struct slice value, struct slice life)
{
    char name[REVOCATION_KEY_BYTES];
    int64_t seconds = 0;
    struct local_entry entry = { .key = revocation_name_of(name, visit->writer->prefix, key),
                                 .expires_at = REVOCATION_FOR_EVER };

    if (slice_is_absent(entry.key) ||
        slice_starts_with(entry.key, SLICE(REVOCATION_PREFIX "heartbeat:")) ||
        slice_eq(life, SLICE("-2"))) {
        return true; /* not a revocation; gone meanwhile */
    }
    if (revocation_read_time(life, &seconds) == 0) {
        entry.expires_at = clock_unix() + seconds;
    }
    if (revocation_read_time(value, &entry.value) < 0) {
        entry.value = 0; /* another writer's word */
    }
    return visit->fn(visit->arg, &entry);
}

static int take_rows(struct visit *visit, const struct redis_reply *reply)
{
    if (reply->type != REDIS_IS_ARRAY || reply->count % 3 != 1 ||
        reply->items[0]->text.len >= sizeof(visit->cursor)) {
        return ERR_BAD_INPUT;
    }
    struct slice cursor = reply->items[0]->text;
    memcpy(visit->cursor, cursor.ptr, cursor.len);
    visit->cursor[cursor.len] = '\0';
    for (size_t i = 1; i < reply->count && !visit->is_stopped; i += 3) {
        visit->is_stopped = !visit_row(visit, reply->items[i]->text, reply->items[i + 1]->text,
                                       reply->items[i + 2]->text);
    }
    return 0;
}

static void on_page(void *arg, int err, const struct redis_reply *reply)
{
    struct visit *visit = arg;

    visit->writer->is_answered = true;
    visit->writer->err = err == 0 ? take_rows(visit, reply) : err;
}

static int visit_redis(struct visit *visit)
{
    struct revocation_writer *writer = visit->writer;
    char pattern[REVOCATION_MAX_PREFIX + 2];
    int len = snprintf(pattern, sizeof(pattern), "%.*s*", SLICE_FMT(writer->prefix));
    int err = 0;

    snprintf(visit->cursor, sizeof(visit->cursor), "0");
    do {
        struct slice argv[5] = { SLICE("EVAL"), SLICE(page_script), SLICE("0"),
                                 slice_str(visit->cursor), slice_of(pattern, (size_t)len) };
        writer->is_answered = false;
        err = wait_for_answer(
            writer, redis_send_within(writer->redis, writer->timeout_ms, 5, argv, on_page, visit));
    } while (err == 0 && !visit->is_stopped && strcmp(visit->cursor, "0") != 0);
    if (err < 0) {
        keep_error(writer, err_text(err));
    }
    return err;
}

int revocation_writer_visit(struct revocation_writer *writer,
                            bool (*fn)(void *arg, const struct local_entry *entry), void *arg)
{
    struct visit visit = { .writer = writer, .fn = fn, .arg = arg };

    if (writer->redis != NULL) {
        return visit_redis(&visit);
    }
    int err = local_store_visit(writer->local, SLICE_ABSENT, fn, arg);
    if (err < 0) {
        keep_error(writer, err_text(err));
    }
    return err;
}

const char *revocation_writer_error(const struct revocation_writer *writer)
{
    return writer->error;
}
