/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/conn.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/tls.h"
#include "gateway/codec.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/peers.h"
#include "gateway/request.h"
#include "gateway/worker.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONN_MIN_INPUT_BYTES 65536u
#define CONN_LINGER_MS       2000u
#define CONN_CROWDED_MS      1000u
#define CONN_LAST_MS         1000u /* a drain: for a request that may be on its way */

/* An idle connection costs this and little else: 448 bytes with malloc's own 8. */
static_assert(sizeof(struct conn) <= 440, "an idle connection must stay under 512 bytes in all");

#define TO(s) SM_BIT(CONN_##s)
static const struct sm_state conn_states[] = {
    [CONN_OPEN] = { "open", TO(LAST) | TO(DRAIN) | TO(LINGER) | TO(CLOSED) },
    [CONN_LAST] = { "last", TO(DRAIN) | TO(LINGER) | TO(CLOSED) },
    [CONN_DRAIN] = { "drain", TO(LINGER) | TO(CLOSED) },
    [CONN_LINGER] = { "linger", TO(CLOSED) },
    [CONN_CLOSED] = { "closed", 0 },
};
#undef TO

static const char *const conn_end_words[] = {
#define X(name, word) [CONN_END_##name] = word,
    CONN_END_TABLE(X)
#undef X
};

static void conn_on_timer(struct loop_timer *timer);

static void conn_store_peer(struct conn *conn, const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

        memcpy(conn->peer, &in6->sin6_addr, 16);
        conn->peer_port = ntohs(in6->sin6_port);
    } else if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)addr;

        conn->peer[10] = conn->peer[11] = 0xff;
        memcpy(conn->peer + 12, &in4->sin_addr, 4);
        conn->peer_port = ntohs(in4->sin_port);
    }
}

static void conn_count(const struct conn *conn, const char *family, const char *reason)
{
    const struct config *config = conn->worker->view->config;
    const struct config_listener *listener = &config->listeners[conn->listener_index];
    char labels[160];

    if (reason == NULL) {
        snprintf(labels, sizeof(labels), "listener=\"%.*s\"", SLICE_FMT(listener->element.name));
    } else {
        snprintf(labels, sizeof(labels), "listener=\"%.*s\",reason=\"%s\"",
                 SLICE_FMT(listener->element.name), reason);
    }
    uint64_t *number = metrics_number(conn->worker->metrics, family, labels);
    if (number != NULL) {
        (*number)++;
    }
}

static void conn_link(struct conn *conn)
{
    struct worker *worker = conn->worker;

    conn->next = worker->conns;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    worker->conns = conn;
    worker->conn_count++;
}

static void conn_unlink(struct conn *conn)
{
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        conn->worker->conns = conn->next;
    }
    conn->worker->conn_count--;
}

/* ---- TLS ---- */

/* How a handshake ended; once for each connection. */
static void count_handshake(const struct conn *conn, const char *result)
{
    const struct config *config = conn->worker->view->config;
    const struct tls *tls = conn->stream.tls;
    struct metrics *metrics = conn->worker->metrics;
    char labels[METRICS_LABELS_BYTES] = "";
    size_t len = 0;

    metrics_label_add(labels, &len, "listener",
                      config->listeners[conn->listener_index].element.name);
    metrics_label_add(labels, &len, "result", slice_str(result));
    metrics_label_add(labels, &len, "version", slice_str(tls->is_up ? tls_version(tls) : "-"));
    metrics_label_add(labels, &len, "resumed",
                      tls->is_up && tls_is_resumed(tls) ? SLICE("true") : SLICE("false"));
    uint64_t *number = metrics_number(metrics, "jwtgate_tls_handshakes_total", labels);
    struct gw_histogram *duration =
        metrics_histogram(metrics, "jwtgate_tls_handshake_duration_seconds", labels);

    if (number != NULL) {
        (*number)++;
    }
    if (duration != NULL) {
        metrics_histogram_add_us(duration, (clock_precise_ns() - tls->start_ns) / 1000);
    }
}

static struct conn *conn_of(struct stream *stream)
{
    return (struct conn *)(void *)((char *)stream - offsetof(struct conn, stream));
}

/* How long the handshake may take.  When half of those that may be under way are, silent clients must
 * not keep the others waiting for long. */
static uint64_t handshake_ms(const struct worker *worker)
{
    const struct config_server *server = &worker->view->config->server;
    uint64_t ms = server->timeouts.tls_handshake;
    bool is_crowded = 2 * (int64_t)worker->handshakes > server->limits.tls_handshakes;

    return is_crowded && ms > CONN_CROWDED_MS ? CONN_CROWDED_MS : ms;
}

