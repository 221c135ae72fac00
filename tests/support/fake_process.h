/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread and the one worker of a process as plugins see them, both the test's own thread: a
 * message arrives within the call that sends it, numbers and checks can be looked at.  Without a
 * process (NULL) nothing is done: keys that are fetched never come. */
#pragma once

#include "plugins/plugin.h"

#define FAKE_PROCESS_CHECKS 4

struct gw_check {
    char name[160];
    bool ok;
    const char *why;
};

struct gw_process {
    struct loop *loop;
    const char *cache_dir, *state_dir; /* NULL: none */
    void *previous;                    /* state of the process before; NULL: none */
    void *state;  /* of the plugin, for gw_process_post(); NULL: it has not started */
    void *worker; /* of the plugin, for gw_publish() */
    unsigned posted;
    unsigned publish_fails; /* so often */
    struct gw_check checks[FAKE_PROCESS_CHECKS];
    unsigned check_count;
};

/* The value of a counter or gauge; -1: it is not shown. */
int64_t fake_process_number(const char *family, const char *labels);
/* None has been counted. */
void fake_process_forget_numbers(void);
