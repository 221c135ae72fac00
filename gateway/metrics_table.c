/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/metrics_table.h"

#include <stddef.h>
#include <string.h>

/* The bounds of OpenTelemetry's semantic conventions for durations. */
static const struct metrics_bound bounds_http[] = {
    { 5000, "0.005" },  { 10000, "0.01" },  { 25000, "0.025" }, { 50000, "0.05" },
    { 75000, "0.075" }, { 100000, "0.1" },  { 250000, "0.25" }, { 500000, "0.5" },
    { 750000, "0.75" }, { 1000000, "1" },   { 2500000, "2.5" }, { 5000000, "5" },
    { 7500000, "7.5" }, { 10000000, "10" }, { 0, NULL },
};
static const struct metrics_bound bounds_us[] = {
    { 10, "1e-05" },    { 25, "2.5e-05" }, { 50, "5e-05" },    { 100, "0.0001" },
    { 250, "0.00025" }, { 500, "0.0005" }, { 1000, "0.001" },  { 2500, "0.0025" },
    { 5000, "0.005" },  { 10000, "0.01" }, { 25000, "0.025" }, { 100000, "0.1" },
    { 0, NULL },
};

#define C         METRICS_COUNTER, NULL
#define G         METRICS_GAUGE, NULL
#define H(bounds) METRICS_HISTOGRAM, bounds
#define FAMILY_ROW(id, name, type_and_bounds, merge, is_us, help)                                  \
    [METRICS_##id] = { name, type_and_bounds, METRICS_##merge, is_us, help },
const struct metrics_family metrics_families[METRICS_FAMILIES] = { METRICS_TABLE(FAMILY_ROW) };
#undef C
#undef G
#undef H
#undef FAMILY_ROW

int metrics_find_family(const char *name)
{
    for (int i = 0; i < METRICS_FAMILIES; i++) {
        if (strcmp(metrics_families[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}
