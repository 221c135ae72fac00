/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/inherit.h"

#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_SOCKETS 65536u /* 255 listeners of 256 workers */

static const char *const variables[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
                                         INHERIT_PARENT_VARIABLE };

/* ---- the environment ---- */

/* A decimal number in `text`, up to its end or `end`; -1: none. */
static long read_number(const char *text, char end)
{
    char *rest;
    long value;

    if (text == NULL || *text < '0' || *text > '9') {
        return -1;
    }
    errno = 0;
    value = strtol(text, &rest, 10);
    return errno != 0 || (*rest != '\0' && *rest != end) ? -1 : value;
}

static int read_parent(struct inherit *inherit)
{
    const char *text = getenv(INHERIT_PARENT_VARIABLE);
    struct stat about;
    long fd = read_number(text, ':');

    if (text == NULL) {
        return 0;
    }
    if (fd < 0 || fd > INT32_MAX || fstat((int)fd, &about) != 0 || !S_ISFIFO(about.st_mode) ||
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0) {
        log_error("inherit", INHERIT_PARENT_VARIABLE " names no pipe");
        return ERR_BAD_INPUT;
    }
    inherit->parent_fd = (int)fd;
    inherit->parent_is_ready = strstr(text, ":ready") != NULL;
    return 0;
}

/* Are they for us?  Who spawned us for an upgrade did not know our number yet. */
static bool is_for_us(const struct inherit *inherit)
{
    const char *pid = getenv("LISTEN_PID");

    return pid == NULL ? inherit->parent_fd >= 0 : read_number(pid, '\0') == (long)getpid();
}

static void read_name(struct inherit_socket *socket, const char **names)
{
    size_t len = *names == NULL ? 0 : strcspn(*names, ":");

    snprintf(socket->name, sizeof(socket->name), "%.*s", (int)len, *names == NULL ? "" : *names);
    if (*names != NULL) {
        *names = (*names)[len] == ':' ? *names + len + 1 : NULL;
    }
}

/* ---- the sockets ---- */

static int option_of(int fd, int option)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

static int read_socket(struct inherit_socket *socket)
{
    socklen_t len = sizeof(socket->address);
    int flags = fcntl(socket->fd, F_GETFL);
    int on = 1;

    if (flags < 0 || option_of(socket->fd, SO_ACCEPTCONN) != 1 ||
        option_of(socket->fd, SO_TYPE) != SOCK_STREAM ||
        getsockname(socket->fd, (struct sockaddr *)&socket->address, &len) != 0 ||
        (socket->address.ss_family != AF_INET && socket->address.ss_family != AF_INET6 &&
         socket->address.ss_family != AF_UNIX)) {
        log_error("inherit", "descriptor %d is no listening TCP or unix socket", socket->fd);
        return ERR_BAD_INPUT;
    }
    if (fcntl(socket->fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(socket->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        (socket->address.ss_family != AF_UNIX &&
         setsockopt(socket->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)) {
        log_error("inherit", "cannot use descriptor %d error=\"%s\"", socket->fd, strerror(errno));
        return ERR_IO;
    }
    return 0;
}

static int read_sockets(struct inherit *inherit, int first_fd)
{
    long count = read_number(getenv("LISTEN_FDS"), '\0');
    const char *names = getenv("LISTEN_FDNAMES");
    int err = 0;

    if (count <= 0 || !is_for_us(inherit)) {
        return 0;
    }
    if (count > (long)MAX_SOCKETS) {
        log_error("inherit", "LISTEN_FDS says %ld", count);
        return ERR_TOO_BIG;
    }
    inherit->sockets = calloc((size_t)count, sizeof(*inherit->sockets));
    if (inherit->sockets == NULL) {
        return ERR_NO_MEMORY;
    }
    for (long i = 0; i < count && err == 0; i++) {
        struct inherit_socket *socket = &inherit->sockets[i];

        socket->fd = first_fd + (int)i;
        read_name(socket, &names);
        err = read_socket(socket);
        inherit->count++;
    }
    return err;
}

int inherit_read(struct inherit *ret, int first_fd)
{
    int err;

    *ret = (struct inherit){ .parent_fd = -1 };
    err = read_parent(ret);
    if (err == 0) {
        err = read_sockets(ret, first_fd);
    }
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        unsetenv(variables[i]);
    }
    return err;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b,
                         uint16_t *ret_port)
{
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)(const void *)a;
        const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)(const void *)b;

        *ret_port = a6->sin6_port;
        return memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) == 0 &&
               (a6->sin6_port == 0 || a6->sin6_port == b6->sin6_port);
    }
    const struct sockaddr_in *a4 = (const struct sockaddr_in *)(const void *)a;
    const struct sockaddr_in *b4 = (const struct sockaddr_in *)(const void *)b;

    *ret_port = a4->sin_port;
    return a4->sin_addr.s_addr == b4->sin_addr.s_addr &&
           (a4->sin_port == 0 || a4->sin_port == b4->sin_port);
}

static bool same_path(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_un *x = (const struct sockaddr_un *)(const void *)a;
    const struct sockaddr_un *y = (const struct sockaddr_un *)(const void *)b;

    return a->ss_family == b->ss_family &&
           strncmp(x->sun_path, y->sun_path, sizeof(x->sun_path)) == 0;
}

static bool belongs(const struct inherit_socket *socket, const struct config_listener *listener)
{
    uint16_t port = 0;

    if (listener->address.ss_family == AF_UNIX) {
        return same_path(&listener->address, &socket->address);
    }
    return same_address(&listener->address, &socket->address, &port) &&
           (port != 0 || slice_eq(listener->element.name, slice_str(socket->name)));
}

unsigned inherit_count(const struct inherit *inherit, const struct config_listener *listener)
{
    unsigned count = 0;

    for (size_t i = 0; i < inherit->count; i++) {
        count += belongs(&inherit->sockets[i], listener) ? 1 : 0;
    }
    return count;
}

int inherit_take(struct inherit *inherit, const struct config_listener *listener, unsigned nth,
                 bool shares)
{
    for (size_t i = 0; i < inherit->count; i++) {
        struct inherit_socket *socket = &inherit->sockets[i];

        if (!belongs(socket, listener) || nth-- > 0) {
            continue;
        }
        if (shares) {
            return fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
        }
        socket->taken = true;
        return socket->fd;
    }
    errno = ENOENT;
    return -1;
}

bool inherit_may_be_joined(int fd)
{
    return option_of(fd, SO_REUSEPORT) == 1;
}

void inherit_close_rest(struct inherit *inherit)
{
    for (size_t i = 0; i < inherit->count; i++) {
        struct inherit_socket *socket = &inherit->sockets[i];

        if (!socket->taken) {
            log_warning("inherit", "a socket that no listener has is closed name=\"%s\"",
                        socket->name);
            close(socket->fd);
            socket->taken = true;
        }
    }
}

void inherit_tell_ready(struct inherit *inherit)
{
    if (inherit->parent_fd < 0) {
        return;
    }
    if (write(inherit->parent_fd, "R", 1) != 1) {
        log_warning("inherit", "the process that is replaced does not listen error=\"%s\"",
                    strerror(errno));
    }
    close(inherit->parent_fd);
    inherit->parent_fd = -1;
}

void inherit_done(struct inherit *inherit)
{
    inherit_close_rest(inherit);
    free(inherit->sockets);
    /* The pipe stays open to the end of the process: its end tells the parent that this one is gone, and the log
     * has to say why first. */
    *inherit = (struct inherit){ .parent_fd = -1 };
}
