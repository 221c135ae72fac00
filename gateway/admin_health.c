/* SPDX-License-Identifier: Apache-2.0 */
/* /livez and /readyz: do the loops turn, and is it ready to serve? */
#include "core/headers.h"
#include "core/json.h"
#include "core/loop.h"
#include "gateway/admin_answer.h"
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/process.h"
#include "gateway/request.h"
#include "gateway/worker.h"

#include <stdio.h>
#include <string.h>

struct admin_check {
    const char *name;
    bool ok;
    const char *why; /* of a failure; NULL: nothing to say */
};

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

enum gw_verdict admin_livez(struct gw_call *call)
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

enum gw_verdict admin_readyz(struct gw_call *call)
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
