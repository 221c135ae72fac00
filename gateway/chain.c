/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/chain.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/offload.h"
#include "gateway/codec.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/metrics.h"

#include <stdlib.h>

/* Work of gw_offload(): it outlives its request, so it is not in the request's arena. */
struct chain_job {
    struct offload_job job;       /* first */
    struct chain_job *next, **at; /* of the worker */
    struct gw_op *op;             /* NULL: nobody waits for it any more */
    bool is_dropped;              /* atomic: the same, for the pool's thread */
    gw_work_fn *work;
    struct gw_shared *arg; /* a reference */
};

int chain_begin(struct request *req)
{
    size_t bytes = req->route->chain_state_bytes;

    if (bytes == 0) {
        return 0;
    }
    req->chain_state = arena_calloc(&req->arena, 1, bytes);
    return req->chain_state == NULL ? ERR_NO_MEMORY : 0;
}

struct gw_call chain_call(struct request *req, unsigned link)
{
    const struct config_link *at = &req->route->chain[link];

    return (struct gw_call){
        .req = gw_request_of(req),
        .config = at->config,
        .top = at->top,
        .worker = req->view->plugin_workers[at->plugin_index],
        .state = at->plugin->state_size == 0 ? NULL : req->chain_state + at->state_offset,
    };
}

static enum gw_verdict run_request_hook(struct request *req)
{
    const struct gw_plugin *plugin = req->route->chain[req->link].plugin;
    struct gw_call call = chain_call(req, req->link);

    req->links_entered = (uint16_t)(req->link + 1);
    return plugin->on_request == NULL ? GW_NEXT : plugin->on_request(&call);
}

static enum gw_verdict run_response_hook(struct request *req)
{
    const struct gw_plugin *plugin = req->route->chain[req->link].plugin;
    struct gw_call call = chain_call(req, req->link);

    return plugin->on_response == NULL ? GW_NEXT : plugin->on_response(&call);
}

/* GW_WAIT with nothing pending would hang the request for ever. */
static enum gw_verdict check_wait(struct request *req, enum gw_verdict verdict)
{
    if (verdict == GW_WAIT && req->ops == NULL) {
        log_error("chain", "wait_without_operation plugin=%s",
                  req->route->chain[req->link].plugin->name);
        request_fail(req, OUTCOME_INTERNAL_ERROR, "plugin_bug");
        return GW_FAIL;
    }
    return verdict;
}

/* What the current link says: its hook, or the callback that it waited for. */
static enum gw_verdict ask_link(struct request *req, enum gw_verdict (*run_hook)(struct request *))
{
    enum gw_verdict verdict = GW_WAIT;

    switch ((enum chain_state)req->chain) {
    case CHAIN_HOOK: verdict = run_hook(req); break;
    case CHAIN_ANSWERED: verdict = (enum gw_verdict)req->verdict; break;
    case CHAIN_WAITING: return GW_WAIT;
    }
    verdict = check_wait(req, verdict);
    if (verdict == GW_WAIT) {
        req->chain = CHAIN_WAITING;
        return GW_WAIT;
    }
    chain_cancel(req);
    req->chain = CHAIN_HOOK;
    return verdict;
}

enum gw_verdict chain_advance(struct request *req)
{
    while (req->link < req->route->chain_length) {
        enum gw_verdict verdict = ask_link(req, run_request_hook);

        if (verdict != GW_NEXT) {
            return verdict;
        }
        req->link++;
    }
    return GW_NEXT;
}

enum gw_verdict chain_respond(struct request *req)
{
    /* At the end of the way up `link` is behind the last one; a link that waits is asked again. */
    while (req->link > 0 || req->chain != CHAIN_HOOK) {
        if (req->chain == CHAIN_HOOK) {
            req->link--;
        }
        enum gw_verdict verdict = ask_link(req, run_response_hook);

        if (verdict != GW_NEXT) {
            return verdict;
        }
    }
    return GW_NEXT;
}

static void waitlist_leave(struct gw_op *op)
{
    struct gw_waitlist *list = op->waitlist;

    if (list == NULL) {
        return;
    }
    *op->wait_at = op->wait_next;
    if (op->wait_next != NULL) {
        op->wait_next->wait_at = op->wait_at;
    } else {
        list->last = op->wait_at;
    }
    op->waitlist = NULL;
}

static void job_leave(struct gw_op *op)
{
    if (op->job != NULL) {
        op->job->op = NULL;
        __atomic_store_n(&op->job->is_dropped, true, __ATOMIC_RELAXED);
        op->job = NULL;
    }
}

