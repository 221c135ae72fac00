/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 downstream: heads and bodies from the connection's input, answers to its output.  One
 * request at a time; what a client sends ahead (pipelining) waits in the input. */
#include "core/clock.h"
#include "core/h1_body.h"
#include "core/h1_parser.h"
#include "core/h1_writer.h"
#include "core/log.h"
#include "gateway/codec.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/request.h"
#include "gateway/worker.h"

#include <stdio.h>

/* Requests that one connection may begin in a millisecond.  Memory of a request is freed at the end of
 * the turn: a client that sends a thousand small ones at once would hold it a thousand times. */
#define REQUESTS_PER_TURN 16u
/* Bytes of a body that may wait in the gateway on their way up. */
#define BODY_PENDING_MAX 65536u

struct h1_exchange { /* wire state of one request: request->codec */
    struct h1_body body;
    bool discarding;    /* what is left of the body is dropped */
    bool continue_sent; /* 100 (Continue) */
    bool chunked;       /* the answer's body is sent in chunks */
    bool until_close;   /* the answer's body ends with the connection */
};

static struct conn *conn_of(struct stream *stream)
{
    return (struct conn *)(void *)((char *)stream - offsetof(struct conn, stream));
}

static const struct config_server *server_of(const struct conn *conn)
{
    return &conn->worker->view->config->server;
}

/* ---- The request's body ---- */

static void body_deadline(struct conn *conn, const struct request *req)
{
    if (req->body.complete || !req->body.wanted || conn->stream.blocked ||
        conn->deadline == CONN_DEADLINE_BODY) {
        return;
    }
    conn_set_deadline(conn, CONN_DEADLINE_BODY, server_of(conn)->timeouts.request_body);
}

static void refuse_body(struct request *req, enum h1_error error)
{
    bool too_large = error == H1_BODY_TOO_LARGE;

    request_refuse(req, too_large ? OUTCOME_BODY_TOO_LARGE : OUTCOME_BAD_REQUEST,
                   h1_error_word(error));
}

/* Take `n` payload bytes from the input.  False: over the limit, or no memory. */
static enum h1_error take_payload(struct conn *conn, struct request *req, size_t n)
{
    struct h1_exchange *exchange = req->codec;

    req->body.received += n;
    if (exchange->discarding) {
        buf_drain(&conn->stream.in, n);
        return H1_OK;
    }
    if (req->body.received > server_of(conn)->limits.body_bytes) {
        return H1_BODY_TOO_LARGE;
    }
    return buf_move(&req->body.pending, &conn->stream.in, n) == 0 ? H1_OK : H1_MEMORY;
}

/* Move what has arrived of the body from the input to the request. */
static enum h1_error read_body(struct conn *conn, struct request *req)
{
    struct h1_exchange *exchange = req->codec;
    struct buf *in = &conn->stream.in;

    while (!req->body.complete && in->len > 0) {
        size_t skip = 0, data = 0;
        enum h1_error error = H1_OK;

        if (req->body.pending.len >= BODY_PENDING_MAX) {
            stream_pause(
                &conn->stream); /* until body_taken(): the server is slow, not the client */
            if (conn->deadline == CONN_DEADLINE_BODY) {
                conn_set_deadline(conn, CONN_DEADLINE_NONE, 0);
            }
            return H1_OK;
        }
        enum parse parse = h1_body_next(&exchange->body, buf_front(in), &skip, &data, &error);
        if (parse == PARSE_BAD) {
            return error;
        }
        buf_drain(in, skip);
        if (data > 0) {
            error = take_payload(conn, req, data);
        }
        if (error != H1_OK) {
            return error;
        }
        req->body.complete = parse == PARSE_DONE;
    }
    return H1_OK;
}

static void feed_body(struct conn *conn)
{
    struct request *req = conn->request;
    enum h1_error error = read_body(conn, req);

    if (error != H1_OK) {
        refuse_body(req, error);
        return;
    }
    if (req->body.complete && conn->deadline == CONN_DEADLINE_BODY) {
        conn_set_deadline(conn, CONN_DEADLINE_NONE, 0);
    }
    stream_taken(&conn->stream);
    request_body_arrived(req);
}

static void send_continue(struct conn *conn, struct request *req)
{
    struct h1_exchange *exchange = req->codec;

    exchange->continue_sent = true;
    if (req->response_started || conn->stream.in.len > 0) {
        return; /* the client did not wait for it */
    }
    if (buf_append(&conn->stream.out, SLICE("HTTP/1.1 100 Continue\r\n\r\n")) != 0 ||
        stream_flush(&conn->stream) != 0) {
        conn_close(conn, CONN_END_ERROR);
    }
}

