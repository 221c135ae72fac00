/* SPDX-License-Identifier: Apache-2.0 */
/* Who a Redis server is, as INFO says it: another process, another data set or another role is another
 * server.  Pure. */
#pragma once

#include "core/slice.h"

struct redis_identity { /* zeroed: nobody */
    char run_id[48], replication_id[48], role[48];
};

/* Take over what `info` says; true: it is another one than before. */
bool redis_identity_take(struct redis_identity *identity, struct slice info);
