/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/control.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/resolve.h"
#include "plugins/revocation/local_store.h"
#include "plugins/revocation/orders.h"
#include "plugins/revocation/redis_store.h"
#include "plugins/revocation/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AREA                "revocation"
#define LOCAL_MAP           (16u << 20)
#define LOCAL_MAX_MAP       ((size_t)16 << 30)
#define NOWHERE_MAX_MAP     ((size_t)64 << 20)
#define LOCAL_CLOCK_HOLD_MS 600000u
#define LOCAL_PURGE_MS      10000u
#define LOCAL_JOBS          16u
#define COUNT_INTERVAL_MS   1000u

struct revocation_control {
    const struct revocation_settings *settings;
    struct gw_process *gw;
    const char *state_dir; /* of the local store */
    struct gw_check *check;
    struct resolver *resolver;
    struct redis_store *redis;
    struct revocation_orders *orders;
    struct offload *offload;
    struct local_store *local;
    unsigned *local_users;         /* before and after a reload there are two that have the store */
    struct loop_timer count_timer; /* of local's entries */
    uint64_t *states[3], *age, *entries, *bytes, *fill, *up, *resyncs[REDIS_STORE_CAUSES];
    struct gw_histogram *delay;
    struct revocation_numbers numbers; /* Redis */
};

enum { STATE_COLD, STATE_LIVE, STATE_STALE };

static void set(uint64_t *gauge, uint64_t value)
{
    if (gauge != NULL) {
        *gauge = value;
    }
}

static uint64_t *number(const struct revocation_control *control, const char *family,
                        const char *labels)
{
    return gw_counter(gw_process_worker(control->gw), family, labels);
}

static void make_numbers(struct revocation_control *control)
{
    char labels[64];

    control->states[STATE_COLD] = number(control, "jwtgate_revocation_state", "state=\"cold\"");
    control->states[STATE_LIVE] = number(control, "jwtgate_revocation_state", "state=\"live\"");
    control->states[STATE_STALE] = number(control, "jwtgate_revocation_state", "state=\"stale\"");
    control->entries = number(control, "jwtgate_revocation_entries", "");
    set(control->states[STATE_COLD], 1);
    if (revocation_is_local(control->settings)) {
        return;
    }
    control->age = number(control, "jwtgate_revocation_sync_age_seconds", "");
    control->bytes = number(control, "jwtgate_revocation_filter_bytes", "");
    control->fill = number(control, "jwtgate_revocation_filter_fill_ratio", "");
    control->up = number(control, "jwtgate_redis_up", "");
    control->delay = gw_histogram(gw_process_worker(control->gw),
                                  "jwtgate_revocation_delay_seconds", "by=\"heartbeat\"");
    for (unsigned i = 0; i < REDIS_STORE_CAUSES; i++) {
        snprintf(labels, sizeof(labels), "cause=\"%s\"", redis_store_cause_names[i]);
        control->resyncs[i] = number(control, "jwtgate_revocation_resyncs_total", labels);
    }
}

static void show_state(struct revocation_control *control, unsigned state)
{
    for (unsigned i = 0; i < 3; i++) {
        set(control->states[i], i == state);
    }
    if (control->check != NULL) {
        bool is_allowed = control->settings->on_unavailable == REVOCATION_ALLOW;
        gw_check_set(control->check, state == STATE_LIVE || is_allowed,
                     state == STATE_COLD    ? "revocations have not been read yet"
                     : state == STATE_STALE ? "revocations may be out of date"
                                            : NULL);
    }
}

static void on_tick(void *arg)
{
    struct revocation_control *control = arg;
    const struct revocation_filter *filter;

    if (control->redis == NULL) {
        return;
    }
    filter = redis_store_filter(control->redis);
    set(control->age, redis_store_sync_age_ms(control->redis) / 1000);
    set(control->up, redis_store_is_connected(control->redis));
    if (filter != NULL) {
        set(control->entries, bloom_count(filter->bloom));
        set(control->bytes, bloom_bytes(filter->bloom));
        set(control->fill, (uint64_t)(bloom_fill_ratio(filter->bloom) * 1e6));
    }
    show_state(control, filter == NULL                        ? STATE_COLD
                        : redis_store_is_live(control->redis) ? STATE_LIVE
                                                              : STATE_STALE);
}

