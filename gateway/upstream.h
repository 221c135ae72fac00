/* SPDX-License-Identifier: Apache-2.0 */
/* A named group of targets, as one worker sees it: which target is next, what their names resolve
 * to, which of them refused connections lately.  Owned by the views of the worker that have it: a
 * reload keeps what it does not change. */
#pragma once

#include "core/loop.h"
#include "core/resolve.h"
#include "core/tls.h"
#include "gateway/config.h"

struct upstream_conn;
struct worker;

struct upstream_target {
    const struct config_target *config;
    struct upstream *upstream;
    int64_t credit;    /* smooth weighted round robin */
    unsigned active;   /* requests on it now */
    unsigned failures; /* connects refused in a row */
    uint64_t avoid_until_ms;
    struct upstream_conn *idle; /* newest first (upstream_pool.c) */
    unsigned idle_count;
    struct tls_session session; /* for the next connection */

    /* Names only: the last good answer is kept when a later one fails. */
    struct resolve_address addresses[RESOLVE_MAX_ADDRESSES];
    unsigned address_count, next_address;
    uint64_t resolved_until_ms;
    struct resolve_query *query;
    struct attempt *waiting; /* attempts that wait for the first answer */
};

struct upstream {
    unsigned users;                       /* views */
    const struct config_upstream *config; /* in the newest snapshot that has it */
    struct config *owner;                 /* that one: a reference */
    struct worker *worker;
    struct upstream_target *targets;
    unsigned target_count;
    unsigned connections; /* leased, connecting and idle */
    struct loop_grave grave;
};

/* Make those of the view (view->worker is set); what has not changed since `previous` (NULL: none)
 * is shared.  Whatever it returns, upstreams_done() frees. */
int upstreams_init(struct config_view *view, const struct config_view *previous) MUST_CHECK;
/* The view is now the worker's: what it shares follows the new snapshot. */
void upstreams_adopt(struct config_view *view);
void upstreams_done(struct config_view *view);

/* The next target by the upstream's balancing, leaving out those of the `tried` bits (the first 64)
 * and, while there are others, those that refused lately.  NULL: all were tried. */
struct upstream_target *upstream_choose(struct upstream *upstream, uint64_t tried);
uint64_t upstream_target_bit(const struct upstream_target *target);

/* The address to connect to; false while the name is being resolved (or cannot be: *ret_err). */
bool upstream_address(struct upstream_target *target, struct sockaddr_storage *ret_addr,
                      socklen_t *ret_len, int *ret_err);
/* A name that is to be asked (first use, or its TTL has ended) is asked now. */
void upstream_resolve(struct upstream_target *target);

void upstream_target_failed(struct upstream_target *target);
void upstream_target_worked(struct upstream_target *target);
/* Is it in use, i.e. did it not refuse lately?  For the metric. */
bool upstream_target_is_up(const struct upstream_target *target);
