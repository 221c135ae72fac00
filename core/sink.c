/* SPDX-License-Identifier: Apache-2.0 */
/* Rings: `head` counts bytes ever queued (written by the producer only), `tail` bytes ever taken
 * (by the sink's thread only); both only grow.  A line is published whole by one store of `head`,
 * so what lies between tail and head is always whole lines.
 *
 * Sleeping: the thread says so in `asleep`, looks at the rings once more, then waits for the
 * eventfd.  A producer publishes first and looks at `asleep` second.  Both orders are sequentially
 * consistent, so one of the two sees the other. */
#include "core/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LINGER_MS     5  /* collect this long after work, so that few lines pay for a wake-up */
#define RETRY_MS      50 /* when the descriptor does not take more */
#define STOP_WAIT_SEC 1  /* for the last lines */
#define MIN_RING      4096u

struct sink_writer {
    struct sink_writer *next;
    struct sink *sink;
    size_t size; /* a power of two */
    char *ring;
    _Alignas(64) size_t head;
    _Alignas(64) size_t tail;
};

struct sink {
    char *path; /* NULL: a standard stream, never closed */
    int fd;
    int wake_fd;
    pthread_t thread;
    struct sink_writer *writers; /* added at the front, never removed */
    uint64_t dropped;
    bool asleep;
    bool stop;
    bool reopen;
};

/* ---- the producer ---- */

static void wake(struct sink *sink)
{
    uint64_t one = 1;
    ssize_t ignored = write(sink->wake_fd, &one, sizeof(one));

    (void)ignored; /* it can only be full, which wakes as well */
}

static void copy_into_ring(struct sink_writer *writer, size_t at, struct slice bytes)
{
    size_t from = at & (writer->size - 1);
    size_t first = writer->size - from;

    if (first >= bytes.len) {
        memcpy(writer->ring + from, bytes.ptr, bytes.len);
        return;
    }
    memcpy(writer->ring + from, bytes.ptr, first);
    memcpy(writer->ring, bytes.ptr + first, bytes.len - first);
}

bool sink_write(struct sink_writer *writer, struct slice line)
{
    struct sink *sink = writer->sink;
    size_t head = writer->head; /* ours */
    size_t tail = __atomic_load_n(&writer->tail, __ATOMIC_ACQUIRE);

    if (line.len == 0) {
        return true;
    }
    if (line.len > writer->size - (head - tail)) {
        __atomic_add_fetch(&sink->dropped, 1, __ATOMIC_RELAXED);
        return false;
    }

    copy_into_ring(writer, head, line);
    __atomic_store_n(&writer->head, head + line.len, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&sink->asleep, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&sink->asleep, false, __ATOMIC_SEQ_CST)) {
        wake(sink);
    }
    return true;
}

uint64_t sink_dropped(const struct sink *sink)
{
    return __atomic_load_n(&sink->dropped, __ATOMIC_RELAXED);
}

void sink_reopen(struct sink *sink)
{
    __atomic_store_n(&sink->reopen, true, __ATOMIC_SEQ_CST);
    wake(sink);
}

/* ---- the thread ---- */

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

/* The old file stays when the new one cannot be opened: better there than nowhere. */
static void do_reopen(struct sink *sink)
{
    int fd;

    if (sink->path == NULL) {
        return;
    }
    fd = open_path(sink->path);
    if (fd >= 0) {
        close(sink->fd);
        sink->fd = fd;
    }
}

static unsigned ring_iovecs(const struct sink_writer *writer, size_t tail, size_t len,
                            struct iovec iov[2])
{
    size_t from = tail & (writer->size - 1);
    size_t first = writer->size - from;

    iov[0].iov_base = writer->ring + from;
    iov[0].iov_len = len < first ? len : first;
    iov[1].iov_base = writer->ring;
    iov[1].iov_len = len - iov[0].iov_len;
    return iov[1].iov_len > 0 ? 2 : 1;
}

static uint64_t count_lines(const struct sink_writer *writer, size_t from, size_t to)
{
    uint64_t lines = 0;

    for (; from != to; from++) {
        lines += writer->ring[from & (writer->size - 1)] == '\n' ? 1 : 0;
    }
    return lines;
}

/* Write all lines that the ring holds now; to the end, as lines of other rings must not come in
 * between.  Returns whether there was something. */
static bool drain(struct sink *sink, struct sink_writer *writer)
{
    size_t head = __atomic_load_n(&writer->head, __ATOMIC_SEQ_CST);
    size_t tail = writer->tail; /* ours */
    struct iovec iov[2];

    if (head == tail) {
        return false;
    }
    while (tail != head) {
        ssize_t written = writev(sink->fd, iov, (int)ring_iovecs(writer, tail, head - tail, iov));
        if (written > 0) {
            tail += (size_t)written;
            __atomic_store_n(&writer->tail, tail, __ATOMIC_RELEASE);
        } else if (written < 0 && errno == EINTR) {
            continue;
        } else if (written < 0 && errno == EAGAIN) {
            struct pollfd pfd = { .fd = sink->fd, .events = POLLOUT };
            (void)poll(&pfd, 1, RETRY_MS);
        } else { /* disk full, reader gone: the lines are lost, the writers go on */
            __atomic_add_fetch(&sink->dropped, count_lines(writer, tail, head), __ATOMIC_RELAXED);
            tail = head;
            __atomic_store_n(&writer->tail, tail, __ATOMIC_RELEASE);
        }
    }
    return true;
}

