/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/admin.h"

#include "core/headers.h"
#include "core/json.h"
#include "core/log.h"
#include "core/loop.h"
#include "gateway/admin_guard.h"
#include "gateway/decisions.h"
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/metrics.h"
#include "gateway/process.h"
#include "gateway/reload.h"
#include "gateway/request.h"
#include "gateway/status.h"
#include "gateway/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADMIN_ANSWER_MS 2000u
#define ADMIN_RELOAD_MS 60000u /* it may wait for keys of new providers */
#define ADMIN_TEXT      SLICE("text/plain; charset=utf-8")

/* What a request waits for.  It outlives the request when workers answer late: it then knows no
 * call any more. */
struct admin_wait {
    struct admin_call *call; /* NULL: the request has ended */
    struct worker *control;
    unsigned pending;  /* answers to come */
    uint64_t found_us; /* explain: when the request began that was found; 0: none was */
    bool is_reload;
};

struct admin_call { /* the plugin's state of a request */
    struct gw_waitlist waiters;
    struct admin_wait *wait; /* NULL: nothing is awaited */
    bool is_ready;           /* the wait is over */
    bool is_ok;              /* reload */
    char *text;              /* metrics, reload, explain: malloc'ed */
    size_t text_len;
};

struct admin_check {
    const char *name;
    bool ok;
    const char *why; /* of a failure; NULL: nothing to say */
};

struct admin_page {
    struct slice path;
    gw_hook_fn *fn;
    const char *help;
};

static struct gateway *admin_gateway(const struct gw_call *call)
{
    return request_of_const(call->req)->worker->gateway;
}

static enum gw_verdict admin_reply(struct gw_call *call, unsigned status, struct slice type,
                                   struct slice body)
{
    struct gw_reply reply = { .status = status, .content_type = type, .body = body };

    return gw_reply(call, &reply);
}

static enum gw_verdict admin_problem(struct gw_call *call, unsigned status, const char *detail)
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

static void admin_wait_answered(struct admin_wait *wait)
{
    wait->pending--;
    if (wait->pending == 0 && wait->call != NULL) {
        wait->call->is_ready = true;
        gw_waitlist_wake(&wait->call->waiters);
    }
    admin_wait_unref(wait);
}

static struct admin_wait *admin_wait_new(struct gw_call *call)
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

/* `fn` runs when all have answered or the time is over: state->is_ready tells which. */
static enum gw_verdict admin_wait_join(struct gw_call *call, unsigned ms, gw_hook_fn *fn)
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

/* ---- health ---- */

static bool admin_wants_json(const struct gw_call *call)
{
    struct slice accept = headers_get_id(gw_headers(call->req), HEADER_ACCEPT);
    struct slice type;

    while (accept.ptr != NULL && headers_next_token(&accept, &type)) {
        if (slice_starts_with(type, SLICE("application/json"))) {
            return true;
        }
    }
    return false;
}

/* `?verbose`, also with a value or beside others. */
static bool admin_is_verbose(const struct gw_call *call)
{
    struct slice query = gw_query(call->req);
    struct slice word = SLICE("verbose");

    for (size_t at = 0; at + word.len <= query.len; at++) {
        char before = at == 0 ? '&' : query.ptr[at - 1];
        char behind = at + word.len == query.len ? '&' : query.ptr[at + word.len];

        if (before == '&' && (behind == '&' || behind == '=') &&
            memcmp(query.ptr + at, word.ptr, word.len) == 0) {
            return true;
        }
    }
    return false;
}

static enum gw_verdict admin_reply_json(struct gw_call *call, unsigned status,
                                        const struct admin_check *checks, unsigned count)
{
    struct json_writer writer;
    enum gw_verdict verdict = GW_FAIL;

    json_writer_init(&writer, 32768);
    json_write_begin(&writer, NULL, '{');
    json_write_string(&writer, "status", status == 200 ? SLICE("ok") : SLICE("unavailable"));
    json_write_begin(&writer, "checks", '{');
    for (unsigned i = 0; i < count; i++) {
        json_write_string(&writer, checks[i].name, checks[i].ok ? SLICE("ok") : SLICE("failed"));
    }
    json_write_end(&writer, '}');
    json_write_end(&writer, '}');
    if (!writer.failed) {
        verdict =
            admin_reply(call, status, SLICE("application/json"), slice_of(writer.buf, writer.len));
    }
    json_writer_done(&writer);
    return verdict;
}

/* A failed answer shows every check, as ?verbose does. */
static enum gw_verdict admin_reply_checks(struct gw_call *call, const struct admin_check *checks,
                                          unsigned count)
{
    char text[32768];
    size_t len = 0;
    unsigned status = 200;

    for (unsigned i = 0; i < count; i++) {
        status = checks[i].ok ? status : 503;
    }
    if (admin_wants_json(call)) {
        return admin_reply_json(call, status, checks, count);
    }
    if (status == 200 && !admin_is_verbose(call)) {
        return admin_reply(call, status, ADMIN_TEXT, SLICE("ok\n"));
    }
    for (unsigned i = 0; i < count && len < sizeof(text) - 256; i++) {
        bool has_why = !checks[i].ok && checks[i].why != NULL;

        len += (size_t)snprintf(text + len, sizeof(text) - len, "[%c]%.96s %s%s%.80s\n",
                                checks[i].ok ? '+' : '-', checks[i].name,
                                checks[i].ok ? "ok" : "failed", has_why ? ": " : "",
                                has_why ? checks[i].why : "");
    }
    len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n",
                            status == 200 ? "passed" : "failed");
    return admin_reply(call, status, ADMIN_TEXT, slice_of(text, len));
}

