/* SPDX-License-Identifier: Apache-2.0 */
/* A local store in a folder of its own, for tests: opened, written to and waited for in the test's thread. */
#pragma once

#include "plugins/revocation/local_store.h"

extern struct loop *loop;
extern struct offload *offload;
extern struct local_store *store; /* NULL: closed */
extern struct local_store_options options;
extern char folder[64];
extern char error[LOCAL_STORE_ERROR_BYTES];
extern struct local_store_answer {
    unsigned count;
    int err; /* the last one */
} answer;

/* A folder, options and start(); the test may change the options, then open_store(). */
void setup(void);
void teardown(void);
/* All but the folder: what a process has. */
void start(void);
void stop(void);
int open_store(void);

/* Turn the loop until answer.count is there. */
bool run_until(unsigned count);
void on_put(void *arg, int err);
/* One entry; returns what the answer says. */
int put(const char *key, int64_t value, int64_t expires_at);
/* `count` up to 500 in one put, "jti:%08u-%08u" of its number and `from`; not waited for. */
void put_many(unsigned from, unsigned count, int64_t expires_at);
int find(const char *key, int64_t *ret_value);
int64_t in_an_hour(void);
