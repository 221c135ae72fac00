/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/relay.h"

#include "core/h1_writer.h"
#include "gateway/codec.h"
#include "gateway/conn.h"
#include "gateway/metrics.h"
#include "gateway/upstream_pool.h"
#include "gateway/worker.h"

/* Unsent bytes of one direction at which its source is stopped. */
#define RELAY_UNSENT_MAX 65536u

/* The server must go on with what it has; while it is the client that we wait for, the client's own deadline
 * runs. */
static void set_deadline(struct attempt *attempt, bool waits_for_client)
{
    if (waits_for_client) {
        loop_timer_clear(&attempt->conn->timer);
    } else if (upstream_conn_set_deadline(attempt->conn,
                                          attempt->req->route->response_timeout_ms) != 0) {
        attempt_fail(attempt, OUTCOME_OVERLOADED, "no_memory");
    }
}

/* ---- Up ---- */

static int write_body_piece(struct attempt *attempt, struct buf *out, size_t n)
{
    struct request *req = attempt->req;
    bool chunked = req->head.body == HTTP_BODY_CHUNKED;
    int err = chunked ? h1_write_chunk_start(out, n) : 0;

    if (err == 0) {
        err = buf_move(out, &req->body.pending, n);
    }
    if (err == 0 && chunked) {
        err = h1_write_chunk_end(out);
    }
    return err;
}

int relay_write_body(struct attempt *attempt)
{
    struct request *req = attempt->req;
    struct buf *out = &attempt->conn->stream.out;
    int err = 0;

    if (req->body.pending.len > 0) {
        attempt->body_spent = true;
        err = write_body_piece(attempt, out, req->body.pending.len);
    }
    if (err == 0 && req->body.complete) {
        attempt->request_sent = true;
        if (req->head.body == HTTP_BODY_CHUNKED) {
            err = h1_write_last_chunk(out);
        }
    }
    return err;
}

/* For more of the body, or that it takes the answer.  Once that has begun, the server that says no more
 * has a deadline whatever the client still sends: the client's own lets such an answer end. */
static bool waits_for_client(const struct attempt *attempt)
{
    const struct request *req = attempt->req;

    if (req->response_started) {
        return req->conn != NULL && req->conn->stream.blocked;
    }
    return !attempt->request_sent && attempt->conn->stream.out.len == 0;
}

static void flush_up(struct attempt *attempt)
{
    struct request *req = attempt->req;
    struct stream *stream = &attempt->conn->stream;

    if (stream_flush(stream) != 0) {
        attempt->send_failed = true; /* an answer, or the end, will arrive by reading */
    }
    set_deadline(attempt, waits_for_client(attempt));
    if (!attempt->request_sent && req->conn != NULL && stream->out.len < RELAY_UNSENT_MAX) {
        req->conn->codec->body_taken(req);
    }
}

void relay_begin_up(struct attempt *attempt)
{
    struct request *req = attempt->req;

    if (!attempt->request_sent && req->conn != NULL) {
        req->conn->codec->body_taken(req); /* what is there comes by relay_up() */
    }
    if (attempt->conn != NULL) { /* else the body was refused */
        flush_up(attempt);
    }
}

void relay_up(struct attempt *attempt)
{
    if (attempt->conn == NULL || attempt->request_sent || attempt->send_failed ||
        attempt->conn->stream.out.len >= RELAY_UNSENT_MAX) {
        return;
    }
    if (relay_write_body(attempt) != 0) {
        attempt_fail(attempt, OUTCOME_OVERLOADED, "no_memory");
        return;
    }
    flush_up(attempt);
}

/* ---- Down ---- */

static void finish(struct attempt *attempt)
{
    sm_move(&attempt->sm, ATTEMPT_DONE, "response complete");
    metrics_count_attempt(attempt->req->worker->metrics, attempt->req, NULL);
}

static void relay_failed(struct attempt *attempt, int err)
{
    struct request *req = attempt->req;

    if (err == ERR_NO_MEMORY) {
        request_fail(req, OUTCOME_OVERLOADED, "no_memory"); /* the attempt itself may be over */
    } else if (req->conn != NULL) {
        conn_close(req->conn, CONN_END_ERROR);
    }
}

