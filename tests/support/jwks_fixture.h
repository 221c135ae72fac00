/* SPDX-License-Identifier: Apache-2.0 */
/* A control thread that watches the keys of a key server: a hub, options for it, and time that moves by
 * 1 ms with each turn of the loop, or by what the test says. */
#pragma once

#include "core/clock.h"
#include "core/loop.h"
#include "plugins/jwks/store.h"

#include <check.h>

#include "tests/support/fake_process.h"
#include "tests/support/key_server.h"

#define JF_MIN_REFRESH_MS 1000u
#define JF_TTL_MS         100000u
#define JF_STALE_MS       50000u

struct jwks_fixture {
    struct loop *loop;
    struct gw_process gw;
    struct jwks_hub *hub;
    struct jwks_options options; /* of the next watch: the key server's KEYS_A, what is above */
    char folder[32];             /* for copies, empty; used when gw.cache_dir says so */
};

extern struct jwks_fixture jf;

/* Run the tests of `tc`, each with a fresh fixture; for main(). */
int jwks_fixture_run(TCase *tc);

/* `heard`: counts on_change().  To be freed by the test, or else after it. */
struct jwks_watch *jf_watch(const char *provider, unsigned *heard);
void jf_unwatch(struct jwks_watch *watch);
/* One that has fetched its keys. */
struct jwks_watch *jf_watch_with_keys(const char *provider, unsigned *heard);

void jf_turn(void);
/* Turns until nothing more happens at this time. */
void jf_settle(void);
void jf_later(uint64_t ms);
/* Turns until it is true. */
#define JF_UNTIL(condition)                                                                        \
    for (uint64_t end = jf_patience(); !(condition); jf_turn()) {                                  \
        ck_assert_msg(clock_precise_ns() < end, "in time: %s", #condition);                        \
    }
uint64_t jf_patience(void);
/* Ask, and wait until the try has ended. */
void jf_ask(const struct jwks_watch *watch);
/* "a", "b", "ab": the kids of the set in use; "": there is none. */
const char *jf_kids(const struct jwks_watch *watch);
