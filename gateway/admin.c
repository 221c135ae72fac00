/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin.h"

#include "core/json.h"
#include "core/log.h"
#include "gateway/admin_answer.h"
#include "gateway/admin_guard.h"
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/metrics.h"
#include "gateway/reload.h"
#include "gateway/request.h"
#include "gateway/status.h"
#include "gateway/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADMIN_RELOAD_MS 60000u /* it may wait for keys of new providers */

struct admin_page {
    struct slice path;
    gw_hook_fn *fn;
    const char *help;
};

struct gateway *admin_gateway(const struct gw_call *call)
{
    return request_of_const(call->req)->worker->gateway;
}

enum gw_verdict admin_reply(struct gw_call *call, unsigned status, struct slice type,
                            struct slice body)
{
    struct gw_reply reply = { .status = status, .content_type = type, .body = body };

    return gw_reply(call, &reply);
}

enum gw_verdict admin_problem(struct gw_call *call, unsigned status, const char *detail)
{
    struct gw_reply reply = { .status = status, .detail = detail };

    return gw_reply(call, &reply);
}

/* ---- waiting for the workers ---- */

static void admin_wait_unref(struct admin_wait *wait)
{
    if (wait->call == NULL && wait->pending == 0) {
        free(wait);
    }
}

void admin_wait_answered(struct admin_wait *wait)
{
    wait->pending--;
    if (wait->pending == 0 && wait->call != NULL) {
        wait->call->is_ready = true;
        gw_waitlist_wake(&wait->call->waiters);
    }
    admin_wait_unref(wait);
}

struct admin_wait *admin_wait_new(struct gw_call *call)
{
    struct admin_call *state = call->state;
    struct admin_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL) {
        return NULL;
    }
    gw_waitlist_init(&state->waiters);
    wait->call = state;
    wait->control = admin_gateway(call)->control;
    state->wait = wait;
    return wait;
}

enum gw_verdict admin_wait_join(struct gw_call *call, unsigned ms, gw_hook_fn *fn)
{
    struct admin_call *state = call->state;

    if (gw_waitlist_join(call, &state->waiters, fn) == GW_FAIL ||
        gw_sleep(call, ms, fn) == GW_FAIL) {
        return GW_FAIL;
    }
    if (state->is_ready) {
        gw_waitlist_wake(&state->waiters); /* all answered before anybody waited */
    }
    return GW_WAIT;
}

static void admin_on_end(struct gw_call *call)
{
    struct admin_call *state = call->state;

    if (state->wait != NULL) {
        if (state->wait->is_reload && state->wait->pending > 0) {
            reload_forget(admin_gateway(call)->reload, state->wait);
            state->wait->pending = 0;
        }
        state->wait->call = NULL;
        admin_wait_unref(state->wait);
        state->wait = NULL;
    }
    free(state->text);
    state->text = NULL;
}

/* ---- metrics ---- */

static void admin_on_text(void *arg, char *text, size_t len)
{
    struct admin_wait *wait = arg;

    if (wait->call != NULL) {
        wait->call->text = text;
        wait->call->text_len = len;
    } else {
        free(text);
    }
    admin_wait_answered(wait);
}

static enum gw_verdict admin_on_metrics(struct gw_call *call)
{
    const struct admin_call *state = call->state;

    if (state->text == NULL) {
        return admin_problem(call, 503, "A worker did not answer in time");
    }
    return admin_reply(call, 200, SLICE("text/plain; version=0.0.4; charset=utf-8"),
                       slice_of(state->text, state->text_len));
}

static enum gw_verdict admin_metrics(struct gw_call *call)
{
    struct admin_wait *wait = admin_wait_new(call);

    if (wait == NULL) {
        return GW_FAIL;
    }
    wait->pending = 1;
    metrics_collect(admin_gateway(call), admin_on_text, wait);
    return admin_wait_join(call, ADMIN_ANSWER_MS, admin_on_metrics);
}

/* ---- reload ---- */

static void admin_on_reloaded(void *arg, bool ok, const char *text, size_t len)
{
    struct admin_wait *wait = arg;

    wait->call->is_ok = ok; /* its end would have called reload_forget() */
    wait->call->text = malloc(len + 1);
    if (wait->call->text != NULL) {
        memcpy(wait->call->text, text, len);
        wait->call->text_len = len;
    }
    admin_wait_answered(wait);
}

static enum gw_verdict admin_on_reload_end(struct gw_call *call)
{
    const struct admin_call *state = call->state;

    if (!state->is_ready) {
        return admin_reply(call, 202, ADMIN_TEXT, SLICE("not ended yet: see the log\n"));
    }
    return admin_reply(call, state->is_ok ? 200 : 422, ADMIN_TEXT,
                       slice_of(state->text == NULL ? "" : state->text, state->text_len));
}

static enum gw_verdict admin_reload(struct gw_call *call)
{
    struct admin_wait *wait = admin_wait_new(call);

    if (wait == NULL) {
        return GW_FAIL;
    }
    wait->is_reload = true;
    wait->pending = 1;
    if (reload_ask(admin_gateway(call)->reload, admin_on_reloaded, wait) < 0) {
        wait->pending = 0;
        return admin_problem(call, 503, "No reload now");
    }
    return admin_wait_join(call, ADMIN_RELOAD_MS, admin_on_reload_end);
}

