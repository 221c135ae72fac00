/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upgrade.h"

#include "core/clock.h"
#include "core/err.h"
#include "core/log.h"
#include "core/loop.h"
#include "gateway/gateway.h"
#include "gateway/inherit.h"
#include "gateway/listener.h"
#include "gateway/notify.h"
#include "gateway/process.h"
#include "gateway/reload.h"
#include "gateway/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RELOAD_POLL_MS 50u
#define START_MS       5000u /* beside the startup_timeout of the configuration */

extern char **environ;

struct upgrade {
    struct gateway *gateway;
    upgrade_fn *on_ready;
    void *arg;
    char program[PATH_MAX]; /* where ours was when it started */
    pid_t pid;              /* of the other; 0: none is under way */
    bool waits;             /* for a reload to end */
    bool reload_later;
    struct loop_watch watch; /* of the pipe; its fd is ours while pid > 0 */
    struct loop_timer timer;
};

/* ---- what the other is given ---- */

struct parcel {
    int *fds; /* duplicates, above those that they become: sockets, then the pipe */
    size_t count;
    char *names; /* LISTEN_FDNAMES=... */
    size_t names_len;
    char number[32]; /* LISTEN_FDS=... */
    char parent[48]; /* JWTGATE_UPGRADE=... */
    char **environment;
};

static void parcel_done(struct parcel *parcel)
{
    for (size_t i = 0; parcel->fds != NULL && i < parcel->count; i++) {
        if (parcel->fds[i] >= 0) {
            close(parcel->fds[i]);
        }
    }
    free(parcel->fds);
    free(parcel->names);
    free(parcel->environment);
}

static size_t count_sockets(const struct gateway *gateway)
{
    size_t count = 0;

    for (unsigned i = 0; i < gateway->worker_count; i++) {
        for (const struct listener *at = listeners_next(gateway->workers[i], NULL); at != NULL;
             at = listeners_next(gateway->workers[i], at)) {
            count++;
        }
    }
    return count;
}

/* A name as a part of LISTEN_FDNAMES, which ":" separates. */
static void write_name(FILE *out, struct slice name, bool is_first)
{
    if (!is_first) {
        fputc(':', out);
    }
    for (size_t i = 0; i < name.len; i++) {
        fputc(name.ptr[i] == ':' ? '-' : name.ptr[i], out);
    }
}

static int pack_sockets(struct parcel *parcel, const struct gateway *gateway, int pipe_fd)
{
    size_t sockets = count_sockets(gateway);
    int above = INHERIT_FIRST_FD + (int)sockets + 1;
    FILE *names = open_memstream(&parcel->names, &parcel->names_len);

    parcel->fds = calloc(sockets + 1, sizeof(int));
    if (parcel->fds == NULL || names == NULL) {
        if (names != NULL) {
            fclose(names);
        }
        return ERR_NO_MEMORY;
    }
    fputs("LISTEN_FDNAMES=", names);
    for (unsigned i = 0; i < gateway->worker_count; i++) {
        for (const struct listener *at = listeners_next(gateway->workers[i], NULL); at != NULL;
             at = listeners_next(gateway->workers[i], at)) {
            struct slice name;
            int fd = listener_socket(at, &name);

            write_name(names, name, parcel->count == 0);
            parcel->fds[parcel->count++] = fcntl(fd, F_DUPFD_CLOEXEC, above);
        }
    }
    parcel->fds[parcel->count++] = fcntl(pipe_fd, F_DUPFD_CLOEXEC, above);
    return fclose(names) == 0 ? 0 : ERR_NO_MEMORY;
}

/* Ours, without what spoke to us. */
static bool is_inherited(const char *variable)
{
    static const char *const others[] = { "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=",
                                          "WATCHDOG_PID=", INHERIT_PARENT_VARIABLE "=" };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strncmp(variable, others[i], strlen(others[i])) == 0) {
            return false;
        }
    }
    return true;
}

static int pack_environment(struct parcel *parcel, const struct gateway *gateway)
{
    size_t sockets = parcel->count - 1, count = 0, kept = 0;

    while (environ[count] != NULL) {
        count++;
    }
    parcel->environment = calloc(count + 4, sizeof(char *));
    if (parcel->environment == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (is_inherited(environ[i])) {
            parcel->environment[kept++] = environ[i];
        }
    }
    snprintf(parcel->number, sizeof(parcel->number), "LISTEN_FDS=%zu", sockets);
    snprintf(parcel->parent, sizeof(parcel->parent), INHERIT_PARENT_VARIABLE "=%zu%s",
             INHERIT_FIRST_FD + sockets, processes_are_ready(gateway->processes) ? ":ready" : "");
    parcel->environment[kept++] = parcel->number;
    parcel->environment[kept++] = parcel->names;
    parcel->environment[kept] = parcel->parent;
    return 0;
}

