/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a key server, and whether what it answered can be keys or metadata.  Pure but for the
 * fetch. */
#pragma once

#include "core/fetch.h"
#include "plugins/jwks/jwks.h"

/* Ask `url` as the options say; then fetch_start(). */
struct fetch_options jwks_question(const struct jwks_options *options, const char *url);
/* The metric's word and *ret_detail for an answer that is of no use; NULL: its body can be read. */
const char *jwks_answer_fault(const struct fetch_answer *answer, const char **ret_detail);
