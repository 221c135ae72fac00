/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of TLS in one loop, for the tests of core/tls*.c: a server and a client on a socket pair, with
 * certificates made for the run, in a folder of its own that is the working directory. */
#pragma once

#include "core/stream.h"
#include "core/tls.h"

#include <check.h>

struct tf_end {
    struct stream stream;
    unsigned connected, readable, writable, gone;
    int err;
    const char *failure;
};

struct tls_fixture {
    struct loop *loop;
    struct tls_server *server;
    struct tls_client *client;
    struct tls_session session;
    struct tf_end us, them; /* us: the server */
    char why[TLS_WHY_BYTES];
};

extern struct tls_fixture tf;
extern const struct stream_ops tf_ops;

/* Run the tests of `tc`, each with fresh ends; for main(). */
int tls_fixture_run(TCase *tc);

/* A server with NAME.crt and NAME.key: a (a.test, *.wild.test, 127.0.0.1), b (b.test), old (has expired),
 * self (signed by itself), client.  ca.crt and ca.key: who has issued them. */
void tf_serve(const char *name);
void tf_serve_with(const struct tls_server_options *options, const char *name);
/* One more certificate; `host` NULL: its own names.  As tls_server_add(). */
int tf_add(const char *name, const char *host);
/* A client that believes ca.crt. */
void tf_trust(void);
void tf_trust_with(const struct tls_client_options *options);

/* New ends: the handshake has not begun. */
void tf_open(const char *host);
/* New ends, and turns of the loop until nothing more happens. */
void tf_shake(const char *host);
void tf_run(void);
void tf_send(struct tf_end *from, const char *text);
void tf_assert_got(struct tf_end *at, const char *text);
/* Both are connected and hear each other. */
void tf_assert_talk(void);
