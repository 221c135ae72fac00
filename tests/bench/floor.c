/* SPDX-License-Identifier: Apache-2.0 */
/* The physical floor of an HTTP/1.1 forwarder: one epoll loop, one connection to the backend per
 * client, no parsing beyond the end of the head.  A request costs two reads, two writes and its share
 * of epoll_wait.
 *   floor LISTEN_PORT BACKEND_PORT [BUFFER_BYTES]
 * No gateway: no framing, no limits, no timeouts. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    int fd;
    bool is_closed, wants_write, is_backend;
    struct side *peer;
    size_t have;
    char *buf;
};

static size_t buffer_bytes = 16384;
static int epoll_fd;
static struct side *graves[8192];
static unsigned grave_count;

static struct sockaddr_in loopback(const char *port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void want_write(struct side *side, bool on)
{
    struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = side };

    if (side->wants_write != on) {
        side->wants_write = on;
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, side->fd, &event);
    }
}

static struct side *side_new(int fd)
{
    struct side *side = calloc(1, sizeof(*side));
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = side };
    int one = 1;

    if (side == NULL || (side->buf = malloc(buffer_bytes)) == NULL) {
        abort();
    }
    side->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    return side;
}

static void bury(struct side *side)
{
    struct side *peer = side->peer;

    if (side->is_closed || grave_count + 2 > sizeof(graves) / sizeof(graves[0])) {
        return;
    }
    side->is_closed = peer->is_closed = true;
    close(side->fd);
    close(peer->fd);
    graves[grave_count++] = side;
    graves[grave_count++] = peer;
}

/* What was read from `side` goes to its peer. */
static bool push(struct side *side)
{
    size_t at = 0;

    while (at < side->have) {
        ssize_t sent = send(side->peer->fd, side->buf + at, side->have - at, MSG_NOSIGNAL);

        if (sent < 0 && errno != EAGAIN) {
            return false;
        }
        if (sent < 0) {
            break;
        }
        at += (size_t)sent;
    }
    side->have -= at;
    memmove(side->buf, side->buf + at, side->have);
    want_write(side->peer, side->have > 0);
    return true;
}

static bool pull(struct side *side)
{
    ssize_t got = recv(side->fd, side->buf + side->have, buffer_bytes - side->have, 0);

    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    side->have += (size_t)got;
    /* A head is held until it is whole; all else passes as it comes. */
    if (!side->is_backend && side->have < buffer_bytes && side->buf[0] == 'G' &&
        memmem(side->buf, side->have, "\r\n\r\n", 4) == NULL) {
        return true;
    }
    return push(side);
}

static void on_event(struct side *side, uint32_t events)
{
    if (side->is_closed) {
        return;
    }
    if ((events & EPOLLOUT) != 0 && !push(side->peer)) {
        bury(side);
        return;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && side->have < buffer_bytes &&
        !pull(side)) {
        bury(side);
    }
}

static void accept_all(int listener, const struct sockaddr_in *backend)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        int up = socket(AF_INET, SOCK_STREAM, 0);
        struct side *client, *server;

        if (connect(up, (const struct sockaddr *)backend, sizeof(*backend)) != 0) {
            close(up);
            close(fd);
            continue;
        }
        fcntl(up, F_SETFL, O_NONBLOCK);
        client = side_new(fd);
        server = side_new(up);
        client->peer = server;
        server->peer = client;
        server->is_backend = true;
    }
}

int main(int argc, char **argv)
{
    struct epoll_event event = { .events = EPOLLIN }, events[512];
    struct sockaddr_in here, backend;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (argc < 3) {
        return 2;
    }
    here = loopback(argv[1]);
    backend = loopback(argv[2]);
    if (argc > 3) {
        buffer_bytes = strtoul(argv[3], NULL, 10);
    }
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&here, sizeof(here)) != 0 ||
        listen(listener, 4096) != 0) {
        perror("floor");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 512, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_all(listener, &backend);
            } else {
                on_event(events[i].data.ptr, events[i].events);
            }
        }
        while (grave_count > 0) {
            struct side *side = graves[--grave_count];

            free(side->buf);
            free(side);
        }
    }
}