static void on_secured(struct stream *stream)
{
    struct conn *conn = conn_of(stream);

    count_handshake(conn, "ok");
    listeners_handshake_ended(conn->worker);
    stream->ops = conn->codec->stream_ops;
    conn->codec->open(conn);
}

/* Someone has typed http:// with the port of https://. */
static void tell_plain_client(const struct conn *conn)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
                                 "Content-Type: text/plain\r\nContent-Length: 23\r\n\r\n"
                                 "This port speaks https\n";

    (void)!send(conn->stream.fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void on_handshake_failed(struct stream *stream, int err)
{
    struct conn *conn = conn_of(stream);
    const char *failure = stream->tls->failure;

    count_handshake(conn, failure != NULL ? failure : "client_gone");
    if (tls_got_http(stream->tls)) {
        tell_plain_client(conn);
    }
    conn_close(conn, err == ERR_EOF ? CONN_END_CLIENT : CONN_END_ERROR);
}

/* Until the handshake is over; then the codec's take its place. */
static const struct stream_ops handshake_ops = {
    .connected = on_secured,
    .gone = on_handshake_failed,
};

/* ---- */

static size_t conn_input_bytes(const struct worker *worker)
{
    size_t bytes = worker->view->config->server.limits.header_bytes + BUF_BLOCK_BYTES;

    return bytes > CONN_MIN_INPUT_BYTES ? bytes : CONN_MIN_INPUT_BYTES;
}

static int conn_open_stream(struct conn *conn, int fd, struct tls_server *tls)
{
    struct worker *worker = conn->worker;
    size_t in_max = conn_input_bytes(worker);

    if (tls == NULL) {
        return stream_open(&conn->stream, worker->loop, fd, conn->codec->stream_ops, in_max);
    }
    return stream_open_tls(&conn->stream, worker->loop, fd, &handshake_ops, in_max,
                           tls_accept(tls));
}

void conn_reload(struct conn *conn)
{
    conn->stream.in_max = conn_input_bytes(conn->worker);
}

struct conn *conn_new(struct worker *worker, const struct config_listener *listener, int fd,
                      const struct sockaddr *addr)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn->worker = worker;
    conn->listener_index = (uint8_t)listener->index;
    conn->codec = &codec_h1;
    conn->timer.fn = conn_on_timer;
    sm_init(&conn->sm, conn_states, CONN_OPEN);
    conn_store_peer(conn, addr);
    if (conn_open_stream(conn, fd, listener->tls) != 0) {
        close(fd);
        free(conn);
        return NULL;
    }
    conn_link(conn);
    conn_count(conn, "jwtgate_connections_accepted_total", NULL);
    if (conn->stream.tls == NULL) {
        conn->codec->open(conn);
    } else {
        worker->handshakes++;
        conn_set_deadline(conn, CONN_DEADLINE_HANDSHAKE, handshake_ms(worker));
    }
    return conn;
}

void conn_close(struct conn *conn, enum conn_end why)
{
    struct worker *worker = conn->worker;
    struct request *req = conn->request;

    if (!conn_is_open(conn)) {
        return;
    }
    sm_move(&conn->sm, CONN_CLOSED, conn_end_words[why]);
    if (conn->stream.tls != NULL && !conn->stream.tls->is_up) {
        listeners_handshake_ended(worker);
    }
    stream_close(&conn->stream);
    loop_timer_remove(worker->loop, &conn->timer);
    conn_count(conn, "jwtgate_connections_closed_total", conn_end_words[why]);
    conn_unlink(conn);
    loop_free_later(worker->loop, &conn->grave, conn, free);
    if (req != NULL) {
        conn->request = NULL;
        request_client_gone(req);
    }
    peers_leave(worker, conn->peer);
    worker_conn_gone(worker);
}

void conn_linger(struct conn *conn)
{
    sm_move(&conn->sm, CONN_LINGER, "last answer sent");
    stream_shutdown(&conn->stream);
    buf_clear(&conn->stream.in);
    stream_resume(&conn->stream);
    stream_taken(&conn->stream);
    conn_set_deadline(conn, CONN_DEADLINE_LINGER, CONN_LINGER_MS);
}

void conn_drain(struct conn *conn)
{
    bool is_silent = conn->stream.in.len == 0 && (conn->deadline == CONN_DEADLINE_KEEP_ALIVE ||
                                                  conn->deadline == CONN_DEADLINE_HEAD);

    if (conn->sm.state != CONN_OPEN) {
        return;
    }
    if (conn->request != NULL && !(conn->request->response_started && conn->keep_alive)) {
        sm_move(&conn->sm, CONN_DRAIN, "the worker drains");
        return;
    }
    sm_move(&conn->sm, CONN_LAST, "the worker drains");
    if (is_silent) {
        conn_await_next(conn);
    }
}

