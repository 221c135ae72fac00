/* SPDX-License-Identifier: Apache-2.0 */
/* A scrape: a copy of every worker's numbers, taken on its own thread. */
#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "gateway/gateway.h"
#include "gateway/metrics_series.h"
#include "gateway/worker.h"

#include <stdlib.h>

#define METRICS_COLLECT_MS 2000u

struct metrics_job {
    struct gateway *gateway;
    struct metrics_job *next, *prev;               /* in gateway->metrics_jobs */
    void (*fn)(void *arg, char *text, size_t len); /* NULL: was called */
    void *arg;
    struct loop_timer timer;
    unsigned pending; /* workers that have not answered */
    unsigned count;
    struct metrics_copy copies[]; /* by worker */
};

static void job_free(struct metrics_job *job)
{
    if (job->prev != NULL) {
        job->prev->next = job->next;
    } else {
        job->gateway->metrics_jobs = job->next;
    }
    if (job->next != NULL) {
        job->next->prev = job->prev;
    }
    loop_timer_remove(job->gateway->control->loop, &job->timer);
    for (unsigned i = 0; i < job->count; i++) {
        free(job->copies[i].values);
    }
    free(job);
}

static void job_answer(struct metrics_job *job, char *text, size_t len)
{
    void (*fn)(void *arg, char *text, size_t len) = job->fn;

    job->fn = NULL;
    if (fn != NULL) {
        fn(job->arg, text, len);
    }
}

/* A worker is stuck: answer without it; the job waits for its copy, which may be written to. */
static void job_on_timer(struct loop_timer *timer)
{
    struct metrics_job *job =
        (struct metrics_job *)(void *)((char *)timer - offsetof(struct metrics_job, timer));

    log_warning("metrics", "workers did not answer in time workers=%u", job->pending);
    job_answer(job, NULL, 0);
}

static void job_on_copy(void *arg)
{
    struct metrics_job *job = arg;
    size_t len = 0;
    char *text;

    job->pending--;
    if (job->pending > 0) {
        return;
    }
    if (job->fn != NULL) {
        text = metrics_print(job->copies, job->count, &len);
        job_answer(job, text, len);
    }
    job_free(job);
}

/* On the worker's thread. */
static void job_copy(void *arg)
{
    struct metrics_copy *copy = arg;

    metrics_sample_worker(copy->worker);
    metrics_copy_from(copy, copy->worker->metrics);
    if (!loop_post(copy->job->gateway->control->loop, job_on_copy, copy->job)) {
        return; /* no memory: the timer answers, metrics_collect_abort() frees */
    }
}

static void job_start(struct metrics_job *job)
{
    struct gateway *gateway = job->gateway;

    job->pending = job->count;
    for (unsigned i = 0; i < job->count; i++) {
        struct metrics_copy *copy = &job->copies[i];

        copy->job = job;
        copy->worker = gateway->workers[i];
        /* The control thread itself, and one whose thread has ended: nobody else touches it. */
        if (i == 0 || copy->worker->has_ended) {
            job_copy(copy);
        } else if (!loop_post(copy->worker->loop, job_copy, copy)) {
            log_warning("metrics", "cannot ask a worker: out of memory worker=%u", i);
        }
    }
}

void metrics_collect(struct gateway *gateway, void (*fn)(void *arg, char *text, size_t len),
                     void *arg)
{
    size_t bytes = gateway->worker_count * sizeof(struct metrics_copy);
    struct metrics_job *job = calloc(1, sizeof(*job) + bytes);

    if (job == NULL) {
        fn(arg, NULL, 0);
        return;
    }
    job->gateway = gateway;
    job->count = gateway->worker_count;
    job->fn = fn;
    job->arg = arg;
    job->timer.fn = job_on_timer;
    if (loop_timer_set(gateway->control->loop, &job->timer, clock_ms() + METRICS_COLLECT_MS) != 0) {
        free(job);
        fn(arg, NULL, 0);
        return;
    }
    job->next = gateway->metrics_jobs;
    if (job->next != NULL) {
        job->next->prev = job;
    }
    gateway->metrics_jobs = job;
    metrics_sample_process(gateway);
    job_start(job);
}

void metrics_collect_abort(struct gateway *gateway)
{
    while (gateway->metrics_jobs != NULL) {
        job_free(gateway->metrics_jobs);
    }
}
