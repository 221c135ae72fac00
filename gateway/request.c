/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request: one function per state, one driver.  Events do no work: they record what
 * happened and call request_run(), which looks where the request stands. */
#include "gateway/request.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/tls.h"
#include "core/uri.h"
#include "gateway/access_log.h"
#include "gateway/attempt.h"
#include "gateway/chain.h"
#include "gateway/codec.h"
#include "gateway/conn.h"
#include "gateway/decisions.h"
#include "gateway/forward.h"
#include "gateway/identify.h"
#include "gateway/metrics.h"
#include "gateway/redirect.h"
#include "gateway/relay.h"
#include "gateway/reply.h"
#include "gateway/router.h"
#include "gateway/worker.h"

#include <stdlib.h>

/* One block holds the request and the first part of its arena. */
#define REQUEST_BLOCK_BYTES 8192u
#define REQUEST_POOL_BLOCKS 256u
#define CHAIN_DEADLINE_MS   10000u
/* Kept for our own answer to a request that has used up its memory. */
#define REPLY_ARENA_BYTES 4096u

#define TO(s)             SM_BIT(REQ_##s)
static const struct sm_state request_states[] = {
    [REQ_ROUTE] = { "route", TO(ACCESS) | TO(REPLY) | TO(END) },
    [REQ_ACCESS] = { "access", TO(CONNECT) | TO(REPLY) | TO(END) },
    [REQ_CONNECT] = { "connect", TO(AWAIT) | TO(REPLY) | TO(END) },
    [REQ_AWAIT] = { "await", TO(RESPONSE) | TO(CONNECT) | TO(REPLY) | TO(END) },
    [REQ_RESPONSE] = { "response", TO(RELAY) | TO(REPLY) | TO(END) },
    [REQ_RELAY] = { "relay", TO(END) },
    [REQ_REPLY] = { "reply", TO(END) },
    [REQ_END] = { "end", 0 },
};
#undef TO

enum step {
    STEP_NEXT, /* the state has moved */
    STEP_WAIT, /* until an event calls request_run() */
    STEP_END,
};

/* Is the response's body being read for a plugin? */
static bool reads_response(const struct request *req)
{
    return req->kept_body != NULL && req->kept_body->op != NULL && !req->kept_body->complete;
}

/* ---- Birth and death ---- */

static void request_on_timer(struct loop_timer *timer)
{
    struct request *req =
        (struct request *)(void *)((char *)timer - offsetof(struct request, timer));

    if (req->body_op != NULL) {
        request_fail(req, OUTCOME_REQUEST_TIMEOUT, "body_timeout");
    } else if (reads_response(req)) {
        request_fail(req, OUTCOME_UPSTREAM_TIMEOUT, "response_timeout");
    } else {
        request_fail(req, OUTCOME_OVERLOADED, "chain_timeout");
    }
}

static struct request *block_take(struct worker *worker)
{
    struct request *req = worker->request_pool;

    if (req == NULL) {
        return malloc(REQUEST_BLOCK_BYTES);
    }
    worker->request_pool = *(void **)req;
    worker->request_pool_count--;
    return req;
}

static void block_give(void *ptr)
{
    struct request *req = ptr;
    struct worker *worker = req->worker;

    arena_done(&req->arena);
    if (worker->request_pool_count >= REQUEST_POOL_BLOCKS) {
        free(req);
        return;
    }
    *(void **)req = worker->request_pool;
    worker->request_pool = req;
    worker->request_pool_count++;
}

void request_pool_clear(struct worker *worker)
{
    while (worker->request_pool != NULL) {
        free(block_take(worker));
    }
}

/* The request may outlive its connection.  Without the memory for a copy nobody has been identified. */
static void note_tls(struct request *req, const struct tls *tls)
{
    if (tls == NULL) {
        return;
    }
    req->tls_version = tls_version(tls);
    if (tls->peer != NULL) {
        req->attrs[GW_ATTR_CERT_SUBJECT] = arena_copy(&req->arena, tls->peer->subject);
        req->attrs[GW_ATTR_CERT_THUMBPRINT] = arena_copy(&req->arena, tls->peer->thumbprint);
    }
}

