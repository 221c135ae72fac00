/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/reload.h"

#include "core/clock.h"
#include "core/diag.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/sink.h"
#include "gateway/certificates.h"
#include "gateway/config.h"
#include "gateway/config_change.h"
#include "gateway/gateway.h"
#include "gateway/listener.h"
#include "gateway/listening.h"
#include "gateway/notify.h"
#include "gateway/process.h"
#include "gateway/upgrade.h"
#include "gateway/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READY_POLL_MS 20u

enum reload_state {
    RELOAD_IDLE,
    RELOAD_LOADING,   /* a thread reads the files */
    RELOAD_PREPARING, /* workers make their views */
    RELOAD_AWAITING,  /* plugins start: first keys of new providers */
    RELOAD_SWITCHING, /* workers take their views; nothing can fail any more */
    RELOAD_DROPPING,  /* workers forget theirs */
};

struct reload_waiter {
    struct reload_waiter *next;
    reload_fn *fn; /* NULL: nobody is to be told */
    void *arg;
};

struct reload_part { /* one worker's */
    struct reload *reload;
    struct worker *worker;
    struct worker_change change;
    int err;
};

struct reload {
    struct gateway *gateway;
    enum reload_state state;
    struct reload_waiter *waiters; /* for this one */
    struct reload_waiter *next;    /* for one more */
    bool again;

    /* Of the one under way. */
    struct diag diag;
    pthread_t thread;
    bool has_thread;
    struct config *previous; /* a reference */
    struct config *config;   /* the new one: a reference */
    struct processes *processes;
    struct sink *access_log;
    bool new_log;
    struct reload_part *parts; /* by worker */
    int *fds;                  /* of all parts */
    unsigned pending;
    const char *echo_address;
    struct loop_timer timer;
    uint64_t end_ms;
};

static void reload_begin(struct reload *reload);

/* ---- the end of one ---- */

static void log_entries(const struct diag *diag)
{
    for (unsigned i = 0; i < diag->count; i++) {
        const struct diag_entry *entry = &diag->entries[i];
        bool is_error = entry->severity == DIAG_ERROR;
        const char *remedy = entry->remedy == NULL ? "" : entry->remedy;
        const char *path = entry->path == NULL ? "" : entry->path;
        char place[512] = "";

        if (entry->line > 0 && entry->file < diag->file_count) {
            snprintf(place, sizeof(place), "%s:%u:%u: ", diag->files[entry->file].name, entry->line,
                     entry->column);
        }
        if (is_error) {
            log_error("reload", "%serror: %s%s%s%s%s", place, path, path[0] == '\0' ? "" : ": ",
                      entry->message, remedy[0] == '\0' ? "" : "; ", remedy);
        } else {
            log_warning("reload", "%swarning: %s%s%s%s%s", place, path, path[0] == '\0' ? "" : ": ",
                        entry->message, remedy[0] == '\0' ? "" : "; ", remedy);
        }
    }
}

static void answer(struct reload *reload, bool ok, const char *changes)
{
    struct reload_waiter *waiters = reload->waiters, *next;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out != NULL) {
        if (reload->diag.count > 0) {
            diag_print(&reload->diag, out);
        }
        if (ok) {
            fprintf(out, "%s\n", changes[0] == '\0' ? "nothing has changed" : changes);
        }
        fclose(out);
    }
    reload->waiters = NULL;
    for (; waiters != NULL; waiters = next) {
        next = waiters->next;
        if (waiters->fn != NULL) {
            waiters->fn(waiters->arg, ok, text == NULL ? "" : text, text == NULL ? 0 : len);
        }
        free(waiters);
    }
    free(text);
}

static void parts_done(struct reload *reload)
{
    for (unsigned i = 0; reload->parts != NULL && i < reload->gateway->worker_count; i++) {
        const struct worker_change *change = &reload->parts[i].change;

        worker_change_done(&reload->parts[i].change);
        for (size_t k = 0; change->fds != NULL && k < reload->config->listener_count; k++) {
            if (change->fds[k] >= 0) {
                listening_close(change->fds[k]);
            }
        }
    }
    free(reload->parts);
    free(reload->fds);
    reload->parts = NULL;
    reload->fds = NULL;
}

/* Everything of the one under way; parts were given up or used by their workers. */
static void attempt_done(struct reload *reload)
{
    parts_done(reload);
    loop_timer_clear(&reload->timer);
    if (reload->access_log != NULL) {
        sink_free(reload->access_log);
        reload->access_log = NULL;
    }
    processes_release(reload->processes);
    reload->processes = NULL;
    config_unref(reload->config);
    reload->config = NULL;
    config_unref(reload->previous);
    reload->previous = NULL;
    diag_done(&reload->diag);
    reload->state = RELOAD_IDLE;
}