void conn_await_next(struct conn *conn)
{
    conn_set_deadline(conn, CONN_DEADLINE_KEEP_ALIVE,
                      conn->sm.state == CONN_LAST
                          ? CONN_LAST_MS
                          : conn->worker->view->config->server.timeouts.keep_alive);
}

/* Of the direction that the deadline is about: who sends without reading does not take the answer. */
static uint64_t bytes_awaited(const struct conn *conn)
{
    return conn->deadline == CONN_DEADLINE_WRITE ? conn->stream.bytes_out : conn->stream.bytes_in;
}

void conn_set_deadline(struct conn *conn, enum conn_deadline deadline, uint64_t ms)
{
    conn->deadline = (uint8_t)deadline;
    if (deadline == CONN_DEADLINE_NONE) {
        loop_timer_clear(&conn->timer);
        return;
    }
    conn->progress = bytes_awaited(conn);
    if (loop_timer_set(conn->worker->loop, &conn->timer, clock_ms() + ms) != 0) {
        conn_close(conn, CONN_END_ERROR);
    }
}

/* The client sent, or took, what was awaited since the deadline was set: it is slow, not gone. */
static bool conn_made_progress(const struct conn *conn, uint64_t least_bytes)
{
    return bytes_awaited(conn) - conn->progress >= least_bytes;
}

static void conn_on_timer(struct loop_timer *timer)
{
    struct conn *conn = (struct conn *)(void *)((char *)timer - offsetof(struct conn, timer));
    const struct config_timeouts *timeouts = &conn->worker->view->config->server.timeouts;
    uint64_t least_body = CODEC_BODY_MIN_BYTES_PER_S * timeouts->request_body / 1000;

    switch ((enum conn_deadline)conn->deadline) {
    case CONN_DEADLINE_NONE: return;
    case CONN_DEADLINE_KEEP_ALIVE:
        conn_close(conn, conn->sm.state == CONN_LAST ? CONN_END_DRAIN : CONN_END_IDLE);
        return;
    case CONN_DEADLINE_LINGER: conn_close(conn, CONN_END_DONE); return;
    case CONN_DEADLINE_HEAD: conn->codec->head_late(conn); return;
    case CONN_DEADLINE_HANDSHAKE:
        count_handshake(conn, "timeout");
        conn_close(conn, CONN_END_IDLE);
        return;
    case CONN_DEADLINE_TURN: conn->codec->next(conn); return;
    case CONN_DEADLINE_BODY:
        if (conn_made_progress(conn, least_body)) {
            conn_set_deadline(conn, CONN_DEADLINE_BODY, timeouts->request_body);
            return;
        }
        if (conn->request->response_started) { /* let the answer end, but take no more for it */
            stream_pause(&conn->stream);
            conn_set_deadline(conn, CONN_DEADLINE_NONE, 0);
            return;
        }
        request_refuse(conn->request, OUTCOME_REQUEST_TIMEOUT, "body_timeout");
        return;
    case CONN_DEADLINE_WRITE:
        if (conn_made_progress(conn, 1)) {
            conn_set_deadline(conn, CONN_DEADLINE_WRITE, timeouts->write);
            return;
        }
        stream_abort(&conn->stream);
        conn_close(conn, CONN_END_ERROR);
        return;
    }
}

static size_t format_ipv4(const uint8_t *bytes, char *ret)
{
    char *p = ret;

    for (unsigned i = 0; i < 4; i++) {
        unsigned v = bytes[i];

        if (v >= 100) {
            *p++ = (char)('0' + v / 100);
        }
        if (v >= 10) {
            *p++ = (char)('0' + v / 10 % 10);
        }
        *p++ = (char)('0' + v % 10);
        *p++ = '.';
    }
    p[-1] = '\0';
    return (size_t)(p - ret) - 1;
}

size_t conn_peer_text(const struct conn *conn, char *ret)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    if (memcmp(conn->peer, mapped, sizeof(mapped)) == 0) {
        return format_ipv4(conn->peer + 12, ret);
    }
    if (memcmp(conn->peer, (const uint8_t[16]){ 0 }, sizeof(conn->peer)) == 0) {
        memcpy(ret, "unix", sizeof("unix"));
        return sizeof("unix") - 1;
    }
    if (inet_ntop(AF_INET6, conn->peer, ret, INET6_ADDRSTRLEN) == NULL) {
        ret[0] = '\0';
    }
    return strlen(ret);
}