static void op_drop(struct gw_op *op)
{
    waitlist_leave(op);
    job_leave(op);
    loop_timer_remove(op->req->worker->loop, &op->timer);
    loop_call_cancel(&op->call);
    if (op->req->body_op == op) {
        op->req->body_op = NULL;
    }
    if (op->req->kept_body != NULL && op->req->kept_body->op == op) {
        op->req->kept_body->op = NULL;
    }
    if (op->next != NULL) {
        op->next->prev = op->prev;
    }
    if (op->prev != NULL) {
        op->prev->next = op->next;
    } else {
        op->req->ops = op->next;
    }
}

void chain_cancel(struct request *req)
{
    while (req->ops != NULL) {
        op_drop(req->ops);
    }
}

void chain_end(struct request *req)
{
    for (unsigned i = 0; i < req->links_entered; i++) {
        const struct gw_plugin *plugin = req->route->chain[i].plugin;

        if (plugin->on_end != NULL) {
            struct gw_call call = chain_call(req, i);

            plugin->on_end(&call);
        }
    }
    req->links_entered = 0;
}

/* The operation is over: its callback decides, the driver goes on. */
static void op_complete(struct gw_op *op)
{
    struct request *req = op->req;
    gw_hook_fn *fn = op->fn;
    struct gw_call call = chain_call(req, req->link);

    op_drop(op);
    req->running = true; /* a reply is sent, and the request may end, when the plugin is done */
    req->verdict = (uint8_t)fn(&call);
    req->running = false;
    req->chain = CHAIN_ANSWERED;
    request_run(req);
}

static void op_on_timer(struct loop_timer *timer)
{
    op_complete((struct gw_op *)(void *)((char *)timer - offsetof(struct gw_op, timer)));
}

static void op_on_call(struct loop_call *call)
{
    op_complete((struct gw_op *)(void *)((char *)call - offsetof(struct gw_op, call)));
}

static struct gw_op *op_new(struct gw_call *call, gw_hook_fn *fn)
{
    struct request *req = request_of(call->req);
    struct gw_op *op = arena_calloc(&req->arena, 1, sizeof(*op));

    if (op == NULL) {
        return NULL;
    }
    op->req = req;
    op->fn = fn;
    op->timer.fn = op_on_timer;
    op->call.fn = op_on_call;
    op->next = req->ops;
    if (op->next != NULL) {
        op->next->prev = op;
    }
    req->ops = op;
    return op;
}

enum gw_verdict gw_sleep(struct gw_call *call, unsigned ms, gw_hook_fn *fn)
{
    struct gw_op *op = op_new(call, fn);

    if (op == NULL) {
        return GW_FAIL;
    }
    if (loop_timer_set(op->req->worker->loop, &op->timer, clock_ms() + ms) != 0) {
        op_drop(op);
        return GW_FAIL;
    }
    return GW_WAIT;
}

/* A copy that stays while the bytes move on; absent: no memory. */
static struct slice copy_body(struct request *req, struct buf *body)
{
    if (body->len == 0) {
        return SLICE("");
    }
    if (buf_pullup(body, body->len, body->len) != 0) {
        return SLICE_ABSENT;
    }
    return arena_copy(&req->arena, buf_front(body));
}

void chain_body_arrived(struct request *req)
{
    struct buf *pending = &req->body.pending;

    if (pending->len > req->body_op->max_bytes) {
        request_fail(req, OUTCOME_BODY_TOO_LARGE, "body_too_large");
        return;
    }
    if (!req->body.complete) {
        return;
    }
    req->body_text = copy_body(req, pending);
    if (slice_is_absent(req->body_text)) {
        request_fail(req, OUTCOME_OVERLOADED, "request_memory");
        return;
    }
    loop_defer(req->worker->loop, &req->body_op->call);
}

enum gw_verdict gw_read_body(struct gw_call *call, size_t max_bytes, gw_hook_fn *fn)
{
    struct request *req = request_of(call->req);

    if (req->body_op != NULL || max_bytes > GW_BODY_MAX) {
        return GW_FAIL;
    }
    if (req->head.body == HTTP_BODY_LENGTH && req->head.content_length > max_bytes) {
        request_fail(req, OUTCOME_BODY_TOO_LARGE, "body_too_large");
        return GW_REPLY;
    }
    struct gw_op *op = op_new(call, fn);

    if (op == NULL) {
        return GW_FAIL;
    }
    op->max_bytes = max_bytes;
    req->body_op = op;
    if (req->body.complete) {
        chain_body_arrived(req);
    } else if (req->conn != NULL) {
        req->body.wanted = true;
        req->conn->codec->body_taken(req);
    }
    return req->outcome == OUTCOME_NONE ? GW_WAIT : GW_REPLY;
}

