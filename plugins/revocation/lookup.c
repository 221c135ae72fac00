/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/lookup.h"

#include "plugins/revocation/keys.h"

/* First the token itself, then the watermarks over it. */
#define KEYS (1u + REVOCATION_KINDS)

static enum revocation_answer count(const struct revocation_worker *worker,
                                    enum revocation_result result)
{
    (*worker->results[result])++;
    switch (result) {
    case REVOCATION_FILTER_MISS:
    case REVOCATION_STORE_MISS: return REVOCATION_NO;
    case REVOCATION_LOCAL_HIT:
    case REVOCATION_STORE_HIT: return REVOCATION_YES;
    case REVOCATION_ERROR:
    case REVOCATION_RESULTS: break;
    }
    return REVOCATION_UNKNOWN;
}

/* Both are cut to seconds: within the same one nobody can tell which came first, and a token that may have
 * been issued before is taken for that.  Also when the token does not say when. */
static bool watermark_covers(int64_t issued_at, int64_t before)
{
    return issued_at <= before;
}

/* All names of the token in `bufs`; those that it does not have are absent. */
static bool make_keys(const struct revocation_names *names, char bufs[KEYS][REVOCATION_KEY_BYTES],
                      struct slice keys[KEYS])
{
    keys[0] = revocation_jti_key(bufs[0], names->jti);
    for (unsigned i = 0; i < REVOCATION_KINDS; i++) {
        struct slice value = names->kinds[i];

        keys[i + 1] = slice_is_absent(value)
                          ? SLICE_ABSENT
                          : revocation_before_key(bufs[i + 1], (enum revocation_kind)i, value);
        if (slice_is_absent(keys[i + 1]) && !slice_is_absent(value)) {
            return false;
        }
    }
    return !slice_is_absent(keys[0]);
}

/* Those that are there, without gaps; their number. */
static unsigned pack_keys(const struct slice keys[KEYS], struct slice ret_keys[KEYS],
                          bool ret_is_jti[KEYS])
{
    unsigned used = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        if (!slice_is_absent(keys[i])) {
            ret_is_jti[used] = i == 0;
            ret_keys[used++] = keys[i];
        }
    }
    return used;
}

/* ---- the local store's answer ---- */

/* Not counted: with Redis a "no" is only half of the answer. */
static enum revocation_answer find_local(const struct revocation_lookup *lookup,
                                         const struct slice keys[KEYS])
{
    const struct revocation_local *local = lookup->worker->local;
    struct slice packed[KEYS];
    bool is_jti[KEYS];
    int64_t values[KEYS];
    unsigned used = pack_keys(keys, packed, is_jti);

    if (local != NULL && local->store == NULL) {
        return REVOCATION_NO;
    }
    if (local == NULL || local_store_find_all(local->store, packed, used, values) < 0) {
        return REVOCATION_UNKNOWN;
    }
    for (unsigned i = 0; i < used; i++) {
        if (values[i] != LOCAL_STORE_NONE &&
            (is_jti[i] || watermark_covers(lookup->names.issued_at, values[i]))) {
            return REVOCATION_YES;
        }
    }
    return REVOCATION_NO;
}

static enum revocation_answer count_local(const struct revocation_worker *worker,
                                          enum revocation_answer answer)
{
    return count(worker, answer == REVOCATION_YES  ? REVOCATION_LOCAL_HIT
                         : answer == REVOCATION_NO ? REVOCATION_FILTER_MISS
                                                   : REVOCATION_ERROR);
}

/* ---- Redis' answer ---- */

static void answered(struct revocation_lookup *lookup)
{
    if (--lookup->pending == 0) {
        gw_waitlist_wake(&lookup->waiters);
    }
}

/* Only what was asked for counts: 0 is no, 1 is yes, all else is no answer. */
static void on_exists(void *arg, int err, const struct redis_reply *reply)
{
    struct revocation_lookup *lookup = arg;

    if (err < 0 || reply->type != REDIS_IS_INTEGER || reply->integer < 0 || reply->integer > 1) {
        lookup->is_unknown = true;
    } else if (reply->integer == 1) {
        lookup->is_revoked = true;
    }
    answered(lookup);
}

static void read_watermark(struct revocation_lookup *lookup, const struct redis_reply *reply)
{
    int64_t before;

    if (reply->type == REDIS_IS_NIL) {
        return;
    }
    if (reply->type != REDIS_IS_STRING || revocation_read_time(reply->text, &before) < 0) {
        lookup->is_unknown = true;
    } else if (watermark_covers(lookup->names.issued_at, before)) {
        lookup->is_revoked = true;
    }
}

static void on_watermark(void *arg, int err, const struct redis_reply *reply)
{
    struct revocation_lookup *lookup = arg;

    if (err < 0) {
        lookup->is_unknown = true;
    } else {
        read_watermark(lookup, reply);
    }
    answered(lookup);
}

static int ask(struct revocation_lookup *lookup, struct slice command, struct slice key,
               redis_fn *fn)
{
    char buf[REVOCATION_REDIS_KEY_BYTES];
    struct slice prefix = lookup->worker->settings->redis.prefix;
    struct slice argv[2] = { command, revocation_redis_key(buf, prefix, key) };
    int err = redis_send(lookup->worker->redis, 2, argv, fn, lookup);

    lookup->pending += err == 0;
    return err;
}