static void on_synced(void *arg, enum redis_store_cause cause)
{
    const struct revocation_control *control = arg;

    if (control->resyncs[cause] != NULL) {
        (*control->resyncs[cause])++;
    }
}

static void on_filter(void *arg, struct revocation_filter *filter)
{
    const struct revocation_control *control = arg;

    /* A worker that does not hear of it asks redis: its old filter's lease ends. */
    if (gw_publish(control->gw, revocation_worker_take_filter, &filter->shared) < 0) {
        log_warning(AREA, "no memory to hand a new filter to all workers");
    }
}

static void on_echoed(void *arg, uint64_t us)
{
    const struct revocation_control *control = arg;

    if (control->delay != NULL) {
        gw_histogram_add_us(control->delay, us);
    }
}

static void on_served(void *arg, unsigned count, int err, uint64_t us)
{
    const struct revocation_control *control = arg;

    revocation_numbers_add(&control->numbers, count, err, us);
}

static const struct redis_store_ops store_ops = { .filter = on_filter,
                                                  .synced = on_synced,
                                                  .tick = on_tick,
                                                  .echoed = on_echoed,
                                                  .served = on_served };

static void free_handle(struct gw_shared *shared)
{
    free(shared);
}

static int publish_local(struct revocation_control *control)
{
    struct revocation_local *handle = calloc(1, sizeof(*handle));

    if (handle == NULL) {
        return ERR_NO_MEMORY;
    }
    handle->shared = (struct gw_shared){ .refs = 1, .free = free_handle };
    handle->store = control->local;
    int err = gw_publish(control->gw, revocation_worker_take_local, &handle->shared);
    gw_shared_unref(&handle->shared);
    return err;
}

/* Commands write to the store too, so nobody here knows when the number changes. */
static void on_count_timer(struct loop_timer *timer)
{
    struct revocation_control *control =
        (struct revocation_control *)(void *)((char *)timer -
                                              offsetof(struct revocation_control, count_timer));
    struct loop *loop = gw_loop(gw_process_worker(control->gw));

    set(control->entries, local_store_count(control->local));
    if (loop_timer_set(loop, timer, clock_ms() + COUNT_INTERVAL_MS) < 0) {
        (void)err_bug("a timer that ran has its place", __FILE__, __LINE__);
    }
}

static bool is_same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* A reload that leaves the folder as it is: a store is opened only once. */
static bool keep_local(struct revocation_control *control)
{
    const struct revocation_control *previous = gw_process_previous(control->gw);

    if (previous == NULL || previous->local == NULL ||
        !is_same_text(previous->state_dir, control->state_dir)) {
        return false;
    }
    control->offload = previous->offload;
    control->local = previous->local;
    control->local_users = previous->local_users;
    ++*control->local_users;
    return true;
}

static int open_local(struct revocation_control *control, struct loop *loop)
{
    char error[LOCAL_STORE_ERROR_BYTES], folder[4096];

    bool is_lasting = control->state_dir != NULL;
    snprintf(folder, sizeof(folder), "%s/revocations", is_lasting ? control->state_dir : "");
    struct local_store_options options = { .folder = is_lasting ? folder : NULL,
                                           .map_bytes = LOCAL_MAP,
                                           .max_map_bytes =
                                               is_lasting ? LOCAL_MAX_MAP : NOWHERE_MAX_MAP,
                                           .purge_interval_ms = LOCAL_PURGE_MS,
                                           .clock_hold_ms = LOCAL_CLOCK_HOLD_MS };
    control->offload = offload_new(1, LOCAL_JOBS);
    control->local_users = calloc(1, sizeof(*control->local_users));
    if (control->offload == NULL || control->local_users == NULL) {
        return ERR_NO_MEMORY;
    }
    *control->local_users = 1;
    int err = local_store_open(&options, loop, control->offload, &control->local, error);
    if (err < 0) {
        log_error(AREA, "the revocations cannot be read: %s", error);
    }
    return err;
}