static void go_on(struct reload *reload)
{
    if (!reload->again) {
        return;
    }
    reload->again = false;
    reload->waiters = reload->next;
    reload->next = NULL;
    reload_begin(reload);
}

/* Nobody has a part of it any more. */
static void fail(struct reload *reload)
{
    struct gateway *gateway = reload->gateway;

    gateway->reload_failed = true;
    gateway->reloads_failed++;
    log_entries(&reload->diag);
    log_error("reload", "failed: the configuration stays as it was hash=%s", gateway->config->hash);
    notify_send("READY=1\nSTATUS=The last reload failed, serving configuration %s",
                gateway->config->hash);
    answer(reload, false, NULL);
    attempt_done(reload);
    go_on(reload);
}

static void fail_with(struct reload *reload, const char *what, const char *detail)
{
    diag_at(&reload->diag, DIAG_ERROR, NULL, NULL, NULL, "%s: %s", what, detail);
}

/* ---- the workers ---- */

static bool is_over(const struct reload *reload)
{
    return __atomic_load_n(&reload->gateway->draining, __ATOMIC_RELAXED);
}

/* Run `fn` with each worker's part, on its thread. */
static void post_parts(struct reload *reload, enum reload_state state, void (*fn)(void *arg))
{
    unsigned count = reload->gateway->worker_count;

    reload->state = state;
    reload->pending = count;
    for (unsigned i = 0; i < count; i++) {
        struct reload_part *part = &reload->parts[i];

        /* Without memory there is no way forward or back that needs none: wait, there may be
         * some. */
        while (!loop_post(part->worker->loop, fn, part)) {
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
    }
}

static void post_back(struct reload_part *part, void (*fn)(void *arg))
{
    while (!loop_post(part->reload->gateway->control->loop, fn, part->reload)) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
}

static void on_dropped(void *arg)
{
    struct reload *reload = arg;

    if (--reload->pending == 0) {
        fail(reload);
    }
}

static void drop_part(void *arg)
{
    struct reload_part *part = arg;

    worker_change_done(&part->change);
    post_back(part, on_dropped);
}

static void drop_parts(struct reload *reload)
{
    post_parts(reload, RELOAD_DROPPING, drop_part);
}

/* ---- the switch ---- */

static void take_over(struct reload *reload)
{
    struct gateway *gateway = reload->gateway;
    struct config *config = gateway->config;
    struct processes *processes = gateway->processes;
    struct sink *access_log = gateway->access_log;

    gateway->config = reload->config;
    reload->config = config_ref(reload->config); /* attempt_done() still needs it */
    config_unref(config);
    gateway->processes = reload->processes;
    reload->processes = processes;
    if (reload->new_log) {
        gateway->access_log = reload->access_log;
        reload->access_log = access_log; /* no worker writes to it any more */
    }
    gateway->config_unix_us = clock_unix_us();
    gateway->reload_failed = false;
    gateway->reloads_done++;
    certificates_check(gateway);
}

static void on_switched(void *arg)
{
    struct reload *reload = arg;
    const char *changes;

    /* When it drains, a worker may not have switched. */
    if (--reload->pending > 0 || is_over(reload)) {
        return;
    }
    changes = config_changes(reload->previous, reload->config, &reload->diag.arena);
    changes = changes == NULL ? "" : changes;
    take_over(reload);
    log_entries(&reload->diag);
    notify_send("READY=1\nSTATUS=Serving configuration %s", reload->gateway->config->hash);
    log_info("reload", "done hash=%s changes=\"%s\"", reload->gateway->config->hash, changes);
    answer(reload, true, changes);
    attempt_done(reload);
    go_on(reload);
}

static void switch_part(void *arg)
{
    struct reload_part *part = arg;

    worker_switch(part->worker, &part->change);
    post_back(part, on_switched);
}

/* ---- readiness ---- */

static const char *unready(const struct processes *processes, char *ret, size_t size)
{
    struct process_check check;
    unsigned pos = 0;

    while (processes_next_check(processes, &pos, &check)) {
        if (!check.ok) {
            snprintf(ret, size, "%s%s%s", check.name, check.why == NULL ? "" : ": ",
                     check.why == NULL ? "" : check.why);
            return ret;
        }
    }
    return NULL;
}

/* A check that fails in the old snapshot too is no reason to keep it. */
static bool is_ready(const struct reload *reload)
{
    return processes_are_ready(reload->processes) ||
           !processes_are_ready(reload->gateway->processes);
}

static void await_ready(struct reload *reload)
{
    char why[256];

    if (is_over(reload)) {
        return; /* reload_free() */
    }
    if (is_ready(reload)) {
        post_parts(reload, RELOAD_SWITCHING, switch_part);
        return;
    }
    if (clock_ms() >= reload->end_ms) {
        fail_with(reload, "not ready in time", unready(reload->processes, why, sizeof(why)));
        drop_parts(reload);
        return;
    }
    if (loop_timer_set(reload->gateway->control->loop, &reload->timer,
                       clock_ms() + READY_POLL_MS) != 0) {
        fail_with(reload, "cannot wait", "out of memory");
        drop_parts(reload);
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct reload *reload =
        (struct reload *)(void *)((char *)timer - offsetof(struct reload, timer));

    if (reload->state == RELOAD_AWAITING) {
        await_ready(reload);
    }
}

static void on_prepared(void *arg)
{
    struct reload *reload = arg;
    int err = 0;

    if (--reload->pending > 0 || is_over(reload)) {
        return;
    }
    for (unsigned i = 0; i < reload->gateway->worker_count && err == 0; i++) {
        err = reload->parts[i].err;
    }
    if (err == 0) {
        err = processes_start(reload->processes, reload->gateway->processes);
    }
    if (err != 0) {
        fail_with(reload, "cannot make it ready", err_text(err));
        drop_parts(reload);
        return;
    }
    reload->state = RELOAD_AWAITING;
    reload->end_ms = clock_ms() + reload->config->server.startup_timeout_ms;
    await_ready(reload);
}

static void prepare_part(void *arg)
{
    struct reload_part *part = arg;

    part->err = worker_prepare(part->worker, &part->change);
    post_back(part, on_prepared);
}

/* ---- what the control thread opens ---- */

static int open_access_log(struct reload *reload)
{
    const struct config_access_log *old = &reload->previous->access_log;
    const struct config_access_log *log = &reload->config->access_log;
    int err = 0;

    if (old->enabled == log->enabled && (!log->enabled || strcmp(old->path, log->path) == 0)) {
        return 0;
    }
    reload->new_log = true;
    if (!log->enabled) {
        return 0;
    }
    reload->access_log = sink_new(log->path, &err);
    if (reload->access_log == NULL) {
        fail_with(reload, log->path, err_text(err));
    }
    return err;
}

static int make_parts(struct reload *reload)
{
    struct gateway *gateway = reload->gateway;
    size_t listeners = reload->config->listener_count;

    reload->parts = calloc(gateway->worker_count, sizeof(*reload->parts));
    reload->fds = calloc(gateway->worker_count * (listeners + 1), sizeof(int));
    if (reload->parts == NULL || reload->fds == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < gateway->worker_count * (listeners + 1); i++) {
        reload->fds[i] = -1;
    }
    processes_hold(reload->processes, gateway->worker_count);
    for (unsigned i = 0; i < gateway->worker_count; i++) {
        reload->parts[i].reload = reload;
        reload->parts[i].worker = gateway->workers[i];
        reload->parts[i].change = (struct worker_change){
            .config = reload->config,
            .processes = reload->processes,
            .access_log = reload->access_log,
            .new_log = reload->new_log,
            .fds = reload->fds + i * (listeners + 1),
        };
    }
    return 0;
}

static int open_sockets(struct reload *reload)
{
    const struct config_listener *failed = NULL;
    uint16_t *ports = calloc(reload->config->listener_count + 1, sizeof(*ports));
    int err = ports == NULL ? ERR_NO_MEMORY : 0;

    for (unsigned i = 0; i < reload->gateway->worker_count && err == 0; i++) {
        err = listeners_bind(i, reload->previous, reload->config, ports,
                             reload->parts[i].change.fds, &failed);
    }
    if (failed != NULL) {
        const char *why = strerror(errno);

        diag_at(&reload->diag, DIAG_ERROR, failed->element.where, "address", NULL,
                "cannot listen on %.*s: %s", SLICE_FMT(failed->address_text), why);
    }
    free(ports);
    return err;
}

static void warn_of_restart(struct reload *reload)
{
    if (reload->previous->server.workers != reload->config->server.workers) {
        diag_at(&reload->diag, DIAG_WARNING, NULL, "server.workers", "restart the gateway",
                "the number of workers stays as it was");
    }
}

static void prepare(struct reload *reload)
{
    int err;

    warn_of_restart(reload);
    reload->processes =
        processes_new(reload->gateway->hub, reload->config, reload->gateway->processes);
    err = reload->processes == NULL ? ERR_NO_MEMORY : open_access_log(reload);
    if (err == 0) {
        err = make_parts(reload);
    }
    if (err == 0) {
        err = open_sockets(reload);
    }
    if (err != 0) {
        if (reload->diag.errors == 0) {
            fail_with(reload, "cannot reload", err_text(err));
        }
        fail(reload);
        return;
    }
    post_parts(reload, RELOAD_PREPARING, prepare_part);
}

/* ---- reading ---- */

static void on_loaded(void *arg)
{
    struct reload *reload = arg;

    pthread_join(reload->thread, NULL);
    reload->has_thread = false;
    if (is_over(reload)) {
        return;
    }
    if (reload->config == NULL) {
        fail(reload);
        return;
    }
    prepare(reload);
}

static void *load(void *arg)
{
    struct reload *reload = arg;
    struct config_load_options options = {
        .serves = true,
        .echo_address = reload->echo_address,
        .previous = reload->previous,
    };

    reload->config = config_load_with(reload->previous->file, &options, &reload->diag, NULL);
    while (!loop_post(reload->gateway->control->loop, on_loaded, reload)) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return NULL;
}

static const char *find_echo(struct reload *reload)
{
    const struct config *config = reload->previous;

    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].service == CONFIG_ECHO && !config->listeners[i].is_gone) {
            return arena_strdup(&reload->diag.arena, config->listeners[i].address_text);
        }
    }
    return NULL;
}

