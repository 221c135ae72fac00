/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/process.h"

#include "core/log.h"
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/worker.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROCESS_CHECK_NAME_MAX 96u

struct gw_check {
    char name[PROCESS_CHECK_NAME_MAX];
    bool ok;         /* atomic */
    const char *why; /* atomic */
};

struct gw_process {
    struct processes *owner;
    const struct gw_plugin *plugin;
    unsigned plugin_index;
    const void *top;
    void *state;
    bool is_running;
};

/* On its way from one thread to another; listed so that what no thread took is freed at the end. */
struct process_message {
    struct process_message *next, **at;
    struct gw_process *process;
    struct worker *worker;     /* to a worker: */
    gw_publish_fn *publish_fn; /* ... */
    struct gw_shared *object;  /* a reference */
    gw_process_fn *process_fn; /* to the process, with the bytes behind */
    max_align_t data[];
};

struct processes {
    struct gateway *gateway;
    struct config *config;    /* a reference */
    struct gw_process *items; /* by plugin index */
    struct gw_check *checks;
    unsigned check_count;
    pthread_mutex_t lock; /* of messages */
    struct process_message *messages;
};

/* ---- life ---- */

struct processes *processes_new(struct gateway *gateway)
{
    struct processes *processes = calloc(1, sizeof(*processes));
    struct config *config = gateway->config;

    if (processes == NULL) {
        return NULL;
    }
    pthread_mutex_init(&processes->lock, NULL);
    processes->gateway = gateway;
    processes->config = config_ref(config);
    processes->items = calloc(config->plugin_count + 1, sizeof(*processes->items));
    processes->checks = calloc(PROCESS_MAX_CHECKS, sizeof(*processes->checks));
    if (processes->items == NULL || processes->checks == NULL) {
        processes_free(processes);
        return NULL;
    }
    for (unsigned i = 0; i < config->plugin_count; i++) {
        processes->items[i] = (struct gw_process){
            .owner = processes,
            .plugin = config->plugins[i],
            .plugin_index = i,
            .top = config->tops[i],
        };
    }
    return processes;
}

int processes_start(struct processes *processes)
{
    for (size_t i = 0; i < processes->config->plugin_count; i++) {
        struct gw_process *process = &processes->items[i];
        int err;

        if (process->plugin->process_init == NULL) {
            continue;
        }
        err = process->plugin->process_init(process, process->top, &process->state);
        if (err < 0) {
            log_error("gateway", "cannot start plugin=%s error=\"%s\"", process->plugin->name,
                      err_text(err));
            return err;
        }
        process->is_running = true;
    }
    return 0;
}

void processes_stop(struct processes *processes)
{
    if (processes == NULL) {
        return;
    }
    for (size_t i = processes->config->plugin_count; i-- > 0;) {
        struct gw_process *process = &processes->items[i];

        if (process->is_running && process->plugin->process_done != NULL) {
            process->plugin->process_done(process->state);
        }
        process->is_running = false;
        process->state = NULL;
    }
}

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
    free(message);
}

void processes_free(struct processes *processes)
{
    if (processes == NULL) {
        return;
    }
    processes_stop(processes);
    while (processes->messages != NULL) {
        struct process_message *message = processes->messages;

        message_unlink(message);
        message_free(message);
    }
    pthread_mutex_destroy(&processes->lock);
    config_unref(processes->config);
    free(processes->items);
    free(processes->checks);
    free(processes);
}

/* ---- messages ---- */

static struct process_message *message_new(struct gw_process *process, size_t data_bytes)
{
    struct process_message *message = calloc(1, sizeof(*message) + data_bytes);

    if (message != NULL) {
        message->process = process;
    }
    return message;
}

static void message_run(void *arg)
{
    struct process_message *message = arg;
    struct gw_process *process = message->process;
    struct processes *owner = process->owner;
    struct config_view *view;

    pthread_mutex_lock(&owner->lock);
    message_unlink(message);
    pthread_mutex_unlock(&owner->lock);
    if (message->worker == NULL) {
        if (process->is_running) {
            message->process_fn(process->state, message->data);
        }
        message_free(message);
        return;
    }
    view = message->worker->view;
    if (view->config == owner->config && view->plugin_workers[process->plugin_index] != NULL) {
        message->publish_fn(view->plugin_workers[process->plugin_index], message->object);
    }
    message_free(message);
}

