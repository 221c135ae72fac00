/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/restore.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/revocation/put.h"

#include <stdlib.h>

#define AREA        "revocation"
#define MAX_PENDING 64u

struct revocation_restore {
    struct redis *redis;
    struct slice prefix;
    struct local_store *kept;
    unsigned timeout_ms;

    bool is_running;
    unsigned pending; /* answers to come */
    uint64_t written; /* in this run */
    bool was_refused;
    char after[LOCAL_STORE_MAX_KEY]; /* the last key that was sent */
    size_t after_len;
};

static void send_some(struct revocation_restore *restore);

static void on_put(void *arg, int err, const struct redis_reply *reply)
{
    struct revocation_restore *restore = arg;
    char text[160];

    restore->pending--;
    if (err < 0) {
        restore->is_running = false;
    } else if (!revocation_put_is_done(err, reply)) {
        if (!restore->was_refused) {
            log_warning(AREA, "redis refuses a revocation that it has lost: %s",
                        log_quote(reply->text, text, sizeof(text)));
        }
        restore->was_refused = true;
    } else if (revocation_put_is_new(reply)) {
        restore->written++;
    }
    if (restore->is_running && restore->pending == 0) {
        send_some(restore);
    }
}

static bool send_one(void *arg, const struct local_entry *kept)
{
    struct revocation_restore *restore = arg;
    struct revocation_entry entry = { .key_len = kept->key.len,
                                      .value = kept->value,
                                      .expires_at = kept->expires_at };
    int64_t now = clock_unix();

    memcpy(restore->after, kept->key.ptr, kept->key.len);
    restore->after_len = kept->key.len;
    if (kept->expires_at <= now || kept->key.len > sizeof(entry.key)) {
        return true;
    }
    memcpy(entry.key, kept->key.ptr, kept->key.len);
    if (revocation_put(restore->redis, restore->prefix, restore->timeout_ms, &entry, now, on_put,
                       restore) < 0) {
        restore->is_running = false;
        return false;
    }
    return ++restore->pending < MAX_PENDING;
}

static void send_some(struct revocation_restore *restore)
{
    struct slice after = slice_of(restore->after, restore->after_len);

    if (local_store_visit(restore->kept, after, send_one, restore) < 0) {
        log_error(AREA, "what was revoked here cannot be read: redis may have lost some of it");
        restore->is_running = false;
    }
    if (restore->is_running && restore->pending == 0) { /* nothing was left */
        restore->is_running = false;
        if (restore->written > 0) {
            log_warning(AREA, "redis had lost revocations of this gateway, written again: %llu",
                        (unsigned long long)restore->written);
        }
    }
}

void revocation_restore_begin(struct revocation_restore *restore)
{
    if (restore->is_running) {
        return;
    }
    restore->is_running = true;
    restore->was_refused = false;
    restore->written = 0;
    restore->after_len = 0;
    if (restore->pending == 0) { /* else the last answer of the run before goes on */
        send_some(restore);
    }
}

struct revocation_restore *revocation_restore_new(struct redis *redis, struct slice prefix,
                                                  struct local_store *kept, unsigned timeout_ms)
{
    struct revocation_restore *restore = calloc(1, sizeof(*restore));

    if (restore != NULL) {
        restore->redis = redis;
        restore->prefix = prefix;
        restore->kept = kept;
        restore->timeout_ms = timeout_ms;
    }
    return restore;
}

void revocation_restore_free(struct revocation_restore *restore)
{
    if (restore != NULL) {
        redis_cancel(restore->redis, restore);
        free(restore);
    }
}
