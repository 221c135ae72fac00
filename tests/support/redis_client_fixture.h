/* SPDX-License-Identifier: Apache-2.0 */
/* A client of Redis under test: against a real server, or against a liar, who is a socket that the test itself
 * answers on. */
#pragma once

#include "core/redis.h"

#include "tests/support/redis_server.h"

#define WAIT_MS 30000u

extern struct loop *loop;
extern struct redis *redis; /* NULL: none yet */
extern struct redis_server server;
extern struct redis_options options;
extern bool free_in_callback; /* on_answer() frees the client */

extern struct seen {
    unsigned ready, lost, pushed;
    int lost_err;
    char message[64];
} seen;

struct answer {
    unsigned count;
    int err;
    enum redis_reply_type type;
    long long integer;
    size_t items;
    char text[64];
};

extern const struct redis_ops ops; /* write to `seen` */

void setup(void);
void teardown(void);
void open_url(const char *url);
void with_server(const char *password);
bool run_until(const unsigned *counter, unsigned value);
void run_for(unsigned ms);
void on_answer(void *arg, int err, const struct redis_reply *reply); /* `arg`: a struct answer */
int ask(struct answer *answer, const char *a, const char *b, const char *c);

/* ---- the liar ---- */

/* Its address, for options; then open_lies_client(). */
struct redis_address open_lies(void);
void open_lies_client(void);
void close_lies(int fd);
/* The client's connection; -1: it did not come. */
int accept_liar(void);
/* Read what the client has sent, until it ends with a marker; its answer. */
struct slice answer_of_marker(int fd);
/* All of it, until the next answer_of_marker(). */
struct slice heard(void);
void say(int fd, struct slice text);
