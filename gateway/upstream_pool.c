/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream_pool.h"

#include "core/clock.h"
#include "gateway/attempt.h"
#include "gateway/worker.h"

#include <stdlib.h>

/* Response heads and the largest read of a body must fit. */
#define UPSTREAM_IN_MAX_BYTES (BUF_READ_BLOCKS * BUF_BLOCK_BYTES)

static struct loop *loop_of(const struct upstream_conn *conn)
{
    return conn->target->upstream->worker->loop;
}

static struct upstream_conn *conn_of(struct stream *stream)
{
    return (struct upstream_conn *)(void *)((char *)stream -
                                            offsetof(struct upstream_conn, stream));
}

/* A server that speaks or closes on an idle connection: it is of no use any more. */
static void on_readable(struct stream *stream)
{
    struct upstream_conn *conn = conn_of(stream);

    if (conn->attempt == NULL) {
        upstream_conn_close(conn);
        return;
    }
    attempt_readable(conn->attempt);
}

static void on_gone(struct stream *stream, int err)
{
    struct upstream_conn *conn = conn_of(stream);

    if (conn->attempt == NULL) {
        upstream_conn_close(conn);
        return;
    }
    attempt_gone(conn->attempt, err);
}

static void on_connected(struct stream *stream)
{
    attempt_connected(conn_of(stream)->attempt);
}

static void on_writable(struct stream *stream)
{
    struct upstream_conn *conn = conn_of(stream);

    if (conn->attempt != NULL) {
        attempt_writable(conn->attempt);
    }
}

static const struct stream_ops upstream_stream_ops = {
    .connected = on_connected,
    .readable = on_readable,
    .writable = on_writable,
    .gone = on_gone,
};

static void on_timer(struct loop_timer *timer)
{
    struct upstream_conn *conn =
        (struct upstream_conn *)(void *)((char *)timer - offsetof(struct upstream_conn, timer));

    if (conn->attempt == NULL) {
        upstream_conn_close(conn);
        return;
    }
    attempt_late(conn->attempt);
}

static void idle_unlink(struct upstream_conn *conn)
{
    struct upstream_target *target = conn->target;

    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        target->idle = conn->next;
    }
    conn->next = conn->prev = NULL;
    target->idle_count--;
}

/* A reload may have brought other authorities: what was checked by the old ones is not enough. */
static bool is_checked(const struct upstream_conn *conn)
{
    const struct tls_client *tls = conn->target->upstream->config->tls;

    return tls == NULL || conn->stream.tls->client == tls_client_id(tls);
}

struct upstream_conn *upstream_pool_lease(struct upstream_target *target, struct attempt *attempt)
{
    struct upstream_conn *conn;

    while ((conn = target->idle) != NULL && !is_checked(conn)) {
        upstream_conn_close(conn);
    }
    if (conn == NULL) {
        return NULL;
    }
    idle_unlink(conn);
    conn->attempt = attempt;
    return conn;
}

static int start_connecting(struct upstream_conn *conn, const struct sockaddr_storage *addr,
                            socklen_t len)
{
    struct upstream_target *target = conn->target;
    const struct tls_client *tls = target->upstream->config->tls;
    const struct sockaddr *to = (const struct sockaddr *)addr;

    if (tls == NULL) {
        return stream_connect(&conn->stream, loop_of(conn), to, len, &upstream_stream_ops,
                              UPSTREAM_IN_MAX_BYTES);
    }
    return stream_connect_tls(&conn->stream, loop_of(conn), to, len, &upstream_stream_ops,
                              UPSTREAM_IN_MAX_BYTES,
                              tls_connect(tls, target->config->host.ptr, &target->session));
}

/* Idle connections to the other targets must not keep a request from its own. */
static bool close_an_idle_one(struct upstream *upstream)
{
    for (unsigned i = 0; i < upstream->target_count; i++) {
        if (upstream->targets[i].idle != NULL) {
            upstream_conn_close(upstream->targets[i].idle);
            return true;
        }
    }
    return false;
}

struct upstream_conn *upstream_pool_open(struct upstream_target *target, struct attempt *attempt,
                                         const struct sockaddr_storage *addr, socklen_t len,
                                         int *ret_err)
{
    struct upstream *upstream = target->upstream;
    int64_t most = upstream->config->max_connections;

    if (most > 0 && upstream->connections >= (uint64_t)most && !close_an_idle_one(upstream)) {
        *ret_err = ERR_BUSY;
        return NULL;
    }
    struct upstream_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        *ret_err = ERR_NO_MEMORY;
        return NULL;
    }
    conn->target = target;
    conn->attempt = attempt;
    conn->timer.fn = on_timer;
    *ret_err = start_connecting(conn, addr, len);
    if (*ret_err != 0) {
        free(conn);
        return NULL;
    }
    upstream->connections++;
    return conn;
}

int upstream_conn_set_deadline(struct upstream_conn *conn, uint64_t ms)
{
    return loop_timer_set(loop_of(conn), &conn->timer, clock_ms() + ms);
}

static void idle_link(struct upstream_conn *conn)
{
    struct upstream_target *target = conn->target;

    conn->attempt = NULL;
    conn->next = target->idle;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    target->idle = conn;
    target->idle_count++;
}

void upstream_pool_return(struct upstream_conn *conn)
{
    const struct upstream *upstream = conn->target->upstream;

    idle_link(conn);
    if (upstream->worker->state != WORKER_RUNNING ||
        upstream_conn_set_deadline(conn, upstream->config->timeouts.idle) != 0) {
        upstream_conn_close(conn);
    }
}

void upstream_conn_close(struct upstream_conn *conn)
{
    if (conn->attempt == NULL) {
        idle_unlink(conn);
    }
    conn->attempt = NULL;
    stream_close(&conn->stream);
    loop_timer_remove(loop_of(conn), &conn->timer);
    conn->target->upstream->connections--;
    loop_free_later(loop_of(conn), &conn->grave, conn, free);
}

void upstream_pool_clear(struct upstream_target *target)
{
    while (target->idle != NULL) {
        upstream_conn_close(target->idle);
    }
}
