/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/attempt.h"

#include "core/clock.h"
#include "gateway/codec.h"
#include "gateway/conn.h"
#include "gateway/forward.h"
#include "gateway/metrics.h"
#include "gateway/relay.h"
#include "gateway/upstream_pool.h"
#include "gateway/worker.h"

#define INTERIM_MAX 16u
/* Addresses of one name that a request waits for in turn. */
#define ADDRESSES_MAX 4u

#define TO(s)         SM_BIT(ATTEMPT_##s)
static const struct sm_state attempt_states[] = {
    [ATTEMPT_RESOLVE] = { "resolve", TO(CONNECT) | TO(HEAD) | TO(FAILED) },
    [ATTEMPT_CONNECT] = { "connect", TO(CONNECT) | TO(HEAD) | TO(FAILED) },
    [ATTEMPT_HEAD] = { "head", TO(BODY) | TO(FAILED) },
    [ATTEMPT_BODY] = { "body", TO(DONE) | TO(FAILED) },
    [ATTEMPT_DONE] = { "done", 0 },
    [ATTEMPT_FAILED] = { "failed", 0 },
};
#undef TO

static const struct config_upstream *config_of(const struct attempt *attempt)
{
    return attempt->target->upstream->config;
}

static bool is_over(const struct attempt *attempt)
{
    return attempt->sm.state == ATTEMPT_DONE || attempt->sm.state == ATTEMPT_FAILED;
}

static void drop_connection(struct attempt *attempt)
{
    if (attempt->conn != NULL) {
        upstream_conn_close(attempt->conn);
        attempt->conn = NULL;
    }
}

void attempt_fail(struct attempt *attempt, enum outcome outcome, const char *reason)
{
    static const char *const words[OUTCOMES] = {
        [OUTCOME_UPSTREAM_CONNECT_FAILED] = "connect_failed",
        [OUTCOME_UPSTREAM_TIMEOUT] = "timeout",
        [OUTCOME_UPSTREAM_RESET] = "reset",
        [OUTCOME_UPSTREAM_PROTOCOL_ERROR] = "protocol",
    };

    if (is_over(attempt)) {
        return;
    }
    sm_move(&attempt->sm, ATTEMPT_FAILED, reason);
    attempt->failure = outcome;
    attempt->reason = reason;
    drop_connection(attempt);
    if (words[outcome] != NULL) {
        metrics_count_attempt(attempt->req->worker->metrics, attempt->req, words[outcome]);
    }
    request_run(attempt->req);
}

bool attempt_may_retry(const struct attempt *attempt)
{
    const struct request *req = attempt->req;

    if (attempt->response_seen || attempt->body_spent) {
        return false;
    }
    if (attempt->failure == OUTCOME_UPSTREAM_CONNECT_FAILED) { /* nothing was sent */
        return req->tries < attempt->target->upstream->target_count;
    }
    if ((int64_t)req->tries > config_of(attempt)->retries) {
        return false;
    }
    /* The server closed a kept connection under our feet: only what may be done twice. */
    return attempt->failure == OUTCOME_UPSTREAM_RESET && attempt->reused &&
           http_method_is_idempotent(req->head.method);
}

/* ---- Sending the request ---- */

static void send_request(struct attempt *attempt)
{
    struct request *req = attempt->req;
    struct upstream_conn *conn = attempt->conn;

    sm_move(&attempt->sm, ATTEMPT_HEAD, "connected");
    int err = forward_write(req, &conn->stream.out);
    if (err == 0) {
        err = relay_write_body(attempt);
    }
    if (err != 0) {
        attempt_fail(attempt, err == ERR_BAD_INPUT ? OUTCOME_INTERNAL_ERROR : OUTCOME_OVERLOADED,
                     err_text(err));
        return;
    }
    conn->requests++;
    req->sent_ns = clock_precise_ns();
    req->body.wanted = !req->body.complete;
    relay_begin_up(attempt);
}

void attempt_connected(struct attempt *attempt)
{
    upstream_target_worked(attempt->target);
    send_request(attempt);
}

static void start_connect(struct attempt *attempt);

/* On to the name's next address ("localhost" is often ::1 and 127.0.0.1), else to the next target. */
static void connect_failed(struct attempt *attempt, const char *reason)
{
    drop_connection(attempt);
    if (++attempt->addresses_failed < attempt->target->address_count &&
        attempt->addresses_failed < ADDRESSES_MAX) {
        start_connect(attempt);
        return;
    }
    upstream_target_failed(attempt->target);
    attempt_fail(attempt, OUTCOME_UPSTREAM_CONNECT_FAILED, reason);
}

