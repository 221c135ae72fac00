/* SPDX-License-Identifier: Apache-2.0 */
/* For other plugins: revoke this; is this revoked?  Both from a request on any worker, and both ask the
 * store itself: what this gateway has revoked is enforced by it when it says so.
 *
 * What a request waits with is embedded in the calling plugin's state (zeroed, for one use) and ended
 * in its on_end().  Entries are made by plugins/revocation/entry.h. */
#pragma once

#include "plugins/revocation/entry.h"
#include "plugins/revocation/lookup.h"

/* Does the configuration say where revocations are kept?  Without it the functions below GW_FAIL. */
bool revocations_are_kept(const struct gw_call *call);

/* Revoke 1 to REVOCATION_ORDER_MAX entries.  fn runs when ticket->err is 0: the store has all of it, durably,
 * with `replicas` of its replicas, and so has this gateway's filter; or when it is an error: some of it
 * may be kept; to do it again is harmless.  ERR_BUSY: too many at once.  ERR_NOT_FOUND: too few replicas
 * have it.  ERR_UNSUPPORTED: this store has no replicas.  ERR_TOO_BIG: it is full.  ERR_TIMEOUT and
 * others: the store does not answer. */
enum gw_verdict revocations_add(struct gw_call *call, struct revocation_ticket *ticket,
                                const struct revocation_entry *entries, unsigned count,
                                unsigned replicas, gw_hook_fn *fn);
/* In on_end(): revocation_ticket_end(). */

/* Is a token with these names revoked, by its jti or a watermark?  fn runs when
 * revocation_lookup_answer() has it: never REVOCATION_LATER. */
enum gw_verdict revocations_ask(struct gw_call *call, struct revocation_lookup *lookup,
                                const struct revocation_names *names, gw_hook_fn *fn);
/* In on_end(): revocation_lookup_end(). */
