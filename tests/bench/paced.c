/* SPDX-License-Identifier: Apache-2.0 */
/* GET / at a fixed rate, whatever the answers do (an open loop):
 *   paced PORT RATE SECONDS CONNECTIONS TOKEN_FILE
 * A request that is due waits for a free connection; its time counts from when it was due, so that a server
 * that stands still for a moment is seen by all that should have come in it.  TOKEN_FILE: its first line is the
 * bearer token.  Prints {"requests": N, "errors": N, "non2xx": N, "p50": US, "p99": US, "max": US}. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 1024
#define END_S           5 /* for the last answers */

struct connection {
    struct connection *next; /* free */
    int fd;
    uint64_t due_ns; /* of the request under way; 0: none, it is free */
    size_t len;
    char buf[16384];
};

static struct sockaddr_in address = { .sin_family = AF_INET };
static struct connection connections[MAX_CONNECTIONS], *idle;
static char request[16384];
static int request_len, epoll;
static uint32_t *times_us;
static long answered, errors, non2xx;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void connect_to(struct connection *connection)
{
    int on = 1;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        fail("connect");
    }
}

static void set_free(struct connection *connection)
{
    connection->due_ns = 0;
    connection->next = idle;
    idle = connection;
}

/* Who is free already stays where it is. */
static void replace(struct connection *connection)
{
    close(connection->fd);
    connect_to(connection);
    if (connection->due_ns != 0) {
        errors++;
        set_free(connection);
    }
}

static void send_request(struct connection *connection, uint64_t due_ns)
{
    connection->due_ns = due_ns;
    connection->len = 0;
    if (send(connection->fd, request, (size_t)request_len, MSG_NOSIGNAL) != request_len) {
        replace(connection);
    }
}

/* Bytes of the whole answer; 0: its head is not there yet. */
static size_t size_of_answer(const struct connection *connection)
{
    const char *end = memmem(connection->buf, connection->len, "\r\n\r\n", 4);
    const char *field = strcasestr(connection->buf, "\r\ncontent-length:");

    if (end == NULL) {
        return 0;
    }
    return (size_t)(end + 4 - connection->buf) +
           (field == NULL || field > end ? 0 : strtoul(field + 17, NULL, 10));
}

static void receive(struct connection *connection)
{
    ssize_t got = recv(connection->fd, connection->buf + connection->len,
                       sizeof(connection->buf) - 1 - connection->len, 0);

    if (got <= 0) {
        replace(connection);
        return;
    }
    connection->len += (size_t)got;
    connection->buf[connection->len] = '\0';
    size_t size = size_of_answer(connection);
    if (size == 0 || connection->len < size) {
        return;
    }
    non2xx += strncmp(connection->buf, "HTTP/1.1 2", 10) != 0;
    times_us[answered++] = (uint32_t)((now_ns() - connection->due_ns) / 1000);
    set_free(connection);
    if (strcasestr(connection->buf, "\r\nconnection: close") != NULL) {
        replace(connection); /* it has had as many requests as one may have */
    }
}

static void wait_until(uint64_t end_ns)
{
    struct epoll_event events[64];
    uint64_t now = now_ns();
    struct timespec wait = { 0 };

    if (end_ns > now) {
        wait = (struct timespec){ .tv_sec = (time_t)((end_ns - now) / UINT64_C(1000000000)),
                                  .tv_nsec = (long)((end_ns - now) % UINT64_C(1000000000)) };
    }
    int count = epoll_pwait2(epoll, events, 64, &wait, NULL);
    if (count < 0 && errno != EINTR) {
        fail("epoll");
    }
    for (int i = 0; i < count; i++) {
        receive(events[i].data.ptr);
    }
}

static void run(long total, long rate)
{
    uint64_t begin = now_ns(), step = UINT64_C(1000000000) / (uint64_t)rate;
    uint64_t end = begin + step * (uint64_t)total + END_S * UINT64_C(1000000000);
    long sent = 0;

    while (answered + errors < total && now_ns() < end) {
        while (sent < total && idle != NULL && begin + step * (uint64_t)sent <= now_ns()) {
            struct connection *connection = idle;
            idle = connection->next;
            send_request(connection, begin + step * (uint64_t)sent++);
        }
        /* Without a free connection only an answer helps. */
        wait_until(sent < total && idle != NULL ? begin + step * (uint64_t)sent : end);
    }
    errors += total - answered - errors;
}

static int compare(const void *a, const void *b)
{
    return (*(const uint32_t *)a > *(const uint32_t *)b) -
           (*(const uint32_t *)a < *(const uint32_t *)b);
}

static unsigned percentile(unsigned of_100)
{
    return answered == 0 ? 0 : times_us[(size_t)(answered - 1) * of_100 / 100];
}

static void make_request(const char *token_file)
{
    char token[8192] = "";
    FILE *file = fopen(token_file, "r");

    if (file == NULL || fgets(token, sizeof(token), file) == NULL) {
        fail(token_file);
    }
    fclose(file);
    token[strcspn(token, "\n")] = '\0';
    request_len =
        snprintf(request, sizeof(request),
                 "GET / HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n\r\n", token);
}

int main(int argc, char **argv)
{
    long numbers[4] = { 0 }; /* port, rate, seconds, connections */

    for (int i = 0; i < 4 && argc == 6; i++) {
        numbers[i] = strtol(argv[i + 1], NULL, 10);
    }
    if (numbers[1] < 1 || numbers[2] < 1 || numbers[3] < 1 || numbers[3] > MAX_CONNECTIONS) {
        fputs("paced PORT RATE SECONDS CONNECTIONS TOKEN_FILE\n", stderr);
        return 2;
    }
    long rate = numbers[1], total = rate * numbers[2];

    make_request(argv[5]);
    address.sin_port = htons((uint16_t)numbers[0]);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    times_us = calloc((size_t)total, sizeof(*times_us));
    epoll = epoll_create1(0);
    if (times_us == NULL || epoll < 0) {
        fail("paced");
    }
    for (int i = 0; i < numbers[3]; i++) {
        connect_to(&connections[i]);
        set_free(&connections[i]);
    }
    run(total, rate);
    qsort(times_us, (size_t)answered, sizeof(*times_us), compare);
    printf("{\"requests\": %ld, \"errors\": %ld, \"non2xx\": %ld, \"p50\": %u, \"p99\": %u, "
           "\"max\": %u}\n",
           answered, errors, non2xx, percentile(50), percentile(99), percentile(100));
    return 0;
}
