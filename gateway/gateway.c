/* SPDX-License-Identifier: Apache-2.0 */
#include "core/clock.h"
#include "core/diag.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/offload.h"
#include "core/priority.h"
#include "core/sink.h"
#include "gateway/gateway_run.h"
#include "gateway/listener.h"
#include "gateway/metrics.h"
#include "gateway/notify.h"
#include "gateway/process.h"
#include "gateway/reload.h"
#include "gateway/upgrade.h"
#include "gateway/watchdog.h"
#include "gateway/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define GATEWAY_MAX_WORKERS  256u
#define GATEWAY_POOL_THREADS 2u
#define GATEWAY_POOL_JOBS    256u /* that wait: more is answered 503 */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GATEWAY_IS_TRACED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define GATEWAY_IS_TRACED 1
#endif

/* ---- the process ---- */

static void gateway_raise_descriptors(const struct config *config)
{
    struct rlimit limit;
    uint64_t wanted = (uint64_t)config->server.limits.connections + 256u;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            getrlimit(RLIMIT_NOFILE, &limit);
        }
    }
    if (limit.rlim_cur < wanted) {
        log_warning("gateway",
                    "fewer file descriptors than the connections may need: at the limit no "
                    "connection is accepted until others end available=%llu wanted=%llu",
                    (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
    }
}

static void gateway_prepare_process(const struct config *config)
{
    signal(SIGPIPE, SIG_IGN);
#ifndef GATEWAY_IS_TRACED /* the leak checker must attach to its own process */
    /* No core file and no debugger of the same user: the memory holds keys and tokens. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        log_warning("gateway", "memory may be dumped error=\"%s\"", strerror(errno));
    }
#endif
    gateway_raise_descriptors(config);
}

static unsigned gateway_count_workers(const struct config *config)
{
    int64_t count = config->server.workers;
    cpu_set_t cpus;

    if (count == 0) {
        count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    }
    if (count < 1) {
        return 1;
    }
    return count > GATEWAY_MAX_WORKERS ? GATEWAY_MAX_WORKERS : (unsigned)count;
}

/* ---- the start ---- */

struct gateway_end { /* what a thread hands to the control thread */
    struct gateway_run *run;
    struct worker *worker;
};

/* On the control thread. */
static void gateway_on_worker_end(void *arg)
{
    struct gateway_end *end = arg;

    gateway_worker_ended(end->run, end->worker);
    free(end);
}

static void *gateway_thread(void *arg)
{
    struct gateway_end *end = arg; /* made before the start: the report cannot fail for memory */

    priority_serve();
    worker_run(end->worker);
    if (!loop_post(end->run->gateway.control->loop, gateway_on_worker_end, end)) {
        free(end); /* the grace timer ends the wait */
    }
    return NULL;
}

static int gateway_start_thread(struct gateway_run *run, struct worker *worker)
{
    struct gateway_end *end = malloc(sizeof(*end));

    if (end == NULL) {
        return ERR_NO_MEMORY;
    }
    *end = (struct gateway_end){ .run = run, .worker = worker };
    if (pthread_create(&run->threads[worker->index], NULL, gateway_thread, end) != 0) {
        free(end);
        return ERR_NO_MEMORY;
    }
    run->started++;
    run->running++;
    return 0;
}

/* Signals are the control thread's: new threads inherit the blocked mask. */
static int gateway_start_threads(struct gateway_run *run)
{
    sigset_t all, old;
    int err = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (unsigned i = 1; i < run->gateway.worker_count && err == 0; i++) {
        err = gateway_start_thread(run, run->gateway.workers[i]);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0) {
        log_error("gateway", "cannot start the worker threads");
    }
    return err;
}

static void gateway_log_listeners(const struct gateway_run *run)
{
    const struct config *config = run->gateway.config;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        const struct sockaddr *addr = (const struct sockaddr *)(const void *)&listener->address;
        char host[INET6_ADDRSTRLEN] = "?";
        bool is_v6 = addr->sa_family == AF_INET6;

        if (addr->sa_family == AF_UNIX) {
            log_info("gateway", "listening listener=%.*s address=%.*s",
                     SLICE_FMT(listener->element.name), SLICE_FMT(listener->address_text));
            continue;
        }
        if (is_v6) {
            inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr, host,
                      sizeof(host));
        } else {
            inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, host,
                      sizeof(host));
        }
        log_info("gateway", "listening listener=%.*s address=%s%s%s:%u",
                 SLICE_FMT(listener->element.name), is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                 run->ports[i]);
    }
}

