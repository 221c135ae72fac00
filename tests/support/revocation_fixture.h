/* SPDX-License-Identifier: Apache-2.0 */
/* What revocation's modules stand on, for their tests: a loop, the process of fake_process.h, a real redis-server
 * and another client of it, settings for it.  All is the test's own thread. */
#pragma once

#include "core/clock.h"
#include "core/redis.h"
#include "plugins/revocation/config.h"
#include "plugins/revocation/entry.h"

#include <check.h>

#include <poll.h>

#include "tests/support/fake_host.h"
#include "tests/support/fake_process.h"
#include "tests/support/redis_server.h"

extern struct loop *loop;
extern struct gw_process process;
extern struct redis_server server;
extern struct revocation_settings settings; /* of that redis, without a state folder */

void revocation_setup(void);
void revocation_teardown(void);
/* Nothing is kept in redis, but in process.state_dir, which is made. */
void revocation_without_redis(void);

/* As another service would; the integer that redis answers, -1: a text or nil, -2: an error. */
long long redis_command(const char *a, const char *b, const char *c, const char *d, const char *e);

struct revocation_entry entry_of(const char *jti, int64_t expires_at);
int64_t in_seconds(int64_t seconds); /* Unix time */
void turn(void);

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        uint64_t end_ = clock_precise_ns() + UINT64_C(8000000000);                                 \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_precise_ns() < end_, "not within 8 s: " #condition);               \
            turn();                                                                                \
        }                                                                                          \
    } while (0)
