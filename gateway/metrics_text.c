/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of the workers' numbers, summed and written in Prometheus' text format 0.0.4. */
#include "core/map.h"
#include "gateway/metrics_series.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void metrics_copy_from(struct metrics_copy *copy, const struct metrics *metrics)
{
    copy->values = calloc(metrics->series_count + 1, sizeof(*copy->values));
    if (copy->values == NULL) {
        return;
    }
    for (const struct metrics_series *s = metrics->first; s != NULL; s = s->next) {
        struct metrics_value *value = &copy->values[copy->count];

        if (s->hidden) {
            continue;
        }
        copy->count++;
        value->series = s;
        if (metrics_families[s->family].type == METRICS_HISTOGRAM) {
            value->histogram = s->histogram;
        } else {
            value->number = s->number;
        }
    }
}

static void metrics_merge_value(struct metrics_value *to, const struct metrics_value *from)
{
    const struct metrics_family *family = &metrics_families[to->series->family];

    if (family->type == METRICS_HISTOGRAM) {
        to->histogram.sum_us += from->histogram.sum_us;
        for (unsigned i = 0; i <= METRICS_MAX_BUCKETS; i++) {
            to->histogram.buckets[i] += from->histogram.buckets[i];
        }
        return;
    }
    switch (family->merge) {
    case METRICS_SUM: to->number += from->number; break;
    case METRICS_MAX: to->number = from->number > to->number ? from->number : to->number; break;
    case METRICS_MIN: to->number = from->number < to->number ? from->number : to->number; break;
    }
}

/* Add `from` to what is in `merged` (values of the first copies, by key). */
static int metrics_merge_copy(struct map *merged, struct metrics_copy *from)
{
    for (size_t i = 0; i < from->count; i++) {
        struct metrics_value *value = &from->values[i];
        struct slice key = slice_of(value->series->key, value->series->key_len);
        struct metrics_value *known = map_get(merged, key);

        if (known != NULL) {
            metrics_merge_value(known, value);
            value->series = NULL; /* counted with the other */
        } else if (map_set(merged, key, value) != 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

struct metrics_text {
    char *ptr;
    size_t len, size;
    bool failed;
};

static void text_add(struct metrics_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void text_add(struct metrics_text *text, const char *format, ...)
{
    va_list args;
    int written;

    if (text->failed) {
        return;
    }
    if (text->size - text->len < 2048) { /* more than the longest line */
        size_t size = text->size * 2 + 8192;
        char *ptr = realloc(text->ptr, size);

        if (ptr == NULL) {
            text->failed = true;
            return;
        }
        text->ptr = ptr;
        text->size = size;
    }
    va_start(args, format);
    written = vsnprintf(text->ptr + text->len, text->size - text->len, format, args);
    va_end(args);
    if (written < 0 || (size_t)written >= text->size - text->len) {
        text->failed = true;
        return;
    }
    text->len += (size_t)written;
}

static void text_add_seconds(struct metrics_text *text, uint64_t us)
{
    text_add(text, "%" PRIu64 ".%06" PRIu64 "\n", us / METRICS_US_PER_S, us % METRICS_US_PER_S);
}

static void text_add_histogram(struct metrics_text *text, const char *name, const char *labels,
                               const struct gw_histogram *histogram)
{
    const char *comma = labels[0] != '\0' ? "," : "";
    const char *open = labels[0] != '\0' ? "{" : "";
    const char *close = labels[0] != '\0' ? "}" : "";
    uint64_t count = 0;
    unsigned i = 0;

    for (; histogram->bounds[i].le != NULL; i++) {
        count += histogram->buckets[i];
        text_add(text, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma,
                 histogram->bounds[i].le, count);
    }
    count += histogram->buckets[i];
    text_add(text, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count);
    text_add(text, "%s_sum%s%s%s ", name, open, labels, close);
    text_add_seconds(text, histogram->sum_us);
    text_add(text, "%s_count%s%s%s %" PRIu64 "\n", name, open, labels, close, count);
}

static void text_add_value(struct metrics_text *text, const struct metrics_value *value)
{
    const struct metrics_family *family = &metrics_families[value->series->family];
    const char *labels = value->series->key + 1;
    bool has_labels = labels[0] != '\0';

    if (family->type == METRICS_HISTOGRAM) {
        text_add_histogram(text, family->name, labels, &value->histogram);
        return;
    }
    text_add(text, "%s%s%s%s ", family->name, has_labels ? "{" : "", labels, has_labels ? "}" : "");
    if (family->is_us) {
        text_add_seconds(text, value->number);
    } else {
        text_add(text, "%" PRIu64 "\n", value->number);
    }
}

static void text_add_family(struct metrics_text *text, unsigned family,
                            const struct metrics_copy *copies, unsigned count)
{
    static const char *const types[] = { "counter", "gauge", "histogram" };
    bool is_first = true;

    for (unsigned i = 0; i < count; i++) {
        for (size_t j = 0; j < copies[i].count; j++) {
            const struct metrics_value *value = &copies[i].values[j];

            if (value->series == NULL || value->series->family != family) {
                continue;
            }
            if (is_first) {
                text_add(text, "# HELP %s %s\n# TYPE %s %s\n", metrics_families[family].name,
                         metrics_families[family].help, metrics_families[family].name,
                         types[metrics_families[family].type]);
                is_first = false;
            }
            text_add_value(text, value);
        }
    }
}

char *metrics_print(struct metrics_copy *copies, unsigned count, size_t *ret_len)
{
    struct metrics_text text = { 0 };
    struct map merged = { 0 };
    int err = 0;

    for (unsigned i = 0; i < count && err == 0; i++) {
        err = copies[i].values == NULL ? ERR_NO_MEMORY : metrics_merge_copy(&merged, &copies[i]);
    }
    map_done(&merged);
    if (err != 0) {
        return NULL;
    }
    for (unsigned family = 0; family < METRICS_FAMILIES; family++) {
        text_add_family(&text, family, copies, count);
    }
    if (text.failed) {
        free(text.ptr);
        return NULL;
    }
    *ret_len = text.len;
    return text.ptr;
}

char *metrics_format(struct metrics *const *all, unsigned count, size_t *ret_len)
{
    struct metrics_copy *copies = calloc(count + 1u, sizeof(*copies));
    char *text;

    if (copies == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        metrics_copy_from(&copies[i], all[i]);
    }
    text = metrics_print(copies, count, ret_len);
    for (unsigned i = 0; i < count; i++) {
        free(copies[i].values);
    }
    free(copies);
    return text;
}
