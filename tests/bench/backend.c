/* SPDX-License-Identifier: Apache-2.0 */
/* A cheap HTTP/1.1 backend for measurements: one epoll loop, keep-alive, no log.
 *   backend PORT
 * GET: 200 with 100 bytes of JSON; /10k and /1m: bodies of that size.  Other methods: the body is
 * read and dropped, then the 100 bytes.  It trusts its client: for measurements only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536u

struct answer {
    char *bytes;
    size_t len;
};
static struct answer small, large, huge;

struct client {
    int fd;
    bool wants_write;
    bool in_chunks;               /* dropping a chunked body up to its last chunk */
    size_t body_left;             /* of a body with a length */
    const struct answer *waiting; /* for the end of the body */
    const char *out;
    size_t out_len;
    size_t have;
    char buf[READ_BYTES + 1];
};
static int epoll_fd;

static bool make_answer(struct answer *ret, size_t body)
{
    int head;

    ret->bytes = malloc(body + 256);
    if (ret->bytes == NULL) {
        return false;
    }
    head = snprintf(
        ret->bytes, 256,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body);
    memset(ret->bytes + head, 'x', body);
    memcpy(ret->bytes + head, "{\"", 2);
    memcpy(ret->bytes + head + body - 5, "\":1}\n", 5);
    ret->len = (size_t)head + body;
    return true;
}

static void want_write(struct client *client, bool on)
{
    struct epoll_event event = { .events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = client };

    if (client->wants_write != on) {
        client->wants_write = on;
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
    }
}

static bool client_flush(struct client *client)
{
    while (client->out_len > 0) {
        ssize_t sent = send(client->fd, client->out, client->out_len, MSG_NOSIGNAL);

        if (sent < 0) {
            want_write(client, true);
            return errno == EAGAIN;
        }
        client->out += sent;
        client->out_len -= (size_t)sent;
    }
    want_write(client, false);
    return true;
}

static bool client_answer(struct client *client)
{
    client->out = client->waiting->bytes;
    client->out_len = client->waiting->len;
    return client_flush(client);
}

static void client_read_head(struct client *client, char *head)
{
    const char *path = strchr(head, ' ');
    const char *length = strcasestr(head, "\r\ncontent-length:");

    client->waiting = &small;
    if (path != NULL && strncmp(path, " /10k", 5) == 0) {
        client->waiting = &large;
    } else if (path != NULL && strncmp(path, " /1m", 4) == 0) {
        client->waiting = &huge;
    }
    client->in_chunks = strcasestr(head, "\r\ntransfer-encoding:") != NULL;
    client->body_left = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
}

/* Bytes of `from` that are used up. `ret_more`: go on. */
static size_t client_step(struct client *client, char *from, size_t len, bool *ret_ok,
                          bool *ret_more)
{
    char *end, kept;
    size_t used;

    *ret_more = true;
    if (client->body_left > 0) {
        used = len < client->body_left ? len : client->body_left;
        client->body_left -= used;
        *ret_ok = client->body_left > 0 || client_answer(client);
        return used;
    }
    if (client->in_chunks) {
        end = memmem(from, len, "0\r\n\r\n", 5);
        *ret_more = end != NULL;
        if (end == NULL) {
            return len > 4 ? len - 4 : 0;
        }
        client->in_chunks = false;
        *ret_ok = client_answer(client);
        return (size_t)(end - from) + 5;
    }
    end = memmem(from, len, "\r\n\r\n", 4);
    *ret_more = end != NULL;
    if (end == NULL) {
        return 0;
    }
    used = (size_t)(end - from) + 4;
    kept = from[used];
    from[used] = '\0';
    client_read_head(client, from);
    from[used] = kept;
    if (client->body_left == 0 && !client->in_chunks) {
        *ret_ok = client_answer(client);
    }
    return used;
}

static bool client_eat(struct client *client)
{
    size_t at = 0;
    bool ok = true, more = true;

    while (ok && more && at < client->have && client->out_len == 0) {
        at += client_step(client, client->buf + at, client->have - at, &ok, &more);
    }
    client->have -= at;
    memmove(client->buf, client->buf + at, client->have);
    return ok;
}

static bool client_event(struct client *client, uint32_t events)
{
    ssize_t got;

    if ((events & EPOLLOUT) != 0 && (!client_flush(client) || !client_eat(client))) {
        return false;
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || client->have == READ_BYTES) {
        return true;
    }
    got = recv(client->fd, client->buf + client->have, READ_BYTES - client->have, 0);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    client->have += (size_t)got;
    return client_eat(client);
}

static void accept_all(int listener)
{
    int fd, one = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct client *client = malloc(sizeof(*client));
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

        if (client == NULL) {
            close(fd);
            continue;
        }
        memset(client, 0, offsetof(struct client, buf));
        client->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_at(unsigned port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 4096) != 0) {
        perror("backend");
        return -1;
    }
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event event = { .events = EPOLLIN }, events[256];
    int listener = argc < 2 ? -1 : listen_at((unsigned)strtoul(argv[1], NULL, 10));

    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    if (listener < 0 || epoll_fd < 0 || !make_answer(&small, 100) || !make_answer(&large, 10240) ||
        !make_answer(&huge, 1u << 20)) {
        return 1;
    }
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, 256, -1);

        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            if (client == NULL) {
                accept_all(listener);
            } else if (!client_event(client, events[i].events)) {
                close(client->fd);
                free(client);
            }
        }
    }
}
