/* SPDX-License-Identifier: Apache-2.0 */
/* Private to process*.c: one plugin's work, and the messages between it and the workers. */
#pragma once

#include "gateway/process.h"

#include <pthread.h>

struct gw_check;
struct process_message;

/* One plugin's, for as long as a snapshot has the same top. */
struct gw_process {
    struct process_hub *hub;
    const struct gw_plugin *plugin;
    unsigned plugin_index;
    const void *top;
    struct config *config; /* the snapshot that made the top: a reference */
    void *state;
    bool is_running;
    unsigned users;              /* struct processes that have it */
    int refs;                    /* atomic: users (as one) and messages under way */
    struct gw_process *previous; /* only while process_init() runs */
    struct gw_check *checks;     /* do not change after process_init() */
    unsigned check_count;
};

struct process_hub {
    struct gateway *gateway;
    struct processes *all; /* newest first; only the control thread looks */
    pthread_mutex_t lock;  /* of messages */
    struct process_message *messages;
};

void process_unref(struct gw_process *process); /* any thread */
/* process_message.c: what no thread has taken. */
void process_messages_free(struct process_hub *hub);