/* Move what has arrived; stops when the client does not keep up. */
static int relay_pieces(struct attempt *attempt)
{
    struct request *req = attempt->req;
    struct buf *in = &attempt->conn->stream.in;

    while (in->len > 0 && attempt->sm.state == ATTEMPT_BODY && !h1_body_is_done(&attempt->body)) {
        size_t skip = 0, data = 0;
        enum h1_error error = H1_OK;

        if (req->conn->codec->unsent(req) >= RELAY_UNSENT_MAX && req->conn->stream.blocked) {
            return 0;
        }
        enum parse parse = h1_body_next(&attempt->body, buf_front(in), &skip, &data, &error);
        if (parse == PARSE_BAD) {
            attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, h1_error_word(error));
            return 0;
        }
        buf_drain(in, skip);
        req->response_bytes += data;
        if (parse == PARSE_DONE) {
            finish(attempt);
        }
        int err = data == 0 && parse != PARSE_DONE
                      ? 0
                      : req->conn->codec->send_body(req, in, data, parse == PARSE_DONE);
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* The server has closed: that is the end of a body that says so (true), else the answer is cut. */
static bool end_at_close(struct attempt *attempt)
{
    if (attempt->end == 0 || attempt->sm.state != ATTEMPT_BODY ||
        attempt->conn->stream.in.len > 0) {
        return false;
    }
    if (attempt->body.kind != HTTP_BODY_CLOSE || attempt->end != ERR_EOF) {
        attempt_fail(attempt, OUTCOME_UPSTREAM_RESET, "response_cut");
        return false;
    }
    finish(attempt);
    return true;
}

static int finish_at_close(struct attempt *attempt)
{
    struct request *req = attempt->req;

    return end_at_close(attempt)
               ? req->conn->codec->send_body(req, &attempt->conn->stream.in, 0, true)
               : 0;
}

static void pace(struct attempt *attempt)
{
    struct request *req = attempt->req;

    if (attempt->conn == NULL || attempt->sm.state != ATTEMPT_BODY || req->conn == NULL) {
        return;
    }
    if (req->conn->stream.blocked) {
        stream_pause(&attempt->conn->stream);
    } else {
        stream_resume(&attempt->conn->stream);
    }
    set_deadline(attempt, req->conn->stream.blocked);
}

void relay_hold(struct attempt *attempt)
{
    stream_pause(&attempt->conn->stream);
    loop_timer_clear(&attempt->conn->timer);
}

static void keep_pieces(struct attempt *attempt, struct response_body *kept)
{
    struct buf *in = &attempt->conn->stream.in;

    while (in->len > 0 && attempt->sm.state == ATTEMPT_BODY && kept->data.len <= kept->max_bytes) {
        size_t skip = 0, data = 0;
        enum h1_error error = H1_OK;
        enum parse parse = h1_body_next(&attempt->body, buf_front(in), &skip, &data, &error);

        if (parse == PARSE_BAD) {
            attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, h1_error_word(error));
            return;
        }
        buf_drain(in, skip);
        if (buf_move(&kept->data, in, data) != 0) {
            attempt_fail(attempt, OUTCOME_OVERLOADED, "no_memory");
            return;
        }
        if (parse == PARSE_DONE) {
            finish(attempt);
        }
    }
}

void relay_keep(struct attempt *attempt)
{
    struct response_body *kept = attempt->req->kept_body;

    stream_resume(&attempt->conn->stream);
    if (h1_body_is_done(&attempt->body)) {
        finish(attempt);
    }
    keep_pieces(attempt, kept);
    if (attempt->sm.state == ATTEMPT_BODY && kept->data.len <= kept->max_bytes) {
        end_at_close(attempt);
    }
    if (attempt->sm.state == ATTEMPT_DONE) {
        kept->complete = true;
        attempt_end(attempt);
    } else if (attempt->sm.state == ATTEMPT_BODY) {
        set_deadline(attempt, false);
    }
}

void relay_down(struct attempt *attempt)
{
    struct request *req = attempt->req;

    if (attempt->sm.state != ATTEMPT_BODY || req->conn == NULL) {
        return;
    }
    if (h1_body_is_done(&attempt->body)) { /* none, or of length 0: the head was its end */
        finish(attempt);
    }
    int err = relay_pieces(attempt);
    if (err == 0 && req->conn != NULL) {
        err = finish_at_close(attempt);
    }
    if (err == 0 && attempt->sm.state == ATTEMPT_DONE) {
        attempt_end(attempt); /* the client's next request begins inside flush() and may use it */
    }
    if (err == 0 && req->conn != NULL && attempt->sm.state != ATTEMPT_FAILED) {
        err = req->conn->codec->flush(req);
    }
    if (err != 0) {
        relay_failed(attempt, err);
        return;
    }
    pace(attempt);
}