/* Redis has the revocations of all; those of this gateway are kept here, too, since Redis may lose them:
 * over a restart in the state folder, without one until the end of the process. */
static int start_keeping(struct revocation_control *control, struct loop *loop)
{
    control->state_dir = gw_folder(control->gw, GW_STATE_DIR);
    int err = keep_local(control) ? 0 : open_local(control, loop);
    if (err < 0 && control->state_dir == NULL) {
        log_warning(AREA, "revocations of this gateway are lost when redis loses them: set "
                          "server.state_dir");
        err = 0;
    }
    return err < 0 ? err : publish_local(control);
}

static int start_redis(struct revocation_control *control, struct loop *loop)
{
    const struct revocation_settings *settings = control->settings;
    struct redis_store_options options = {
        .redis = settings->client,
        .prefix = settings->redis.prefix,
        .expected_items = (uint64_t)settings->filter.expected_items,
        .false_positive_rate = settings->filter.false_positive_rate,
        .max_staleness_ms = settings->max_staleness_ms,
        .resync_interval_ms = settings->resync_interval_ms,
    };

    int err = start_keeping(control, loop);
    if (err < 0) {
        return err;
    }
    err = revocation_numbers_init(&control->numbers, gw_process_worker(control->gw), "follow");
    if (err < 0) {
        return err;
    }
    options.kept = control->local;
    control->resolver = resolver_new(loop);
    if (control->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    control->redis = redis_store_new(loop, control->resolver, &options, &store_ops, control);
    if (control->redis == NULL) {
        return ERR_NO_MEMORY;
    }
    show_state(control, STATE_COLD);
    return 0;
}

static int start_local(struct revocation_control *control, struct loop *loop)
{
    control->state_dir = gw_folder(control->gw, GW_STATE_DIR); /* never NULL: uses_folder() */
    int err = keep_local(control) ? 0 : open_local(control, loop);
    if (err < 0) {
        return err;
    }
    control->count_timer.fn = on_count_timer;
    err = loop_timer_set(loop, &control->count_timer, clock_ms());
    if (err < 0) {
        return err;
    }
    show_state(control, STATE_LIVE);
    return publish_local(control);
}

static void close_local(struct revocation_control *control)
{
    offload_free(control->offload);
    if (control->local != NULL) {
        local_store_close(control->local);
        loop_turn(gw_loop(gw_process_worker(control->gw)), false); /* the last commit's end */
    }
    free(control->local_users);
}

void revocation_control_free(struct revocation_control *control)
{
    if (control == NULL) {
        return;
    }
    revocation_orders_free(control->orders);
    redis_store_free(control->redis);
    if (control->resolver != NULL) {
        resolver_free(control->resolver);
    }
    if (control->local != NULL) {
        loop_timer_remove(gw_loop(gw_process_worker(control->gw)), &control->count_timer);
    }
    if (control->local_users == NULL || --*control->local_users == 0) {
        close_local(control);
    }
    free(control);
}

static int take_orders(struct revocation_control *control)
{
    control->orders =
        revocation_orders_new(&(struct revocation_orders_options){ .gw = control->gw,
                                                                   .settings = control->settings,
                                                                   .resolver = control->resolver,
                                                                   .redis = control->redis,
                                                                   .local = control->local });
    return control->orders == NULL ? ERR_NO_MEMORY : 0;
}

void revocation_control_take_order(void *arg, const void *order)
{
    const struct revocation_control *control = arg;

    revocation_orders_take(control->orders, order);
}

int revocation_control_new(struct gw_process *gw, const struct revocation_settings *settings,
                           struct revocation_control **ret)
{
    struct revocation_control *control = calloc(1, sizeof(*control));

    if (control == NULL) {
        return ERR_NO_MEMORY;
    }
    control->settings = settings;
    control->gw = gw;
    control->check = gw_check_new(gw, "revocation");
    make_numbers(control);
    struct loop *loop = gw_loop(gw_process_worker(gw));
    int err =
        revocation_is_local(settings) ? start_local(control, loop) : start_redis(control, loop);
    err = err == 0 ? take_orders(control) : err;
    if (err < 0) {
        revocation_control_free(control);
        return err;
    }
    *ret = control;
    return 0;
}
