/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/listener.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/loop.h"
#include "gateway/config_change.h"
#include "gateway/conn.h"
#include "gateway/gateway.h"
#include "gateway/inherit.h"
#include "gateway/listening.h"
#include "gateway/metrics.h"
#include "gateway/peers.h"
#include "gateway/worker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LISTENER_BURST            64u  /* connections taken at one event: others get their turn */
#define LISTENER_PAUSE_MS         100u /* after a lack of descriptors or memory */
#define LISTENER_KEPT_DESCRIPTORS 32   /* and a quarter of all */
#define LISTENER_LOOK_MS          100u /* who leaves looks whether anybody still waits */

struct listener {
    struct listener *next;
    struct worker *worker;
    const struct config_listener *config;
    struct loop_watch watch;
    int fd; /* -1: closed, freed at the end of the turn */

    /* It leaves: only who waits in its queue is still accepted. */
    struct config *last; /* the snapshot that has `config`: a reference; NULL: it does not leave */
    unsigned waiting;    /* so many are still accepted */
    uint64_t late_ms;    /* then it closes anyway */
    struct loop_timer look;
    struct loop_grave grave;
};

static const struct config_limits *listener_limits(const struct worker *worker)
{
    return &worker->view->config->server.limits;
}

/* Clients that wait may not take the descriptors that others need on the way up. */
static int64_t listener_max_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT32_MAX) {
        return INT32_MAX;
    }
    int64_t kept = (int64_t)limit.rlim_cur / 4 + LISTENER_KEPT_DESCRIPTORS;
    return (int64_t)limit.rlim_cur > kept ? (int64_t)limit.rlim_cur - kept : 1;
}

/* The process's limit shared out to the public workers, rounded up. */
static int64_t listener_max_conns(const struct worker *worker)
{
    int64_t limit = listener_limits(worker)->connections;
    unsigned workers = worker->gateway->worker_count;

    if (worker->index != 0 && worker->max_descriptors < limit) {
        limit = worker->max_descriptors;
    }
    if (worker->index == 0 || workers <= 2) {
        return limit;
    }
    return (limit + workers - 2) / (workers - 1);
}

/* ---- accepting ---- */

static void listeners_pause(struct worker *worker)
{
    if (worker->accept_paused) {
        return;
    }
    worker->accept_paused = true;
    for (struct listener *at = worker->listeners; at != NULL; at = at->next) {
        loop_watch_stop(&at->watch);
    }
}

static bool listener_may_accept(const struct listener *listener)
{
    const struct worker *worker = listener->worker;

    return !worker->accept_paused && !(worker->handshakes_paused && listener->config->tls != NULL);
}

static void listener_accept(struct listener *listener)
{
    if (listener_may_accept(listener) &&
        loop_watch_start(listener->worker->loop, &listener->watch, listener->fd) != 0) {
        log_error("listener", "cannot accept: out of memory listener=%.*s",
                  SLICE_FMT(listener->config->element.name));
    }
}

void listeners_resume(struct worker *worker)
{
    if (!worker->accept_paused || worker->accept_timer.deadline_ms != 0 ||
        worker->conn_count >= listener_max_conns(worker)) {
        return;
    }
    worker->accept_paused = false;
    for (struct listener *at = worker->listeners; at != NULL; at = at->next) {
        listener_accept(at);
    }
}

static bool listener_has_handshakes(const struct listener *listener)
{
    const struct worker *worker = listener->worker;

    return listener->config->tls == NULL ||
           worker->handshakes < listener_limits(worker)->tls_handshakes;
}

/* The kernel keeps who comes now until a handshake has ended: work that is not begun is not in vain. */
static void listeners_pause_handshakes(struct worker *worker)
{
    uint64_t *number = metrics_number(worker->metrics, "jwtgate_tls_handshake_limit_total", "");

    if (worker->handshakes_paused) {
        return;
    }
    if (number != NULL) {
        (*number)++;
    }
    log_warning("listener",
                "at the limit of TLS handshakes: accepting when one has ended "
                "worker=%u handshakes=%u",
                worker->index, worker->handshakes);
    worker->handshakes_paused = true;
    for (struct listener *at = worker->listeners; at != NULL; at = at->next) {
        if (at->config->tls != NULL) {
            loop_watch_stop(&at->watch);
        }
    }
}