/* ---- status, drain, stop ---- */

static enum gw_verdict admin_status(struct gw_call *call)
{
    struct json_writer writer;
    enum gw_verdict verdict = GW_FAIL;

    json_writer_init(&writer, 65536);
    status_write(admin_gateway(call), request_of_const(call->req)->view, &writer);
    if (!writer.failed) {
        verdict =
            admin_reply(call, 200, SLICE("application/json"), slice_of(writer.buf, writer.len));
    }
    json_writer_done(&writer);
    return verdict;
}

static enum gw_verdict admin_drain(struct gw_call *call)
{
    __atomic_store_n(&admin_gateway(call)->leaving, true, __ATOMIC_RELAXED);
    log_info("admin", "draining: not ready any more, serving until the stop");
    return admin_reply(call, 200, ADMIN_TEXT,
                       SLICE("not ready any more, serving until the stop\n"));
}

static enum gw_verdict admin_stop(struct gw_call *call)
{
    log_info("admin", "asked to stop");
    gateway_ask_to_stop(admin_gateway(call));
    return admin_reply(call, 202, ADMIN_TEXT, SLICE("stopping\n"));
}

/* ---- pages ---- */

static enum gw_verdict admin_index(struct gw_call *call);

static const struct admin_page admin_pages[] = {
    { { "/", 1 }, admin_index, "this list" },
    { { "/livez", 6 }, admin_livez, "200 while all workers answer (?verbose)" },
    { { "/healthz", 8 }, admin_livez, "the same" },
    { { "/readyz", 7 },
      admin_readyz,
      "200 when requests are served, 503 while draining (?verbose)" },
    { { "/metrics", 8 }, admin_metrics, "counters in Prometheus' text format" },
    { { "/api/explain", 12 }, admin_explain, "what was decided about ?request_id=ID" },
    { { "/api/status", 11 }, admin_status, "what `jwtgate status` shows, as JSON" },
};
#define ADMIN_PAGES (sizeof(admin_pages) / sizeof(admin_pages[0]))

/* By POST. */
static const struct admin_action {
    struct slice path;
    enum admin_need need;
    gw_hook_fn *fn;
} admin_actions[] = {
    { { "/reload", 7 }, ADMIN_RELOAD, admin_reload },
    { { "/drain", 6 }, ADMIN_CHANGE, admin_drain },
    { { "/stop", 5 }, ADMIN_CHANGE, admin_stop },
};
#define ADMIN_ACTIONS (sizeof(admin_actions) / sizeof(admin_actions[0]))

static enum gw_verdict admin_index(struct gw_call *call)
{
    char text[1024];
    size_t len = 0;

    for (size_t i = 0; i < ADMIN_PAGES && len < sizeof(text) - 128; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%-12s %.100s\n",
                                admin_pages[i].path.ptr, admin_pages[i].help);
    }
    return admin_reply(call, 200, ADMIN_TEXT, slice_of(text, len));
}

/* admin.public_path: readiness for load balancers that reach only the public port. */
static bool admin_is_public(const struct request *req)
{
    const struct config *config = req->view->config;

    return config->listeners[req->listener_index].service == CONFIG_PUBLIC;
}

static const struct admin_action *find_action(const struct request *req, struct slice path)
{
    for (size_t i = 0; i < ADMIN_ACTIONS && req->head.method == HTTP_POST; i++) {
        if (slice_eq(path, admin_actions[i].path)) {
            return &admin_actions[i];
        }
    }
    return NULL;
}

static enum gw_verdict admin_page(struct gw_call *call, struct slice path)
{
    for (size_t i = 0; i < ADMIN_PAGES; i++) {
        if (slice_eq(path, admin_pages[i].path)) {
            return admin_pages[i].fn(call);
        }
    }
    return admin_problem(call, 404, NULL);
}

static enum gw_verdict admin_on_request(struct gw_call *call)
{
    struct request *req = request_of(call->req);
    struct slice path = gw_path(call->req);
    const struct admin_action *action = admin_is_public(req) ? NULL : find_action(req, path);
    enum gw_verdict verdict;

    if (action == NULL && req->head.method != HTTP_GET && req->head.method != HTTP_HEAD) {
        req->allowed_methods = (1u << HTTP_GET) | (1u << HTTP_HEAD);
        return admin_problem(call, 405, "Only GET and HEAD are answered here");
    }
    if (admin_is_public(req)) {
        return admin_readyz(call); /* whatever its path is called there, never another page */
    }
    verdict = admin_guard(call, action == NULL ? ADMIN_READ : action->need);
    if (verdict != GW_NEXT) {
        return verdict;
    }
    return action == NULL ? admin_page(call, path) : action->fn(call);
}

const struct gw_plugin admin_plugin = {
    .abi = GW_PLUGIN_ABI,
    .size = sizeof(struct gw_plugin),
    .name = "admin",
    .state_size = sizeof(struct admin_call),
    .on_request = admin_on_request,
    .on_end = admin_on_end,
};
