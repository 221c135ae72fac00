/* SPDX-License-Identifier: Apache-2.0 */
/* Is the token that jwt accepted revoked?  Each worker asks the filter that the control thread keeps
 * in step with Redis; when the filter cannot be believed, when it says "maybe" and on strict routes,
 * it asks Redis on a connection of its own.  Without Redis the local store answers at once. */
#include "core/clock.h"
#include "core/log.h"
#include "core/resolve.h"
#include "plugins/builtin.h"
#include "plugins/jwt/jwt_auth.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/keys.h"
#include "plugins/revocation/lint.h"
#include "plugins/revocation/local_store.h"

#include <openssl/crypto.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AREA              "revocation"
#define RETRY_AFTER_S     1u
#define LOCAL_MAP         (16u << 20)
#define LOCAL_MAX_MAP     ((size_t)16 << 30)
#define LOCAL_PURGE_MS    10000u
#define LOCAL_JOBS        16u

#define COUNT_INTERVAL_MS 1000u

struct top {
    struct revocation_settings settings;
};

/* ---- configuration ---- */

static const struct option top_options[] = {
    { .name = "revocation",
      .type = OPT_OBJECT,
      .offset = offsetof(struct top, settings),
      .sub = revocation_option_table,
      .help = "Where revoked tokens are remembered; without this key none are looked for." },
    { .name = NULL },
};

static int top_init(void *top, const struct option_context *ctx)
{
    return revocation_settings_init(&((struct top *)top)->settings, ctx);
}

/* The password is all that does not come from the text. */
static bool top_is_same(const void *old_arg, const void *top_arg)
{
    struct slice old = ((const struct top *)old_arg)->settings.client.password;
    struct slice now = ((const struct top *)top_arg)->settings.client.password;

    return slice_is_absent(old) == slice_is_absent(now) && old.len == now.len &&
           (old.len == 0 || CRYPTO_memcmp(old.ptr, now.ptr, old.len) == 0);
}

/* The member "revocation" of an "auth" that asks for more than "off". */
static const struct json *find_wish(const struct json *auth)
{
    const struct json *found = NULL;

    if (auth == NULL || (auth->type != JSON_OBJECT && auth->type != JSON_ARRAY)) {
        return NULL;
    }
    if (auth->type == JSON_OBJECT) {
        found = json_get(auth, SLICE("revocation"));
        if (found != NULL) {
            return slice_eq(found->text, SLICE("off")) ? NULL : found;
        }
        found = find_wish(json_get(auth, SLICE("optional")));
        return found != NULL ? found : find_wish(json_get(auth, SLICE("any_of")));
    }
    for (const struct json *item = auth->child; item != NULL && found == NULL; item = item->next) {
        found = find_wish(item);
    }
    return found;
}

static int config_init(void *config, void *top_arg, const struct option_context *ctx,
                       const struct json *route, const char *path)
{
    const struct top *top = top_arg;

    if (!jwt_route_has_auth(route)) {
        return GW_NOT_ON_ROUTE;
    }
    if (revocation_is_on(&top->settings)) {
        return 0;
    }
    const struct json *wish = find_wish(json_get(route, SLICE("auth")));
    if (wish != NULL) {
        diag_at(ctx->diag, DIAG_ERROR, wish, path,
                "write \"revocation\": {} at the top of the configuration",
                "the route looks for revoked tokens, but nothing says where they are kept");
        return ERR_CONFIG;
    }
    return GW_NOT_ON_ROUTE;
}

static void lint(const void *top, const struct option_context *ctx,
                 const struct gw_lint_route *routes, size_t count)
{
    revocation_lint(&((const struct top *)top)->settings, ctx, routes, count);
}

/* ---- the process: one for all workers ---- */

struct process {
    const struct top *top;
    struct gw_process *gw;
    const char *state_dir; /* of the local store */
    struct gw_check *check;
    struct resolver *resolver;
    struct redis_store *redis;
    struct offload *offload;
    struct local_store *local;
    unsigned *local_users;         /* before and after a reload there are two that have the store */
    struct loop_timer count_timer; /* of local's entries */
    uint64_t *states[3], *age, *entries, *bytes, *up, *resyncs[REDIS_STORE_CAUSES];
};