/* Signals are the control thread's. */
static int start_thread(struct reload *reload)
{
    sigset_t all, old;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&reload->thread, NULL, load, reload);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    reload->has_thread = failed == 0;
    return failed == 0 ? 0 : ERR_NO_MEMORY;
}

static void reload_begin(struct reload *reload)
{
    notify_reloading();
    diag_init(&reload->diag);
    reload->previous = config_ref(reload->gateway->config);
    reload->new_log = false;
    reload->echo_address = find_echo(reload);
    reload->state = RELOAD_LOADING;
    if (start_thread(reload) != 0) {
        fail_with(reload, "cannot read the configuration", "no thread");
        fail(reload);
    }
}

/* ---- life ---- */

struct reload *reload_new(struct gateway *gateway)
{
    struct reload *reload = calloc(1, sizeof(*reload));

    if (reload != NULL) {
        reload->gateway = gateway;
        reload->timer.fn = on_timer;
    }
    return reload;
}

static void free_waiters(struct reload_waiter *waiters)
{
    struct reload_waiter *next;

    for (; waiters != NULL; waiters = next) {
        next = waiters->next;
        free(waiters);
    }
}

void reload_stop(struct reload *reload)
{
    if (reload == NULL) {
        return;
    }
    if (reload->has_thread) {
        pthread_join(reload->thread, NULL);
        reload->has_thread = false;
    }
    parts_done(reload);
    if (reload->gateway->control != NULL) {
        loop_timer_remove(reload->gateway->control->loop, &reload->timer);
    }
}

