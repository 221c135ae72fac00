/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the admin*.c files: how the pages of the admin listener answer, at once or when others
 * have told them something.  Control thread, unless it says otherwise. */
#pragma once

#include "plugins/plugin.h"

#include <stdint.h>

struct gateway;
struct worker;

#define ADMIN_ANSWER_MS 2000u
#define ADMIN_TEXT      SLICE("text/plain; charset=utf-8")

/* What a request waits for.  It outlives the request when workers answer late: it then knows no
 * call any more. */
struct admin_wait {
    struct admin_call *call; /* NULL: the request has ended */
    struct worker *control;
    unsigned pending;  /* answers to come */
    uint64_t found_us; /* explain: when the request began that was found; 0: none was */
    bool is_reload;
};

struct admin_call { /* the plugin's state of a request */
    struct gw_waitlist waiters;
    struct admin_wait *wait; /* NULL: nothing is awaited */
    bool is_ready;           /* the wait is over */
    bool is_ok;              /* reload */
    char *text;              /* metrics, reload, explain: malloc'ed */
    size_t text_len;
};

struct gateway *admin_gateway(const struct gw_call *call);
enum gw_verdict admin_reply(struct gw_call *call, unsigned status, struct slice type,
                            struct slice body);
enum gw_verdict admin_problem(struct gw_call *call, unsigned status, const char *detail);

/* The request's wait, with nothing pending yet; its end gives it back.  NULL: no memory. */
struct admin_wait *admin_wait_new(struct gw_call *call);
/* One of those pending has answered. */
void admin_wait_answered(struct admin_wait *wait);
/* `fn` runs when all have answered or the time is over: state->is_ready tells which. */
enum gw_verdict admin_wait_join(struct gw_call *call, unsigned ms, gw_hook_fn *fn);

/* Pages: admin_health.c, admin_explain.c. */
enum gw_verdict admin_livez(struct gw_call *call);
enum gw_verdict admin_readyz(struct gw_call *call);
enum gw_verdict admin_explain(struct gw_call *call);