static void h1_body_taken(struct request *req)
{
    struct conn *conn = req->conn;
    struct h1_exchange *exchange = req->codec;

    if (conn == NULL || req->body.complete) {
        return;
    }
    if (req->head.expect_continue && !exchange->continue_sent) {
        send_continue(conn, req);
        if (!conn_is_open(conn)) {
            return;
        }
    }
    stream_resume(&conn->stream);
    body_deadline(conn, req);
    if (conn_is_open(conn) && conn->stream.in.len > 0) {
        feed_body(conn);
    }
}

/* The answer begins: can the connection be used again?  Only when the body is at its end: what has
 * not been read by now is never taken for a request. */
static bool finish_body(struct conn *conn, struct request *req)
{
    struct h1_exchange *exchange = req->codec;

    if (exchange == NULL) {
        return false; /* the head was not understood */
    }
    if (req->body.complete || req->body.wanted) {
        return req->body.complete;
    }
    exchange->discarding = true;
    bool is_whole = read_body(conn, req) == H1_OK && req->body.complete;

    stream_taken(&conn->stream); /* the input may have been full */
    return is_whole;
}

/* ---- The next head ---- */

static void count_parse_error(struct conn *conn, enum h1_error error)
{
    const struct config *config = conn->worker->view->config;
    char labels[200];

    snprintf(labels, sizeof(labels), "listener=\"%.*s\",reason=\"%s\"",
             SLICE_FMT(config->listeners[conn->listener_index].element.name), h1_error_word(error));
    uint64_t *number =
        metrics_number(conn->worker->metrics, "jwtgate_http_parse_errors_total", labels);
    if (number != NULL) {
        (*number)++;
    }
}

static enum outcome outcome_of(enum h1_error error)
{
    switch (h1_error_status(error)) {
    case 413: return OUTCOME_BODY_TOO_LARGE;
    case 414: return OUTCOME_URI_TOO_LONG;
    case 417: return OUTCOME_EXPECTATION_FAILED;
    case 431: return OUTCOME_HEADERS_TOO_LARGE;
    case 501: return OUTCOME_NOT_IMPLEMENTED;
    case 503: return OUTCOME_OVERLOADED;
    case 505: return OUTCOME_VERSION_NOT_SUPPORTED;
    default: return OUTCOME_BAD_REQUEST;
    }
}

/* Bytes that are not a request: answer why, then close. */
static void refuse_head(struct conn *conn, struct request *req, enum h1_error error)
{
    count_parse_error(conn, error);
    if (req == NULL) {
        req = request_new(conn);
    }
    if (req == NULL) {
        conn_close(conn, CONN_END_ERROR);
        return;
    }
    req->codec = NULL;
    request_refuse(req, outcome_of(error), h1_error_word(error));
}

static enum h1_error parse_head(struct conn *conn, struct request *req, size_t len)
{
    const struct config_limits *limits = &server_of(conn)->limits;
    struct slice front = buf_front(&conn->stream.in);
    char *head = arena_alloc(&req->arena, len);
    struct h1_exchange *exchange = arena_calloc(&req->arena, 1, sizeof(*exchange));

    if (head == NULL || exchange == NULL) {
        return H1_MEMORY;
    }
    memcpy(head, front.ptr, len);
    buf_drain(&conn->stream.in, len);
    req->codec = exchange;
    enum h1_error error = h1_parse_request(head, len, &limits->h1, &req->arena, conn_scheme(conn),
                                           &req->head, &req->parse_detail);
    if (error != H1_OK) {
        return error;
    }
    if (req->head.body == HTTP_BODY_LENGTH && req->head.content_length > limits->body_bytes) {
        return H1_BODY_TOO_LARGE;
    }
    h1_body_init(&exchange->body, req->head.body, req->head.content_length);
    req->body.complete = h1_body_is_done(&exchange->body);
    return H1_OK;
}

static void start_request(struct conn *conn, size_t head_len)
{
    struct request *req = request_new(conn);

    memset(&conn->scan, 0, sizeof(conn->scan));
    if (req == NULL) {
        conn_close(conn, CONN_END_ERROR);
        return;
    }
    if (conn->sm.state == CONN_LAST) {
        sm_move(&conn->sm, CONN_DRAIN, "the last request");
    }
    conn_set_deadline(conn, CONN_DEADLINE_NONE, 0);
    conn->requests++;
    conn->begun++;
    enum h1_error error = parse_head(conn, req, head_len);
    if (error != H1_OK) {
        refuse_head(conn, req, error);
        return;
    }
    stream_taken(&conn->stream);
    request_run(req);
}

