/* SPDX-License-Identifier: Apache-2.0 */
#include "core/offload.h"

#include "core/log.h"
#include "core/priority.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct offload {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct offload_job *first, **last; /* jobs that wait */
    unsigned waiting, max_jobs;
    bool ends;
    bool is_background;
    unsigned thread_count;
    pthread_t threads[];
};

static void hand_back(void *arg)
{
    struct offload_job *job = (struct offload_job *)arg;

    job->done(job);
}

static struct offload_job *take_job(struct offload *offload)
{
    pthread_mutex_lock(&offload->mutex);
    while (offload->first == NULL && !offload->ends) {
        pthread_cond_wait(&offload->work, &offload->mutex);
    }
    struct offload_job *job = offload->first;
    if (job != NULL) {
        offload->first = job->next;
        if (offload->first == NULL) {
            offload->last = &offload->first;
        }
        offload->waiting--;
    }
    pthread_mutex_unlock(&offload->mutex);
    return job;
}

static void *run_thread(void *arg)
{
    struct offload *offload = (struct offload *)arg;
    struct offload_job *job;

    if (offload->is_background) {
        priority_give_way();
    }
    while ((job = take_job(offload)) != NULL) {
        struct loop *loop = job->loop;
        job->work(job);
        if (!loop_post(loop, hand_back, job)) {
            log_error("offload", "the answer of a job is lost");
        }
        if (offload->is_background) {
            priority_let_others();
        }
    }
    return NULL;
}

/* Signals are for the control thread. */
static void start_threads(struct offload *offload, unsigned threads)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (offload->thread_count < threads &&
           pthread_create(&offload->threads[offload->thread_count], NULL, run_thread, offload) ==
               0) {
        offload->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static struct offload *make(unsigned threads, unsigned max_jobs, bool is_background)
{
    struct offload *offload = calloc(1, sizeof(*offload) + threads * sizeof(pthread_t));

    if (offload == NULL) {
        return NULL;
    }
    pthread_mutex_init(&offload->mutex, NULL);
    pthread_cond_init(&offload->work, NULL);
    offload->last = &offload->first;
    offload->max_jobs = max_jobs;
    offload->is_background = is_background;
    start_threads(offload, threads);
    if (offload->thread_count == 0) {
        offload_free(offload);
        return NULL;
    }
    return offload;
}

struct offload *offload_new(unsigned threads, unsigned max_jobs)
{
    return make(threads, max_jobs, false);
}

struct offload *offload_new_background(unsigned threads, unsigned max_jobs)
{
    return make(threads, max_jobs, true);
}

void offload_free(struct offload *offload)
{
    if (offload == NULL) {
        return;
    }
    pthread_mutex_lock(&offload->mutex);
    offload->ends = true;
    pthread_cond_broadcast(&offload->work);
    pthread_mutex_unlock(&offload->mutex);
    for (unsigned i = 0; i < offload->thread_count; i++) {
        pthread_join(offload->threads[i], NULL);
    }
    pthread_cond_destroy(&offload->work);
    pthread_mutex_destroy(&offload->mutex);
    free(offload);
}

int offload_submit(struct offload *offload, struct loop *loop, struct offload_job *job)
{
    int err = 0;

    job->loop = loop;
    job->next = NULL;
    pthread_mutex_lock(&offload->mutex);
    if (offload->ends || offload->waiting >= offload->max_jobs) {
        err = ERR_BUSY;
    } else {
        *offload->last = job;
        offload->last = &job->next;
        offload->waiting++;
        pthread_cond_signal(&offload->work);
    }
    pthread_mutex_unlock(&offload->mutex);
    return err;
}
