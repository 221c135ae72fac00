/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a head must not depend on how its bytes arrive. */
#pragma once

#include "core/h1_parser.h"

struct h1_cut {
    enum parse parse;
    enum h1_error error;
    size_t len;
};

static inline struct h1_cut h1_cut_scan(struct slice in, size_t step, bool is_request)
{
    struct h1_cut cut = { .parse = PARSE_MORE };
    struct h1_scan scan = { 0 };
    size_t len = 0;

    do {
        len = in.len - len < step ? in.len : len + step;
        cut.parse = h1_scan(&scan, slice_of(in.ptr, len), &h1_limits_default, is_request, &cut.len,
                            &cut.error);
    } while (cut.parse == PARSE_MORE && len < in.len);
    return cut;
}

/* The head's length; 0 when there is none. */
static inline size_t h1_cut_check(struct slice in, bool is_request)
{
    struct h1_cut whole = h1_cut_scan(in, in.len, is_request);

    for (size_t step = 1; step < 8; step += 3) {
        struct h1_cut cut = h1_cut_scan(in, step, is_request);

        require(cut.parse == whole.parse && cut.error == whole.error && cut.len == whole.len);
    }
    return whole.parse == PARSE_DONE ? whole.len : 0;
}