void reload_free(struct reload *reload)
{
    if (reload == NULL) {
        return;
    }
    if (reload->state != RELOAD_IDLE) {
        attempt_done(reload);
    }
    free_waiters(reload->waiters);
    free_waiters(reload->next);
    free(reload);
}

int reload_ask(struct reload *reload, reload_fn *fn, void *arg)
{
    struct reload_waiter *waiter;

    if (is_over(reload) || upgrade_is_under_way(reload->gateway->upgrade)) {
        return ERR_BUSY;
    }
    waiter = malloc(sizeof(*waiter));
    if (waiter == NULL) {
        return ERR_NO_MEMORY;
    }
    *waiter = (struct reload_waiter){ .fn = fn, .arg = arg };
    if (reload->state != RELOAD_IDLE) { /* it may have read the file before the change */
        waiter->next = reload->next;
        reload->next = waiter;
        reload->again = true;
        return 0;
    }
    waiter->next = reload->waiters;
    reload->waiters = waiter;
    reload_begin(reload);
    return 0;
}

bool reload_is_under_way(const struct reload *reload)
{
    return reload->state != RELOAD_IDLE;
}

static void forget(struct reload_waiter *waiters, const void *arg)
{
    for (; waiters != NULL; waiters = waiters->next) {
        if (waiters->arg == arg) {
            waiters->fn = NULL;
        }
    }
}

void reload_forget(struct reload *reload, void *arg)
{
    forget(reload->waiters, arg);
    forget(reload->next, arg);
}
