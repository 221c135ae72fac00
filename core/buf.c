/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_ROOM_MIN   1024u /* less room than this in the last block is not worth a read */
#define MOVE_COPY_BYTES 2048u /* a short block is copied: many short ones would hold much memory */
#define WRITE_IOVECS    64u

struct block {
    struct block *next;
    size_t start, end; /* of the bytes in data */
    size_t capacity;
    char data[];
};

struct block_pool {
    struct block *free_blocks;
    size_t free_count, keep_blocks, in_use;
};

/* --- blocks --- */

struct block_pool *block_pool_new(size_t keep_blocks)
{
    struct block_pool *pool = (struct block_pool *)calloc(1, sizeof(*pool));
    if (pool != NULL) {
        pool->keep_blocks = keep_blocks;
    }
    return pool;
}

void block_pool_free(struct block_pool *pool)
{
    if (pool == NULL) {
        return;
    }

    while (pool->free_blocks != NULL) {
        struct block *next = pool->free_blocks->next;
        free(pool->free_blocks);
        pool->free_blocks = next;
    }
    free(pool);
}

size_t block_pool_in_use(const struct block_pool *pool)
{
    return pool->in_use;
}

static struct block *block_new(struct block_pool *pool, size_t capacity)
{
    struct block *block = pool->free_blocks;

    if (capacity <= BUF_BLOCK_BYTES && block != NULL) {
        pool->free_blocks = block->next;
        pool->free_count--;
        capacity = BUF_BLOCK_BYTES;
    } else {
        capacity = capacity <= BUF_BLOCK_BYTES ? BUF_BLOCK_BYTES : capacity;
        block = (struct block *)malloc(sizeof(*block) + capacity);
    }
    if (block == NULL) {
        return NULL;
    }
    block->next = NULL;
    block->start = block->end = 0;
    block->capacity = capacity;
    pool->in_use++;
    return block;
}

static void block_free(struct block_pool *pool, struct block *block)
{
    pool->in_use--;
    if (block->capacity != BUF_BLOCK_BYTES || pool->free_count >= pool->keep_blocks) {
        free(block);
        return;
    }
    block->next = pool->free_blocks;
    pool->free_blocks = block;
    pool->free_count++;
}

static void blocks_free(struct block_pool *pool, struct block *first)
{
    while (first != NULL) {
        struct block *next = first->next;
        block_free(pool, first);
        first = next;
    }
}

/* A chain with `room` bytes in all; NULL: no memory. */
static struct block *blocks_new(struct block_pool *pool, size_t room)
{
    struct block *first = NULL;

    for (size_t have = 0; have < room; have += BUF_BLOCK_BYTES) {
        struct block *block = block_new(pool, BUF_BLOCK_BYTES);
        if (block == NULL) {
            blocks_free(pool, first);
            return NULL;
        }
        block->next = first;
        first = block;
    }
    return first;
}

static size_t block_len(const struct block *block)
{
    return block->end - block->start;
}

static size_t block_room(const struct block *block)
{
    return block->capacity - block->end;
}

/* --- the chain --- */

void buf_init(struct buf *buf, struct block_pool *pool)
{
    *buf = (struct buf){ .pool = pool };
}

void buf_clear(struct buf *buf)
{
    blocks_free(buf->pool, buf->head);
    buf->head = buf->tail = NULL;
    buf->len = 0;
}

static void buf_link(struct buf *buf, struct block *block)
{
    block->next = NULL;
    if (buf->tail == NULL) {
        buf->head = block;
    } else {
        buf->tail->next = block;
    }
    buf->tail = block;
}

static struct block *buf_unlink_head(struct buf *buf)
{
    struct block *block = buf->head;

    buf->head = block->next;
    if (buf->head == NULL) {
        buf->tail = NULL;
    }
    return block;
}

struct slice buf_front(const struct buf *buf)
{
    if (buf->len == 0) {
        return slice_of("", 0);
    }
    return slice_of(buf->head->data + buf->head->start, block_len(buf->head));
}

size_t buf_tail_room(const struct buf *buf)
{
    return buf->tail == NULL ? 0 : block_room(buf->tail);
}

/* Copy into the tail, which has the room. */
static void buf_copy_in(struct buf *buf, const char *ptr, size_t len)
{
    if (len == 0) {
        return;
    }
    memcpy(buf->tail->data + buf->tail->end, ptr, len);
    buf->tail->end += len;
    buf->len += len;
}

