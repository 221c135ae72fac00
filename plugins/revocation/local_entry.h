/* SPDX-License-Identifier: Apache-2.0 */
/* One revocation as it is kept on this machine. */
#pragma once

#include "core/slice.h"

#include <stdint.h>

#define LOCAL_STORE_MAX_KEY 480u
#define LOCAL_STORE_NONE    INT64_MIN /* the value of a key that is surely not there */

struct local_entry {
    struct slice key; /* borrowed */
    int64_t value;
    int64_t expires_at; /* Unix time: may be forgotten from then on */
};
