/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/numbers.h"

#include <stdio.h>

int revocation_numbers_init(struct revocation_numbers *numbers, struct gw_worker *gw,
                            const char *purpose)
{
    char labels[64];

    snprintf(labels, sizeof(labels), "class=\"%s\",result=\"ok\"", purpose);
    numbers->ok = gw_counter(gw, "jwtgate_redis_commands_total", labels);
    snprintf(labels, sizeof(labels), "class=\"%s\",result=\"error\"", purpose);
    numbers->failed = gw_counter(gw, "jwtgate_redis_commands_total", labels);
    snprintf(labels, sizeof(labels), "class=\"%s\"", purpose);
    numbers->writes = gw_counter(gw, "jwtgate_redis_writes_total", labels);
    numbers->durations = gw_histogram(gw, "jwtgate_redis_command_duration_seconds", labels);
    return numbers->ok == NULL || numbers->failed == NULL || numbers->writes == NULL ||
                   numbers->durations == NULL
               ? ERR_NO_MEMORY
               : 0;
}

void revocation_numbers_add(const struct revocation_numbers *numbers, unsigned count, int err,
                            uint64_t us)
{
    if (err < 0) {
        *numbers->failed += count;
        return;
    }
    *numbers->ok += count;
    ++*numbers->writes;
    for (unsigned i = 0; i < count; i++) {
        gw_histogram_add_us(numbers->durations, us);
    }
}