static int gateway_open_access_log(struct gateway *gateway)
{
    const struct config_access_log *log = &gateway->config->access_log;
    int err = 0;

    if (!log->enabled) {
        return 0;
    }
    gateway->access_log = sink_new(log->path, &err);
    if (gateway->access_log == NULL) {
        log_error("gateway", "cannot open the access log path=%s error=\"%s\"", log->path,
                  err_text(err));
        return err;
    }
    return 0;
}

static int gateway_make_processes(struct gateway_run *run)
{
    struct gateway *gateway = &run->gateway;

    gateway->reload = reload_new(gateway);
    gateway->upgrade = upgrade_new(gateway, gateway_hand_over, run);
    gateway->hub = process_hub_new(gateway);
    if (gateway->reload == NULL || gateway->upgrade == NULL || gateway->hub == NULL) {
        return ERR_NO_MEMORY;
    }
    gateway->processes = processes_new(gateway->hub, gateway->config, NULL);
    return gateway->processes == NULL ? ERR_NO_MEMORY : 0;
}

static int gateway_make_workers(struct gateway_run *run)
{
    struct gateway *gateway = &run->gateway;
    unsigned count = gateway_count_workers(gateway->config) + 1;

    gateway->workers = calloc(count, sizeof(struct worker *));
    run->threads = calloc(count, sizeof(*run->threads));
    run->ports = calloc(gateway->config->listener_count + 1, sizeof(*run->ports));
    if (gateway->workers == NULL || run->threads == NULL || run->ports == NULL) {
        return ERR_NO_MEMORY;
    }
    gateway->worker_count = count;
    processes_hold(gateway->processes, count); /* for their views */
    for (unsigned i = 0; i < count; i++) {
        gateway->workers[i] = worker_new(gateway, gateway->config, i);
        if (gateway->workers[i] == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    gateway->control = gateway->workers[0];
    return 0;
}

/* All sockets are bound before any thread accepts: a failure has served nobody. */
static int gateway_open_listeners(struct gateway_run *run)
{
    int err = 0;

    for (unsigned i = 0; i < run->gateway.worker_count && err == 0; i++) {
        err = listeners_open(run->gateway.workers[i], &run->inherit, run->ports);
    }
    if (err == 0) {
        inherit_close_rest(&run->inherit);
    }
    return err;
}

static void gateway_log_unready(const struct processes *processes)
{
    struct process_check check;
    unsigned pos = 0;

    while (processes_next_check(processes, &pos, &check)) {
        if (!check.ok) {
            log_warning("gateway", "not ready in time missing=%s why=\"%s\"", check.name,
                        check.why == NULL ? "" : check.why);
        }
    }
}

static void gateway_on_startup_timer(struct loop_timer *timer)
{
    (void)timer; /* it has ended the turn */
}

/* Turn the control thread's loop until the plugins are ready, the time is over, or a signal ends it. */
static int gateway_await_ready(struct gateway_run *run)
{
    struct gateway *gateway = &run->gateway;
    struct loop *loop = gateway->control->loop;
    uint64_t end_ms = clock_ms() + gateway->config->server.startup_timeout_ms;
    int err;

    run->startup_timer.fn = gateway_on_startup_timer;
    err = loop_timer_set(loop, &run->startup_timer, end_ms);
    if (err != 0) {
        return err;
    }
    while (run->phase == PHASE_SERVING && clock_ms() < end_ms &&
           !processes_are_ready(gateway->processes)) {
        loop_turn(loop, true);
    }
    loop_timer_remove(loop, &run->startup_timer);
    if (run->phase != PHASE_SERVING) {
        return 0;
    }
    gateway_log_unready(gateway->processes);
    /* Whom we would replace is better than us. */
    return run->inherit.parent_is_ready && !processes_are_ready(gateway->processes) ? ERR_TIMEOUT
                                                                                    : 0;
}

static int gateway_make_pool(struct gateway *gateway)
{
    gateway->offload = offload_new_background(GATEWAY_POOL_THREADS, GATEWAY_POOL_JOBS);
    if (gateway->offload == NULL) {
        log_error("gateway", "cannot start the threads that sign and hash");
        return ERR_NO_MEMORY;
    }
    return 0;
}

static int gateway_start(struct gateway_run *run)
{
    int err = gateway_open_access_log(&run->gateway);

    if (err == 0) {
        err = gateway_make_pool(&run->gateway);
    }
    if (err == 0) {
        err = gateway_make_processes(run);
    }
    if (err == 0) {
        err = gateway_make_workers(run);
    }
    if (err == 0) {
        err = gateway_watch_signals(run);
    }
    if (err == 0) {
        err = processes_start(run->gateway.processes, NULL);
    }
    if (err == 0) {
        err = gateway_await_ready(run);
    }
    if (err != 0 || run->phase != PHASE_SERVING) {
        return err; /* a signal came first: there is nothing to serve */
    }
    err = gateway_open_listeners(run);
    if (err == 0) {
        err = watchdog_start(&run->gateway, &run->watchdog);
    }
    return err == 0 ? gateway_start_threads(run) : err;
}

static void gateway_join(struct gateway_run *run)
{
    for (unsigned i = 1; i <= run->started; i++) {
        pthread_join(run->threads[i], NULL);
    }
}

/* A signal to stop that comes now must not end the process with its default action. */
static void gateway_block_stop_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void gateway_done(struct gateway_run *run)
{
    struct gateway *gateway = &run->gateway;

    metrics_collect_abort(gateway);
    if (gateway->control != NULL) {
        loop_timer_remove(gateway->control->loop, &run->grace_timer);
        certificates_done(&run->certificates);
    }
    process_hub_stop(gateway->hub);
    offload_free(gateway->offload); /* it hands back to the workers' loops */
    reload_stop(gateway->reload);
    upgrade_stop(gateway->upgrade);
    watchdog_free(run->watchdog);
    for (unsigned i = gateway->worker_count; i > 0; i--) {
        worker_free(gateway->workers[i - 1]);
    }
    if (gateway->access_log != NULL) {
        sink_free(gateway->access_log);
    }
    reload_free(gateway->reload);
    upgrade_free(gateway->upgrade);
    process_hub_free(gateway->hub);
    config_unref(gateway->config);
    free(gateway->workers);
    free(run->threads);
    free(run->ports);
    inherit_done(&run->inherit);
    free(run);
}

static void gateway_run_control(struct gateway_run *run, gateway_ready_fn *on_ready, void *arg)
{
    __atomic_store_n(&run->gateway.ready, true, __ATOMIC_RELAXED);
    gateway_log_listeners(run);
    certificates_watch(&run->certificates, &run->gateway);
    notify_send("READY=1\nSTATUS=Serving configuration %s", run->gateway.config->hash);
    inherit_tell_ready(&run->inherit);
    if (on_ready != NULL) {
        on_ready(&run->gateway, run->ports, arg);
    }
    worker_run(run->gateway.control);
}

int gateway_serve(struct config *config, gateway_ready_fn *on_ready, void *arg)
{
    struct gateway_run *run = calloc(1, sizeof(*run));
    int err;

    if (run == NULL) {
        return 1;
    }
    clock_update();
    run->gateway.config = config_ref(config);
    run->gateway.start_unix_us = clock_unix_us();
    run->gateway.config_unix_us = run->gateway.start_unix_us;
    gateway_stop_init(run);
    err = inherit_read(&run->inherit, INHERIT_FIRST_FD);
    if (log_start() != 0) {
        log_warning("gateway", "no thread for the log: lines are written directly");
    }
    gateway_prepare_process(config);
    if (err == 0) {
        err = gateway_start(run);
    }
    if (err == 0 && run->phase == PHASE_SERVING) {
        gateway_run_control(run, on_ready, arg);
    }
    gateway_block_stop_signals();
    if (run->phase == PHASE_ABANDONED) {
        log_stop();
        return 0; /* the stuck thread still uses everything: the process's end frees it */
    }
    gateway_stop_workers(run); /* only when something failed one is left */
    gateway_join(run);
    gateway_done(run);
    if (err == 0) {
        log_info("gateway", "stopped");
    }
    log_stop();
    return err == 0 ? 0 : 1;
}

int gateway_run(const char *config_file)
{
    static const struct config_load_options options = { .serves = true };
    struct diag diag;
    struct config *config;
    bool is_missing = false;
    int code = 1;

    diag_init(&diag);
    config = config_load_with(config_file, &options, &diag, &is_missing);
    diag_print(&diag, stderr);
    if (config == NULL) {
        code = is_missing ? 3 : 1;
    }
    diag_done(&diag);
    if (config != NULL) {
        code = gateway_serve(config, NULL, NULL);
        config_unref(config);
    }
    return code;
}
