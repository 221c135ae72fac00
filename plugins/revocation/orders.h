/* SPDX-License-Identifier: Apache-2.0 */
/* Orders to revoke, carried out on the control thread for requests of any thread: written to the
 * store, then to this gateway's own filter, then the worker that gave the order hears of it. */
#pragma once

#include "plugins/plugin.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/entry.h"
#include "plugins/revocation/local_store.h"

#define REVOCATION_ORDER_MAX 256u /* entries of one order */

/* The bytes that gw_process_post() carries. */
struct revocation_order {
    struct gw_worker *from;
    uint64_t id;       /* of the worker's choice */
    unsigned replicas; /* that must have it, besides the server */
    unsigned count;
    struct revocation_entry entries[];
};

/* What is published to the worker.  `err`: 0: the store and this gateway's filter have all of it.
 * ERR_BUSY: too many orders at once.  ERR_NOT_FOUND: too few replicas have it.  ERR_UNSUPPORTED:
 * the store has no replicas.  Else the store does not answer or refuses; part of it may be kept. */
struct revocation_done {
    struct gw_shared shared; /* first */
    uint64_t id;
    int err;
};

struct revocation_orders;

struct revocation_orders_options { /* all borrowed */
    struct gw_process *gw;
    const struct revocation_settings *settings;
    struct resolver *resolver; /* Redis */
    struct redis_store *redis; /* NULL: the local store is all */
    struct local_store *local; /* with Redis: keeps what is revoked here; NULL: nothing is kept */
};

struct revocation_orders *revocation_orders_new(const struct revocation_orders_options *options);
/* Nobody hears of those under way. NULL is fine. */
void revocation_orders_free(struct revocation_orders *orders);
/* Copied. */
void revocation_orders_take(struct revocation_orders *orders, const struct revocation_order *order);