static int pack(struct parcel *parcel, const struct gateway *gateway, int pipe_fd)
{
    int err = pack_sockets(parcel, gateway, pipe_fd);

    for (size_t i = 0; i < parcel->count && err == 0; i++) {
        err = parcel->fds[i] < 0 ? ERR_IO : 0;
    }
    return err == 0 ? pack_environment(parcel, gateway) : err;
}

/* ---- starting it ---- */

/* The descriptors in their places, and no other but the standard ones. An errno. */
static int place_descriptors(posix_spawn_file_actions_t *actions, const struct parcel *parcel)
{
    int error = 0;

    for (size_t i = 0; i < parcel->count && error == 0; i++) {
        error =
            posix_spawn_file_actions_adddup2(actions, parcel->fds[i], INHERIT_FIRST_FD + (int)i);
    }
    if (error == 0) {
        error = posix_spawn_file_actions_addclosefrom_np(actions,
                                                         INHERIT_FIRST_FD + (int)parcel->count);
    }
    return error;
}

static int clear_signals(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0) {
        error = posix_spawnattr_setsigdefault(attributes, &all);
    }
    return error == 0 ? posix_spawnattr_setflags(attributes,
                                                 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)
                      : error;
}

static int spawn(struct upgrade *upgrade, const struct parcel *parcel)
{
    char run[] = "run", option[] = "-c";
    char *file = strdup(upgrade->gateway->config->file);
    char *arguments[] = { upgrade->program, run, option, file, NULL };
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int error = file == NULL ? ENOMEM : 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (error == 0) {
        error = place_descriptors(&actions, parcel);
    }
    if (error == 0) {
        error = clear_signals(&attributes);
    }
    if (error == 0) {
        error = posix_spawn(&upgrade->pid, upgrade->program, &actions, &attributes, arguments,
                            parcel->environment);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    free(file);
    if (error != 0) {
        upgrade->pid = 0;
        log_error("upgrade", "cannot start program=%s error=\"%s\"", upgrade->program,
                  strerror(error));
    }
    return error == 0 ? 0 : ERR_IO;
}

/* ---- its end ---- */

static void forget_other(struct upgrade *upgrade)
{
    int fd = upgrade->watch.fd;

    upgrade->pid = 0;
    loop_watch_done(&upgrade->watch);
    close(fd);
    loop_timer_clear(&upgrade->timer);
}

static void describe_end(int status, char *ret, size_t size)
{
    if (WIFEXITED(status)) {
        snprintf(ret, size, "it ended with %d, its own lines say why", WEXITSTATUS(status));
    } else {
        snprintf(ret, size, "it was killed by signal %d", WTERMSIG(status));
    }
}

static void fail(struct upgrade *upgrade, const char *why)
{
    log_error("upgrade", "failed: this process goes on pid=%d why=\"%s\"", (int)getpid(), why);
    notify_send("STATUS=The upgrade failed: %s", why);
    if (upgrade->reload_later) {
        upgrade->reload_later = false;
        (void)!reload_ask(upgrade->gateway->reload, NULL, NULL);
    }
}

/* It has closed the pipe, which it never does by itself: it is gone or about to be. */
static void on_other_ended(struct upgrade *upgrade)
{
    char why[64];
    int status = 0;
    pid_t pid = upgrade->pid;

    forget_other(upgrade);
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    describe_end(status, why, sizeof(why));
    fail(upgrade, why);
}

static void on_other_ready(struct upgrade *upgrade)
{
    pid_t pid = upgrade->pid;

    forget_other(upgrade);
    log_info("upgrade", "done: another process serves, this one drains pid=%d", (int)pid);
    notify_send("MAINPID=%d", (int)pid);
    if (upgrade->reload_later) {
        kill(pid, SIGHUP);
    }
    upgrade->on_ready(upgrade->arg);
}

static void on_pipe(struct loop_watch *watch)
{
    struct upgrade *upgrade =
        (struct upgrade *)(void *)((char *)watch - offsetof(struct upgrade, watch));
    char word = '\0';
    ssize_t n = read(watch->fd, &word, 1);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n == 1 && word == 'R') {
        on_other_ready(upgrade);
    } else {
        on_other_ended(upgrade);
    }
}

/* ---- its begin ---- */