static void start_connect(struct attempt *attempt)
{
    struct sockaddr_storage addr;
    socklen_t len = 0;
    int err = 0;

    if (!upstream_address(attempt->target, &addr, &len, &err)) {
        if (err != 0) {
            attempt_fail(attempt, OUTCOME_OVERLOADED, err_text(err));
            return;
        }
        attempt->wait_next = attempt->target->waiting;
        attempt->target->waiting = attempt;
        return;
    }
    sm_move(&attempt->sm, ATTEMPT_CONNECT, "address known");
    attempt->conn = upstream_pool_open(attempt->target, attempt, &addr, len, &err);
    if (attempt->conn == NULL) {
        if (err == ERR_CONNECT) {
            connect_failed(attempt, err_text(err));
            return;
        }
        attempt_fail(attempt, OUTCOME_OVERLOADED,
                     err == ERR_BUSY ? "max_connections" : err_text(err));
        return;
    }
    if (upstream_conn_set_deadline(attempt->conn, config_of(attempt)->timeouts.connect) != 0) {
        attempt_fail(attempt, OUTCOME_OVERLOADED, "no_memory");
    }
}

static void leave_waiting(struct attempt *attempt)
{
    for (struct attempt **at = &attempt->target->waiting; *at != NULL; at = &(*at)->wait_next) {
        if (*at == attempt) {
            *at = attempt->wait_next;
            return;
        }
    }
}

void attempts_resolved(struct upstream_target *target, int err)
{
    struct attempt *attempt;

    while ((attempt = target->waiting) != NULL) {
        target->waiting = attempt->wait_next;
        if (target->address_count == 0) {
            upstream_target_failed(target);
            attempt_fail(attempt, OUTCOME_UPSTREAM_CONNECT_FAILED, err_text(err));
            continue;
        }
        start_connect(attempt);
    }
}

bool attempt_start(struct request *req)
{
    struct upstream *upstream = req->view->upstreams[req->route->upstream->index];
    /* A kept connection that was closed under our feet says nothing of its target. */
    struct upstream_target *target = upstream_choose(upstream, req->tried_targets);
    struct attempt *attempt = arena_calloc(&req->arena, 1, sizeof(*attempt));

    if (target == NULL || attempt == NULL) {
        request_fail(req, target == NULL ? OUTCOME_UPSTREAM_CONNECT_FAILED : OUTCOME_OVERLOADED,
                     target == NULL ? "no_target" : "no_memory");
        return false;
    }
    sm_init(&attempt->sm, attempt_states, ATTEMPT_RESOLVE);
    attempt->req = req;
    attempt->target = target;
    target->active++;
    req->attempt = attempt;
    req->target = &req->route->upstream->targets[target - upstream->targets]; /* of its own view */
    req->tries++;
    attempt->conn = req->tries == 1 ? upstream_pool_lease(target, attempt) : NULL;
    if (attempt->conn != NULL) {
        attempt->reused = true;
        send_request(attempt);
    } else {
        start_connect(attempt);
    }
    return true;
}

void attempt_writable(struct attempt *attempt)
{
    if (attempt->sm.state == ATTEMPT_HEAD || attempt->sm.state == ATTEMPT_BODY) {
        relay_up(attempt);
    }
}

/* ---- Reading the response ---- */

/* The head from the input into the request's arena; NULL while it is not complete, or failed. */
static char *take_head(struct attempt *attempt, size_t *ret_len)
{
    struct request *req = attempt->req;
    struct buf *in = &attempt->conn->stream.in;
    const struct h1_limits *limits = &req->view->config->server.limits.h1;
    enum h1_error error = H1_OK;
    enum parse parse = PARSE_MORE;

    while (in->len > 0) {
        struct slice front = buf_front(in);

        parse = h1_scan(&attempt->scan, front, limits, false, ret_len, &error);
        if (parse != PARSE_MORE || front.len == in->len) {
            break;
        }
        if (buf_pullup(in, in->len, in->len * 2) != 0) {
            attempt_fail(attempt, OUTCOME_OVERLOADED, "no_memory");
            return NULL;
        }
    }
    if (parse == PARSE_BAD) {
        attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, h1_error_word(error));
    }
    if (parse != PARSE_DONE) {
        return NULL;
    }
    char *head = arena_alloc(&req->arena, *ret_len);
    if (head == NULL) {
        attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "request_memory");
        return NULL;
    }
    memcpy(head, buf_front(in).ptr, *ret_len);
    buf_drain(in, *ret_len);
    memset(&attempt->scan, 0, sizeof(attempt->scan));
    return head;
}