static bool drain_all(struct sink *sink)
{
    struct sink_writer *writer = __atomic_load_n(&sink->writers, __ATOMIC_ACQUIRE);
    bool any = false;

    for (; writer != NULL; writer = writer->next) {
        any |= drain(sink, writer);
    }
    return any;
}

static void wait_for_wake(struct sink *sink, int timeout_ms)
{
    struct pollfd pfd = { .fd = sink->wake_fd, .events = POLLIN };
    uint64_t count;

    if (poll(&pfd, 1, timeout_ms) > 0) {
        ssize_t ignored = read(sink->wake_fd, &count, sizeof(count));
        (void)ignored; /* non-blocking; only the reset matters */
    }
}

static void *run(void *arg)
{
    struct sink *sink = arg;

    for (;;) {
        /* Before draining: what was queued before the stop is then surely written. */
        bool stop = __atomic_load_n(&sink->stop, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&sink->reopen, false, __ATOMIC_SEQ_CST)) {
            do_reopen(sink);
        }
        if (drain_all(sink)) {
            if (!stop) {
                wait_for_wake(sink, LINGER_MS);
            }
            continue;
        }
        if (stop) {
            return NULL;
        }
        __atomic_store_n(&sink->asleep, true, __ATOMIC_SEQ_CST);
        if (!drain_all(sink)) {
            wait_for_wake(sink, -1);
        }
        __atomic_store_n(&sink->asleep, false, __ATOMIC_SEQ_CST);
    }
}

/* All signals are for other threads; SIGPIPE of a lost reader stays pending here. */
static int start_thread(struct sink *sink)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&sink->thread, NULL, run, sink);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0 ? 0 : ERR_NO_MEMORY;
}

/* ---- making and freeing ---- */

static int open_output(struct sink *sink, const char *path)
{
    if (strcmp(path, "-") == 0) {
        sink->fd = STDOUT_FILENO;
        return 0;
    }
    if (strcmp(path, "stderr") == 0) {
        sink->fd = STDERR_FILENO;
        return 0;
    }

    sink->path = strdup(path);
    if (sink->path == NULL) {
        return ERR_NO_MEMORY;
    }
    sink->fd = open_path(path);
    return sink->fd < 0 ? ERR_IO : 0;
}

static void free_all(struct sink *sink)
{
    struct sink_writer *writer = sink->writers;

    while (writer != NULL) {
        struct sink_writer *next = writer->next;
        free(writer->ring);
        free(writer);
        writer = next;
    }
    if (sink->path != NULL && sink->fd >= 0) {
        close(sink->fd);
    }
    if (sink->wake_fd >= 0) {
        close(sink->wake_fd);
    }
    free(sink->path);
    free(sink);
}

static int open_all(struct sink *sink, const char *path)
{
    int err = open_output(sink, path);

    if (err < 0) {
        return err;
    }
    sink->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (sink->wake_fd < 0) {
        return ERR_IO;
    }
    return start_thread(sink);
}

struct sink *sink_new(const char *path, int *ret_err)
{
    struct sink *sink = calloc(1, sizeof(*sink));

    if (sink == NULL) {
        *ret_err = ERR_NO_MEMORY;
        return NULL;
    }
    sink->fd = -1;
    sink->wake_fd = -1;
    int err = open_all(sink, path);
    if (err < 0) {
        *ret_err = err;
        free_all(sink);
        return NULL;
    }
    return sink;
}

void sink_free(struct sink *sink)
{
    struct timespec until = { 0 };

    if (sink == NULL) {
        return;
    }
    __atomic_store_n(&sink->stop, true, __ATOMIC_SEQ_CST);
    wake(sink);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_SEC;
    if (pthread_timedjoin_np(sink->thread, NULL, &until) != 0) {
        /* It hangs in writev() or poll(), both points of cancellation; it holds nothing. */
        (void)pthread_cancel(sink->thread);
        (void)pthread_join(sink->thread, NULL);
    }
    free_all(sink);
}

struct sink_writer *sink_writer_new(struct sink *sink, size_t ring_bytes)
{
    struct sink_writer *writer;

    if (ring_bytes < MIN_RING) {
        ring_bytes = MIN_RING;
    }
    if (bug_if((ring_bytes & (ring_bytes - 1)) != 0)) {
        return NULL;
    }
    writer = aligned_alloc(64, sizeof(*writer)); /* the struct's size is a multiple of 64 */
    if (writer == NULL) {
        return NULL;
    }
    *writer = (struct sink_writer){ .sink = sink, .size = ring_bytes, .ring = malloc(ring_bytes) };
    if (writer->ring == NULL) {
        free(writer);
        return NULL;
    }

    writer->next = __atomic_load_n(&sink->writers, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&sink->writers, &writer->next, writer, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    return writer;
}
