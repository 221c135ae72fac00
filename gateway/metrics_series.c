/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics_series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_MAX_SERIES 100000u /* of one worker; more is not counted */

static struct metrics_series *metrics_series_new(struct metrics *metrics, struct slice key)
{
    size_t bytes = offsetof(struct metrics_series, key) + key.len + 1;
    struct metrics_series *series;

    if (metrics->series_count >= METRICS_MAX_SERIES) {
        return NULL;
    }
    series = calloc(1, bytes);
    if (series == NULL) {
        return NULL;
    }
    memcpy(series->key, key.ptr, key.len);
    series->key_len = key.len;
    series->family = (uint8_t)((uint8_t)key.ptr[0] - 1u);
    if (metrics_families[series->family].type == METRICS_HISTOGRAM) {
        series->histogram.bounds = metrics_families[series->family].bounds;
    }
    if (map_set(&metrics->series, slice_of(series->key, key.len), series) != 0) {
        free(series);
        return NULL;
    }
    metrics->series_count++;
    *metrics->last = series;
    metrics->last = &series->next;
    return series;
}

struct metrics_series *metrics_series_get(struct metrics *metrics, unsigned family,
                                          const char *labels)
{
    char key[METRICS_LABELS_BYTES + 1];
    size_t len = strlen(labels);
    struct metrics_series *series;

    if (len >= METRICS_LABELS_BYTES) {
        return NULL;
    }
    key[0] = (char)(family + 1);
    memcpy(key + 1, labels, len);
    series = map_get(&metrics->series, slice_of(key, len + 1));
    return series != NULL ? series : metrics_series_new(metrics, slice_of(key, len + 1));
}

uint64_t *metrics_series_number(struct metrics *metrics, unsigned family, const char *labels)
{
    struct metrics_series *series = metrics_series_get(metrics, family, labels);

    return series == NULL ? NULL : &series->number;
}

struct gw_histogram *metrics_series_histogram(struct metrics *metrics, unsigned family,
                                              const char *labels)
{
    struct metrics_series *series = metrics_series_get(metrics, family, labels);

    return series == NULL ? NULL : &series->histogram;
}

uint64_t *metrics_number(struct metrics *metrics, const char *family, const char *labels)
{
    int found = metrics_find_family(family);
    struct metrics_series *series;

    if (found < 0 || metrics_families[found].type == METRICS_HISTOGRAM) {
        return NULL;
    }
    series = metrics_series_get(metrics, (unsigned)found, labels);
    if (series == NULL) {
        return NULL;
    }
    series->hidden = false;
    return &series->number;
}

void metrics_hide_gauge(struct metrics *metrics, const char *family, const char *labels)
{
    int found = metrics_find_family(family);
    struct metrics_series *series = found < 0 || metrics_families[found].type != METRICS_GAUGE
                                        ? NULL
                                        : metrics_series_get(metrics, (unsigned)found, labels);

    if (series != NULL) {
        series->hidden = true;
    }
}

struct gw_histogram *metrics_histogram(struct metrics *metrics, const char *family,
                                       const char *labels)
{
    int found = metrics_find_family(family);

    if (found < 0 || metrics_families[found].type != METRICS_HISTOGRAM) {
        return NULL;
    }
    return metrics_series_histogram(metrics, (unsigned)found, labels);
}

void metrics_histogram_add_us(struct gw_histogram *histogram, uint64_t us)
{
    const struct metrics_bound *bounds = histogram->bounds;
    unsigned i = 0;

    while (bounds[i].le != NULL && us > bounds[i].us) {
        i++;
    }
    histogram->buckets[i]++;
    histogram->sum_us += us;
}

void metrics_label_add(char labels[METRICS_LABELS_BYTES], size_t *len, const char *name,
                       struct slice value)
{
    size_t end = METRICS_LABELS_BYTES - 3; /* room for an escape's second byte, quote and NUL */
    size_t at = *len;
    int written =
        snprintf(labels + at, METRICS_LABELS_BYTES - at, "%s%s=\"", at > 0 ? "," : "", name);

    if (written < 0 || at + (size_t)written >= end) {
        labels[at] = '\0'; /* no room: the label is left out, the text stays well formed */
        return;
    }
    at += (size_t)written;
    for (size_t i = 0; i < value.len && at < end; i++) {
        char c = value.ptr[i];

        if (c == '"' || c == '\\' || c == '\n') {
            if (at + 2 > end) {
                break;
            }
            labels[at++] = '\\';
            c = c == '\n' ? 'n' : c;
        }
        labels[at++] = c;
    }
    labels[at++] = '"';
    labels[at] = '\0';
    *len = at;
}
