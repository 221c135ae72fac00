/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/metrics_text.h"

#include <check.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config_listener listeners[] = {
    { .element = { .name = { "public", 6 } }, .service = CONFIG_PUBLIC, .index = 0 },
    { .element = { .name = { "admin", 5 } }, .service = CONFIG_ADMIN, .index = 1 },
};
static struct config_target targets[] = { { .label = { "127.0.0.1:9001", 14 } } };
static struct config_upstream upstreams[] = {
    { .element = { .name = { "orders", 6 } }, .targets = targets, .target_count = 1 },
};
const struct config metrics_config = {
    .listeners = listeners,
    .listener_count = 2,
    .upstreams = upstreams,
    .upstream_count = 1,
};
const struct config_route metrics_route = {
    .element = { .name = { "orders", 6 } },
    .upstream = upstreams,
};

char *text_of(struct metrics *const *all, unsigned count)
{
    size_t len = 0;
    char *text = metrics_format(all, count, &len);
    char *copy;

    ck_assert_ptr_nonnull(text);
    copy = malloc(len + 2);
    ck_assert_ptr_nonnull(copy);
    copy[0] = '\n'; /* every line then starts behind a newline */
    memcpy(copy + 1, text, len);
    copy[len + 1] = '\0';
    free(text);
    return copy;
}

void assert_line(struct metrics *const *all, unsigned count, const char *line)
{
    char *text = text_of(all, count);
    char wanted[512];

    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    ck_assert_msg(strstr(text, wanted) != NULL, "no line '%s' in:%s", line, text);
    free(text);
}

void assert_no_line(struct metrics *const *all, unsigned count, const char *begin)
{
    char *text = text_of(all, count);
    char unwanted[512];

    snprintf(unwanted, sizeof(unwanted), "\n%s", begin);
    ck_assert_msg(strstr(text, unwanted) == NULL, "'%s' in:%s", begin, text);
    free(text);
}