static int message_send(struct process_message *message, struct worker *to)
{
    struct processes *owner = message->process->owner;

    pthread_mutex_lock(&owner->lock);
    message->next = owner->messages;
    message->at = &owner->messages;
    if (message->next != NULL) {
        message->next->at = &message->next;
    }
    owner->messages = message;
    /* Under the lock: the receiver cannot unlink before the list is whole. */
    if (loop_post(to->loop, message_run, message)) {
        pthread_mutex_unlock(&owner->lock);
        return 0;
    }
    message_unlink(message);
    pthread_mutex_unlock(&owner->lock);
    message_free(message);
    return ERR_NO_MEMORY;
}

int gw_publish(struct gw_process *process, gw_publish_fn *fn, struct gw_shared *object)
{
    struct gateway *gateway = process->owner->gateway;
    int err = 0;

    for (unsigned i = 0; i < gateway->worker_count; i++) {
        struct worker *worker = gateway->workers[i];
        struct process_message *message;

        if (worker->has_ended) {
            continue;
        }
        message = message_new(process, 0);
        if (message == NULL) {
            err = ERR_NO_MEMORY;
            continue; /* the others shall have it all the same */
        }
        message->worker = worker;
        message->publish_fn = fn;
        message->object = gw_shared_ref(object);
        if (message_send(message, worker) < 0) {
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
    return message_send(message, process->owner->gateway->control);
}

/* ---- what a process asks ---- */

struct gw_process *gw_process_of(struct gw_worker *gw_worker, const void *top)
{
    const struct processes *processes = worker_of(gw_worker)->gateway->processes;

    if (processes == NULL || top == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < processes->config->plugin_count; i++) {
        struct gw_process *process = &processes->items[i];

        if (process->top == top && process->plugin->process_init != NULL) {
            return process;
        }
    }
    return NULL;
}

struct gw_worker *gw_process_worker(struct gw_process *process)
{
    return (struct gw_worker *)(void *)process->owner->gateway->control;
}

struct loop *gw_loop(struct gw_worker *worker)
{
    return worker_of(worker)->loop;
}

const char *gw_folder(const struct gw_process *process, enum gw_folder folder)
{
    const struct config_server *server = &process->owner->config->server;

    switch (folder) {
    case GW_STATE_DIR: return server->state_dir;
    case GW_CACHE_DIR: return server->cache_dir;
    }
    return NULL;
}

/* ---- readiness ---- */

struct gw_check *gw_check_new(struct gw_process *process, const char *name)
{
    struct processes *processes = process->owner;
    struct gw_check *check;

    if (processes->check_count == PROCESS_MAX_CHECKS) {
        return NULL;
    }
    check = &processes->checks[processes->check_count++];
    snprintf(check->name, sizeof(check->name), "%s", name);
    return check;
}

void gw_check_set(struct gw_check *check, bool ok, const char *why)
{
    __atomic_store_n(&check->why, why, __ATOMIC_RELAXED);
    __atomic_store_n(&check->ok, ok, __ATOMIC_RELEASE);
}

bool processes_next_check(const struct processes *processes, unsigned *ret_pos,
                          struct process_check *ret)
{
    const struct gw_check *check;

    if (processes == NULL || *ret_pos >= processes->check_count) {
        return false;
    }
    check = &processes->checks[(*ret_pos)++];
    ret->name = check->name;
    ret->ok = __atomic_load_n(&check->ok, __ATOMIC_ACQUIRE);
    ret->why = __atomic_load_n(&check->why, __ATOMIC_RELAXED);
    return true;
}

bool processes_are_ready(const struct processes *processes)
{
    struct process_check check;
    unsigned pos = 0;

    while (processes_next_check(processes, &pos, &check)) {
        if (!check.ok) {
            return false;
        }
    }
    return true;
}