static void admin_on_pong(void *arg)
{
    admin_wait_answered(arg);
}

/* On the worker's thread: its loop turns. */
static void admin_on_ping(void *arg)
{
    struct admin_wait *wait = arg;

    /* Without memory nobody hears of it: the request's time runs out. */
    if (!loop_post(wait->control->loop, admin_on_pong, wait)) {
        return;
    }
}

static enum gw_verdict admin_on_livez(struct gw_call *call)
{
    const struct admin_call *state = call->state;
    struct admin_check check = { .name = "workers", .ok = state->is_ready };

    return admin_reply_checks(call, &check, 1);
}

static enum gw_verdict admin_livez(struct gw_call *call)
{
    struct gateway *gateway = admin_gateway(call);
    struct admin_wait *wait = admin_wait_new(call);

    if (wait == NULL) {
        return GW_FAIL;
    }
    wait->pending = 1; /* itself: so that answers cannot end the wait before all are asked */
    for (unsigned i = 1; i < gateway->worker_count; i++) {
        struct worker *worker = gateway->workers[i];

        if (worker->has_ended) {
            continue; /* the process drains: it has done its work */
        }
        wait->pending++;
        /* Not delivered: stays pending, the answer will be "failed". */
        if (!loop_post(worker->loop, admin_on_ping, wait)) {
            break;
        }
    }
    admin_wait_answered(wait);
    return admin_wait_join(call, ADMIN_ANSWER_MS, admin_on_livez);
}

static enum gw_verdict admin_readyz(struct gw_call *call)
{
    const struct gateway *gateway = admin_gateway(call);
    struct admin_check checks[3 + PROCESS_MAX_CHECKS] = {
        { "config", true, NULL },
        { "listeners", __atomic_load_n(&gateway->ready, __ATOMIC_RELAXED), NULL },
        { "not-draining",
          !__atomic_load_n(&gateway->draining, __ATOMIC_RELAXED) &&
              !__atomic_load_n(&gateway->leaving, __ATOMIC_RELAXED),
          NULL },
    };
    const struct processes *processes = request_of_const(call->req)->view->processes;
    struct process_check check;
    unsigned count = 3, pos = 0;

    while (processes_next_check(processes, &pos, &check)) {
        checks[count++] = (struct admin_check){ check.name, check.ok, check.why };
    }
    return admin_reply_checks(call, checks, count);
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

/* ---- what was decided about a request ---- */

#define ADMIN_DECISION_BYTES 8192u

static int admin_hex(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c == '\0' ? NULL : strchr(digits, ascii_lower(c));

    return found == NULL ? -1 : (int)(found - digits);
}

/* The value of `request_id=` in the query, without its escapes; absent: none, or a bad one. */
static struct slice admin_request_id(const struct gw_call *call, char ret[DECISION_MAX_ID_BYTES])
{
    struct slice query = gw_query(call->req), name = SLICE("request_id=");
    size_t len = 0;

    if (query.len <= name.len || !slice_starts_with(query, name)) {
        return SLICE_ABSENT;
    }
    for (size_t i = name.len; i < query.len; i++) {
        bool is_escape = query.ptr[i] == '%' && i + 2 < query.len;
        int high = is_escape ? admin_hex(query.ptr[i + 1]) : 0;
        int low = is_escape ? admin_hex(query.ptr[i + 2]) : 0;

        if (high < 0 || low < 0 || query.ptr[i] == '&' || len == DECISION_MAX_ID_BYTES) {
            return SLICE_ABSENT;
        }
        ret[len++] = is_escape ? (char)(16 * high + low) : query.ptr[i];
        i += is_escape ? 2 : 0;
    }
    return slice_of(ret, len);
}

/* Of several with one id, which clients behind trusted proxies can bring about, the newest counts. */
static void admin_keep_decision(struct admin_wait *wait, const struct decision *decision)
{
    struct json_writer w;

    if (decision->unix_us <= wait->found_us) {
        return;
    }
    json_writer_init(&w, ADMIN_DECISION_BYTES);
    decision_write(decision, &w);
    if (!w.failed) {
        wait->found_us = decision->unix_us;
        free(wait->call->text);
        wait->call->text = w.buf;
        wait->call->text_len = w.len;
        w.buf = NULL;
    }
    json_writer_done(&w);
}

static void admin_on_decision(void *arg, const struct decision *decision)
{
    struct admin_wait *wait = arg;

    if (decision != NULL && wait->call != NULL) {
        admin_keep_decision(wait, decision);
    }
    admin_wait_answered(wait);
}

static enum gw_verdict admin_on_explain(struct gw_call *call)
{
    const struct admin_call *state = call->state;

    if (state->text == NULL) {
        return state->is_ready ? admin_problem(call, 404, "No such request among the last ones")
                               : admin_problem(call, 503, "A worker did not answer in time");
    }
    return admin_reply(call, 200, SLICE("application/json"),
                       slice_of(state->text, state->text_len));
}

static enum gw_verdict admin_explain(struct gw_call *call)
{
    char id[DECISION_MAX_ID_BYTES];
    struct slice wanted = admin_request_id(call, id);
    struct admin_wait *wait = slice_is_absent(wanted) ? NULL : admin_wait_new(call);

    if (wait == NULL) {
        return slice_is_absent(wanted) ? admin_problem(call, 400, "Write ?request_id=ID") : GW_FAIL;
    }
    wait->pending = 1; /* itself, as in admin_livez() */
    decisions_ask(admin_gateway(call), wanted, admin_on_decision, wait, &wait->pending);
    admin_wait_answered(wait);
    return admin_wait_join(call, ADMIN_ANSWER_MS, admin_on_explain);
}

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