void listeners_handshake_ended(struct worker *worker)
{
    worker->handshakes--;
    if (!worker->handshakes_paused ||
        worker->handshakes >= listener_limits(worker)->tls_handshakes) {
        return;
    }
    worker->handshakes_paused = false;
    for (struct listener *at = worker->listeners; at != NULL; at = at->next) {
        if (at->config->tls != NULL) {
            listener_accept(at);
        }
    }
}

static void listeners_on_timer(struct loop_timer *timer)
{
    struct worker *worker =
        (struct worker *)(void *)((char *)timer - offsetof(struct worker, accept_timer));

    timer->deadline_ms = 0;
    listeners_resume(worker);
}

/* No descriptor or no memory: the kernel keeps the connection, an event now would spin. */
static void listeners_back_off(struct worker *worker, int error)
{
    log_warning("listener", "cannot accept, trying again in %u ms error=\"%s\"", LISTENER_PAUSE_MS,
                strerror(error));
    worker->accept_timer.fn = listeners_on_timer;
    if (loop_timer_set(worker->loop, &worker->accept_timer, clock_ms() + LISTENER_PAUSE_MS) == 0) {
        listeners_pause(worker);
    }
}

static void listener_take(struct listener *listener, int fd, const struct sockaddr *addr)
{
    struct worker *worker = listener->worker;
    unsigned index = listener->config->index;
    uint8_t peer[PEERS_KEY_BYTES];
    struct conn *conn;

    if (!peers_enter(worker, addr)) {
        metrics_count_accepted(worker->metrics, index);
        metrics_count_closed(worker->metrics, index, CONN_END_LIMIT);
        close(fd);
        return;
    }
    conn = conn_new(worker, listener->config, fd, addr);
    if (conn == NULL) {
        peers_key_of(addr, peer);
        peers_leave(worker, peer);
        metrics_count_accepted(worker->metrics, index);
        metrics_count_closed(worker->metrics, index, CONN_END_ERROR);
    } else if (listener->last != NULL) {
        conn_drain(conn);
    }
}

/* ---- closing ---- */

static void listener_free(void *ptr)
{
    struct listener *listener = ptr;

    config_unref(listener->last);
    free(listener);
}

/* It is in no list. */
static void listener_end(struct listener *listener)
{
    struct loop *loop = listener->worker->loop;

    loop_watch_done(&listener->watch);
    listening_close(listener->fd);
    listener->fd = -1;
    loop_timer_remove(loop, &listener->look);
    loop_free_later(loop, &listener->grave, listener, listener_free);
}

static void listener_close(struct listener *listener)
{
    struct listener **at = &listener->worker->listeners;

    while (*at != listener) {
        at = &(*at)->next;
    }
    *at = listener->next;
    listener_end(listener);
    worker_listener_gone(listener->worker);
}

static bool listener_look_later(struct listener *listener)
{
    return loop_timer_set(listener->worker->loop, &listener->look, clock_ms() + LISTENER_LOOK_MS) ==
           0;
}

/* The socket may be another process's too.  Where that one has taken them all, no event tells. */
static void listener_on_look(struct loop_timer *timer)
{
    struct listener *listener =
        (struct listener *)(void *)((char *)timer - offsetof(struct listener, look));
    unsigned queue = listening_queue(listener->fd);

    if (queue > 0 && clock_ms() < listener->late_ms && listener_look_later(listener)) {
        return;
    }
    if (queue > 0) {
        log_warning("listener",
                    "closed before all who waited were accepted listener=%.*s waiting=%u",
                    SLICE_FMT(listener->config->element.name), listener->waiting);
    }
    listener_close(listener);
}

/* Who waited has been accepted, or is another process's now; only who came later is refused. */
static void listener_took_one(struct listener *listener)
{
    if (listener->last != NULL && --listener->waiting == 0) {
        listener_close(listener);
    }
}

/* ---- */