struct request *request_new(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct request *req = block_take(worker);
    const struct config *config = worker->view->config;

    if (req == NULL) {
        return NULL;
    }
    memset(req, 0, sizeof(*req));
    sm_init(&req->sm, request_states, REQ_ROUTE);
    req->conn = conn;
    req->worker = worker;
    req->listener_index = conn->listener_index;
    req->view = config_view_ref(worker->view);
    arena_init(&req->arena, req + 1, REQUEST_BLOCK_BYTES - sizeof(*req),
               config->server.limits.request_memory);
    req->head.headers.arena = &req->arena;
    req->added_headers.arena = &req->arena;
    req->response.headers.arena = &req->arena;
    buf_init(&req->body.pending, loop_pool(worker->loop));
    buf_init(&req->reply_body, loop_pool(worker->loop));
    req->timer.fn = request_on_timer;
    req->start_unix_us = clock_unix_us();
    req->start_ns = clock_precise_ns();
    note_tls(req, conn->stream.tls);
    identify_peer(req);
    conn->request = req;
    worker->requests_in_flight++;
    return req;
}

static void drop_attempt(struct request *req)
{
    if (req->attempt != NULL) {
        attempt_end(req->attempt);
    }
}

static void finish(struct request *req)
{
    struct worker *worker = req->worker;

    drop_attempt(req);
    chain_cancel(req);
    loop_timer_remove(worker->loop, &req->timer);
    req->end_ns = clock_precise_ns();
    req->request_bytes = req->body.received;
    metrics_count_request(worker->metrics, req);
    access_log_write(req);
    decisions_keep(worker, req);
    chain_end(req);
    buf_clear(&req->body.pending);
    buf_clear(&req->reply_body);
    if (req->kept_body != NULL) {
        buf_clear(&req->kept_body->data);
    }
    config_view_unref(req->view);
    worker->requests_in_flight--;
    loop_free_later(worker->loop, &req->grave, req, block_give);
}

/* ---- The states ---- */

static const struct config_route *service_route(const struct request *req)
{
    const struct config *config = req->view->config;
    enum config_service service = config->listeners[req->listener_index].service;

    return service == CONFIG_PUBLIC ? NULL : &config->service_routes[service];
}

static const struct config_route *health_route(const struct request *req)
{
    const struct config *config = req->view->config;
    bool is_health =
        config->public_path != NULL && slice_eq(req->head.path, slice_str(config->public_path));

    return is_health ? &config->service_routes[CONFIG_ADMIN] : NULL;
}

static bool endpoint_matches(const struct config_endpoint *endpoint, struct slice path)
{
    return endpoint->is_prefix ? slice_starts_with(path, endpoint->path)
                               : slice_eq(path, endpoint->path);
}

static const struct config_endpoint *find_endpoint(const struct request *req)
{
    const struct config *config = req->view->config;
    uint64_t listener = UINT64_C(1) << req->listener_index;

    for (size_t i = 0; i < config->endpoint_count; i++) {
        const struct config_endpoint *endpoint = &config->endpoints[i];

        if ((endpoint->listeners & listener) != 0 && endpoint_matches(endpoint, req->head.path)) {
            return endpoint;
        }
    }
    return NULL;
}

static enum router_result find_route(struct request *req)
{
    const struct config_endpoint *endpoint = find_endpoint(req);

    req->route = service_route(req);
    if (req->route == NULL) {
        req->route = health_route(req);
        endpoint = req->route == NULL ? endpoint : NULL;
    }
    if (endpoint != NULL) {
        req->route = endpoint->route;
        req->allowed_methods = endpoint->methods;
        return (endpoint->methods & (1u << req->head.method)) != 0 ? ROUTER_FOUND
                                                                   : ROUTER_METHOD_NOT_ALLOWED;
    }
    if (req->route != NULL) {
        return ROUTER_FOUND;
    }
    return router_find(req->view->config->router, uri_authority_host(req->head.authority),
                       req->head.path, req->head.method, &req->route, &req->allowed_methods);
}