enum { STATE_COLD, STATE_LIVE, STATE_STALE };

/* How workers learn of the local store; it outlives them. */
struct local_handle {
    struct gw_shared shared; /* first */
    struct local_store *store;
};

static void set(uint64_t *gauge, uint64_t value)
{
    if (gauge != NULL) {
        *gauge = value;
    }
}

static uint64_t *number(const struct process *process, const char *family, const char *labels)
{
    return gw_counter(gw_process_worker(process->gw), family, labels);
}

static void make_numbers(struct process *process)
{
    char labels[64];

    process->states[STATE_COLD] = number(process, "jwtgate_revocation_state", "state=\"cold\"");
    process->states[STATE_LIVE] = number(process, "jwtgate_revocation_state", "state=\"live\"");
    process->states[STATE_STALE] = number(process, "jwtgate_revocation_state", "state=\"stale\"");
    process->entries = number(process, "jwtgate_revocation_entries", "");
    set(process->states[STATE_COLD], 1);
    if (revocation_is_local(&process->top->settings)) {
        return;
    }
    process->age = number(process, "jwtgate_revocation_sync_age_seconds", "");
    process->bytes = number(process, "jwtgate_revocation_filter_bytes", "");
    process->up = number(process, "jwtgate_redis_up", "");
    for (unsigned i = 0; i < REDIS_STORE_CAUSES; i++) {
        snprintf(labels, sizeof(labels), "cause=\"%s\"", redis_store_cause_names[i]);
        process->resyncs[i] = number(process, "jwtgate_revocation_resyncs_total", labels);
    }
}

static void show_state(struct process *process, unsigned state)
{
    for (unsigned i = 0; i < 3; i++) {
        set(process->states[i], i == state);
    }
    if (process->check != NULL) {
        bool is_allowed = process->top->settings.on_unavailable == REVOCATION_ALLOW;
        gw_check_set(process->check, state == STATE_LIVE || is_allowed,
                     state == STATE_COLD    ? "revocations have not been read yet"
                     : state == STATE_STALE ? "revocations may be out of date"
                                            : NULL);
    }
}

static void on_tick(void *arg)
{
    struct process *process = arg;
    const struct revocation_filter *filter;

    if (process->redis == NULL) {
        return;
    }
    filter = redis_store_filter(process->redis);
    set(process->age, redis_store_sync_age_ms(process->redis) / 1000);
    set(process->up, redis_store_is_connected(process->redis));
    if (filter != NULL) {
        set(process->entries, bloom_count(filter->bloom));
        set(process->bytes, bloom_bytes(filter->bloom));
    }
    show_state(process, filter == NULL                        ? STATE_COLD
                        : redis_store_is_live(process->redis) ? STATE_LIVE
                                                              : STATE_STALE);
}

static void on_synced(void *arg, enum redis_store_cause cause)
{
    const struct process *process = arg;

    if (process->resyncs[cause] != NULL) {
        (*process->resyncs[cause])++;
    }
}

static void take_filter(void *worker, struct gw_shared *object);
static void take_local(void *worker, struct gw_shared *object);

static void on_filter(void *arg, struct revocation_filter *filter)
{
    const struct process *process = arg;

    /* A worker that does not hear of it asks redis: its old filter's lease ends. */
    if (gw_publish(process->gw, take_filter, &filter->shared) < 0) {
        log_warning(AREA, "no memory to hand a new filter to all workers");
    }
}

static const struct redis_store_ops store_ops = { .filter = on_filter,
                                                  .synced = on_synced,
                                                  .tick = on_tick };

