/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs first when threads share a CPU: those that serve before those that burn.  Each function is for the
 * calling thread, asks for what needs no privilege, and leaves it as it was where the system does not permit it. */
#pragma once

/* A loop: its turns are short, so that it runs as soon as it wakes up (from Linux 6.12 on; before that a thread
 * that wakes up beside one that gives way does so anyway). */
void priority_serve(void);
/* A thread that burns: it has a thirtieth of a loop's weight, and gets on even beside programs that never rest. */
void priority_give_way(void);
/* Between two jobs: whoever waits may run.  A loop that has just had more than its share is not let in before that
 * when it wakes up, and the next tick is milliseconds away. */
void priority_let_others(void);
