/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/revocations.h"

#include "plugins/builtin.h"

/* For the slowest of disks; Redis has deadlines of its own. */
#define ADD_TIMEOUT_MS 8000u

static struct revocation_worker *worker_of_call(const struct gw_call *call)
{
    return gw_worker_state(call->req, &revocation_plugin);
}

bool revocations_are_kept(const struct gw_call *call)
{
    return worker_of_call(call) != NULL;
}

enum gw_verdict revocations_add(struct gw_call *call, struct revocation_ticket *ticket,
                                const struct revocation_entry *entries, unsigned count,
                                unsigned replicas, gw_hook_fn *fn)
{
    struct revocation_worker *worker = worker_of_call(call);

    gw_waitlist_init(&ticket->waiters);
    if (worker == NULL || revocation_worker_order(worker, ticket, entries, count, replicas) < 0 ||
        gw_sleep(call, ADD_TIMEOUT_MS, fn) == GW_FAIL) {
        return GW_FAIL;
    }
    return gw_waitlist_join(call, &ticket->waiters, fn);
}

enum gw_verdict revocations_ask(struct gw_call *call, struct revocation_lookup *lookup,
                                const struct revocation_names *names, gw_hook_fn *fn)
{
    struct revocation_worker *worker = worker_of_call(call);

    if (worker == NULL) {
        return GW_FAIL;
    }
    enum revocation_answer answer = revocation_lookup_start(lookup, worker, names, false);
    enum gw_verdict verdict = gw_waitlist_join(call, &lookup->waiters, fn);
    if (answer != REVOCATION_LATER) {
        gw_waitlist_wake(&lookup->waiters);
    }
    return verdict;
}
