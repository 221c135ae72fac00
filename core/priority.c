/* SPDX-License-Identifier: Apache-2.0 */
#include "core/priority.h"

#include "core/log.h"

#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TURN_NS  100000u /* the least that the kernel takes */
#define STEPS    15
#define MAX_NICE 19

struct attributes { /* of sched_setattr(2), which the C library does not have yet */
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t turn_ns, deadline_ns, period_ns;
};

static int get(struct attributes *ret)
{
    return (int)syscall(SYS_sched_getattr, gettid(), ret, sizeof(*ret), 0);
}

static void set(const struct attributes *attributes)
{
    if (syscall(SYS_sched_setattr, gettid(), attributes, 0) != 0) {
        log_debug("priority", "threads that serve and threads that burn share the CPU alike");
    }
}

void priority_serve(void)
{
    struct attributes attributes = { 0 };

    if (get(&attributes) == 0 && attributes.policy == SCHED_OTHER) {
        attributes.turn_ns = TURN_NS;
        set(&attributes);
    }
}

void priority_give_way(void)
{
    struct attributes attributes = { 0 };

    if (get(&attributes) == 0 && attributes.policy == SCHED_OTHER) {
        attributes.nice = attributes.nice + STEPS < MAX_NICE ? attributes.nice + STEPS : MAX_NICE;
        attributes.turn_ns = 0; /* the system's */
        set(&attributes);
    }
}

void priority_let_others(void)
{
    (void)sched_yield();
}
