/* SPDX-License-Identifier: Apache-2.0 */
/* How other threads hand work to one thread: a list under a lock, and a descriptor that is readable while
 * there may be some.  Its owner opens, runs and closes it. */
#pragma once

#include "core/err.h"

#include <pthread.h>
#include <stdbool.h>

struct mail;

struct mailbox {
    pthread_mutex_t lock;
    struct mail *first, *last;
    int fd; /* to be watched for reading; -1: none */
};

/* To be closed also after an error. ERR_IO: no descriptor. */
int mailbox_open(struct mailbox *box) MUST_CHECK;
/* What is in it is dropped. */
void mailbox_close(struct mailbox *box);
/* Any thread: fn(arg) is to run.  False: no memory. */
bool mailbox_post(struct mailbox *box, void (*fn)(void *arg), void *arg);
/* Any thread: make it readable, with or without mail. */
void mailbox_wake(struct mailbox *box);
/* The owner, when it is readable: run what has come, in order.  What is posted meanwhile runs the next
 * time. */
void mailbox_run(struct mailbox *box);