/* Heads that do not fit a block are made contiguous; doubling keeps the copying linear. */
static bool scan_all(struct conn *conn, enum parse *ret_parse, size_t *ret_len,
                     enum h1_error *ret_error)
{
    struct buf *in = &conn->stream.in;

    for (;;) {
        struct slice front = buf_front(in);

        *ret_parse =
            h1_scan(&conn->scan, front, &server_of(conn)->limits.h1, true, ret_len, ret_error);
        if (*ret_parse != PARSE_MORE || front.len == in->len) {
            return true;
        }
        if (buf_pullup(in, in->len, in->len * 2) != 0) {
            return false;
        }
    }
}

/* Requests that are answered at once could fill a turn: others, and freeing, have theirs in between. */
static bool has_turn(struct conn *conn)
{
    if (conn->begun_ms != clock_ms()) {
        conn->begun_ms = clock_ms();
        conn->begun = 0;
    }
    if (conn->begun >= REQUESTS_PER_TURN) {
        conn_set_deadline(conn, CONN_DEADLINE_TURN, 1);
        return false;
    }
    return true;
}

/* Try to begin the next request.  False: nothing to do now. */
static bool next_request(struct conn *conn)
{
    enum parse parse = PARSE_MORE;
    enum h1_error error = H1_OK;
    size_t len = 0;

    if (conn->stream.in.len == 0 || !has_turn(conn)) {
        return false;
    }
    if (!scan_all(conn, &parse, &len, &error)) {
        conn_close(conn, CONN_END_ERROR);
        return false;
    }
    if (parse == PARSE_MORE) {
        if (conn->deadline != CONN_DEADLINE_HEAD) {
            conn_set_deadline(conn, CONN_DEADLINE_HEAD, server_of(conn)->timeouts.request_header);
        }
        return false;
    }
    if (parse == PARSE_BAD) {
        refuse_head(conn, NULL, error);
        return true;
    }
    start_request(conn, len);
    return true;
}

static bool may_begin(const struct conn *conn)
{
    return conn->sm.state <= CONN_LAST && conn->request == NULL;
}

static void h1_next(struct conn *conn)
{
    if (conn->running) {
        return; /* the loop below goes on by itself */
    }
    conn->running = true;
    while (may_begin(conn) && next_request(conn)) {
    }
    conn->running = false;
}

static void h1_open(struct conn *conn)
{
    conn_set_deadline(conn, CONN_DEADLINE_HEAD, server_of(conn)->timeouts.request_header);
}

static void h1_head_late(struct conn *conn)
{
    if (conn->stream.in.len == 0) {
        conn_close(conn, CONN_END_IDLE);
        return;
    }
    struct request *req = request_new(conn);
    if (req == NULL) {
        conn_close(conn, CONN_END_ERROR);
        return;
    }
    request_refuse(req, OUTCOME_REQUEST_TIMEOUT, "head_timeout");
}

/* ---- The answer ---- */

static bool stays_open(struct conn *conn, const struct request *req, bool body_done)
{
    int64_t most = server_of(conn)->limits.requests_per_connection;

    return body_done && req->head.keep_alive && conn->sm.state == CONN_OPEN &&
           (most == 0 || conn->requests < most) &&
           !__atomic_load_n(&conn->worker->gateway->leaving, __ATOMIC_RELAXED);
}

static int h1_send_interim(struct request *req, const struct http_response *res)
{
    const struct h1_status_line line = { .status = res->status, .minor = 1, .keep_alive = true };

    if (req->conn == NULL || req->head.minor == 0) {
        return 0;
    }
    return h1_write_response(&req->conn->stream.out, &line, &res->headers, HTTP_BODY_NONE, 0);
}

/* What the head says of a body that is not sent: to HEAD, and in a 304. */
static enum http_body announced_body(const struct http_response *res, bool head_only)
{
    if (res->body != HTTP_BODY_NONE || !(head_only || res->status == 304)) {
        return res->body;
    }
    if (headers_count_id(&res->headers, HEADER_TRANSFER_ENCODING) > 0) {
        return HTTP_BODY_CHUNKED;
    }
    return headers_count_id(&res->headers, HEADER_CONTENT_LENGTH) > 0 ? HTTP_BODY_LENGTH
                                                                      : HTTP_BODY_NONE;
}

