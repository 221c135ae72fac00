/* SPDX-License-Identifier: Apache-2.0 */
/* One question: is a token revoked, by its jti or by a watermark over it?  The filter, the local store
 * or Redis answers, at once or later.  Thread: the worker's. */
#pragma once

#include "plugins/revocation/filter.h"
#include "plugins/revocation/worker.h"

/* What revocations know of a token.  Absent: the token does not have it. */
struct revocation_names {
    struct slice jti; /* must be there */
    struct slice kinds[REVOCATION_KINDS];
    int64_t issued_at; /* REVOCATION_NO_IAT: the token does not say: every watermark covers it */
};
#define REVOCATION_NO_IAT INT64_MIN

enum revocation_answer {
    REVOCATION_NO,
    REVOCATION_YES,
    REVOCATION_UNKNOWN, /* nobody can tell */
    REVOCATION_LATER,   /* Redis was asked */
};

struct revocation_lookup { /* embedded in a request's state, zeroed */
    struct gw_waitlist waiters;
    struct revocation_worker *worker;
    struct revocation_names names; /* to ask again: their texts live as long as the lookup */
    unsigned pending;              /* answers to come */
    enum revocation_answer answer;
    bool is_revoked, is_unknown;
};

/* Ask; `trusts_filter`: while its lease runs, the filter's "no" is the answer.  On REVOCATION_LATER join
 * lookup->waiters, then revocation_lookup_answer().  Counts who answered. */
enum revocation_answer revocation_lookup_start(struct revocation_lookup *lookup,
                                               struct revocation_worker *worker,
                                               const struct revocation_names *names,
                                               bool trusts_filter);
/* When the waiters were woken. */
enum revocation_answer revocation_lookup_answer(struct revocation_lookup *lookup);
/* Before its memory is freed; also when it was never started. */
void revocation_lookup_end(struct revocation_lookup *lookup);