/* One question for each of `keys` that is not absent. */
static int ask_each(struct revocation_lookup *lookup, const struct slice keys[KEYS])
{
    int err = 0;

    for (unsigned i = 0; i < KEYS && err == 0; i++) {
        if (slice_is_absent(keys[i])) {
            continue;
        }
        err = i == 0 ? ask(lookup, SLICE("EXISTS"), keys[i], on_exists)
                     : ask(lookup, SLICE("GET"), keys[i], on_watermark);
    }
    return err;
}

/* 0: none of them is there, whatever its type.  Else it matters which. */
static void on_exists_any(void *arg, int err, const struct redis_reply *reply)
{
    struct revocation_lookup *lookup = arg;
    char bufs[KEYS][REVOCATION_KEY_BYTES];
    struct slice keys[KEYS];

    if (err < 0 || reply->type != REDIS_IS_INTEGER || reply->integer < 0 ||
        reply->integer > (long long)KEYS) {
        lookup->is_unknown = true;
    } else if (reply->integer > 0 &&
               (!make_keys(&lookup->names, bufs, keys) || ask_each(lookup, keys) < 0)) {
        lookup->is_unknown = true;
    }
    answered(lookup);
}

/* Nearly always none is there: all of them are one question. */
static int ask_any(struct revocation_lookup *lookup, const struct slice *keys, unsigned used)
{
    char bufs[KEYS][REVOCATION_REDIS_KEY_BYTES];
    struct slice prefix = lookup->worker->settings->redis.prefix;
    struct slice argv[1 + KEYS] = { SLICE("EXISTS") };

    for (unsigned i = 0; i < used; i++) {
        argv[1 + i] = revocation_redis_key(bufs[i], prefix, keys[i]);
    }
    int err = redis_send(lookup->worker->redis, 1 + used, argv, on_exists_any, lookup);
    lookup->pending += err == 0;
    return err;
}

static enum revocation_answer ask_redis(struct revocation_lookup *lookup,
                                        const struct slice keys[KEYS])
{
    struct slice packed[KEYS];
    bool is_jti[KEYS];
    unsigned used = pack_keys(keys, packed, is_jti);
    int err = used == 1 ? ask_each(lookup, keys) : ask_any(lookup, packed, used);

    return err < 0 ? count(lookup->worker, REVOCATION_ERROR) : REVOCATION_LATER;
}

/* Drop the names that are surely not revoked; how many are left. */
static unsigned keep_suspects(const struct revocation_filter *filter, struct slice keys[KEYS])
{
    unsigned kinds = atomic_load_explicit(&filter->kinds, memory_order_acquire);
    unsigned left = 0;

    for (unsigned i = 0; i < KEYS; i++) {
        if (i > 0 && (kinds & (1u << (i - 1))) == 0) {
            keys[i] = SLICE_ABSENT;
        }
        if (!slice_is_absent(keys[i]) && !bloom_may_have(filter->bloom, keys[i])) {
            keys[i] = SLICE_ABSENT;
        }
        left += !slice_is_absent(keys[i]);
    }
    return left;
}

/* ---- the question ---- */

static enum revocation_answer ask_all(struct revocation_lookup *lookup, bool trusts_filter)
{
    const struct revocation_names *names = &lookup->names;
    const struct revocation_worker *worker = lookup->worker;
    char bufs[KEYS][REVOCATION_KEY_BYTES];
    struct slice keys[KEYS];

    if (!make_keys(names, bufs, keys)) {
        return count(worker, REVOCATION_ERROR);
    }
    if (revocation_is_local(worker->settings)) {
        return count_local(worker, find_local(lookup, keys));
    }
    if (trusts_filter && worker->filter != NULL) {
        unsigned left = keep_suspects(worker->filter, keys);
        /* After the look: the lease must have run until then. */
        if (!revocation_filter_is_live(worker->filter)) {
            (void)make_keys(names, bufs, keys);
        } else if (left == 0) {
            return count(worker, REVOCATION_FILTER_MISS);
        }
    }
    /* What was revoked here holds, whatever Redis may have lost. */
    enum revocation_answer kept = find_local(lookup, keys);
    return kept == REVOCATION_NO ? ask_redis(lookup, keys) : count_local(worker, kept);
}

enum revocation_answer revocation_lookup_start(struct revocation_lookup *lookup,
                                               struct revocation_worker *worker,
                                               const struct revocation_names *names,
                                               bool trusts_filter)
{
    gw_waitlist_init(&lookup->waiters);
    lookup->worker = worker;
    lookup->names = *names;
    lookup->answer = ask_all(lookup, trusts_filter);
    return lookup->answer;
}

enum revocation_answer revocation_lookup_answer(struct revocation_lookup *lookup)
{
    if (lookup->answer == REVOCATION_LATER) {
        lookup->answer = count(lookup->worker, lookup->is_revoked   ? REVOCATION_STORE_HIT
                                               : lookup->is_unknown ? REVOCATION_ERROR
                                                                    : REVOCATION_STORE_MISS);
    }
    return lookup->answer;
}

void revocation_lookup_end(struct revocation_lookup *lookup)
{
    if (lookup->pending > 0) {
        redis_cancel(lookup->worker->redis, lookup);
        lookup->pending = 0;
    }
}
