/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream.h"

#include "core/clock.h"
#include "core/log.h"
#include "gateway/attempt.h"
#include "gateway/config_change.h"
#include "gateway/upstream_pool.h"
#include "gateway/worker.h"

#include <netinet/in.h>
#include <stdlib.h>

#define AVOID_MS_FIRST   1000u /* after a refused connection; doubles */
#define AVOID_MS_MOST    10000u
#define RESOLVE_RETRY_MS 1000u

static void upstream_free(void *arg)
{
    struct upstream *upstream = arg;

    config_unref(upstream->owner);
    free(upstream->targets);
    free(upstream);
}

static struct upstream *upstream_new(struct worker *worker, struct config *owner,
                                     const struct config_upstream *config)
{
    struct upstream *upstream = calloc(1, sizeof(*upstream));

    if (upstream == NULL) {
        return NULL;
    }
    upstream->users = 1;
    upstream->config = config;
    upstream->owner = config_ref(owner);
    upstream->worker = worker;
    upstream->targets = calloc(config->target_count, sizeof(*upstream->targets));
    if (upstream->targets == NULL) {
        upstream_free(upstream);
        return NULL;
    }
    upstream->target_count = (unsigned)config->target_count;
    for (unsigned i = 0; i < upstream->target_count; i++) {
        upstream->targets[i].config = &config->targets[i];
        upstream->targets[i].upstream = upstream;
    }
    return upstream;
}

/* Its connections and names are those that the new snapshot would make: the same text. */
static struct upstream *find_kept(const struct config_view *previous,
                                  const struct config_upstream *config)
{
    const struct config *old = previous == NULL ? NULL : previous->config;

    for (size_t i = 0; old != NULL && i < old->upstream_count; i++) {
        if (slice_eq(old->upstreams[i].element.name, config->element.name)) {
            return json_equal(old->upstreams[i].element.where, config->element.where)
                       ? previous->upstreams[i]
                       : NULL;
        }
    }
    return NULL;
}