static enum step step_route(struct request *req)
{
    identify_client(req);
    if (redirect_is_due(req)) {
        bool has_host = req->head.authority.len > 0;

        request_fail(req, has_host ? OUTCOME_REDIRECT : OUTCOME_BAD_REQUEST,
                     has_host ? NULL : "no_host");
        return STEP_NEXT;
    }
    switch (find_route(req)) {
    case ROUTER_NO_ROUTE: request_fail(req, OUTCOME_NO_ROUTE, NULL); return STEP_NEXT;
    case ROUTER_METHOD_NOT_ALLOWED:
        request_fail(req, OUTCOME_METHOD_NOT_ALLOWED, NULL);
        return STEP_NEXT;
    case ROUTER_FOUND: break;
    }
    if (chain_begin(req) != 0) {
        request_fail(req, OUTCOME_OVERLOADED, "request_memory");
        return STEP_NEXT;
    }
    sm_move(&req->sm, REQ_ACCESS, "route found");
    return STEP_NEXT;
}

static enum step wait_for_plugin(struct request *req, uint64_t ms)
{
    if (req->timer.deadline_ms == 0 &&
        loop_timer_set(req->worker->loop, &req->timer, clock_ms() + ms) != 0) {
        request_fail(req, OUTCOME_OVERLOADED, "no_memory");
        return STEP_NEXT;
    }
    return STEP_WAIT;
}

static enum step step_access(struct request *req)
{
    switch (chain_advance(req)) {
    case GW_WAIT: return wait_for_plugin(req, CHAIN_DEADLINE_MS);
    case GW_REPLY: /* the outcome is set, and the driver turns to REPLY, unless it was forgotten */
        request_fail(req, OUTCOME_INTERNAL_ERROR, "plugin_bug");
        return STEP_NEXT;
    case GW_FAIL: request_fail(req, OUTCOME_OVERLOADED, "plugin_failed"); return STEP_NEXT;
    case GW_NEXT: break;
    }
    loop_timer_clear(&req->timer);
    if (req->route->upstream == NULL) {
        request_fail(req, OUTCOME_INTERNAL_ERROR, "no_upstream");
        return STEP_NEXT;
    }
    sm_move(&req->sm, REQ_CONNECT, "access granted");
    return STEP_NEXT;
}

static enum step step_connect(struct request *req)
{
    if (!attempt_start(req)) {
        return STEP_NEXT;
    }
    sm_move(&req->sm, REQ_AWAIT, "attempt started");
    return STEP_NEXT;
}

static enum step retry_or_fail(struct request *req)
{
    struct attempt *attempt = req->attempt;
    enum outcome failure = attempt->failure;
    const char *reason = attempt->reason;
    bool again = attempt_may_retry(attempt);

    attempt_end(attempt);
    if (!again) {
        request_fail(req, failure, reason);
        return STEP_NEXT;
    }
    sm_move(&req->sm, REQ_CONNECT, reason);
    return STEP_NEXT;
}

static enum step step_await(struct request *req)
{
    switch ((enum attempt_state)req->attempt->sm.state) {
    case ATTEMPT_RESOLVE:
    case ATTEMPT_CONNECT:
    case ATTEMPT_HEAD: return STEP_WAIT;
    case ATTEMPT_FAILED: return retry_or_fail(req);
    case ATTEMPT_BODY:
    case ATTEMPT_DONE: break;
    }
    sm_move(&req->sm, REQ_RESPONSE, "response head read");
    return STEP_NEXT;
}