static int h1_send_head(struct request *req, const struct http_response *res, bool end)
{
    struct conn *conn = req->conn;
    struct h1_exchange *exchange = req->codec;
    bool head_only = req->head.method == HTTP_HEAD;
    enum http_body body = announced_body(res, head_only);

    if (body == HTTP_BODY_CHUNKED || body == HTTP_BODY_CLOSE) {
        body = req->head.minor == 0 ? HTTP_BODY_CLOSE : HTTP_BODY_CHUNKED;
    }
    conn->keep_alive =
        stays_open(conn, req, finish_body(conn, req)) && (body != HTTP_BODY_CLOSE || head_only);
    if (exchange != NULL) {
        exchange->chunked = body == HTTP_BODY_CHUNKED && !end;
        exchange->until_close = body == HTTP_BODY_CLOSE && !end;
    }
    const struct h1_status_line line = { .status = res->status,
                                         .minor = req->head.minor,
                                         .keep_alive = conn->keep_alive,
                                         .head_only = head_only };
    req->response_ended = end;
    return h1_write_response(&conn->stream.out, &line, &res->headers, body, res->content_length);
}

static int h1_send_body(struct request *req, struct buf *from, size_t n, bool end)
{
    struct buf *out = &req->conn->stream.out;
    const struct h1_exchange *exchange = req->codec;
    bool chunked = exchange != NULL && exchange->chunked;
    int err = 0;

    if (n > 0 && chunked) {
        err = h1_write_chunk_start(out, n);
    }
    if (err == 0 && n > 0) {
        err = buf_move(out, from, n);
    }
    if (err == 0 && n > 0 && chunked) {
        err = h1_write_chunk_end(out);
    }
    if (err == 0 && end && chunked) {
        err = h1_write_last_chunk(out);
    }
    if (err == 0) {
        req->response_ended = end;
    }
    return err;
}

static void finish_answer(struct conn *conn)
{
    struct request *req = conn->request;

    conn->request = NULL;
    if (conn->keep_alive) {
        conn_await_next(conn);
    } else {
        conn_linger(conn);
    }
    request_response_sent(req);
    if (conn_is_open(conn)) {
        h1_next(conn);
    }
}

static int h1_flush(struct request *req)
{
    struct conn *conn = req->conn;
    int err = stream_flush(&conn->stream);

    if (err != 0) {
        return err;
    }
    if (conn->stream.blocked) {
        if (conn->deadline != CONN_DEADLINE_WRITE) {
            conn_set_deadline(conn, CONN_DEADLINE_WRITE, server_of(conn)->timeouts.write);
        }
        return 0;
    }
    if (req->response_ended) {
        finish_answer(conn);
    }
    return 0;
}

static size_t h1_unsent(const struct request *req)
{
    return req->conn->stream.out.len;
}

static void h1_reset(struct request *req)
{
    struct conn *conn = req->conn;
    const struct h1_exchange *exchange = req->codec;

    conn->request = NULL;
    if (exchange != NULL && exchange->until_close) {
        stream_abort(&conn->stream); /* a plain close would look like the end of the body */
    } else {
        (void)!stream_flush(&conn->stream); /* what came so far; the missing end shows the cut */
    }
    conn_close(conn, CONN_END_ERROR);
}

/* ---- Events of the socket ---- */

static void on_readable(struct stream *stream)
{
    struct conn *conn = conn_of(stream);

    if (conn->sm.state == CONN_LINGER) {
        buf_clear(&stream->in);
        stream_taken(stream);
    } else if (conn->request == NULL) {
        h1_next(conn);
    } else if (conn->request->body.wanted && !conn->request->body.complete) {
        feed_body(conn);
    }
}

static void on_writable(struct stream *stream)
{
    struct conn *conn = conn_of(stream);
    struct request *req = conn->request;

    if (conn->deadline == CONN_DEADLINE_WRITE) {
        conn_set_deadline(conn, CONN_DEADLINE_NONE, 0);
    }
    if (req == NULL || !conn_is_open(conn)) {
        return;
    }
    if (req->response_ended) {
        finish_answer(conn);
        return;
    }
    body_deadline(conn, req);
    request_writable(req);
}

static void on_gone(struct stream *stream, int err)
{
    enum conn_end why = err == ERR_EOF ? CONN_END_CLIENT : CONN_END_ERROR;

    conn_close(conn_of(stream), err == ERR_TOO_BIG ? CONN_END_LIMIT : why);
}

static const struct stream_ops h1_stream_ops = {
    .readable = on_readable,
    .writable = on_writable,
    .gone = on_gone,
};

const struct codec_ops codec_h1 = {
    .name = "HTTP/1.1",
    .stream_ops = &h1_stream_ops,
    .open = h1_open,
    .next = h1_next,
    .send_interim = h1_send_interim,
    .send_head = h1_send_head,
    .send_body = h1_send_body,
    .flush = h1_flush,
    .unsent = h1_unsent,
    .body_taken = h1_body_taken,
    .head_late = h1_head_late,
    .reset = h1_reset,
};
