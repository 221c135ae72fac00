/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/listening.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void listening_set_port(struct sockaddr_storage *addr, uint16_t port)
{
    if (addr->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
    }
}

/* 0: it has none. */
static uint16_t listening_get_port(const struct sockaddr_storage *addr)
{
    if (addr->ss_family == AF_UNIX) {
        return 0;
    }
    if (addr->ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)addr)->sin_port);
}

/* [::] serves IPv4 too; any other IPv6 address only itself. */
static bool listening_is_dual(const struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr);
}

/* ---- sockets with a name in a folder ---- */

/* Take away the socket at the path if nobody listens there.  False: somebody does, or it is something else. */
static bool listening_sweep(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct stat about;
    bool is_left;
    int fd;

    if (lstat(path, &about) != 0 || !S_ISSOCK(about.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    is_left =
        connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return is_left && unlink(path) == 0;
}

/* For us alone: the mode of the socket becomes that of its name. */
static int listening_bind_unix(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return -1;
    }
    if (fchmod(fd, 0600) == 0) {
        if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
            return fd;
        }
        error = errno;
        if (error == EADDRINUSE && listening_sweep(addr->sun_path) &&
            bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0) {
            return fd;
        }
    } else {
        error = errno;
    }
    close(fd);
    errno = error;
    return -1;
}

void listening_close(int fd)
{
    struct sockaddr_un addr = { .sun_family = AF_UNSPEC };
    socklen_t len = sizeof(addr) - 1; /* with a NUL at the end */

    if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0) {
        addr.sun_family = AF_UNSPEC;
    }
    close(fd);
    if (addr.sun_family == AF_UNIX && addr.sun_path[0] == '/') {
        (void)listening_sweep(addr.sun_path);
    }
}

/* ---- */

/* A bound socket, or -1 with errno set. */
static int listening_bind(const struct sockaddr_storage *addr, socklen_t len, bool is_shared)
{
    if (addr->ss_family == AF_UNIX) {
        return listening_bind_unix((const struct sockaddr_un *)(const void *)addr);
    }
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    int only = listening_is_dual(addr) ? 0 : 1;
    int error;

    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!is_shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
        (addr->ss_family != AF_INET6 ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
        /* accepted sockets inherit it */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)addr, len) == 0) {
        return fd;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* SO_REUSEPORT would let a second gateway of the same user share our port unnoticed: the first of
 * our sockets must get the address without it. */
static bool listening_is_free(const struct sockaddr_storage *addr, socklen_t len)
{
    int fd = listening_bind(addr, len, false);

    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* One of ours already has the port, maybe by another address: then "free" means nothing. */
static bool listening_is_ours(const struct config *old, uint16_t port)
{
    for (size_t i = 0; old != NULL && i < old->listener_count; i++) {
        if (!old->listeners[i].is_gone && listening_get_port(&old->listeners[i].address) == port) {
            return true;
        }
    }
    return false;
}

/* A listening socket; ERR_IO with errno.  *port: 0 for the first of several, then theirs. */
int listening_open(const struct config_listener *config, const struct config *old, uint16_t *port,
                   int *ret_fd)
{
    struct sockaddr_storage addr = config->address;
    socklen_t len = config->address_len;
    bool is_shared = config->service == CONFIG_PUBLIC;
    bool is_first = *port == 0;

    if (!is_first) {
        listening_set_port(&addr, *port);
    }
    if (is_first && is_shared && listening_get_port(&addr) != 0 &&
        !listening_is_ours(old, listening_get_port(&addr)) && !listening_is_free(&addr, len)) {
        return ERR_IO;
    }
    *ret_fd = listening_bind(&addr, len, is_shared);
    if (*ret_fd < 0) {
        return ERR_IO;
    }
    if (listen(*ret_fd, LISTENING_BACKLOG) != 0 ||
        getsockname(*ret_fd, (struct sockaddr *)&addr, &len) != 0) {
        int error = errno;

        listening_close(*ret_fd);
        *ret_fd = -1;
        errno = error;
        return ERR_IO;
    }
    *port = listening_get_port(&addr);
    return 0;
}

uint16_t listening_port(int fd)
{
    struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(addr);

    return getsockname(fd, (struct sockaddr *)&addr, &len) == 0 ? listening_get_port(&addr) : 0;
}

unsigned listening_queue(int fd)
{
    struct pollfd listening = { .fd = fd, .events = POLLIN };
    struct tcp_info info = { .tcpi_unacked = 0 };
    socklen_t len = sizeof(info);

    if (poll(&listening, 1, 0) == 0) {
        return 0; /* a unix socket tells no more */
    }
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_unacked
                                                                   : LISTENING_BACKLOG + 1;
}
