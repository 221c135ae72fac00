/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/orders.h"

#include "core/clock.h"
#include "core/log.h"
#include "plugins/revocation/put.h"
#include "plugins/revocation/redis_store.h"
#include "plugins/revocation/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AREA           "revocation"
#define MAX_UNDER_WAY  64u
#define REPLICA_WAIT_S 1u

struct job {
    struct revocation_orders *orders;
    struct job *next, **at;
    struct redis *own; /* WAIT holds up what is behind it: then a connection of its own */
    unsigned pending;  /* answers to come */
    int err;           /* the first one */
    struct revocation_order order;
};

struct revocation_orders {
    struct revocation_orders_options options;
    struct loop *loop;
    struct redis *redis; /* for all orders that do not wait for replicas */
    struct revocation_numbers numbers;
    struct job *jobs;
    unsigned count;
};

static void on_served(void *arg, unsigned count, int err, uint64_t us)
{
    const struct revocation_orders *orders = arg;

    revocation_numbers_add(&orders->numbers, count, err, us);
}

static struct redis *connect_redis(struct revocation_orders *orders)
{
    static const struct redis_ops ops = { .served = on_served };
    struct redis *redis = redis_new(orders->loop, orders->options.resolver,
                                    &orders->options.settings->client, &ops, orders);

    if (redis != NULL) {
        redis_hurry(redis); /* commands may wait for it */
    }
    return redis;
}

/* ---- the end of an order ---- */

static void done_free(struct gw_shared *shared)
{
    free(shared);
}

static void tell_worker(const struct revocation_orders *orders,
                        const struct revocation_order *order, int err)
{
    struct revocation_done *done = calloc(1, sizeof(*done));

    if (done == NULL) {
        return; /* the request has a deadline */
    }
    *done = (struct revocation_done){ .shared = { .refs = 1, .free = done_free },
                                      .id = order->id,
                                      .err = err };
    if (gw_publish_to(orders->options.gw, order->from, revocation_worker_take_done, &done->shared) <
        0) {
        log_warning(AREA, "no memory to answer an order to revoke");
    }
    gw_shared_unref(&done->shared);
}

static void job_free(struct job *job)
{
    struct revocation_orders *orders = job->orders;

    if (orders->options.local != NULL) {
        local_store_cancel(orders->options.local, job);
    }
    if (orders->redis != NULL) {
        redis_cancel(orders->redis, job);
        redis_free(job->own);
    }
    *job->at = job->next;
    if (job->next != NULL) {
        job->next->at = job->at;
    }
    orders->count--;
    free(job);
}

static void add_to_filter(struct job *job)
{
    for (unsigned i = 0; i < job->order.count && job->orders->options.redis != NULL; i++) {
        redis_store_add(job->orders->options.redis, revocation_entry_key(&job->order.entries[i]));
    }
}

static void job_answered(struct job *job, int err)
{
    job->err = job->err == 0 ? err : job->err;
    if (--job->pending > 0) {
        return;
    }
    add_to_filter(job); /* also after an error: redis may have it, and a "maybe" harms nobody */
    tell_worker(job->orders, &job->order, job->err);
    job_free(job);
}

/* ---- stores ---- */

static void on_put(void *arg, int err, const struct redis_reply *reply)
{
    struct job *job = arg;
    char text[160];

    if (err == 0 && !revocation_put_is_done(err, reply)) {
        log_warning(AREA, "redis refuses a revocation: %s",
                    log_quote(reply->text, text, sizeof(text)));
        err = ERR_IO;
        /* A replica: the master is another one, perhaps under the same name. */
        if (slice_starts_with(reply->text, SLICE("READONLY"))) {
            redis_reset(job->own != NULL ? job->own : job->orders->redis);
        }
    }
    job_answered(job, err);
}

static void on_waited(void *arg, int err, const struct redis_reply *reply)
{
    struct job *job = arg;

    if (err == 0 && reply->type != REDIS_IS_INTEGER) {
        err = ERR_IO;
    } else if (err == 0 && reply->integer < (long long)job->order.replicas) {
        err = ERR_NOT_FOUND;
    }
    job_answered(job, err);
}

