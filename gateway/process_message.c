/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a process and the workers. */
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/process_hub.h"
#include "gateway/worker.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* On its way from one thread to another; listed so that what no thread took is freed at the end. */
struct process_message {
    struct process_message *next, **at;
    struct gw_process *process; /* a reference */
    struct worker *worker;      /* to a worker: */
    gw_publish_fn *publish_fn;  /* ... */
    struct gw_shared *object;   /* a reference */
    gw_process_fn *process_fn;  /* to the process, with the bytes behind */
    max_align_t data[];
};

static void message_unlink(struct process_message *message)
{
    *message->at = message->next;
    if (message->next != NULL) {
        message->next->at = message->at;
    }
}

static void message_free(struct process_message *message)
{
    gw_shared_unref(message->object);
    process_unref(message->process);
    free(message);
}

void process_messages_free(struct process_hub *hub)
{
    while (hub->messages != NULL) {
        struct process_message *message = hub->messages;

        message_unlink(message);
        message_free(message);
    }
}

static struct process_message *message_new(struct gw_process *process, size_t data_bytes)
{
    struct process_message *message = calloc(1, sizeof(*message) + data_bytes);

    if (message != NULL) {
        message->process = process;
        __atomic_fetch_add(&process->refs, 1, __ATOMIC_RELAXED);
    }
    return message;
}

static void *state_of(const struct config_view *view, const struct gw_process *process)
{
    unsigned i = process->plugin_index;

    return i < view->config->plugin_count && view->config->tops[i] == process->top
               ? view->plugin_workers[i]
               : NULL;
}

/* Views of several snapshots may have one state: it gets the object once. */
static bool has_state_before(const struct config_view *first, const struct config_view *view,
                             const struct gw_process *process)
{
    for (; first != view; first = first->next) {
        if (state_of(first, process) == state_of(view, process)) {
            return true;
        }
    }
    return false;
}

/* Also to views that are being made and to those that only old requests have. */
static void message_publish(const struct process_message *message)
{
    const struct config_view *views = message->worker->views;

    for (const struct config_view *view = views; view != NULL; view = view->next) {
        void *state = state_of(view, message->process);

        if (state != NULL && !has_state_before(views, view, message->process)) {
            message->publish_fn(state, message->object);
        }
    }
}

static void message_run(void *arg)
{
    struct process_message *message = arg;
    struct gw_process *process = message->process;
    struct process_hub *hub = process->hub;

    pthread_mutex_lock(&hub->lock);
    message_unlink(message);
    pthread_mutex_unlock(&hub->lock);
    if (message->worker != NULL) {
        message_publish(message);
    } else if (process->is_running) {
        message->process_fn(process->state, message->data);
    }
    message_free(message);
}

static int message_send(struct process_message *message, struct worker *to)
{
    struct process_hub *hub = message->process->hub;

    pthread_mutex_lock(&hub->lock);
    message->next = hub->messages;
    message->at = &hub->messages;
    if (message->next != NULL) {
        message->next->at = &message->next;
    }
    hub->messages = message;
    /* Under the lock: the receiver cannot unlink before the list is whole. */
    if (loop_post(to->loop, message_run, message)) {
        pthread_mutex_unlock(&hub->lock);
        return 0;
    }
    message_unlink(message);
    pthread_mutex_unlock(&hub->lock);
    message_free(message);
    return ERR_NO_MEMORY;
}

int gw_publish_to(struct gw_process *process, struct gw_worker *gw_worker, gw_publish_fn *fn,
                  struct gw_shared *object)
{
    struct worker *worker = worker_of(gw_worker);

    if (worker->has_ended) {
        return 0;
    }
    struct process_message *message = message_new(process, 0);
    if (message == NULL) {
        return ERR_NO_MEMORY;
    }
    message->worker = worker;
    message->publish_fn = fn;
    message->object = gw_shared_ref(object);
    return message_send(message, worker);
}

int gw_publish(struct gw_process *process, gw_publish_fn *fn, struct gw_shared *object)
{
    struct gateway *gateway = process->hub->gateway;
    int err = 0;

    for (unsigned i = 0; i < gateway->worker_count; i++) {
        /* The others shall have it even when one does not get it. */
        if (gw_publish_to(process, gw_worker_of(gateway->workers[i]), fn, object) < 0) {
            err = ERR_NO_MEMORY;
        }
    }
    return err;
}

int gw_process_post(struct gw_process *process, gw_process_fn *fn, const void *data, size_t size)
{
    struct process_message *message = message_new(process, size);

    if (message == NULL) {
        return ERR_NO_MEMORY;
    }
    message->process_fn = fn;
    if (size > 0) {
        memcpy(message->data, data, size);
    }
    return message_send(message, process->hub->gateway->control);
}
