/* SPDX-License-Identifier: Apache-2.0 */
/* The series of one worker: family and labels -> number or histogram.  Shared by the files metrics*.c
 * only; what others count with is in metrics.h.  All on the thread of the worker. */
#pragma once

#include "core/map.h"
#include "gateway/metrics.h"
#include "gateway/metrics_table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_US_PER_S UINT64_C(1000000)

struct gw_histogram {
    const struct metrics_bound *bounds;
    uint64_t sum_us;
    uint64_t
        buckets[METRICS_MAX_BUCKETS + 1]; /* not cumulated; the one behind the last bound: +Inf */
};

struct metrics_series {
    struct metrics_series *next;
    uint8_t family; /* enum metrics_family_id */
    bool hidden;    /* a gauge of what is not there any more */
    union {
        uint64_t number;
        struct gw_histogram histogram;
    };
    size_t key_len;
    char key[]; /* one byte for the family, then the labels; NUL-terminated */
};

struct metrics_memo {
    const void *object;
    uint64_t detail;
    void *value; /* NULL: free */
};

/* All that a request counts whatever its status was. */
struct metrics_route {
    struct gw_histogram *duration, *overhead;
    uint64_t *request_bytes, *response_bytes;
    struct metrics_auth *auth; /* most recently used first */
    struct metrics_route *next;
    struct slice name; /* borrowed: a label of `duration`'s key would be escaped */
};

struct metrics_auth {
    struct metrics_auth *next;
    const char *reason;
    uint64_t *number;
    size_t provider_len;
    char provider[];
};

struct metrics_listener {
    struct slice name;
    bool is_gone; /* of an earlier snapshot: it may still have connections */
    uint64_t *accepted;
    uint64_t *closed[CONN_ENDS];
    uint64_t connections, in_flight; /* counted at a scrape */
};

struct metrics_listeners {
    size_t count;
    struct metrics_listener items[]; /* by index in the snapshot */
};

struct metrics {
    struct map series; /* by key */
    struct metrics_series *first, **last;
    size_t series_count;
    struct metrics_memo *memo;
    size_t memo_size, memo_used; /* size: a power of two or 0 */
    struct metrics_route *routes;
    struct metrics_listeners *listeners;
};

/* Found or made; NULL: no memory, labels too long or too many series.  Valid as long as `metrics`. */
struct metrics_series *metrics_series_get(struct metrics *metrics, unsigned family,
                                          const char *labels);
uint64_t *metrics_series_number(struct metrics *metrics, unsigned family, const char *labels);
struct gw_histogram *metrics_series_histogram(struct metrics *metrics, unsigned family,
                                              const char *labels);

/* metrics_sample.c: read what is not counted as it happens, before a copy is taken. */
void metrics_sample_worker(const struct worker *worker);    /* on its thread */
void metrics_sample_process(const struct gateway *gateway); /* on the control thread */

/* metrics_text.c: what a series was when it was copied. */
struct metrics_value {
    const struct metrics_series *series; /* key and family: never change; values are the copy's */
    union {
        uint64_t number;
        struct gw_histogram histogram;
    };
};
struct metrics_copy {
    struct metrics_job *job; /* the scrape it is for, and the worker it is of */
    struct worker *worker;
    struct metrics_value *values; /* NULL: no memory; owned: free() */
    size_t count;
};
void metrics_copy_from(struct metrics_copy *copy, const struct metrics *metrics);
/* Sum the copies and write them by family; the copies' values are used up, not freed.  malloc'ed,
 * NULL: no memory. */
char *metrics_print(struct metrics_copy *copies, unsigned count, size_t *ret_len);