int buf_append(struct buf *buf, struct slice bytes)
{
    size_t room = buf_tail_room(buf);
    size_t first = bytes.len < room ? bytes.len : room;
    struct block *more = NULL;

    if (bytes.len > first) {
        more = blocks_new(buf->pool, bytes.len - first);
        if (more == NULL) {
            return ERR_NO_MEMORY;
        }
    }

    buf_copy_in(buf, bytes.ptr, first);
    bytes = slice_skip(bytes, first);
    while (more != NULL) {
        struct block *next = more->next;
        size_t n = bytes.len < BUF_BLOCK_BYTES ? bytes.len : BUF_BLOCK_BYTES;
        buf_link(buf, more);
        buf_copy_in(buf, bytes.ptr, n);
        bytes = slice_skip(bytes, n);
        more = next;
    }
    return 0;
}

char *buf_reserve(struct buf *buf, size_t size)
{
    if (bug_if(size > BUF_BLOCK_BYTES)) {
        return NULL;
    }
    if (buf->tail == NULL || block_room(buf->tail) < size) {
        struct block *block = block_new(buf->pool, size);
        if (block == NULL) {
            return NULL;
        }
        buf_link(buf, block);
    }
    return buf->tail->data + buf->tail->end;
}

/* Give back an unused block at the end. */
static void buf_trim(struct buf *buf)
{
    struct block *before = NULL;

    if (buf->tail == NULL || block_len(buf->tail) > 0) {
        return;
    }
    for (struct block *block = buf->head; block != buf->tail; block = block->next) {
        before = block;
    }
    block_free(buf->pool, buf->tail);
    buf->tail = before;
    if (before == NULL) {
        buf->head = NULL;
    } else {
        before->next = NULL;
    }
}

void buf_commit(struct buf *buf, size_t written)
{
    require(written <= buf_tail_room(buf));
    if (written == 0) {
        buf_trim(buf);
        return;
    }
    buf->tail->end += written;
    buf->len += written;
}

void buf_drain(struct buf *buf, size_t n)
{
    require(n <= buf->len);
    buf->len -= n;
    while (n > 0) {
        struct block *block = buf->head;
        size_t len = block_len(block);
        if (n < len) {
            block->start += n;
            return;
        }
        n -= len;
        block_free(buf->pool, buf_unlink_head(buf));
    }
}

/* Fill the head from the blocks behind it until it holds `n` bytes; it has the room. */
static void buf_gather(struct buf *buf, size_t n)
{
    struct block *head = buf->head;

    while (block_len(head) < n) {
        struct block *from = head->next;
        size_t want = n - block_len(head);
        size_t take = block_len(from) < want ? block_len(from) : want;

        memcpy(head->data + head->end, from->data + from->start, take);
        head->end += take;
        from->start += take;
        if (block_len(from) == 0) {
            head->next = from->next;
            if (head->next == NULL) {
                buf->tail = head;
            }
            block_free(buf->pool, from);
        }
    }
}

