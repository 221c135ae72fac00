/* SPDX-License-Identifier: Apache-2.0 */
/* One connected (or connecting) socket: reading, writing, back-pressure.  Embedded in its owner
 * (a downstream connection, an upstream connection).  What is above sees bytes and four callbacks,
 * never whether they are encrypted.
 *
 * Reading is on from the start: bytes arrive in `in`, then `readable` runs.  While `in` holds
 * `in_max` bytes or more, reading stops by itself and goes on when the owner has taken some
 * (stream_taken()).  Writing: put bytes in `out`, then stream_flush() sends at once; what the
 * socket does not take is sent when it can, then `writable` runs.  No callback ever runs inside a
 * call of the owner, except as said.  After stream_close() no callback runs.
 *
 * `gone` with ERR_EOF ends reading only: an owner may first send what it has, and hears of `gone`
 * once more if that fails. */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/loop.h"

#include <event2/event_struct.h>

#include <stdint.h>
#include <sys/socket.h>

struct stream;
struct tls;

struct stream_ops {
    void (*connected)(struct stream *s);     /* stream_connect() has succeeded, the handshake of
                                                  TLS (on both sides) is over */
    void (*readable)(struct stream *s);      /* in.len has grown */
    void (*writable)(struct stream *s);      /* out is empty again after a short write */
    void (*gone)(struct stream *s, int err); /* ERR_EOF, ERR_RESET, ERR_IO, ERR_CONNECT,
                                                  ERR_CRYPTO, ERR_TOO_BIG (why: tls->failure),
                                                  ERR_NO_MEMORY;
                                                  once; the owner must close */
};

struct stream {
    const struct stream_ops *ops;
    struct loop *loop;
    struct buf in;
    struct buf out;
    struct event read_event;
    struct event *write_event; /* made at the first short write or connect */
    struct tls *tls;           /* NULL: not encrypted */
    int fd;
    uint32_t in_max;
    uint8_t read_blocks; /* offered to the next read: doubles to BUF_READ_BLOCKS, halves to 1 */
    bool reading;        /* the read event is added */
    bool paused;         /* by the owner */
    bool connecting;     /* also while TLS shakes hands */
    bool blocked;        /* waits for the socket to take more */
    bool eof;            /* the peer has closed; `gone` was called */
    uint64_t bytes_in, bytes_out;
};

/* Take over a connected, non-blocking `fd`, of TCP with TCP_NODELAY.  On error the caller still owns fd. */
int stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                size_t in_max) MUST_CHECK;
/* Start connecting; `connected` or `gone` follows in a later turn.  ERR_TOO_BIG: no descriptor left. */
int stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *addr, socklen_t len,
                   const struct stream_ops *ops, size_t in_max) MUST_CHECK;
/* The same, encrypted, by what tls_accept() and tls_connect() (core/tls.h) return: taken over, also on
 * error; NULL is ERR_NO_MEMORY.  `connected` or `gone` follows. */
int stream_open_tls(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                    size_t in_max, struct tls *tls) MUST_CHECK;
int stream_connect_tls(struct stream *s, struct loop *loop, const struct sockaddr *addr,
                       socklen_t len, const struct stream_ops *ops, size_t in_max,
                       struct tls *tls) MUST_CHECK;
/* Remove events, drop buffers, close the descriptor.  Idempotent.  The struct may be freed at the
 * end of the turn (loop_free_later). */
void stream_close(struct stream *s);
/* Close so that the peer sees a reset (SO_LINGER 0): what we sent must not look complete. */
void stream_abort(struct stream *s);
/* No more bytes will be written (FIN), reading goes on.  Only when out is empty. */
void stream_shutdown(struct stream *s);

/* Send what is in `out` now.  0 (also when some waits: see s->blocked) or negative ERR_*: the
 * stream is broken; `gone` is NOT called then, the caller handles the error. */
int stream_flush(struct stream *s) MUST_CHECK;
/* The owner took bytes out of `in`: read on if reading had stopped for that. */
void stream_taken(struct stream *s);
/* Stop and start reading on the owner's wish (a relay whose other side is full). */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);
bool stream_is_open(const struct stream *s);
