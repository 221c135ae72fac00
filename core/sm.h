/* SPDX-License-Identifier: Apache-2.0 */
/* A checked state machine: a table of states, each with its name and a mask of legal next states.
 * sm_move() is the only setter; an illegal move is our bug and aborts. */
#pragma once

#include <stdint.h>

#define SM_BIT(state) (UINT32_C(1) << (state))

struct sm_state {
    const char *name;
    uint32_t next; /* mask of SM_BIT() */
};

struct sm {
    const struct sm_state *states;
    uint8_t state;
};

static inline void sm_init(struct sm *sm, const struct sm_state *states, unsigned initial)
{
    sm->states = states;
    sm->state = (uint8_t)initial;
}

/* Move, or abort with both names and `why` when the table does not allow it. */
void sm_move(struct sm *sm, unsigned next, const char *why);

static inline const char *sm_name(const struct sm *sm)
{
    return sm->states[sm->state].name;
}
