/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that come from the issuer: the stores of all providers on the control thread, and what each worker
 * knows about them.  A request whose token names an unknown key waits here while its worker asks;
 * the answer comes to all workers at once. */
#pragma once

#include "plugins/jwt/verify.h"
#include "plugins/plugin.h"

#define REMOTE_MAX_WAITING 1024u /* requests of one worker and provider */
#define REMOTE_WAIT_MS     2000u
#define REMOTE_MISSES      256u /* kids that are known not to be there */

/* ---- control thread ---- */

struct remote_process;

/* Called on every worker's thread: find the place of the provider in the plugin's worker state. */
struct remote;
typedef struct remote *remote_find_fn(void *worker, unsigned provider_index);

/* In process_init(): watch the keys of the providers that have jwks; *ret NULL: there are none.  What the
 * process before has fetched is there at once.  `find` is kept. */
int remote_process_new(struct gw_process *process, const struct provider_list *providers,
                       remote_find_fn *find, struct remote_process **ret) MUST_CHECK;
void remote_process_free(struct remote_process *remote); /* NULL is fine */

/* ---- a worker ---- */

struct remote_news; /* what a store last said */

struct remote { /* of one worker and one provider */
    struct verify_keys *keys;
    uint64_t miss_ms;         /* how long a kid counts as missing */
    struct remote_news *news; /* NULL: none yet */
    uint64_t news_count;      /* of those that answer */
    uint64_t asked_ms;        /* 0: no question is open */
    struct gw_waitlist waiters;
    unsigned waiting;
    struct {
        uint64_t hash, until_ms;
    } misses[REMOTE_MISSES];
};

/* A token's kid that the keys do not have, and where to ask for newer ones. */
struct remote_question {
    struct gw_process *process; /* of the request's snapshot; NULL: keys are never fetched */
    unsigned provider_index;    /* in that snapshot */
    struct slice kid;
    bool may_be_newer; /* as in struct verify_result */
};

struct remote_wait {       /* of one request */
    struct remote *remote; /* NULL: does not wait */
    uint64_t news_count;   /* when the wait began */
};

void remote_init(struct remote *remote, struct verify_keys *keys, const struct provider *provider);
void remote_done(struct remote *remote);

/* GW_WAIT: `fn` follows, which must call remote_wait_end() first; else refuse with *ret_reason. */
enum gw_verdict remote_wait_begin(struct gw_call *call, struct remote *remote,
                                  const struct remote_question *question, struct remote_wait *wait,
                                  gw_hook_fn *fn, enum jwt_reason *ret_reason);
/* The wait is over, by an answer, its time, or the end of the request.  Once more is harmless.  True:
 * there was an answer. */
bool remote_wait_end(struct remote_wait *wait);
/* The kid is not there after a wait: the reason to refuse with. `answered`: of remote_wait_end(). */
enum jwt_reason remote_missed(struct remote *remote, struct slice kid, bool answered);
