/* SPDX-License-Identifier: Apache-2.0 */
/* The claim jti of tokens that we issue: a UUID of version 4 (RFC 9562 section 5.4), random. */
#pragma once

#include "core/err.h"

#define JTI_BYTES 37u /* with NUL */

/* ERR_CRYPTO: no randomness. */
int jti_make(char ret[JTI_BYTES]) MUST_CHECK;
