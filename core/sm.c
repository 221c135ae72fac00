/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sm.h"

#include <stdio.h>
#include <stdlib.h>

void sm_move(struct sm *sm, unsigned next, const char *why)
{
    const struct sm_state *from = &sm->states[sm->state];

    if (next < 32 && (from->next & SM_BIT(next)) != 0) {
        sm->state = (uint8_t)next;
        return;
    }

    /* The name of `next` is not printed when it cannot be a state: the table's length is unknown. */
    (void)fprintf(stderr, "fatal: illegal move from %s to %s (%u): %s\n", from->name,
                  next < 32 ? sm->states[next].name : "?", next, why);
    (void)fflush(stderr);
    abort();
}
