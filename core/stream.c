/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stream.h"

#include "core/tls.h"

#include <event2/event.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define TLS_READ_BYTES 65536u /* at one event */

bool stream_is_open(const struct stream *s)
{
    return s->ops != NULL && s->fd >= 0;
}

/* The last thing that an event callback does: the owner closes `s` inside, and may start it anew. */
static void stream_lost(struct stream *s, int err)
{
    s->eof = true;
    if (s->reading) {
        event_del(&s->read_event);
        s->reading = false;
    }
    /* After a FIN the owner may still send what it has. */
    if (err != ERR_EOF && s->write_event != NULL) {
        event_del(s->write_event);
    }
    s->ops->gone(s, err);
}

/* --- reading --- */

static bool stream_wants_bytes(const struct stream *s)
{
    return !s->paused && !s->connecting && !s->eof && s->in.len < s->in_max;
}

/* What waits has left the socket: no event of it tells.  Only while the event is added: nothing would
 * take an active one out again when the stream is closed. */
static void stream_read_soon(struct stream *s)
{
    if (s->reading) {
        event_active(&s->read_event, EV_READ, 0);
    }
}

/* Start reading.  Stopping is lazy: the event goes when it fires unwanted, so that a short pause
 * costs no system call. */
static int stream_start_reading(struct stream *s)
{
    if (s->reading || !stream_wants_bytes(s)) {
        return 0;
    }
    if (event_add(&s->read_event, NULL) != 0) {
        return ERR_NO_MEMORY;
    }
    s->reading = true;
    if (s->tls != NULL && s->tls->end != 0) {
        stream_read_soon(s);
    }
    return 0;
}

static unsigned stream_blocks_to_read(const struct stream *s)
{
    size_t room = (s->in_max - s->in.len - 1) / BUF_BLOCK_BYTES + 1;

    return room < s->read_blocks ? (unsigned)room : s->read_blocks;
}

/* The bytes of one read, which the owner has seen; 0: the end; or negative ERR_*. */
static ssize_t stream_read(struct stream *s)
{
    bool filled;
    ssize_t n = buf_read_fd(&s->in, s->fd, stream_blocks_to_read(s), &filled);

    if (n <= 0) {
        return n;
    }
    s->bytes_in += (uint64_t)n;
    if (!filled) {
        s->read_blocks = s->read_blocks > 1 ? s->read_blocks / 2 : 1;
    } else if (s->read_blocks < BUF_READ_BLOCKS) {
        s->read_blocks = (uint8_t)(2 * s->read_blocks);
    }
    s->ops->readable(s);
    return n;
}

static void stream_on_read(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = (struct stream *)arg;

    loop_turn_begin(s->loop);
    if (!stream_wants_bytes(s)) {
        event_del(&s->read_event);
        s->reading = false;
        return;
    }

    ssize_t n = stream_read(s);
    if (n <= 0 && n != ERR_BUSY) {
        stream_lost(s, n == 0 ? ERR_EOF : (int)n);
    }
}

static void stream_handshake(struct stream *s);
static int stream_await_write(struct stream *s);

/* One direction of TLS may wait for the other (new keys, tickets that arrive in pieces). */
static void stream_cross(struct stream *s)
{
    if (s->tls->end != 0) {
        stream_read_soon(s);
    }
    if (s->tls->reads_by_write) {
        (void)!stream_await_write(s);
    }
    if (s->tls->writes_by_read && s->write_event != NULL) {
        event_active(s->write_event, EV_WRITE, 0);
    }
}

/* As stream_read(), but the end is ERR_EOF. */
static ssize_t stream_read_tls(struct stream *s)
{
    size_t room = s->in_max - s->in.len;
    ssize_t n = tls_read(s->tls, &s->in, room < TLS_READ_BYTES ? room : TLS_READ_BYTES);

    if (n > 0 || n == ERR_BUSY) {
        stream_cross(s);
    }
    if (n > 0) {
        s->bytes_in += (uint64_t)n;
        s->ops->readable(s);
    }
    return n;
}

static void stream_on_read_tls(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = (struct stream *)arg;

    loop_turn_begin(s->loop);
    if (s->connecting) {
        stream_handshake(s);
        return;
    }
    if (!stream_wants_bytes(s)) {
        event_del(&s->read_event);
        s->reading = false;
        return;
    }

    ssize_t n = stream_read_tls(s);
    if (n < 0 && n != ERR_BUSY) {
        stream_lost(s, (int)n);
    }
}

/* No way to tell the owner when the event cannot be added (no memory in the kernel); its deadlines
 * end the connection then. */
