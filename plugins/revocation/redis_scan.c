/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/log.h"
#include "core/priority.h"
#include "plugins/revocation/redis_store_inside.h"

#include <stdio.h>

#define SCAN_COUNT "250" /* takes less than a request may wait, here and in Redis */
#define KEPT_PAGE  1000u

/* ---- what is kept here ---- */

static bool add_kept(void *arg, const struct local_entry *entry)
{
    struct redis_store *store = (struct redis_store *)arg;

    revocation_filter_add(store->next, entry->key);
    memcpy(store->kept_after, entry->key.ptr, entry->key.len);
    store->kept_after_len = entry->key.len;
    return ++store->kept_count < KEPT_PAGE;
}

/* The last step before a new filter is used. */
void redis_store_on_kept_timer(struct loop_timer *timer)
{
    struct redis_store *store =
        (struct redis_store *)(void *)((char *)timer - offsetof(struct redis_store, kept_timer));
    struct slice after = slice_of(store->kept_after, store->kept_after_len);

    store->kept_count = 0;
    if (local_store_visit(store->options.kept, after, add_kept, store) < 0) {
        redis_store_doubt(store, store->cause, "what was revoked here cannot be read");
    } else if (store->kept_count < KEPT_PAGE) {
        redis_store_publish_next(store);
        revocation_restore_begin(store->restore);
    } else if (loop_timer_set(store->loop, timer, clock_ms()) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

static void finish_scan(struct redis_store *store)
{
    if (store->options.kept == NULL) {
        redis_store_publish_next(store);
        return;
    }
    store->kept_after_len = 0;
    redis_store_on_kept_timer(&store->kept_timer);
}

/* ---- the scan ---- */

static void scan_next(struct redis_store *store);

bool redis_store_start_scan(struct redis_store *store)
{
    redis_store_drop_next(store);
    store->next =
        revocation_filter_new(store->next_items, store->options.false_positive_rate, store->server);
    if (store->next == NULL) {
        return false;
    }
    store->is_scanning = true;
    memcpy(store->cursor, "0", 2);
    scan_next(store);
    return true;
}

static bool take_page(struct redis_store *store, const struct redis_reply *reply)
{
    if (reply->count != 2 || reply->items[0]->type != REDIS_IS_STRING ||
        reply->items[0]->text.len >= sizeof(store->cursor) ||
        reply->items[1]->type != REDIS_IS_ARRAY) {
        return false;
    }
    const struct redis_reply *names = reply->items[1];
    for (size_t i = 0; i < names->count; i++) {
        char buf[REVOCATION_KEY_BYTES];
        struct slice name = redis_store_name_of(store, buf, names->items[i]->text);
        if (!slice_is_absent(name)) {
            revocation_filter_add(store->next, name);
        }
    }
    struct slice cursor = reply->items[0]->text;
    memcpy(store->cursor, cursor.ptr, cursor.len);
    store->cursor[cursor.len] = '\0';
    return true;
}

static void on_page(void *arg, int err, const struct redis_reply *reply)
{
    struct redis_store *store = (struct redis_store *)arg;

    if (!store->is_scanning || redis_store_is_wrong(store, err, reply, REDIS_IS_ARRAY, "SCAN")) {
        return;
    }
    if (!take_page(store, reply)) {
        redis_store_doubt(store, REDIS_STORE_SERVER_CHANGED, "an answer to SCAN is none");
        return;
    }
    uint64_t count = bloom_count(store->next->bloom);
    if (count > bloom_room(store->next->bloom)) {
        /* Too small to be of use: again, with more room. */
        store->next_items = store->next_items * 2;
        if (!redis_store_start_scan(store)) {
            redis_store_doubt(store, REDIS_STORE_GAP, "out of memory");
        }
        return;
    }
    if (slice_eq(slice_str(store->cursor), SLICE("0"))) {
        finish_scan(store);
        return;
    }
    scan_next(store);
    priority_let_others();
}

static void scan_next(struct redis_store *store)
{
    char pattern[REVOCATION_MAX_PREFIX + 2];
    int len = snprintf(pattern, sizeof(pattern), "%.*s*", SLICE_FMT(store->options.prefix));
    struct slice argv[6] = { SLICE("SCAN"),  slice_str(store->cursor),
                             SLICE("MATCH"), slice_of(pattern, (size_t)len),
                             SLICE("COUNT"), SLICE(SCAN_COUNT) };

    redis_store_send(store, store->data, 6, argv, on_page);
}

void redis_store_scan_again(struct redis_store *store)
{
    store->cause = REDIS_STORE_INTERVAL;
    store->next_items = store->options.expected_items;
    uint64_t used = bloom_count(store->current->bloom);
    while (store->next_items < used) {
        store->next_items *= 2;
    }
    if (!redis_store_start_scan(store)) {
        log_warning(REDIS_STORE_AREA, "no memory for a new filter, the old one stays");
        store->synced_ms = clock_ms();
    }
}