static const char *obstacle(const struct gateway *gateway)
{
    if (__atomic_load_n(&gateway->draining, __ATOMIC_RELAXED)) {
        return "this process drains";
    }
    if (!__atomic_load_n(&gateway->ready, __ATOMIC_RELAXED)) {
        return "this process has not started yet";
    }
    for (size_t i = 0; i < gateway->config->listener_count; i++) {
        if (gateway->config->listeners[i].service == CONFIG_ECHO) {
            return "this is a demo";
        }
    }
    return NULL;
}

/* The other is started; its pipe is watched. */
static int start_with(struct upgrade *upgrade, int read_fd, int write_fd)
{
    struct loop *loop = upgrade->gateway->control->loop;
    uint64_t end_ms = clock_ms() + upgrade->gateway->config->server.startup_timeout_ms + START_MS;
    struct parcel parcel = { .fds = NULL };
    int err = pack(&parcel, upgrade->gateway, write_fd);

    if (err == 0) {
        err = loop_timer_set(loop, &upgrade->timer, end_ms);
    }
    if (err == 0) {
        err = loop_watch_start(loop, &upgrade->watch, read_fd);
    }
    if (err == 0) {
        err = spawn(upgrade, &parcel);
    }
    parcel_done(&parcel);
    if (err != 0) {
        loop_watch_done(&upgrade->watch);
        loop_timer_clear(&upgrade->timer);
    }
    return err;
}

static void start(struct upgrade *upgrade)
{
    const char *why = obstacle(upgrade->gateway);
    int ends[2];
    int err;

    if (why != NULL) {
        fail(upgrade, why);
        return;
    }
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        fail(upgrade, strerror(errno));
        return;
    }
    err = start_with(upgrade, ends[0], ends[1]);
    close(ends[1]);
    if (err != 0) {
        close(ends[0]);
        fail(upgrade, err_text(err));
        return;
    }
    log_info("upgrade", "starting program=%s pid=%d", upgrade->program, (int)upgrade->pid);
}

static void start_when_settled(struct upgrade *upgrade)
{
    upgrade->waits = reload_is_under_way(upgrade->gateway->reload);
    if (!upgrade->waits) {
        start(upgrade);
        return;
    }
    if (loop_timer_set(upgrade->gateway->control->loop, &upgrade->timer,
                       clock_ms() + RELOAD_POLL_MS) != 0) {
        upgrade->waits = false;
        fail(upgrade, err_text(ERR_NO_MEMORY));
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct upgrade *upgrade =
        (struct upgrade *)(void *)((char *)timer - offsetof(struct upgrade, timer));
    pid_t pid = upgrade->pid;

    if (upgrade->waits) {
        start_when_settled(upgrade);
        return;
    }
    if (pid == 0) {
        return;
    }
    forget_other(upgrade);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    fail(upgrade, "it was not ready in time");
}

void upgrade_ask(struct upgrade *upgrade)
{
    if (upgrade->pid != 0 || upgrade->waits) {
        log_warning("upgrade", "one is under way already");
        return;
    }
    start_when_settled(upgrade);
}

bool upgrade_is_under_way(const struct upgrade *upgrade)
{
    return upgrade->pid != 0;
}

void upgrade_reload_later(struct upgrade *upgrade)
{
    upgrade->reload_later = true;
}

/* ---- life ---- */

struct upgrade *upgrade_new(struct gateway *gateway, upgrade_fn *on_ready, void *arg)
{
    struct upgrade *upgrade = calloc(1, sizeof(*upgrade));
    ssize_t len;

    if (upgrade == NULL) {
        return NULL;
    }
    upgrade->gateway = gateway;
    upgrade->on_ready = on_ready;
    upgrade->arg = arg;
    upgrade->watch.fn = on_pipe;
    upgrade->timer.fn = on_timer;
    len = readlink("/proc/self/exe", upgrade->program, sizeof(upgrade->program) - 1);
    upgrade->program[len < 0 ? 0 : len] = '\0'; /* without /proc there is nothing to start */
    return upgrade;
}

void upgrade_stop(struct upgrade *upgrade)
{
    if (upgrade == NULL) {
        return;
    }
    upgrade->waits = false;
    if (upgrade->pid != 0) {
        kill(upgrade->pid, SIGTERM);
        forget_other(upgrade);
        log_info("upgrade", "given up: this process ends");
    }
    if (upgrade->gateway->control != NULL) {
        loop_timer_remove(upgrade->gateway->control->loop, &upgrade->timer);
    }
}

void upgrade_free(struct upgrade *upgrade)
{
    free(upgrade);
}
