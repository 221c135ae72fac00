/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/worker.h"

#include "core/clock.h"
#include "core/redis.h"
#include "core/resolve.h"
#include "plugins/revocation/control.h"
#include "plugins/revocation/orders.h"

#include <stdlib.h>
#include <string.h>

/* ---- what the control thread hands over ---- */

void revocation_worker_take_filter(void *arg, struct gw_shared *object)
{
    struct revocation_worker *worker = arg;
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

void revocation_worker_take_local(void *arg, struct gw_shared *object)
{
    struct revocation_worker *worker = arg;
    struct revocation_local *old = worker->local;

    worker->local = (struct revocation_local *)gw_shared_ref(object);
    if (old != NULL) {
        gw_shared_unref(&old->shared);
    }
}

static void count_done(const struct revocation_worker *worker,
                       const struct revocation_ticket *ticket)
{
    if (ticket->err < 0) {
        *worker->failed += ticket->count;
        return;
    }
    *worker->revoked += ticket->count;
    gw_histogram_add_us(worker->delay, (clock_precise_ns() - ticket->start_ns) / 1000);
}

/* The request may have ended long ago. */
void revocation_worker_take_done(void *arg, struct gw_shared *object)
{
    struct revocation_worker *worker = arg;
    const struct revocation_done *done = (const struct revocation_done *)object;

    for (struct revocation_ticket *ticket = worker->tickets; ticket != NULL;
         ticket = ticket->next) {
        if (ticket->id == done->id) {
            ticket->err = done->err;
            count_done(worker, ticket);
            revocation_ticket_end(ticket);
            gw_waitlist_wake(&ticket->waiters);
            return;
        }
    }
}

/* ---- orders ---- */

static void ticket_begin(struct revocation_worker *worker, struct revocation_ticket *ticket,
                         unsigned count)
{
    ticket->id = ++worker->last_id;
    ticket->count = count;
    ticket->start_ns = clock_precise_ns();
    ticket->err = ERR_TIMEOUT; /* until the answer is there */
    ticket->at = &worker->tickets;
    ticket->next = worker->tickets;
    if (ticket->next != NULL) {
        ticket->next->at = &ticket->next;
    }
    worker->tickets = ticket;
}

int revocation_worker_order(struct revocation_worker *worker, struct revocation_ticket *ticket,
                            const struct revocation_entry *entries, unsigned count,
                            unsigned replicas)
{
    size_t entries_bytes = count * sizeof(*entries);
    struct revocation_order *order;

    if (worker->process == NULL || count == 0 || count > REVOCATION_ORDER_MAX) {
        return ERR_BAD_INPUT;
    }
    order = calloc(1, sizeof(*order) + entries_bytes);
    if (order == NULL) {
        return ERR_NO_MEMORY;
    }
    ticket_begin(worker, ticket, count);
    order->from = worker->gw;
    order->id = ticket->id;
    order->replicas = replicas;
    order->count = count;
    memcpy(order->entries, entries, entries_bytes);
    int err = gw_process_post(worker->process, revocation_control_take_order, order,
                              sizeof(*order) + entries_bytes);
    if (err < 0) {
        revocation_ticket_end(ticket);
    }
    free(order);
    return err;
}

void revocation_ticket_end(struct revocation_ticket *ticket)
{
    if (ticket->at == NULL) {
        return;
    }
    *ticket->at = ticket->next;
    if (ticket->next != NULL) {
        ticket->next->at = ticket->at;
    }
    ticket->at = NULL;
}

/* ---- life ---- */

static int make_counters(struct revocation_worker *worker, struct gw_worker *gw)
{
    static const char *const labels[] = {
#define X(name, word) [REVOCATION_##name] = "result=\"" word "\"",
        REVOCATION_RESULT_TABLE(X)
#undef X
    };

    for (unsigned i = 0; i < REVOCATION_RESULTS; i++) {
        worker->results[i] = gw_counter(gw, "jwtgate_revocation_lookups_total", labels[i]);
        if (worker->results[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    worker->revoked = gw_counter(gw, "jwtgate_revocations_total", "result=\"ok\"");
    worker->failed = gw_counter(gw, "jwtgate_revocations_total", "result=\"error\"");
    worker->delay = gw_histogram(gw, "jwtgate_revocation_delay_seconds", "by=\"order\"");
    return worker->revoked == NULL || worker->failed == NULL || worker->delay == NULL
               ? ERR_NO_MEMORY
               : 0;
}

static void on_served(void *arg, unsigned count, int err, uint64_t us)
{
    const struct revocation_worker *worker = arg;

    revocation_numbers_add(&worker->numbers, count, err, us);
}

static int connect_redis(struct revocation_worker *worker, struct gw_worker *gw)
{
    static const struct redis_ops ops = { .served = on_served };

    int err = revocation_numbers_init(&worker->numbers, gw, "lookup");
    if (err < 0) {
        return err;
    }
    worker->resolver = resolver_new(gw_loop(gw));
    if (worker->resolver == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->redis =
        redis_new(gw_loop(gw), worker->resolver, &worker->settings->client, &ops, worker);
    return worker->redis == NULL ? ERR_NO_MEMORY : 0;
}

int revocation_worker_new(struct gw_worker *gw, const void *top,
                          const struct revocation_settings *settings,
                          struct revocation_worker **ret)
{
    struct revocation_worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        return ERR_NO_MEMORY;
    }
    worker->settings = settings;
    worker->gw = gw;
    worker->process = gw_process_of(gw, top);
    int err = make_counters(worker, gw);
    if (err == 0 && !revocation_is_local(settings)) {
        err = connect_redis(worker, gw);
    }
    if (err < 0) {
        revocation_worker_free(worker);
        return err;
    }
    *ret = worker;
    return 0;
}

void revocation_worker_free(struct revocation_worker *worker)
{
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
