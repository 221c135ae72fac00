/* SPDX-License-Identifier: Apache-2.0 */
/* A small snapshot to count for, and the exposition of what was counted. */
#pragma once

#include "gateway/config.h"
#include "gateway/metrics.h"

extern const struct config metrics_config; /* listeners public and admin, upstream orders */
extern const struct config_route metrics_route;

/* The text behind a newline, so that each line starts with one; to be freed. */
char *text_of(struct metrics *const *all, unsigned count);
void assert_line(struct metrics *const *all, unsigned count, const char *line);
/* None that begins like this. */
void assert_no_line(struct metrics *const *all, unsigned count, const char *begin);
