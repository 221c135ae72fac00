/* SPDX-License-Identifier: Apache-2.0 */
/* One exchange from socket to socket, for the tests of what it goes through: the gateway's fixture
 * with one target, a client that is connected, and the server's end of what the gateway opens. */
#pragma once

#include "tests/support/gateway_fixture.h"

#define GET  "GET /a HTTP/1.1\r\nHost: example.com\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BIG  ((size_t)64 << 20)

extern int client, server; /* -1: none */
extern bool closed;        /* by the gateway, at the last fixture_receive() or expect() */

void exchange_setup(void);
void exchange_teardown(void);

void hang_up(int *fd);
/* Send as the client; `server` is then the other end of what the gateway has opened for it. */
void ask(const char *text);
/* What has arrived at `fd` has `part` in it. */
void expect(int fd, const char *part);
/* The last request ended so, and so many have ended. */
void expect_end(enum outcome outcome, unsigned count);
unsigned occurrences(const char *text, const char *part);

/* Write zeros, at most `most`, until the gateway takes no more; how many. */
size_t pump(int fd, size_t most);
/* Read all that comes out at `to` while the rest is pumped in at `from`; how much. */
size_t drink(int from, int to, size_t left_to_send);
/* Of body bytes that the worker holds. */
size_t memory_bytes(void);
