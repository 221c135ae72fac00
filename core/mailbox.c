/* SPDX-License-Identifier: Apache-2.0 */
#include "core/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct mail {
    struct mail *next;
    void (*fn)(void *arg);
    void *arg;
};

int mailbox_open(struct mailbox *box)
{
    *box = (struct mailbox){ .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
    pthread_mutex_init(&box->lock, NULL);
    return box->fd < 0 ? ERR_IO : 0;
}

void mailbox_close(struct mailbox *box)
{
    if (box->fd >= 0) {
        close(box->fd);
    }
    while (box->first != NULL) {
        struct mail *next = box->first->next;
        free(box->first);
        box->first = next;
    }
    pthread_mutex_destroy(&box->lock);
}

void mailbox_wake(struct mailbox *box)
{
    uint64_t one = 1;

    /* EAGAIN means that the counter is full: it is readable, which is all we want. */
    while (write(box->fd, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
}

bool mailbox_post(struct mailbox *box, void (*fn)(void *arg), void *arg)
{
    struct mail *mail = (struct mail *)malloc(sizeof(*mail));

    if (mail == NULL) {
        return false;
    }
    *mail = (struct mail){ .fn = fn, .arg = arg };

    pthread_mutex_lock(&box->lock);
    bool was_empty = box->first == NULL;
    if (was_empty) {
        box->first = mail;
    } else {
        box->last->next = mail;
    }
    box->last = mail;
    /* Inside the lock: the owner cannot have taken the mail, and be gone, before we wake it. */
    if (was_empty) {
        mailbox_wake(box);
    }
    pthread_mutex_unlock(&box->lock);
    return true;
}

void mailbox_run(struct mailbox *box)
{
    uint64_t count;

    while (read(box->fd, &count, sizeof(count)) < 0 && errno == EINTR) {
    }

    pthread_mutex_lock(&box->lock);
    struct mail *mail = box->first;
    box->first = box->last = NULL;
    pthread_mutex_unlock(&box->lock);

    while (mail != NULL) {
        struct mail *next = mail->next;
        mail->fn(mail->arg);
        free(mail);
        mail = next;
    }
}