int buf_pullup(struct buf *buf, size_t n, size_t capacity)
{
    struct block *head = buf->head;

    if (bug_if(n > buf->len)) {
        return ERR_BUG;
    }
    if (head == NULL) {
        return 0;
    }
    capacity = capacity < n ? n : capacity;
    if (block_len(head) >= n && head->capacity - head->start >= capacity) {
        return 0;
    }

    struct block *to = head;
    if (head->capacity < capacity) {
        to = block_new(buf->pool, capacity);
        if (to == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    size_t len = block_len(head);
    memmove(to->data, head->data + head->start, len);
    to->start = 0;
    to->end = len;
    if (to != head) {
        to->next = head->next;
        buf->head = to;
        buf->tail = buf->tail == head ? to : buf->tail;
        block_free(buf->pool, head);
    }
    buf_gather(buf, n);
    return 0;
}

/* Move all of the head block. */
static void buf_move_block(struct buf *to, struct buf *from)
{
    struct block *block = buf_unlink_head(from);
    size_t len = block_len(block);

    from->len -= len;
    if (len <= MOVE_COPY_BYTES && len <= buf_tail_room(to)) {
        buf_copy_in(to, block->data + block->start, len);
        block_free(from->pool, block);
        return;
    }
    buf_link(to, block);
    to->len += len;
}

/* Move the first `n` bytes of the head block, which has more; `spare` is for the part that is
 * copied, NULL when the tail of `to` takes it. */
static void buf_move_part(struct buf *to, struct buf *from, size_t n, struct block *spare)
{
    struct block *head = from->head;
    size_t rest = block_len(head) - n;

    if (spare == NULL || n <= rest) {
        if (spare != NULL) {
            buf_link(to, spare);
        }
        buf_copy_in(to, head->data + head->start, n);
        head->start += n;
        from->len -= n;
        return;
    }

    memcpy(spare->data, head->data + head->end - rest, rest);
    spare->end = rest;
    head->end -= rest;
    spare->next = head->next;
    from->head = spare;
    from->tail = from->tail == head ? spare : from->tail;
    from->len -= n;
    buf_link(to, head);
    to->len += n;
}

int buf_move(struct buf *to, struct buf *from, size_t n)
{
    if (bug_if(n > from->len || to->pool != from->pool)) {
        return ERR_BUG;
    }

    /* The spare block first, so that a failure moves nothing. */
    struct block *cut = from->head;
    size_t whole = 0, len;
    while (cut != NULL && whole + block_len(cut) <= n) {
        whole += block_len(cut);
        cut = cut->next;
    }
    size_t part = n - whole;
    struct block *spare = NULL;
    /* With whole blocks before it, the part may find less room than there is now: take one. */
    if (part > 0 && (whole > 0 || part > MOVE_COPY_BYTES || part > buf_tail_room(to))) {
        size_t rest = block_len(cut) - part;
        spare = block_new(from->pool, part < rest ? part : rest);
        if (spare == NULL) {
            return ERR_NO_MEMORY;
        }
    }

    for (; whole > 0; whole -= len) {
        len = block_len(from->head);
        buf_move_block(to, from);
    }
    if (spare != NULL && part <= MOVE_COPY_BYTES && part <= buf_tail_room(to)) {
        block_free(from->pool, spare);
        spare = NULL;
    }
    if (part > 0) {
        buf_move_part(to, from, part, spare);
    }
    return 0;
}

/* --- descriptors --- */

static int io_error(void)
{
    switch (errno) {
    case EAGAIN: return ERR_BUSY;
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT: return ERR_RESET;
    case ENOMEM:
    case ENOBUFS: return ERR_NO_MEMORY;
    default: return ERR_IO;
    }
}

static ssize_t fd_read(int fd, const struct iovec *iov, unsigned count)
{
    ssize_t n;

    do {
        n = count == 1 ? read(fd, iov->iov_base, iov->iov_len) : readv(fd, iov, (int)count);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? io_error() : n;
}

static size_t iov_add(struct iovec *iov, struct block *block)
{
    iov->iov_base = block->data + block->end;
    iov->iov_len = block_room(block);
    return iov->iov_len;
}

/* Put the `n` bytes that were read into the chain: first what is left of the tail, then `fresh`. */
static void buf_take_read(struct buf *buf, size_t n, bool into_tail, struct block *fresh)
{
    buf->len += n;
    if (into_tail) {
        size_t room = block_room(buf->tail);
        size_t first = n < room ? n : room;
        buf->tail->end += first;
        n -= first;
    }
    while (fresh != NULL && n > 0) {
        struct block *next = fresh->next;
        size_t first = n < fresh->capacity ? n : fresh->capacity;
        fresh->end = first;
        n -= first;
        buf_link(buf, fresh);
        fresh = next;
    }
    blocks_free(buf->pool, fresh);
}

ssize_t buf_read_fd(struct buf *buf, int fd, unsigned max_blocks, bool *ret_filled)
{
    struct iovec iov[BUF_READ_BLOCKS];
    struct block *fresh = NULL, **link = &fresh;
    bool into_tail = buf_tail_room(buf) >= READ_ROOM_MIN;
    size_t offered = 0;
    unsigned count = 0;

    *ret_filled = false;
    max_blocks = max_blocks > BUF_READ_BLOCKS ? BUF_READ_BLOCKS : max_blocks;
    if (into_tail) {
        offered += iov_add(&iov[count++], buf->tail);
    }
    while (count < max_blocks) {
        struct block *block = block_new(buf->pool, BUF_BLOCK_BYTES);
        if (block == NULL) {
            break;
        }
        *link = block;
        link = &block->next;
        offered += iov_add(&iov[count++], block);
    }
    if (count == 0) {
        return ERR_NO_MEMORY;
    }

    ssize_t n = fd_read(fd, iov, count);
    if (n <= 0) {
        blocks_free(buf->pool, fresh);
        return n;
    }
    buf_take_read(buf, (size_t)n, into_tail, fresh);
    *ret_filled = (size_t)n == offered;
    return n;
}

unsigned buf_iovecs(const struct buf *buf, struct iovec *ret_iov, unsigned max)
{
    unsigned count = 0;

    for (struct block *b = buf->head; b != NULL && count < max; b = b->next) {
        ret_iov[count].iov_base = b->data + b->start;
        ret_iov[count].iov_len = block_len(b);
        count++;
    }
    return count;
}

static ssize_t fd_write(const struct buf *buf, int fd)
{
    if (buf->head->next == NULL) {
        struct slice bytes = buf_front(buf);
        return send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
    }

    struct iovec iov[WRITE_IOVECS];
    struct msghdr msg = { .msg_iov = iov };
    msg.msg_iovlen = buf_iovecs(buf, iov, WRITE_IOVECS);
    return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

ssize_t buf_write_fd(struct buf *buf, int fd)
{
    ssize_t n;

    if (buf->len == 0) {
        return 0;
    }
    do {
        n = fd_write(buf, fd);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return io_error();
    }
    buf_drain(buf, (size_t)n);
    return n;
}
