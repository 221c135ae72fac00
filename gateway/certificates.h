/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the operator in time about certificates that expire and OCSP responses that lapse.  Of the control
 * thread. */
#pragma once

#include "core/loop.h"

struct gateway;

struct certificates {
    const struct gateway *gateway;
    struct loop_timer timer;
};

/* Warn in the log of what expires within 14 days, or has; now and every six hours. */
void certificates_watch(struct certificates *certificates, const struct gateway *gateway);
void certificates_done(struct certificates *certificates);
/* Once, now: another configuration is in use. */
void certificates_check(const struct gateway *gateway);
