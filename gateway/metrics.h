/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of one worker, plain numbers that only its thread touches.  A scrape asks every worker
 * for a copy through its mailbox and sums them (metrics_collect), so the request path has no
 * atomics and no locks.  Families, their types and help texts are one table in metrics.c. */
#pragma once

#include "core/err.h"
#include "core/slice.h"
#include "gateway/conn.h"

#include <stdint.h>

struct config;
struct metrics;
struct request;
struct gw_histogram;
struct gateway;

struct metrics *metrics_new(const struct config *config);
void metrics_free(struct metrics *metrics);

/* A reload: make what a new snapshot counts, without showing it as in use; ERR_NO_MEMORY.  Then
 * use it: the snapshot must live until the next switch.  metrics_listeners_free(): it is not used
 * after all. */
struct metrics_listeners;
int metrics_prepare(struct metrics *metrics, const struct config *config,
                    struct metrics_listeners **ret) MUST_CHECK;
void metrics_switch(struct metrics *metrics, struct metrics_listeners *table);
void metrics_listeners_free(struct metrics_listeners *table); /* NULL is fine */
/* Before a view of this worker is freed: forget the addresses of its routes and upstreams. */
void metrics_forget(struct metrics *metrics);

/* The number of family + labels (labels as in the exposition, without braces; "" for none); made
 * at the first call.  NULL: no memory or an unknown family. */
uint64_t *metrics_number(struct metrics *metrics, const char *family, const char *labels);
/* A gauge of what is not there any more is not shown, until metrics_number() asks for it again. */
void metrics_hide_gauge(struct metrics *metrics, const char *family, const char *labels);
struct gw_histogram *metrics_histogram(struct metrics *metrics, const char *family,
                                       const char *labels);
void metrics_histogram_add_us(struct gw_histogram *histogram, uint64_t us);

/* Append name="value" (escaped, after a comma when the text is not empty) to labels of *len bytes
 * in `labels`; what does not fit is cut. */
#define METRICS_LABELS_BYTES 512
void metrics_label_add(char labels[METRICS_LABELS_BYTES], size_t *len, const char *name,
                       struct slice value);

/* A connection was accepted, has ended.  The number of open ones is counted at a scrape. */
void metrics_count_accepted(struct metrics *metrics, unsigned listener_index);
void metrics_count_closed(struct metrics *metrics, unsigned listener_index, enum conn_end why);

/* Count an ended request: requests_total, durations, bytes, auth decision.  No allocation after
 * the first of its kind: looked up by numbers (listener, route, method, status), not by text. */
void metrics_count_request(struct metrics *metrics, const struct request *req);
/* An attempt ended. `result`: NULL with a status, else connect_failed, timeout, reset, protocol. */
void metrics_count_attempt(struct metrics *metrics, const struct request *req, const char *result);

/* Exposition text 0.0.4 of all workers: calls fn on the control thread with malloc'ed text (fn
 * frees it), or NULL when a worker did not answer within 2 s. */
void metrics_collect(struct gateway *gateway, void (*fn)(void *arg, char *text, size_t len),
                     void *arg);
/* Forget all scrapes under way: the gateway ends, no thread is left. */
void metrics_collect_abort(struct gateway *gateway);
/* The same text of these counters alone, all owned by the calling thread: malloc'ed, NULL: no
 * memory. For tests. */
char *metrics_format(struct metrics *const *all, unsigned count, size_t *ret_len);
