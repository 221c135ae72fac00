/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/process.h"

#include "core/log.h"
#include "gateway/gateway.h"
#include "gateway/host.h"
#include "gateway/process_hub.h"
#include "gateway/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PROCESS_CHECK_NAME_MAX 96u

struct gw_check {
    struct gw_check *next;
    char name[PROCESS_CHECK_NAME_MAX];
    bool ok;         /* atomic */
    const char *why; /* atomic */
};

struct processes {
    struct process_hub *hub;
    struct processes *next, **at; /* in the hub's list */
    struct gw_process **items;    /* by plugin index; NULL: the plugin has none */
    size_t count;
    unsigned holds;
};

/* ---- life ---- */

void process_unref(struct gw_process *process)
{
    struct gw_check *next;

    if (__atomic_sub_fetch(&process->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (struct gw_check *check = process->checks; check != NULL; check = next) {
        next = check->next;
        free(check);
    }
    config_unref(process->config);
    free(process);
}

static void process_end(struct gw_process *process)
{
    bool was_running = process->is_running;

    process->is_running =
        false; /* first: process_done() may turn the loop, which brings messages */
    if (was_running && process->plugin->process_done != NULL) {
        process->plugin->process_done(process->state);
    }
    process->state = NULL;
}

static struct gw_process *process_new(struct process_hub *hub, struct config *config, unsigned i)
{
    struct gw_process *process = calloc(1, sizeof(*process));
    bool is_shared = config->top_owners != NULL && config->top_owners[i] != NULL;

    if (process != NULL) {
        process->hub = hub;
        process->plugin = config->plugins[i];
        process->plugin_index = i;
        process->top = config->tops[i];
        process->config = config_ref(is_shared ? config->top_owners[i] : config);
        process->users = 1;
        process->refs = 1;
    }
    return process;
}

/* That of the snapshot before, if the plugin has the same top. */
static struct gw_process *process_kept(const struct processes *previous,
                                       const struct config *config, unsigned i)
{
    struct gw_process *process =
        previous == NULL || i >= previous->count ? NULL : previous->items[i];

    return process != NULL && process->plugin == config->plugins[i] &&
                   process->top == config->tops[i]
               ? process
               : NULL;
}

struct process_hub *process_hub_new(struct gateway *gateway)
{
    struct process_hub *hub = calloc(1, sizeof(*hub));

    if (hub != NULL) {
        hub->gateway = gateway;
        pthread_mutex_init(&hub->lock, NULL);
    }
    return hub;
}

static void processes_free(struct processes *processes)
{
    for (size_t i = processes->count; i-- > 0;) {
        struct gw_process *process = processes->items[i];

        if (process != NULL && --process->users == 0) {
            process_end(process);
            process_unref(process);
        }
    }
    *processes->at = processes->next;
    if (processes->next != NULL) {
        processes->next->at = processes->at;
    }
    free(processes->items);
    free(processes);
}

struct processes *processes_new(struct process_hub *hub, struct config *config,
                                const struct processes *previous)
{
    struct processes *processes = calloc(1, sizeof(*processes));

    if (processes == NULL) {
        return NULL;
    }
    processes->hub = hub;
    processes->holds = 1;
    processes->at = &hub->all;
    processes->next = hub->all;
    if (processes->next != NULL) {
        processes->next->at = &processes->next;
    }
    hub->all = processes;
    processes->items = calloc(config->plugin_count + 1, sizeof(struct gw_process *));
    processes->count = processes->items == NULL ? 0 : config->plugin_count;
    for (unsigned i = 0; i < processes->count; i++) {
        struct gw_process *kept = process_kept(previous, config, i);

        if (config->plugins[i]->process_init == NULL) {
            continue;
        }
        if (kept != NULL) {
            kept->users++;
        }
        processes->items[i] = kept != NULL ? kept : process_new(hub, config, i);
        if (processes->items[i] == NULL) {
            processes_free(processes);
            return NULL;
        }
    }
    if (processes->items == NULL) {
        processes_free(processes);
        return NULL;
    }
    return processes;
}

static int process_start(struct gw_process *process, const struct processes *previous)
{
    int err;

    if (process == NULL || process->is_running) {
        return 0;
    }
    process->previous = previous == NULL || process->plugin_index >= previous->count ||
                                previous->items[process->plugin_index] == process
                            ? NULL
                            : previous->items[process->plugin_index];
    err = process->plugin->process_init(process, process->top, &process->state);
    process->previous = NULL;
    if (err < 0) {
        log_error("gateway", "cannot start plugin=%s error=\"%s\"", process->plugin->name,
                  err_text(err));
        return err;
    }
    process->is_running = true;
    return 0;
}

int processes_start(struct processes *processes, const struct processes *previous)
{
    for (size_t i = 0; i < processes->count; i++) {
        int err = process_start(processes->items[i], previous);

        if (err < 0) {
            return err;
        }
    }
    return 0;
}

void processes_hold(struct processes *processes, unsigned times)
{
    processes->holds += times;
}

static void processes_release_on_control(void *arg)
{
    processes_release(arg);
}

void processes_release(struct processes *processes)
{
    if (processes != NULL && --processes->holds == 0) {
        processes_free(processes);
    }
}

void processes_release_later(struct processes *processes)
{
    const struct worker *control = processes->hub->gateway->control;

    if (control != NULL && !loop_post(control->loop, processes_release_on_control, processes)) {
        log_warning("gateway", "a snapshot's processes go on until the end: out of memory");
    }
}

void process_hub_stop(struct process_hub *hub)
{
    for (struct processes *at = hub == NULL ? NULL : hub->all; at != NULL; at = at->next) {
        for (size_t i = at->count; i-- > 0;) {
            if (at->items[i] != NULL) {
                process_end(at->items[i]);
            }
        }
    }
}

void process_hub_free(struct process_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    while (hub->all != NULL) {
        processes_free(hub->all);
    }
    process_messages_free(hub);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

/* ---- what a process asks ---- */

struct gw_process *gw_process_of(struct gw_worker *gw_worker, const void *top)
{
    const struct processes *processes = worker_of(gw_worker)->starting;

    if (processes == NULL || top == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < processes->count; i++) {
        struct gw_process *process = processes->items[i];

        if (process != NULL && process->top == top) {
            return process;
        }
    }
    return NULL;
}

void *gw_worker_previous(struct gw_worker *gw_worker, const void *top)
{
    const struct gw_process *process = gw_process_of(gw_worker, top);
    const struct config_view *view = process == NULL ? NULL : worker_of(gw_worker)->view;

    return view != NULL && process->plugin_index < view->config->plugin_count &&
                   view->config->plugins[process->plugin_index] == process->plugin
               ? view->plugin_workers[process->plugin_index]
               : NULL;
}

void *gw_process_previous(const struct gw_process *process)
{
    return process->previous == NULL ? NULL : process->previous->state;
}

struct gw_worker *gw_process_worker(struct gw_process *process)
{
    return (struct gw_worker *)(void *)process->hub->gateway->control;
}

struct loop *gw_loop(struct gw_worker *worker)
{
    return worker_of(worker)->loop;
}

const char *gw_folder(const struct gw_process *process, enum gw_folder folder)
{
    return config_folder(&process->config->server, folder);
}

/* ---- readiness ---- */

struct gw_check *gw_check_new(struct gw_process *process, const char *name)
{
    struct gw_check **last = &process->checks;
    struct gw_check *check;

    if (process->check_count == PROCESS_MAX_CHECKS) {
        return NULL;
    }
    check = calloc(1, sizeof(*check));
    if (check == NULL) {
        return NULL;
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = check;
    process->check_count++;
    snprintf(check->name, sizeof(check->name), "%s", name);
    return check;
}

void gw_check_set(struct gw_check *check, bool ok, const char *why)
{
    __atomic_store_n(&check->why, why, __ATOMIC_RELAXED);
    __atomic_store_n(&check->ok, ok, __ATOMIC_RELEASE);
}

static const struct gw_check *find_check(const struct processes *processes, unsigned pos)
{
    for (size_t i = 0; i < processes->count; i++) {
        const struct gw_process *process = processes->items[i];
        const struct gw_check *check = process == NULL ? NULL : process->checks;

        for (; check != NULL; check = check->next) {
            if (pos-- == 0) {
                return check;
            }
        }
    }
    return NULL;
}

bool processes_next_check(const struct processes *processes, unsigned *ret_pos,
                          struct process_check *ret)
{
    const struct gw_check *check = processes == NULL || *ret_pos >= PROCESS_MAX_CHECKS
                                       ? NULL
                                       : find_check(processes, *ret_pos);

    if (check == NULL) {
        return false;
    }
    ++*ret_pos;
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