int upstreams_init(struct config_view *view, const struct config_view *previous)
{
    struct config *config = view->config;

    view->upstreams = calloc(config->upstream_count + 1, sizeof(struct upstream *));
    if (view->upstreams == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < config->upstream_count; i++) {
        struct upstream *upstream = find_kept(previous, &config->upstreams[i]);

        if (upstream != NULL) {
            upstream->users++;
        } else {
            upstream = upstream_new(view->worker, config, &config->upstreams[i]);
        }
        view->upstreams[i] = upstream;
        if (upstream == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

void upstreams_adopt(struct config_view *view)
{
    struct config *config = view->config;

    for (size_t i = 0; i < config->upstream_count; i++) {
        struct upstream *upstream = view->upstreams[i];
        struct config *before = upstream->owner;

        upstream->owner = config_ref(config);
        upstream->config = &config->upstreams[i];
        for (unsigned t = 0; t < upstream->target_count; t++) {
            upstream->targets[t].config = &config->upstreams[i].targets[t];
        }
        config_unref(before);
    }
}

static void upstream_unref(struct upstream *upstream)
{
    if (upstream == NULL || --upstream->users > 0) {
        return;
    }
    for (unsigned t = 0; t < upstream->target_count; t++) {
        struct upstream_target *target = &upstream->targets[t];

        upstream_pool_clear(target);
        tls_session_clear(&target->session);
        if (target->query != NULL) {
            resolver_cancel(target->query);
        }
    }
    /* Its last request may just be on the stack. */
    loop_free_later(upstream->worker->loop, &upstream->grave, upstream, upstream_free);
}

void upstreams_done(struct config_view *view)
{
    for (size_t i = 0; view->upstreams != NULL && i < view->config->upstream_count; i++) {
        upstream_unref(view->upstreams[i]);
    }
    free(view->upstreams);
    view->upstreams = NULL;
}

uint64_t upstream_target_bit(const struct upstream_target *target)
{
    size_t index = (size_t)(target - target->upstream->targets);

    return index < 64 ? UINT64_C(1) << index : 0;
}

bool upstream_target_is_up(const struct upstream_target *target)
{
    return target->avoid_until_ms <= clock_ms();
}

/* Smooth weighted round robin: every candidate earns its weight, the richest pays the sum. */
static struct upstream_target *next_round_robin(struct upstream *upstream, uint64_t tried,
                                                bool only_up)
{
    struct upstream_target *best = NULL;
    int64_t sum = 0;

    for (unsigned i = 0; i < upstream->target_count; i++) {
        struct upstream_target *target = &upstream->targets[i];

        if ((tried & upstream_target_bit(target)) != 0 ||
            (only_up && !upstream_target_is_up(target))) {
            continue;
        }
        target->credit += target->config->weight;
        sum += target->config->weight;
        if (best == NULL || target->credit > best->credit) {
            best = target;
        }
    }
    if (best != NULL) {
        best->credit -= sum;
    }
    return best;
}

/* Fewest requests per weight; ties in turn, by round robin's credit. */
static struct upstream_target *least_request(struct upstream *upstream, uint64_t tried,
                                             bool only_up)
{
    struct upstream_target *best = NULL;

    for (unsigned i = 0; i < upstream->target_count; i++) {
        struct upstream_target *target = &upstream->targets[i];

        if ((tried & upstream_target_bit(target)) != 0 ||
            (only_up && !upstream_target_is_up(target))) {
            continue;
        }
        target->credit++;
        if (best == NULL) {
            best = target;
            continue;
        }
        uint64_t load = (uint64_t)target->active * (uint64_t)best->config->weight;
        uint64_t least = (uint64_t)best->active * (uint64_t)target->config->weight;
        if (load < least || (load == least && target->credit > best->credit)) {
            best = target;
        }
    }
    if (best != NULL) {
        best->credit = 0;
    }
    return best;
}

static struct upstream_target *choose(struct upstream *upstream, uint64_t tried, bool only_up)
{
    switch ((enum config_balancing)upstream->config->balancing) {
    case CONFIG_ROUND_ROBIN: return next_round_robin(upstream, tried, only_up);
    case CONFIG_LEAST_REQUEST: return least_request(upstream, tried, only_up);
    }
    return NULL;
}

struct upstream_target *upstream_choose(struct upstream *upstream, uint64_t tried)
{
    if (upstream->target_count == 1) {
        struct upstream_target *only = &upstream->targets[0];

        return (tried & upstream_target_bit(only)) != 0 ? NULL : only;
    }
    struct upstream_target *target = choose(upstream, tried, true);
    return target != NULL ? target : choose(upstream, tried, false);
}

void upstream_target_failed(struct upstream_target *target)
{
    uint64_t avoid_ms = AVOID_MS_FIRST;

    for (unsigned i = 0; i < target->failures && avoid_ms < AVOID_MS_MOST; i++) {
        avoid_ms *= 2;
    }
    target->failures++;
    target->avoid_until_ms = clock_ms() + (avoid_ms < AVOID_MS_MOST ? avoid_ms : AVOID_MS_MOST);
}

void upstream_target_worked(struct upstream_target *target)
{
    target->failures = 0;
    target->avoid_until_ms = 0;
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
    struct upstream_target *target = arg;

    target->query = NULL;
    if (answer->err == 0 && answer->count > 0) {
        memcpy(target->addresses, answer->addresses, answer->count * sizeof(answer->addresses[0]));
        target->address_count = answer->count;
        target->resolved_until_ms = clock_ms() + (uint64_t)answer->ttl_s * 1000;
    } else {
        log_warning("upstream", "name_not_resolved target=%s error=\"%s\" kept=%u",
                    target->config->label.ptr, err_text(answer->err), target->address_count);
        target->resolved_until_ms = clock_ms() + RESOLVE_RETRY_MS;
    }
    attempts_resolved(target, answer->err);
}

void upstream_resolve(struct upstream_target *target)
{
    if (target->config->is_literal || target->query != NULL ||
        (target->resolved_until_ms > clock_ms() && target->address_count > 0)) {
        return;
    }
    target->query = resolver_ask(target->upstream->worker->resolver, target->config->host.ptr,
                                 on_resolved, target);
}

bool upstream_address(struct upstream_target *target, struct sockaddr_storage *ret_addr,
                      socklen_t *ret_len, int *ret_err)
{
    *ret_err = 0;
    if (target->config->is_literal) {
        *ret_addr = target->config->address;
        *ret_len = target->config->address_len;
        return true;
    }
    upstream_resolve(target);
    if (target->address_count == 0) {
        *ret_err = target->query == NULL ? ERR_NO_MEMORY : 0;
        return false;
    }
    const struct resolve_address *address =
        &target->addresses[target->next_address++ % target->address_count];
    *ret_addr = address->addr;
    *ret_len = address->len;
    set_port(ret_addr, target->config->port);
    return true;
}
