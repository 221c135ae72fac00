/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target defines.  Its invariants are checked with require(): a broken one aborts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
