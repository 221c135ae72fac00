/* SPDX-License-Identifier: Apache-2.0 */
/* What connections to Redis count, by what they are for: "lookup", "revoke", "follow". */
#pragma once

#include "plugins/plugin.h"

struct revocation_numbers {
    uint64_t *ok, *failed, *writes;
    struct gw_histogram *durations;
};

int revocation_numbers_init(struct revocation_numbers *numbers, struct gw_worker *gw,
                            const char *purpose) MUST_CHECK; /* ERR_NO_MEMORY */
/* As redis_ops.served(). */
void revocation_numbers_add(const struct revocation_numbers *numbers, unsigned count, int err,
                            uint64_t us);