void stream_taken(struct stream *s)
{
    if (stream_is_open(s)) {
        (void)!stream_start_reading(s);
    }
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    stream_taken(s);
}

/* --- writing --- */

/* The handshake of TLS goes on.  Until it is over the stream counts as connecting. */
static void stream_handshake(struct stream *s)
{
    int err = tls_handshake(s->tls);

    if (err == ERR_BUSY) {
        if (s->tls->reads_by_write) {
            err = stream_await_write(s);
        } else if (s->write_event != NULL) {
            event_del(s->write_event);
        }
        if (err == ERR_BUSY || err == 0) {
            return;
        }
    }
    if (err < 0) {
        stream_lost(s, err);
        return;
    }
    s->connecting = false;
    if (s->write_event != NULL) {
        event_del(s->write_event);
    }
    if (tls_has_input(s->tls)) {
        stream_read_soon(s);
    }
    s->ops->connected(s);
}

/* The socket of a client is connected: the first flight. */
static void stream_begin_tls(struct stream *s)
{
    if (event_add(&s->read_event, NULL) != 0) {
        stream_lost(s, ERR_NO_MEMORY);
        return;
    }
    s->reading = true;
    stream_handshake(s);
}

static void stream_on_connect(struct stream *s)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (s->tls != NULL && s->tls->shaking) {
        stream_handshake(s);
        return;
    }
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        stream_lost(s, ERR_CONNECT);
        return;
    }
    if (s->tls != NULL) {
        stream_begin_tls(s);
        return;
    }

    s->connecting = false;
    int err = stream_start_reading(s);
    event_del(s->write_event);
    if (err < 0) {
        stream_lost(s, err);
        return;
    }
    s->ops->connected(s);
}

static ssize_t stream_send(struct stream *s)
{
    return s->tls == NULL ? buf_write_fd(&s->out, s->fd) : tls_write(s->tls, &s->out);
}

/* Only a read of TLS waits for it: true when that was all. */
static bool stream_crosses(struct stream *s)
{
    if (s->tls == NULL || !s->tls->reads_by_write) {
        return false;
    }
    s->tls->reads_by_write = false;
    stream_read_soon(s);
    if (!s->blocked) {
        event_del(s->write_event);
    }
    return !s->blocked;
}

/* What is left of a write of TLS waits for the socket to take bytes, or to have some. */
static void stream_await_again(struct stream *s)
{
    if (s->tls->writes_by_read) {
        event_del(s->write_event);
    } else {
        (void)!stream_await_write(s); /* it is added already, but for a lack of memory */
    }
}

/* A peer that takes no more may have said why before it closed: that is read first. */
static void stream_write_failed(struct stream *s, int err)
{
    event_del(s->write_event);
    while (stream_is_open(s) && stream_wants_bytes(s) &&
           (s->tls == NULL ? stream_read(s) : stream_read_tls(s)) > 0) {
    }
    if (stream_is_open(s)) {
        stream_lost(s, err);
    }
}

static void stream_on_write(evutil_socket_t fd, short what, void *arg)
{
    struct stream *s = (struct stream *)arg;

    loop_turn_begin(s->loop);
    if (s->connecting) {
        stream_on_connect(s);
        return;
    }
    if (stream_crosses(s)) {
        return;
    }

    ssize_t n = stream_send(s);
    if (n < 0 && n != ERR_BUSY) {
        stream_write_failed(s, (int)n);
        return;
    }
    if (s->tls != NULL && s->out.len > 0) {
        stream_await_again(s);
    }
    if (n < 0) {
        return;
    }
    s->bytes_out += (uint64_t)n;
    if (s->out.len == 0) {
        s->blocked = false;
        event_del(s->write_event);
        s->ops->writable(s);
    }
}

/* Persistent until all is sent: one epoll_ctl to start, one to stop. */
static int stream_await_write(struct stream *s)
{
    if (s->write_event == NULL) {
        s->write_event =
            event_new(loop_base(s->loop), s->fd, EV_WRITE | EV_PERSIST, stream_on_write, s);
    }
    if (s->write_event == NULL) {
        return ERR_NO_MEMORY;
    }
    if (s->tls != NULL && s->tls->writes_by_read && !s->tls->reads_by_write) {
        return 0; /* stream_cross() activates it */
    }
    return event_add(s->write_event, NULL) == 0 ? 0 : ERR_NO_MEMORY;
}

int stream_flush(struct stream *s)
{
    if (!stream_is_open(s)) {
        return ERR_CANCELLED;
    }
    if (s->blocked || s->connecting || s->out.len == 0) {
        return 0;
    }

    ssize_t n = stream_send(s);
    if (n < 0 && n != ERR_BUSY) {
        return (int)n;
    }
    s->bytes_out += n > 0 ? (uint64_t)n : 0;
    if (s->out.len == 0) {
        return 0;
    }

    int err = stream_await_write(s);
    s->blocked = err == 0;
    return err;
}