static int send_wait(struct job *job, struct redis *redis, unsigned timeout_ms)
{
    char replicas[16];
    int len = snprintf(replicas, sizeof(replicas), "%u", job->order.replicas);
    char wait_ms[16];
    int wait_len = snprintf(wait_ms, sizeof(wait_ms), "%u", REPLICA_WAIT_S * 1000);
    struct slice argv[3] = { SLICE("WAIT"), slice_of(replicas, (size_t)len),
                             slice_of(wait_ms, (size_t)wait_len) };

    return redis_send_within(redis, timeout_ms, 3, argv, on_waited, job);
}

static int start_redis(struct job *job)
{
    const struct redis_options *client = &job->orders->options.settings->client;
    unsigned timeout_ms = client->connect_timeout_ms + client->command_timeout_ms;
    struct redis *redis = job->orders->redis;
    int err = 0;

    if (job->order.replicas > 0) {
        redis = job->own = connect_redis(job->orders);
        timeout_ms += REPLICA_WAIT_S * 1000; /* they are answered together */
    }
    if (redis == NULL) {
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < job->order.count && err == 0; i++) {
        err = revocation_put(redis, job->orders->options.settings->redis.prefix, timeout_ms,
                             &job->order.entries[i], clock_unix(), on_put, job);
        job->pending += err == 0;
    }
    if (job->order.replicas > 0 && err == 0) {
        err = send_wait(job, redis, timeout_ms);
        job->pending += err == 0;
    }
    return err;
}

static void on_local(void *arg, int err)
{
    job_answered(arg, err);
}

static int start_local(struct job *job)
{
    struct local_entry entries[REVOCATION_ORDER_MAX];

    for (unsigned i = 0; i < job->order.count; i++) {
        const struct revocation_entry *from = &job->order.entries[i];

        entries[i] = (struct local_entry){ .key = revocation_entry_key(from),
                                           .value = from->value,
                                           .expires_at = from->expires_at };
    }
    int err = local_store_put(job->orders->options.local, entries, job->order.count, on_local, job);
    job->pending += err == 0;
    return err;
}

/* With Redis, too, what is revoked here is kept here: Redis may lose it. */
static int start(struct job *job)
{
    const struct revocation_orders_options *options = &job->orders->options;

    if (options->redis == NULL && job->order.replicas > 0) {
        return ERR_UNSUPPORTED;
    }
    int err = options->local == NULL ? 0 : start_local(job);
    return err == 0 && options->redis != NULL ? start_redis(job) : err;
}

/* ---- life ---- */

static struct job *job_new(struct revocation_orders *orders, const struct revocation_order *order)
{
    size_t entries_bytes = order->count * sizeof(order->entries[0]);
    struct job *job = calloc(1, sizeof(*job) + entries_bytes);

    if (job == NULL) {
        return NULL;
    }
    memcpy(&job->order, order, sizeof(*order) + entries_bytes);
    job->orders = orders;
    job->at = &orders->jobs;
    job->next = orders->jobs;
    if (job->next != NULL) {
        job->next->at = &job->next;
    }
    orders->jobs = job;
    orders->count++;
    return job;
}

void revocation_orders_take(struct revocation_orders *orders, const struct revocation_order *order)
{
    struct job *job = orders->count < MAX_UNDER_WAY ? job_new(orders, order) : NULL;

    if (job == NULL) {
        tell_worker(orders, order, ERR_BUSY);
        return;
    }
    int err = start(job);
    if (err < 0) {
        job->pending = 1; /* what was sent may have been done: nobody waits for it */
        job_answered(job, err);
    }
}

struct revocation_orders *revocation_orders_new(const struct revocation_orders_options *options)
{
    struct revocation_orders *orders = calloc(1, sizeof(*orders));

    if (orders == NULL) {
        return NULL;
    }
    orders->options = *options;
    orders->loop = gw_loop(gw_process_worker(options->gw));
    if (options->redis != NULL) {
        orders->redis = connect_redis(orders);
        if (orders->redis == NULL ||
            revocation_numbers_init(&orders->numbers, gw_process_worker(options->gw), "revoke") <
                0) {
            redis_free(orders->redis);
            free(orders);
            return NULL;
        }
    }
    return orders;
}

void revocation_orders_free(struct revocation_orders *orders)
{
    if (orders == NULL) {
        return;
    }
    while (orders->jobs != NULL) {
        job_free(orders->jobs);
    }
    redis_free(orders->redis);
    free(orders);
}
