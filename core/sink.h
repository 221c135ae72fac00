/* SPDX-License-Identifier: Apache-2.0 */
/* An output file that never blocks who writes to it: each writer has a single-producer ring, one
 * thread per sink drains all rings to the descriptor.  A full ring drops the line and counts it.
 * Writing costs a copy; a wake-up (one system call) only when the thread sleeps on empty rings. */
#pragma once

#include "core/err.h"
#include "core/slice.h"

#include <stdint.h>

struct sink;
struct sink_writer;

/* `path` "-" is stdout, "stderr" is stderr, else a file opened for appending (0640).  NULL with
 * *ret_err set. */
struct sink *sink_new(const char *path, int *ret_err);
/* Drain what is queued (at most a second when the reader hangs), stop the thread, free all. */
void sink_free(struct sink *sink);
/* A writer for one thread (`ring_bytes` a power of two); owned by the sink.  NULL: no memory. */
struct sink_writer *sink_writer_new(struct sink *sink, size_t ring_bytes);
/* Queue one whole line (with its newline).  False: dropped and counted. */
bool sink_write(struct sink_writer *writer, struct slice line);
/* Close and open the path again (log rotation); done by the sink's thread.  Any thread. */
void sink_reopen(struct sink *sink);
uint64_t sink_dropped(const struct sink *sink); /* any thread */