static void job_free(struct chain_job *job)
{
    *job->at = job->next;
    if (job->next != NULL) {
        job->next->at = job->at;
    }
    gw_shared_unref(job->arg);
    free(job);
}

void chain_jobs_done(struct worker *worker)
{
    while (worker->jobs != NULL) {
        job_free(worker->jobs);
    }
}

/* On a thread of the pool. */
static void job_work(struct offload_job *base)
{
    struct chain_job *job = (struct chain_job *)base;

    if (!__atomic_load_n(&job->is_dropped, __ATOMIC_RELAXED)) {
        job->work(job->arg);
    }
}

static void job_on_done(struct offload_job *base)
{
    struct chain_job *job = (struct chain_job *)base;
    struct gw_op *op = job->op;

    if (op != NULL) {
        op->job = NULL;
    }
    job_free(job);
    if (op != NULL) {
        op_complete(op);
    }
}

static struct chain_job *job_new(struct gw_op *op, gw_work_fn *work, struct gw_shared *arg)
{
    struct worker *worker = op->req->worker;
    struct chain_job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        return NULL;
    }
    job->job.work = job_work;
    job->job.done = job_on_done;
    job->op = op;
    job->work = work;
    job->arg = gw_shared_ref(arg);
    job->next = worker->jobs;
    job->at = &worker->jobs;
    if (job->next != NULL) {
        job->next->at = &job->next;
    }
    worker->jobs = job;
    op->job = job;
    return job;
}

enum gw_verdict gw_offload(struct gw_call *call, gw_work_fn *work, struct gw_shared *arg,
                           gw_hook_fn *fn)
{
    struct worker *worker = request_of(call->req)->worker;
    struct offload *pool = worker->gateway->offload;
    struct gw_op *op = pool == NULL ? NULL : op_new(call, fn);

    if (op == NULL) {
        return GW_FAIL;
    }
    struct chain_job *job = job_new(op, work, arg);
    if (job == NULL || offload_submit(pool, worker->loop, &job->job) < 0) {
        op_drop(op);
        if (job != NULL) {
            job_free(job);
        }
        return GW_FAIL;
    }
    return GW_WAIT;
}

struct slice gw_body(const struct gw_request *req)
{
    return request_of_const(req)->body_text;
}

void chain_response_body_arrived(struct request *req)
{
    struct response_body *kept = req->kept_body;

    if (kept->data.len > kept->max_bytes) {
        request_fail(req, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "response_too_large");
        return;
    }
    kept->text = copy_body(req, &kept->data);
    if (slice_is_absent(kept->text)) {
        request_fail(req, OUTCOME_OVERLOADED, "request_memory");
        return;
    }
    loop_defer(req->worker->loop, &kept->op->call);
}

enum gw_verdict gw_read_response_body(struct gw_call *call, size_t max_bytes, gw_hook_fn *fn)
{
    struct request *req = request_of(call->req);

    if (req->sm.state != REQ_RESPONSE || req->kept_body != NULL || max_bytes > GW_BODY_MAX) {
        return GW_FAIL;
    }
    if (req->response.body == HTTP_BODY_LENGTH && req->response.content_length > max_bytes) {
        request_fail(req, OUTCOME_UPSTREAM_PROTOCOL_ERROR, "response_too_large");
        return GW_REPLY;
    }
    struct response_body *kept = arena_calloc(&req->arena, 1, sizeof(*kept));
    struct gw_op *op = kept == NULL ? NULL : op_new(call, fn);

    if (op == NULL) {
        return GW_FAIL;
    }
    buf_init(&kept->data, loop_pool(req->worker->loop));
    kept->max_bytes = max_bytes;
    kept->op = op;
    req->kept_body = kept; /* the request's next step reads what is there */
    return GW_WAIT;
}

struct slice gw_response_body(const struct gw_request *req)
{
    const struct response_body *kept = request_of_const(req)->kept_body;

    return kept == NULL ? SLICE_ABSENT : kept->text;
}

void gw_waitlist_init(struct gw_waitlist *list)
{
    list->first = NULL;
    list->last = &list->first;
}

enum gw_verdict gw_waitlist_join(struct gw_call *call, struct gw_waitlist *list, gw_hook_fn *fn)
{
    struct gw_op *op = op_new(call, fn);

    if (op == NULL) {
        return GW_FAIL;
    }
    op->waitlist = list;
    op->wait_at = list->last;
    *list->last = op;
    list->last = &op->wait_next;
    return GW_WAIT;
}

void gw_waitlist_wake(struct gw_waitlist *list)
{
    while (list->first != NULL) {
        struct gw_op *op = list->first;

        waitlist_leave(op);
        loop_defer(op->req->worker->loop, &op->call);
    }
}