/* --- opening and closing --- */

static void stream_init(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                        size_t in_max, struct tls *tls)
{
    *s = (struct stream){
        .ops = ops,
        .loop = loop,
        .tls = tls,
        .in_max = in_max < UINT32_MAX ? (uint32_t)in_max : UINT32_MAX,
        .fd = fd,
        .read_blocks = 1,
    };
    buf_init(&s->in, loop_pool(loop));
    buf_init(&s->out, loop_pool(loop));
    event_assign(&s->read_event, loop_base(loop), fd, EV_READ | EV_PERSIST,
                 tls == NULL ? stream_on_read : stream_on_read_tls, s);
}

int stream_open(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                size_t in_max)
{
    stream_init(s, loop, fd, ops, in_max, NULL);
    int err = stream_start_reading(s);
    if (err < 0) {
        s->fd = -1;
    }
    return err;
}

int stream_open_tls(struct stream *s, struct loop *loop, int fd, const struct stream_ops *ops,
                    size_t in_max, struct tls *tls)
{
    *s = (struct stream){ .fd = -1 };
    if (tls == NULL) {
        return ERR_NO_MEMORY;
    }
    stream_init(s, loop, fd, ops, in_max, tls);
    tls->fd = fd;
    if (event_add(&s->read_event, NULL) != 0) {
        tls_free(tls);
        *s = (struct stream){ .fd = -1 };
        return ERR_NO_MEMORY;
    }
    s->reading = true;
    s->connecting = true;
    return 0;
}

static int stream_start_connect(struct stream *s, struct loop *loop, const struct sockaddr *addr,
                                socklen_t len, const struct stream_ops *ops, size_t in_max,
                                struct tls *tls)
{
    *s = (struct stream){ .fd = -1 };
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        /* No descriptor for us says nothing about the peer. */
        int err = errno == EMFILE || errno == ENFILE ? ERR_TOO_BIG : ERR_CONNECT;
        tls_free(tls);
        return err;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on unix sockets */

    stream_init(s, loop, fd, ops, in_max, tls);
    s->connecting = true;
    if (tls != NULL) {
        tls->fd = fd;
    }
    if (connect(fd, addr, len) != 0 && errno != EINPROGRESS) {
        stream_close(s);
        return ERR_CONNECT;
    }
    /* Also when connected at once: the owner hears of it in a later turn. */
    int err = stream_await_write(s);
    if (err < 0) {
        stream_close(s);
    }
    return err;
}

int stream_connect(struct stream *s, struct loop *loop, const struct sockaddr *addr, socklen_t len,
                   const struct stream_ops *ops, size_t in_max)
{
    return stream_start_connect(s, loop, addr, len, ops, in_max, NULL);
}

int stream_connect_tls(struct stream *s, struct loop *loop, const struct sockaddr *addr,
                       socklen_t len, const struct stream_ops *ops, size_t in_max, struct tls *tls)
{
    if (tls == NULL) {
        *s = (struct stream){ .fd = -1 };
        return ERR_NO_MEMORY;
    }
    return stream_start_connect(s, loop, addr, len, ops, in_max, tls);
}

static void stream_close_tls(struct stream *s)
{
    if (s->out.len == 0) { /* else something is cut, and must look so */
        tls_send_end(s->tls);
    }
    tls_free(s->tls);
    s->tls = NULL;
}

void stream_close(struct stream *s)
{
    if (!stream_is_open(s)) {
        return;
    }

    if (s->reading) {
        event_del(&s->read_event);
        s->reading = false;
    }
    if (s->write_event != NULL) {
        event_free(s->write_event);
        s->write_event = NULL;
    }
    if (s->tls != NULL) {
        stream_close_tls(s);
    }
    buf_clear(&s->in);
    buf_clear(&s->out);
    close(s->fd);
    s->fd = -1;
    s->blocked = s->connecting = false;
}

void stream_abort(struct stream *s)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (!stream_is_open(s)) {
        return;
    }
    if (s->tls != NULL) {
        s->tls->is_quiet = true;
    }
    (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    stream_close(s);
}

void stream_shutdown(struct stream *s)
{
    if (!stream_is_open(s) || bug_if(s->out.len > 0)) {
        return;
    }
    if (s->tls != NULL) {
        tls_send_end(s->tls);
    }
    (void)shutdown(s->fd, SHUT_WR);
}