static void listener_take_some(struct listener *listener, unsigned most)
{
    struct worker *worker = listener->worker;

    for (unsigned i = 0; i < most && listener->fd >= 0; i++) {
        struct sockaddr_storage addr;
        socklen_t len = sizeof(addr);
        int accepted;

        if (worker->conn_count >= listener_max_conns(worker)) {
            log_warning("listener",
                        "at the limit of connections: accepting when one has gone "
                        "worker=%u connections=%u",
                        worker->index, worker->conn_count);
            listeners_pause(worker);
            return;
        }
        if (!listener_has_handshakes(listener)) {
            listeners_pause_handshakes(worker);
            return;
        }
        accepted =
            accept4(listener->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            listener_take(listener, accepted, (const struct sockaddr *)&addr);
            listener_took_one(listener);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (listener->last != NULL) {
                listener_close(listener);
            }
            return;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            listeners_back_off(worker, errno);
            return;
        }
        /* What is left is an error of that one connection (accept(2)): go on with the next. */
    }
}

static void listener_on_event(struct loop_watch *watch)
{
    listener_take_some(
        (struct listener *)(void *)((char *)watch - offsetof(struct listener, watch)),
        LISTENER_BURST);
}

/* Closing the socket resets who waits in its queue.  Where a limit keeps it from accepting them all
 * now, it stays for as many as there are. */
static void listener_leave(struct listener *listener, struct config *config)
{
    if (listener->last != NULL) {
        return;
    }
    listener->last = config_ref(config);
    listener->waiting = LISTENING_BACKLOG + 1;
    listener_take_some(listener, LISTENING_BACKLOG + 1);
    if (listener->fd < 0) {
        return;
    }
    listener->waiting = listening_queue(listener->fd);
    listener->late_ms = clock_ms() + config->server.shutdown_grace_ms;
    if (listener->waiting == 0 || !listener_look_later(listener)) {
        listener_close(listener);
    }
}

void listeners_leave(struct worker *worker)
{
    struct listener *next;

    for (struct listener *at = worker->listeners; at != NULL; at = next) {
        next = at->next;
        listener_leave(at, worker->view->config);
    }
}

/* ---- opening ---- */

static bool listener_is_of(unsigned worker_index, const struct config_listener *config)
{
    return !config->is_gone && (config->service == CONFIG_PUBLIC) == (worker_index != 0);
}

static int listener_new(struct worker *worker, const struct config_listener *config, int fd,
                        struct listener **ret)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        return ERR_NO_MEMORY;
    }
    listener->worker = worker;
    listener->config = config;
    listener->fd = fd;
    listener->watch.fn = listener_on_event;
    listener->look.fn = listener_on_look;
    *ret = listener;
    return 0;
}

/* Add a listener of the socket, which is taken also on failure. */
static int listener_add(struct worker *worker, const struct config_listener *config, int fd)
{
    struct listener **last = &worker->listeners;
    int err;

    while (*last != NULL) {
        last = &(*last)->next;
    }
    err = listener_new(worker, config, fd, last);
    if (err != 0) {
        listening_close(fd);
        return err;
    }
    return loop_watch_start(worker->loop, &(*last)->watch, fd);
}

/* The worker's part of `count` sockets that others have listened on, so that nobody who waits in
 * their queues is lost.  A worker that none is left for opens its own beside them or, where that is
 * not allowed (a service manager's), shares one. */
static int listener_inherit(struct worker *worker, const struct config_listener *config,
                            struct inherit *inherit, unsigned count, uint16_t *port)
{
    unsigned slots = worker->index == 0 ? 1 : worker->gateway->worker_count - 1;
    unsigned slot = worker->index == 0 ? 0 : worker->index - 1;
    int fd, err = 0;

    for (unsigned nth = slot; nth < count && err == 0; nth += slots) {
        fd = inherit_take(inherit, config, nth, false);
        *port = listening_port(fd);
        err = listener_add(worker, config, fd);
    }
    if (slot < count || err != 0) {
        return err;
    }
    fd = inherit_take(inherit, config, slot % count, true);
    if (fd >= 0 && inherit_may_be_joined(fd)) {
        close(fd);
        err = listening_open(config, NULL, port, &fd);
    }
    return err == 0 && fd >= 0 ? listener_add(worker, config, fd) : ERR_IO;
}

static int listener_open(struct worker *worker, const struct config_listener *config,
                         struct inherit *inherit, uint16_t *port)
{
    unsigned inherited = inherit_count(inherit, config);
    int fd = -1;
    int err;

    if (inherited > 0) {
        return listener_inherit(worker, config, inherit, inherited, port);
    }
    err = listening_open(config, NULL, port, &fd);
    return err == 0 ? listener_add(worker, config, fd) : err;
}