static void pass_interim(struct attempt *attempt)
{
    struct request *req = attempt->req;

    if (req->response.status == 101 || ++attempt->interim_count > INTERIM_MAX) {
        attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "interim_response");
        return;
    }
    if (req->response.status == 100 || req->conn == NULL) {
        return; /* ours was sent when the body was wanted */
    }
    if (forward_response(req) != 0) {
        attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "request_memory");
        return;
    }
    if (req->conn->codec->send_interim(req, &req->response) != 0 ||
        req->conn->codec->flush(req) != 0) {
        conn_close(req->conn, CONN_END_ERROR);
    }
}

static void read_head(struct attempt *attempt)
{
    struct request *req = attempt->req;

    while (attempt->sm.state == ATTEMPT_HEAD && req->conn != NULL) {
        size_t len = 0;
        char *head = take_head(attempt, &len);

        if (head == NULL) {
            return;
        }
        memset(&req->response, 0, sizeof(req->response));
        enum h1_error error = h1_parse_response(head, len, &req->view->config->server.limits.h1,
                                                &req->arena, req->head.method, &req->response);
        if (error != H1_OK) {
            attempt_fail(attempt, OUTCOME_UPSTREAM_PROTOCOL_ERROR, h1_error_word(error));
            return;
        }
        if (req->response.status < 200) {
            pass_interim(attempt);
            continue;
        }
        req->upstream_status = req->response.status;
        h1_body_init(&attempt->body, req->response.body, req->response.content_length);
        attempt->body.any_framing = true;
        sm_move(&attempt->sm, ATTEMPT_BODY, "response head read");
    }
}

void attempt_readable(struct attempt *attempt)
{
    if (attempt->sm.state == ATTEMPT_HEAD) {
        if (!attempt->response_seen) {
            attempt->response_seen = true;
            attempt->req->response_ns = clock_precise_ns();
        }
        read_head(attempt);
        if (attempt->sm.state == ATTEMPT_BODY) {
            request_run(attempt->req);
        }
    } else if (attempt->sm.state == ATTEMPT_BODY) {
        request_run(attempt->req);
    }
}

/* ---- Ends ---- */

/* Why the connection was lost, when TLS knows better. */
static const char *lost_reason(const struct attempt *attempt, int err, const char *reason)
{
    const struct tls *tls = attempt->conn == NULL ? NULL : attempt->conn->stream.tls;

    return (err == ERR_CRYPTO || err == ERR_TOO_BIG) && tls != NULL && tls->failure != NULL
               ? tls->failure
               : reason;
}

static const char *late_reason(const struct attempt *attempt)
{
    const struct tls *tls = attempt->conn == NULL ? NULL : attempt->conn->stream.tls;

    return tls != NULL && tls->shaking ? "tls_timeout" : "connect_timeout";
}

void attempt_gone(struct attempt *attempt, int err)
{
    switch ((enum attempt_state)attempt->sm.state) {
    case ATTEMPT_CONNECT: connect_failed(attempt, lost_reason(attempt, err, err_text(err))); return;
    case ATTEMPT_HEAD:
        attempt_fail(attempt, OUTCOME_UPSTREAM_RESET, lost_reason(attempt, err, "before_response"));
        return;
    case ATTEMPT_BODY:
        attempt->end =
            attempt->end == 0
                ? err
                : attempt->end; /* the input may still hold bytes: relay_down() decides */
        request_run(attempt->req);
        return;
    case ATTEMPT_RESOLVE:
    case ATTEMPT_DONE:
    case ATTEMPT_FAILED: return;
    }
}

void attempt_late(struct attempt *attempt)
{
    if (attempt->sm.state == ATTEMPT_CONNECT) {
        connect_failed(attempt, late_reason(attempt));
        return;
    }
    attempt_fail(attempt, OUTCOME_UPSTREAM_TIMEOUT, "response_timeout");
}

static bool connection_is_clean(const struct attempt *attempt)
{
    const struct stream *stream = &attempt->conn->stream;

    return attempt->sm.state == ATTEMPT_DONE && attempt->request_sent && !attempt->send_failed &&
           attempt->req->response.keep_alive && attempt->body.kind != HTTP_BODY_CLOSE &&
           stream->in.len == 0 && stream->out.len == 0 && !stream->eof;
}

void attempt_end(struct attempt *attempt)
{
    struct request *req = attempt->req;

    if (attempt->sm.state == ATTEMPT_RESOLVE) {
        leave_waiting(attempt);
    }
    if (attempt->sm.state == ATTEMPT_FAILED &&
        attempt->failure == OUTCOME_UPSTREAM_CONNECT_FAILED) {
        req->tried_targets |= upstream_target_bit(attempt->target);
    }
    attempt->target->active--;
    if (attempt->conn != NULL) {
        if (connection_is_clean(attempt)) {
            stream_resume(&attempt->conn->stream);
            upstream_pool_return(attempt->conn);
        } else {
            upstream_conn_close(attempt->conn);
        }
        attempt->conn = NULL;
    }
    req->attempt = NULL;
}
