/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/outcome.h"

static const struct {
    unsigned status;
    const char *word;
} outcomes[OUTCOMES] = { [OUTCOME_NONE] = { 0, "none" },
#define X(name, status, word) [OUTCOME_##name] = { status, word },
                         OUTCOME_TABLE(X)
#undef X
};

unsigned outcome_status(enum outcome outcome)
{
    return outcomes[outcome].status;
}

const char *outcome_word(enum outcome outcome)
{
    return outcomes[outcome].word;
}