static int start_redis(struct process *process, struct loop *loop)
{
    const struct revocation_settings *settings = &process->top->settings;
    struct redis_store_options options = {
        .redis = settings->client,
        .expected_items = (uint64_t)settings->filter.expected_items,
        .false_positive_rate = settings->filter.false_positive_rate,
        .max_staleness_ms = settings->max_staleness_ms,
        .resync_interval_ms = settings->resync_interval_ms,
    };

    process->resolver = resolver_new(loop);
    if (process->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    process->redis = redis_store_new(loop, process->resolver, &options, &store_ops, process);
    if (process->redis == NULL) {
        return ERR_NO_MEMORY;
    }
    show_state(process, STATE_COLD);
    return 0;
}

static void free_handle(struct gw_shared *shared)
{
    free(shared);
}

static int publish_local(struct process *process)
{
    struct local_handle *handle = calloc(1, sizeof(*handle));

    if (handle == NULL) {
        return ERR_NO_MEMORY;
    }
    handle->shared = (struct gw_shared){ .refs = 1, .free = free_handle };
    handle->store = process->local;
    int err = gw_publish(process->gw, take_local, &handle->shared);
    gw_shared_unref(&handle->shared);
    return err;
}

/* Commands write to the store too, so nobody here knows when the number changes. */
static void on_count_timer(struct loop_timer *timer)
{
    struct process *process =
        (struct process *)(void *)((char *)timer - offsetof(struct process, count_timer));
    struct loop *loop = gw_loop(gw_process_worker(process->gw));

    set(process->entries, local_store_count(process->local));
    if (loop_timer_set(loop, timer, clock_ms() + COUNT_INTERVAL_MS) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

/* A reload that leaves the folder as it is: a store is opened only once. */
static bool keep_local(struct process *process)
{
    const struct process *previous = gw_process_previous(process->gw);

    if (previous == NULL || previous->local == NULL ||
        strcmp(previous->state_dir, process->state_dir) != 0) {
        return false;
    }
    process->offload = previous->offload;
    process->local = previous->local;
    process->local_users = previous->local_users;
    ++*process->local_users;
    return true;
}

static int open_local(struct process *process, struct loop *loop)
{
    char error[LOCAL_STORE_ERROR_BYTES], folder[4096];

    snprintf(folder, sizeof(folder), "%s/revocations", process->state_dir);
    struct local_store_options options = { .folder = folder,
                                           .map_bytes = LOCAL_MAP,
                                           .max_map_bytes = LOCAL_MAX_MAP,
                                           .purge_interval_ms = LOCAL_PURGE_MS };
    process->offload = offload_new(1, LOCAL_JOBS);
    process->local_users = calloc(1, sizeof(*process->local_users));
    if (process->offload == NULL || process->local_users == NULL) {
        return ERR_NO_MEMORY;
    }
    *process->local_users = 1;
    int err = local_store_open(&options, loop, process->offload, &process->local, error);
    if (err < 0) {
        log_error(AREA, "the revocations cannot be read: %s", error);
    }
    return err;
}

static int start_local(struct process *process, struct loop *loop)
{
    process->state_dir = gw_folder(process->gw, GW_STATE_DIR);
    if (process->state_dir == NULL) {
        log_error(AREA, "revocations need a place: set server.state_dir, or revocation.redis");
        return ERR_CONFIG;
    }
    int err = keep_local(process) ? 0 : open_local(process, loop);
    if (err < 0) {
        return err;
    }
    process->count_timer.fn = on_count_timer;
    err = loop_timer_set(loop, &process->count_timer, clock_ms());
    if (err < 0) {
        return err;
    }
    show_state(process, STATE_LIVE);
    return publish_local(process);
}

static void close_local(struct process *process)
{
    offload_free(process->offload);
    if (process->local != NULL) {
        local_store_close(process->local);
        loop_turn(gw_loop(gw_process_worker(process->gw)), false); /* the last commit's end */
    }
    free(process->local_users);
}

static void process_done(void *arg)
{
    struct process *process = arg;

    if (process == NULL) {
        return;
    }
    redis_store_free(process->redis);
    if (process->resolver != NULL) {
        resolver_free(process->resolver);
    }
    if (process->local != NULL) {
        loop_timer_remove(gw_loop(gw_process_worker(process->gw)), &process->count_timer);
    }
    if (process->local_users == NULL || --*process->local_users == 0) {
        close_local(process);
    }
    free(process);
}

static int process_init(struct gw_process *gw, const void *top_arg, void **ret_state)
{
    const struct top *top = top_arg;

    if (!revocation_is_on(&top->settings)) {
        return 0;
    }
    struct process *process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return ERR_NO_MEMORY;
    }
    process->top = top;
    process->gw = gw;
    process->check = gw_check_new(gw, "revocation");
    make_numbers(process);
    struct loop *loop = gw_loop(gw_process_worker(gw));
    int err = revocation_is_local(&top->settings) ? start_local(process, loop)
                                                  : start_redis(process, loop);
    if (err < 0) {
        process_done(process);
        return err;
    }
    *ret_state = process;
    return 0;
}

/* ---- workers ---- */

enum result { FILTER_MISS, LOCAL_HIT, STORE_HIT, STORE_MISS, LOOKUP_ERROR, RESULTS };

struct worker {
    const struct top *top;
    struct resolver *resolver;
    struct redis *redis;
    struct revocation_filter *filter; /* a reference; NULL: none yet */
    struct local_handle *local;       /* a reference */
    uint64_t *results[RESULTS];
};

static void take_filter(void *arg, struct gw_shared *object)
{
    struct worker *worker = arg;
    struct revocation_filter *filter = (struct revocation_filter *)object;

    if (worker->redis != NULL && worker->filter != NULL &&
        worker->filter->server != filter->server) {
        redis_reconnect(worker->redis); /* what the old one says does not count any more */
    } else if (worker->redis != NULL) {
        redis_hurry(worker->redis);
    }
    (void)gw_shared_ref(object);
    revocation_filter_unref(worker->filter);
    worker->filter = filter;
}

static void take_local(void *arg, struct gw_shared *object)
{
    struct worker *worker = arg;

    worker->local = (struct local_handle *)gw_shared_ref(object);
}

static void worker_done(void *arg)
{
    struct worker *worker = arg;

    if (worker == NULL) {
        return;
    }
    redis_free(worker->redis);
    if (worker->resolver != NULL) {
        resolver_free(worker->resolver);
    }
    revocation_filter_unref(worker->filter);
    if (worker->local != NULL) {
        gw_shared_unref(&worker->local->shared);
    }
    free(worker);
}

static int fill_worker(struct worker *worker, struct gw_worker *gw)
{
    static const char *const labels[] = {
        [FILTER_MISS] = "result=\"filter_miss\"", [LOCAL_HIT] = "result=\"local_hit\"",
        [STORE_HIT] = "result=\"store_hit\"",     [STORE_MISS] = "result=\"store_miss\"",
        [LOOKUP_ERROR] = "result=\"error\"",
    };
    static const struct redis_ops no_ops = { NULL, NULL, NULL };

    for (unsigned i = 0; i < RESULTS; i++) {
        worker->results[i] = gw_counter(gw, "jwtgate_revocation_lookups_total", labels[i]);
        if (worker->results[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    if (revocation_is_local(&worker->top->settings)) {
        return 0;
    }
    worker->resolver = resolver_new(gw_loop(gw));
    if (worker->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->redis =
        redis_new(gw_loop(gw), worker->resolver, &worker->top->settings.client, &no_ops, worker);
    return worker->redis == NULL ? ERR_NO_MEMORY : 0;
}

static int worker_init(struct gw_worker *gw, const void *top_arg, void **ret_worker)
{
    const struct top *top = top_arg;

    if (!revocation_is_on(&top->settings)) {
        return 0;
    }
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->top = top;
    int err = fill_worker(worker, gw);
    if (err < 0) {
        worker_done(worker);
        return err;
    }
    *ret_worker = worker;
    return 0;
}

/* ---- requests ---- */

/* What is known of a token by name: first the token itself, then the watermarks over it. */
#define KEYS (1u + REVOCATION_KINDS)

struct state {
    struct gw_waitlist waiters;
    struct worker *worker;
    int64_t issued_at; /* INT64_MIN: the token does not say */
    unsigned pending;  /* answers to come */
    bool is_revoked, is_unknown;
};

static enum gw_verdict pass(struct worker *worker, enum result result)
{
    (*worker->results[result])++;
    return GW_NEXT;
}

static enum gw_verdict refuse(struct gw_call *call, enum result result)
{
    struct worker *worker = call->worker;

    (*worker->results[result])++;
    return jwt_refuse(call, JWT_TOKEN_REVOKED, SLICE_ABSENT);
}

static enum gw_verdict cannot_tell(struct gw_call *call)
{
    struct worker *worker = call->worker;

    (*worker->results[LOOKUP_ERROR])++;
    if (worker->top->settings.on_unavailable == REVOCATION_ALLOW) {
        log_warning(AREA, "a token passes although nobody can tell whether it is revoked");
        return GW_NEXT;
    }
    gw_auth_decision(call->req, "revocation_unavailable");
    return gw_reply(call, &(struct gw_reply){ .status = 503,
                                              .reason = "revocation_unavailable",
                                              .detail = "The access token cannot be checked now",
                                              .retry_after_s = RETRY_AFTER_S });
}

/* The strictest wish of the alternatives that the token may pass by. */
static enum jwt_revocation wish_for(const struct jwt_route *route, const struct token *token)
{
    enum jwt_revocation wish = JWT_REVOCATION_OFF;

    for (size_t i = 0; i < route->alternative_count; i++) {
        const struct jwt_alternative *one = &route->alternatives[i];
        if (one->provider != token->provider || one->revocation == JWT_REVOCATION_OFF) {
            continue;
        }
        if (one->revocation == JWT_REVOCATION_STRICT || wish == JWT_REVOCATION_OFF) {
            wish = one->revocation;
        }
    }
    return wish;
}

static bool watermark_covers(int64_t issued_at, int64_t before)
{
    return issued_at < before; /* also when the token does not say when */
}

/* All names of the token in `bufs`; those that it does not have are absent. */
static bool make_keys(const struct token *token, char bufs[KEYS][REVOCATION_KEY_BYTES],
                      struct slice keys[KEYS])
{
    struct slice values[REVOCATION_KINDS] = {
        [REVOCATION_SUB] = token->subject,
        [REVOCATION_CLIENT] = token->client_id,
        [REVOCATION_KID] = token->kid,
        [REVOCATION_ISS] = token->provider->issuer,
    };

    keys[0] = revocation_jti_key(bufs[0], token->jti);
    for (unsigned i = 0; i < REVOCATION_KINDS; i++) {
        keys[i + 1] = slice_is_absent(values[i])
                          ? SLICE_ABSENT
                          : revocation_before_key(bufs[i + 1], (enum revocation_kind)i, values[i]);
        if (slice_is_absent(keys[i + 1]) && !slice_is_absent(values[i])) {
            return false;
        }
    }
    return !slice_is_absent(keys[0]);
}

/* Move those that are there to the front, behind the first one; their number. */
static unsigned pack_keys(struct slice keys[KEYS])
{
    unsigned count = 1;

    for (unsigned i = 1; i < KEYS; i++) {
        if (!slice_is_absent(keys[i])) {
            keys[count++] = keys[i];
        }
    }
    return count;
}

/* ---- the local store's answer ---- */

static enum gw_verdict check_local(struct gw_call *call, struct slice keys[KEYS])
{
    struct worker *worker = call->worker;
    const struct state *state = call->state;
    int64_t values[KEYS];
    unsigned count = pack_keys(keys);

    if (worker->local == NULL ||
        local_store_find_all(worker->local->store, keys, count, values) < 0) {
        return cannot_tell(call);
    }
    if (values[0] != LOCAL_STORE_NONE) {
        return refuse(call, LOCAL_HIT);
    }
    for (unsigned i = 1; i < count; i++) {
        if (values[i] != LOCAL_STORE_NONE && watermark_covers(state->issued_at, values[i])) {
            return refuse(call, LOCAL_HIT);
        }
    }
    return pass(worker, FILTER_MISS);
}

/* ---- Redis' answer ---- */

static enum gw_verdict on_answered(struct gw_call *call)
{
    const struct state *state = call->state;

    if (state->is_revoked) {
        return refuse(call, STORE_HIT);
    }
    return state->is_unknown ? cannot_tell(call) : pass(call->worker, STORE_MISS);
}

static void answered(struct state *state)
{
    if (--state->pending == 0) {
        gw_waitlist_wake(&state->waiters);
    }
}

/* Only what was asked for counts: 0 is no, 1 is yes, all else is no answer. */
static void on_exists(void *arg, int err, const struct redis_reply *reply)
{
    struct state *state = arg;

    if (err < 0 || reply->type != REDIS_IS_INTEGER || reply->integer < 0 || reply->integer > 1) {
        state->is_unknown = true;
    } else if (reply->integer == 1) {
        state->is_revoked = true;
    }
    answered(state);
}

static void read_watermark(struct state *state, const struct redis_reply *reply)
{
    int64_t before;

    if (reply->type == REDIS_IS_NIL) {
        return;
    }
    if (reply->type != REDIS_IS_STRING || revocation_read_time(reply->text, &before) < 0) {
        state->is_unknown = true;
    } else if (watermark_covers(state->issued_at, before)) {
        state->is_revoked = true;
    }
}

static void on_watermark(void *arg, int err, const struct redis_reply *reply)
{
    struct state *state = arg;

    if (err < 0) {
        state->is_unknown = true;
    } else {
        read_watermark(state, reply);
    }
    answered(state);
}

static int ask(struct state *state, struct slice command, struct slice key, redis_fn *fn)
{
    struct slice argv[2] = { command, key };
    int err = redis_send(state->worker->redis, 2, argv, fn, state);

    state->pending += err == 0;
    return err;
}

/* Those of `keys` that are not absent. */
static enum gw_verdict check_redis(struct gw_call *call, const struct slice keys[KEYS])
{
    struct state *state = call->state;
    int err = 0;

    for (unsigned i = 0; i < KEYS && err == 0; i++) {
        if (slice_is_absent(keys[i])) {
            continue;
        }
        err = i == 0 ? ask(state, SLICE("EXISTS"), keys[i], on_exists)
                     : ask(state, SLICE("GET"), keys[i], on_watermark);
    }
    if (err < 0) {
        return cannot_tell(call);
    }
    return gw_waitlist_join(call, &state->waiters, on_answered);
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

static enum gw_verdict check(struct gw_call *call, const struct token *token,
                             enum jwt_revocation wish)
{
    struct worker *worker = call->worker;
    char bufs[KEYS][REVOCATION_KEY_BYTES];
    struct slice keys[KEYS];

    if (!make_keys(token, bufs, keys)) {
        return cannot_tell(call);
    }
    if (revocation_is_local(&worker->top->settings)) {
        return check_local(call, keys);
    }
    if (wish == JWT_REVOCATION_FILTERED && worker->filter != NULL) {
        unsigned left = keep_suspects(worker->filter, keys);
        /* After the look: the lease must have run until then. */
        if (!revocation_filter_is_live(worker->filter)) {
            (void)make_keys(token, bufs, keys);
        } else if (left == 0) {
            return pass(worker, FILTER_MISS);
        }
    }
    return check_redis(call, keys);
}

static enum gw_verdict on_request(struct gw_call *call)
{
    const struct jwt_identity *identity = gw_slot_get(call->req, &jwt_identity_slot);
    struct state *state = call->state;

    if (identity == NULL || call->worker == NULL) {
        return GW_FAIL; /* jwt did not run: nobody vouches for the caller */
    }
    const struct token *token = identity->token;
    if (token == NULL) {
        return GW_NEXT;
    }
    enum jwt_revocation wish = wish_for(identity->route, token);
    if (wish == JWT_REVOCATION_OFF) {
        return GW_NEXT;
    }
    if (slice_is_absent(token->jti) || token->jti.len == 0) {
        return jwt_refuse(call, JWT_CLAIM_MISSING, SLICE_ABSENT);
    }
    gw_waitlist_init(&state->waiters);
    state->worker = call->worker;
    state->issued_at = token->times.has_iat ? token->times.iat : INT64_MIN;
    return check(call, token, wish);
}

static void on_end(struct gw_call *call)
{
    struct state *state = call->state;

    if (state->pending > 0) {
        redis_cancel(state->worker->redis, state);
    }
}

const struct gw_plugin revocation_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "revocation",
    .top_options = top_options,
    .top_size = sizeof(struct top),
    .top_init = top_init,
    .top_is_same = top_is_same,
    .config_init = config_init,
    .worker_init = worker_init,
    .worker_done = worker_done,
    .state_size = sizeof(struct state),
    .on_request = on_request,
    .on_end = on_end,
    .process_init = process_init,
    .process_done = process_done,
    .lint = lint,
};