/* A plugin waits; what it reads is read. */
static enum step wait_with_response(struct request *req)
{
    if (req->attempt != NULL && reads_response(req)) {
        relay_keep(req->attempt);
        if (req->attempt != NULL && req->attempt->sm.state == ATTEMPT_FAILED) {
            return STEP_NEXT;
        }
        if (req->kept_body->complete || req->kept_body->data.len > req->kept_body->max_bytes) {
            loop_timer_clear(&req->timer);
            chain_response_body_arrived(req);
        }
    } else if (req->attempt != NULL) {
        relay_hold(req->attempt);
    }
    return wait_for_plugin(req, reads_response(req) ? req->route->response_timeout_ms
                                                    : CHAIN_DEADLINE_MS);
}

static bool has_body(const struct http_response *res)
{
    return res->body != HTTP_BODY_NONE &&
           (res->body != HTTP_BODY_LENGTH || res->content_length > 0);
}

/* What of the body a plugin has read. */
static int send_kept_body(struct request *req)
{
    struct response_body *kept = req->kept_body;
    const struct codec_ops *codec = req->conn->codec;

    if (kept == NULL) {
        return 0;
    }
    req->response_bytes = kept->data.len;
    if (!has_body(&req->response)) {
        return codec->flush(req);
    }
    int err = codec->send_body(req, &kept->data, kept->data.len, kept->complete);

    return err == 0 ? codec->flush(req) : err;
}

static enum step step_response(struct request *req)
{
    if (req->attempt != NULL && req->attempt->sm.state == ATTEMPT_FAILED) {
        request_fail(req, req->attempt->failure, req->attempt->reason);
        return STEP_NEXT;
    }
    switch (chain_respond(req)) {
    case GW_WAIT: return wait_with_response(req);
    case GW_REPLY: /* as in step_access() */
        request_fail(req, OUTCOME_INTERNAL_ERROR, "plugin_bug");
        return STEP_NEXT;
    case GW_FAIL: request_fail(req, OUTCOME_OVERLOADED, "plugin_failed"); return STEP_NEXT;
    case GW_NEXT: break;
    }
    loop_timer_clear(&req->timer);
    if (forward_response(req) != 0) {
        request_fail(req, OUTCOME_OVERLOADED, "request_memory");
        return STEP_NEXT;
    }
    if (req->conn->codec->send_head(req, &req->response, !has_body(&req->response)) != 0) {
        request_fail(req, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "response_head");
        return STEP_NEXT;
    }
    req->status = req->response.status;
    req->response_started = true;
    sm_move(&req->sm, REQ_RELAY, "response head sent");
    if (send_kept_body(req) != 0 && req->conn != NULL) {
        conn_close(req->conn, CONN_END_ERROR);
    }
    return STEP_NEXT;
}

static enum step step_relay(struct request *req)
{
    struct attempt *attempt = req->attempt;

    if (attempt == NULL) {
        return STEP_WAIT; /* the client still takes what was sent */
    }
    relay_down(attempt);
    if (attempt->sm.state == ATTEMPT_FAILED) {
        request_fail(req, attempt->failure, attempt->reason);
        return STEP_NEXT;
    }
    return STEP_WAIT;
}

static int send_reply(struct request *req)
{
    const struct codec_ops *codec = req->conn->codec;
    int err = reply_build(req);
    bool end = req->head.method == HTTP_HEAD || req->reply_body.len == 0;
    if (err == 0) {
        err = codec->send_head(req, &req->response, end);
    }
    if (err == 0 && !end) {
        req->response_bytes = req->reply_body.len;
        err = codec->send_body(req, &req->reply_body, req->reply_body.len, true);
    }
    return err == 0 ? codec->flush(req) : err;
}

static enum step step_reply(struct request *req)
{
    if (req->response_started) {
        return STEP_WAIT;
    }
    req->response_started = true;
    req->arena.max_bytes += REPLY_ARENA_BYTES;
    if (send_reply(req) != 0 && req->conn != NULL) {
        conn_close(req->conn, CONN_END_ERROR);
    }
    req->status = req->response.status;
    return STEP_WAIT;
}

