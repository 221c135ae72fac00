/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in a chain of pooled blocks.  A buffer holds blocks only while it holds bytes.  Bytes move
 * between buffers of one thread without being copied where whole blocks move.
 * Owner: whoever embeds the struct.  Thread: the loop of its pool. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define BUF_BLOCK_BYTES 16384u /* payload of a pooled block */
#define BUF_READ_BLOCKS 16u    /* most blocks offered to one readv() */

struct block;
struct block_pool;

struct buf {
    struct block_pool *pool;
    struct block *head, *tail;
    size_t len;
};

/* `keep_blocks`: how many free blocks the pool keeps; the rest goes back to the heap. */
struct block_pool *block_pool_new(size_t keep_blocks); /* NULL: no memory */
void block_pool_free(struct block_pool *pool);         /* all buffers must be empty */
size_t block_pool_in_use(const struct block_pool *pool);

void buf_init(struct buf *buf, struct block_pool *pool);
void buf_clear(struct buf *buf); /* drop all bytes, give blocks back */

/* The contiguous bytes at the front; empty slice when len is 0. */
struct slice buf_front(const struct buf *buf);
/* Make the first `n` bytes contiguous (n <= buf->len; a block larger than usual is taken from the
 * heap when n needs it) with room for `capacity` in all.  The front moves: old slices are void. */
int buf_pullup(struct buf *buf, size_t n, size_t capacity) MUST_CHECK;
/* Free bytes behind the last byte of the last block, without a new block. */
size_t buf_tail_room(const struct buf *buf);

/* Append a copy. On ERR_NO_MEMORY nothing was appended. */
int buf_append(struct buf *buf, struct slice bytes) MUST_CHECK;
/* `size` contiguous writable bytes (size <= BUF_BLOCK_BYTES) at the end; NULL: no memory.  Follow
 * with buf_commit() of what was written. */
char *buf_reserve(struct buf *buf, size_t size);
void buf_commit(struct buf *buf, size_t written);
/* Drop `n` bytes from the front. */
void buf_drain(struct buf *buf, size_t n);
/* Move the first `n` bytes to the end of `to` (same pool): whole blocks are relinked, the rest is
 * shared by splitting with a copy of the smaller part.  ERR_NO_MEMORY moves nothing. */
int buf_move(struct buf *to, struct buf *from, size_t n) MUST_CHECK;

/* One readv() into at most `max_blocks` blocks.  > 0 bytes read, 0 end of file, or a negative
 * ERR_*: ERR_BUSY would block, ERR_RESET, ERR_IO, ERR_NO_MEMORY.  *ret_filled: the read filled
 * all that was offered. */
ssize_t buf_read_fd(struct buf *buf, int fd, unsigned max_blocks, bool *ret_filled);
/* One send()/writev() of the front, drained by what was written: bytes, or negative ERR_* as above. */
ssize_t buf_write_fd(struct buf *buf, int fd);
/* Up to `max` iovecs over the bytes; the number filled. */
unsigned buf_iovecs(const struct buf *buf, struct iovec *ret_iov, unsigned max);
