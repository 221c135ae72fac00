/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/decisions.h"

#include "core/clock.h"
#include "core/loop.h"
#include "gateway/access_log.h"
#include "gateway/gateway.h"
#include "gateway/request.h"
#include "gateway/worker.h"

#include <stdlib.h>

struct decisions {
    uint64_t count;
    uint64_t next; /* the oldest: written next */
    struct decision items[];
};

/* ---- writing, at the end of each request ---- */

static void add_text(struct decision *to, enum decision_text which, struct slice text, size_t max)
{
    size_t at = which == 0 ? 0 : to->ends[which - 1];
    size_t room = DECISION_BYTES - at;

    max = max < room ? max : room;
    if (text.len > max) {
        text.len = max;
    }
    if (text.len > 0) {
        memcpy(to->text + at, text.ptr, text.len);
    }
    to->ends[which] = (uint16_t)(at + text.len);
}

static void fill(struct decision *to, const struct request *req)
{
    char hash[ACCESS_LOG_NAME_BYTES];
    const struct slice texts[DECISION_TEXTS] = {
        [DECISION_ID] = req->id,
        [DECISION_METHOD] = req->head.method_name,
        [DECISION_PATH] = req->head.path,
        [DECISION_ROUTE] = req->route == NULL ? SLICE_ABSENT : req->route->element.name,
        [DECISION_PROVIDER] = req->attrs[GW_ATTR_PROVIDER],
        [DECISION_KID] = req->attrs[GW_ATTR_KID],
        [DECISION_SUBJECT] = access_log_name(req, GW_ATTR_SUBJECT, hash),
        [DECISION_CLIENT_ID] = req->attrs[GW_ATTR_CLIENT_ID],
        [DECISION_JTI] = req->attrs[GW_ATTR_JTI],
    };
    static const uint16_t most[] = {
#define X(id, name, max) max,
        DECISION_TEXT_TABLE(X)
#undef X
    };

    to->unix_us = req->start_unix_us;
    to->reason = req->reason;
    to->auth_reason = req->auth_reason;
    memcpy(to->config, req->view->config->hash, sizeof(to->config));
    to->outcome = (uint8_t)req->outcome;
    to->status = (uint16_t)req->status;
    to->upstream_status = (uint16_t)req->upstream_status;
    for (unsigned i = 0; i < DECISION_TEXTS; i++) {
        add_text(to, (enum decision_text)i, texts[i], most[i]);
    }
}

/* The ring is made with the first request after the start, or after a reload that changed its size. */
static struct decisions *ring_of(struct worker *worker, uint64_t count)
{
    struct decisions *ring = worker->decisions;

    if (ring != NULL && ring->count == count) {
        return ring;
    }
    decisions_free(ring);
    ring = calloc(1, sizeof(*ring) + count * sizeof(ring->items[0]));
    if (ring != NULL) {
        ring->count = count;
    }
    worker->decisions = ring;
    return ring;
}

void decisions_keep(struct worker *worker, const struct request *req)
{
    const struct config *config = req->view->config;

    if (config->explained_requests == 0 || req->id.len == 0 ||
        config->listeners[req->listener_index].service != CONFIG_PUBLIC) {
        return;
    }
    struct decisions *ring = ring_of(worker, config->explained_requests);

    if (ring == NULL) {
        return; /* no memory: this one cannot be explained */
    }
    fill(&ring->items[ring->next], req);
    ring->next = ring->next + 1 == ring->count ? 0 : ring->next + 1;
}

void decisions_free(struct decisions *decisions)
{
    free(decisions);
}

/* ---- asking the workers ---- */

struct question { /* to one worker, and its answer */
    struct worker *worker, *control;
    decision_fn *fn;
    void *arg;
    char id[DECISION_MAX_ID_BYTES];
    size_t id_len;
    struct decision decision;
};

static struct slice text_of(const struct decision *decision, enum decision_text which)
{
    size_t at = which == 0 ? 0 : decision->ends[which - 1];

    return slice_of(decision->text + at, decision->ends[which] - at);
}

static const struct decision *find(const struct decisions *ring, struct slice id)
{
    for (uint64_t i = 0; ring != NULL && i < ring->count; i++) {
        uint64_t at = (ring->next + ring->count - 1 - i) % ring->count; /* the newest first */
        const struct decision *decision = &ring->items[at];

        if (decision->unix_us == 0) {
            return NULL; /* from here on nothing was written yet */
        }
        if (slice_eq(text_of(decision, DECISION_ID), id)) {
            return decision;
        }
    }
    return NULL;
}

static void on_answer(void *arg)
{
    struct question *question = arg;

    question->fn(question->arg, question->decision.unix_us == 0 ? NULL : &question->decision);
    free(question);
}

/* On the worker's thread. */
static void on_question(void *arg)
{
    struct question *question = arg;
    const struct decision *found =
        find(question->worker->decisions, slice_of(question->id, question->id_len));

    if (found != NULL) {
        question->decision = *found;
    }
    if (!loop_post(question->control->loop, on_answer, question)) {
        free(question); /* no memory, or the end: whoever waits for it has a deadline */
    }
}

static struct question *question_new(struct gateway *gateway, struct worker *worker,
                                     struct slice id, decision_fn *fn, void *arg)
{
    struct question *question = calloc(1, sizeof(*question));

    if (question != NULL) {
        question->worker = worker;
        question->control = gateway->control;
        question->fn = fn;
        question->arg = arg;
        memcpy(question->id, id.ptr, id.len);
        question->id_len = id.len;
    }
    return question;
}

void decisions_ask(struct gateway *gateway, struct slice id, decision_fn *fn, void *arg,
                   unsigned *count)
{
    if (id.len > DECISION_MAX_ID_BYTES) {
        return;
    }
    *count += gateway->worker_count - 1;
    for (unsigned i = 1; i < gateway->worker_count; i++) {
        struct worker *worker = gateway->workers[i];
        struct question *question = question_new(gateway, worker, id, fn, arg);

        if (question == NULL) {
            fn(arg, NULL);
        } else if (worker->has_ended) {
            on_question(question); /* nobody else touches it */
        } else if (!loop_post(worker->loop, on_question, question)) {
            on_answer(question);
        }
    }
}

/* ---- the answer ---- */

static void write_text(struct json_writer *w, const char *name, struct slice text)
{
    if (text.len > 0) {
        json_write_string(w, name, text);
    }
}

void decision_write(const struct decision *decision, struct json_writer *w)
{
    static const char *const names[] = {
#define X(id, name, max) name,
        DECISION_TEXT_TABLE(X)
#undef X
    };
    char time[CLOCK_RFC3339_BYTES];

    clock_format_rfc3339(decision->unix_us, time);
    json_write_begin(w, NULL, '{');
    json_write_string(w, "time", slice_str(time));
    for (unsigned i = 0; i < DECISION_TEXTS; i++) {
        write_text(w, names[i], text_of(decision, (enum decision_text)i));
    }
    json_write_int(w, "status", decision->status);
    json_write_string(w, "outcome", slice_str(outcome_word((enum outcome)decision->outcome)));
    write_text(w, "reason", slice_str(decision->reason));
    write_text(w, "auth", slice_str(decision->auth_reason));
    if (decision->upstream_status != 0) {
        json_write_int(w, "upstream_status", decision->upstream_status);
    }
    json_write_string(w, "config", slice_str(decision->config));
    json_write_end(w, '}');
}
