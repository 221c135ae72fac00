/* SPDX-License-Identifier: Apache-2.0 */
/* One downstream connection: its stream, its deadlines, the requests on it.  Owned by the worker's
 * list; closed at once, freed at the end of the turn.  What is HTTP/1 about it is codec_h1.c's.
 *
 * States: OPEN -> LAST (drains: one more request may come, for it may be on its way) -> DRAIN (no new
 * requests; the current one ends) -> LINGER (our last answer is out, the peer's remaining bytes are
 * dropped for a while, so that it can read the answer) -> CLOSED. */
#pragma once

#include "core/h1_parser.h"
#include "core/sm.h"
#include "core/stream.h"
#include "gateway/config.h"

#include <stdint.h>

struct codec_ops;
struct request;
struct worker;

enum conn_state { CONN_OPEN, CONN_LAST, CONN_DRAIN, CONN_LINGER, CONN_CLOSED };

enum conn_deadline {
    CONN_DEADLINE_NONE,
    CONN_DEADLINE_HEAD,       /* the head must be complete */
    CONN_DEADLINE_KEEP_ALIVE, /* the next head must begin */
    CONN_DEADLINE_BODY,       /* the client must send its body */
    CONN_DEADLINE_WRITE,      /* the client must take bytes */
    CONN_DEADLINE_LINGER,
    CONN_DEADLINE_HANDSHAKE, /* of TLS */
    CONN_DEADLINE_TURN,      /* no deadline: the next of many requests may begin */
};

/* Why a connection ended: label of jwtgate_connections_closed_total. */
#define CONN_END_TABLE(X)                                                                          \
    X(CLIENT, "client")                                                                            \
    X(IDLE, "idle")                                                                                \
    X(LIMIT, "limit")                                                                              \
    X(ERROR, "error")                                                                              \
    X(DRAIN, "drain")                                                                              \
    X(DONE, "done")
enum conn_end {
#define X(name, word) CONN_END_##name,
    CONN_END_TABLE(X)
#undef X
        CONN_ENDS,
};

struct conn {
    struct stream stream;
    struct sm sm;
    struct worker *worker;
    const struct codec_ops *codec;
    struct conn *next, *prev; /* the worker's list */
    struct request *request;  /* the current one (HTTP/1 has one at a time) */
    struct loop_timer timer;  /* one deadline: head, keep-alive, write stall or linger */
    struct loop_grave grave;

    /* HTTP/1 (codec_h1.c) */
    struct h1_scan scan;
    uint32_t requests; /* started on this connection */
    uint32_t begun;    /* of them in the millisecond begun_ms */
    uint64_t begun_ms;
    uint8_t listener_index;
    uint8_t deadline;  /* enum conn_deadline: what the timer is for */
    bool keep_alive;   /* after the current answer */
    bool running;      /* the codec is in its loop */
    uint64_t progress; /* bytes of its direction when the timer was set */

    uint8_t peer[16]; /* IPv4 as ::ffff:a.b.c.d; all zero: a unix socket's */
    uint16_t peer_port;
};

/* Take over an accepted socket.  NULL: no memory, it is closed.  What is returned may be closed too. */
struct conn *conn_new(struct worker *worker, const struct config_listener *listener, int fd,
                      const struct sockaddr *addr);
/* End now; frees at the end of the turn. A request that is still on it ends as client_gone. */
void conn_close(struct conn *conn, enum conn_end why);
/* Answer is out: close so that the client can still read it. */
void conn_linger(struct conn *conn);
/* Set the one deadline, `ms` from now; NONE clears it. */
void conn_set_deadline(struct conn *conn, enum conn_deadline deadline, uint64_t ms);
/* No request is on it: the deadline of the next. */
void conn_await_next(struct conn *conn);
/* The worker has another snapshot: follow its limits. */
void conn_reload(struct conn *conn);
/* The worker drains: close after the current request; where the client was not told yet, after the
 * next one or a second. */
void conn_drain(struct conn *conn);
static inline bool conn_is_open(const struct conn *conn)
{
    return conn->sm.state != CONN_CLOSED;
}
static inline struct slice conn_scheme(const struct conn *conn)
{
    return conn->stream.tls != NULL ? SLICE("https") : SLICE("http");
}
/* "192.0.2.1", or "unix", into `ret` of 46 bytes; the length. */
size_t conn_peer_text(const struct conn *conn, char *ret);