static enum step step_end(struct request *req)
{
    finish(req);
    return STEP_END;
}

/* ---- The driver ---- */

/* What happened outside of the states' order: the answer is out, the client has gone, something
 * failed. */
static void divert(struct request *req)
{
    if (req->sm.state == REQ_END) {
        return;
    }
    if (req->sent) {
        req->outcome = req->outcome == OUTCOME_NONE ? OUTCOME_UPSTREAM : req->outcome;
        sm_move(&req->sm, REQ_END, "answer sent");
    } else if (req->conn == NULL) {
        req->outcome = req->outcome == OUTCOME_NONE || req->sm.state == REQ_REPLY
                           ? OUTCOME_CLIENT_GONE
                           : req->outcome;
        req->status = req->response_started ? req->status : outcome_status(OUTCOME_CLIENT_GONE);
        sm_move(&req->sm, REQ_END, "client gone");
    } else if (req->outcome != OUTCOME_NONE && req->sm.state != REQ_REPLY) {
        if (req->response_started) {
            req->conn->codec->reset(req);
            req->conn = NULL;
            sm_move(&req->sm, REQ_END, "answer cut");
            return;
        }
        drop_attempt(req);
        chain_cancel(req);
        loop_timer_clear(&req->timer);
        sm_move(&req->sm, REQ_REPLY, "our own answer");
    }
}

static enum step step(struct request *req)
{
    switch ((enum request_state)req->sm.state) {
    case REQ_ROUTE: return step_route(req);
    case REQ_ACCESS: return step_access(req);
    case REQ_CONNECT: return step_connect(req);
    case REQ_AWAIT: return step_await(req);
    case REQ_RESPONSE: return step_response(req);
    case REQ_RELAY: return step_relay(req);
    case REQ_REPLY: return step_reply(req);
    case REQ_END: return step_end(req);
    }
    return STEP_END;
}

void request_run(struct request *req)
{
    enum step said = STEP_NEXT;

    if (req->running) {
        req->again = true;
        return;
    }
    req->running = true;
    while (said == STEP_NEXT || (said == STEP_WAIT && req->again)) {
        req->again = false;
        divert(req);
        said = step(req);
        if (said == STEP_WAIT && (req->sent || req->conn == NULL)) {
            said = STEP_NEXT;
        }
    }
    req->running = said == STEP_END; /* nothing moves it any more */
}

bool request_decide(struct request *req)
{
    if (req->outcome != OUTCOME_NONE || req->sm.state >= REQ_CONNECT) {
        return false;
    }
    req->running = true; /* what fails is only noted */
    enum step said = step(req);

    req->running = false;
    return said == STEP_NEXT && req->outcome == OUTCOME_NONE && req->sm.state < REQ_CONNECT;
}

/* ---- Events ---- */

void request_fail(struct request *req, enum outcome outcome, const char *reason)
{
    if (req->outcome == OUTCOME_NONE) {
        req->outcome = outcome;
        req->reason = reason;
    }
    request_run(req);
}

void request_refuse(struct request *req, enum outcome outcome, const char *reason)
{
    request_fail(req, outcome, reason);
}

void request_body_arrived(struct request *req)
{
    if (req->attempt != NULL && req->attempt->sm.state >= ATTEMPT_HEAD) {
        relay_up(req->attempt);
        return;
    }
    if (req->body_op != NULL) {
        chain_body_arrived(req);
    } else if (req->attempt == NULL && req->sm.state > REQ_CONNECT) {
        buf_clear(&req->body.pending); /* the server has answered without it */
    }
}

void request_writable(struct request *req)
{
    request_run(req);
}

void request_client_gone(struct request *req)
{
    req->conn = NULL;
    request_run(req);
}

void request_response_sent(struct request *req)
{
    req->sent = true;
    req->conn = NULL;
    request_run(req);
}