int listeners_open(struct worker *worker, struct inherit *inherit, uint16_t *ports)
{
    const struct config *config = worker->view->config;

    worker->max_descriptors = listener_max_descriptors();
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *one = &config->listeners[i];
        int err;

        if (!listener_is_of(worker->index, one)) {
            continue;
        }
        err = listener_open(worker, one, inherit, &ports[i]);
        if (err != 0) {
            log_error("listener", "cannot listen listener=%.*s address=%.*s error=\"%s\"",
                      SLICE_FMT(one->element.name), SLICE_FMT(one->address_text), strerror(errno));
            return err;
        }
    }
    return 0;
}

const struct listener *listeners_next(const struct worker *worker, const struct listener *listener)
{
    listener = listener == NULL ? worker->listeners : listener->next;
    while (listener != NULL && listener->last != NULL) {
        listener = listener->next;
    }
    return listener;
}

int listener_socket(const struct listener *listener, struct slice *ret_name)
{
    *ret_name = listener->config->element.name;
    return listener->fd;
}

/* ---- a reload ---- */

int listeners_bind(unsigned worker_index, const struct config *old, const struct config *config,
                   uint16_t *ports, int *ret_fds, const struct config_listener **ret_failed)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        int err;

        if (!listener_is_of(worker_index, &config->listeners[i]) ||
            config_keeps_listener(old, config, (unsigned)i)) {
            continue;
        }
        err = listening_open(&config->listeners[i], old, &ports[i], &ret_fds[i]);
        if (err != 0) {
            *ret_failed = &config->listeners[i];
            return err;
        }
    }
    return 0;
}

void listeners_drop(struct listener *list)
{
    struct listener *next;

    for (; list != NULL; list = next) {
        next = list->next;
        listener_end(list);
    }
}

int listeners_prepare(struct worker *worker, const struct config *config, int *fds,
                      struct listener **ret)
{
    struct listener *list = NULL;

    for (size_t i = config->listener_count; i-- > 0;) {
        struct listener *listener = NULL;

        if (fds[i] < 0) {
            continue;
        }
        if (listener_new(worker, &config->listeners[i], fds[i], &listener) != 0) {
            listeners_drop(list);
            return ERR_NO_MEMORY;
        }
        fds[i] = -1; /* the listener's now */
        listener->next = list;
        list = listener;
    }
    *ret = list;
    return 0;
}

/* Whoever came by a socket that is gone ends with the current request. */
static void tell_conns(struct worker *worker, const struct config *old, const struct config *config)
{
    struct conn *next;

    for (struct conn *conn = worker->conns; conn != NULL; conn = next) {
        next = conn->next; /* an idle connection leaves the list */
        conn_reload(conn);
        if (!config_keeps_listener(old, config, conn->listener_index)) {
            conn_drain(conn);
        }
    }
}

/* Those that leave already have their own snapshot. */
static void listener_switch(struct listener *listener, struct config *old,
                            const struct config *config)
{
    unsigned index = listener->config->index;

    if (listener->last != NULL) {
        return;
    }
    if (config_keeps_listener(old, config, index)) {
        listener->config = &config->listeners[index];
    } else {
        listener_leave(listener, old);
    }
}

void listeners_switch(struct worker *worker, struct config *old, const struct config *config,
                      struct listener *added)
{
    struct listener *next;
    struct listener **last = &worker->listeners;

    for (struct listener *at = worker->listeners; at != NULL; at = next) {
        next = at->next;
        listener_switch(at, old, config);
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = added;
    for (; added != NULL; added = added->next) {
        listener_accept(added);
    }
    tell_conns(worker, old, config);
    if ((old->server.limits.connections_per_ip == 0) !=
        (config->server.limits.connections_per_ip == 0)) {
        peers_recount(worker);
    }
}

void listeners_close(struct worker *worker)
{
    struct listener *list = worker->listeners;

    worker->listeners = NULL;
    listeners_drop(list);
    loop_timer_clear(&worker->accept_timer);
}

void listeners_done(struct worker *worker)
{
    if (worker->loop != NULL) {
        loop_timer_remove(worker->loop, &worker->accept_timer);
    }
    peers_done(worker);
}
