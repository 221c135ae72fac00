/* SPDX-License-Identifier: Apache-2.0 */
#include "plugins/revocation/config.h"

#include <stdlib.h>

#define MAX_NUMBER_BYTES 32u

#define AT(field)        offsetof(struct revocation_settings, field)

static void read_rate(const struct option_context *ctx, const struct json *value, const char *path,
                      void *field)
{
    char text[MAX_NUMBER_BYTES], *end = text;
    double rate = 0;

    if (value->type == JSON_NUMBER && value->text.len < sizeof(text)) {
        memcpy(text, value->text.ptr, value->text.len);
        text[value->text.len] = '\0';
        rate = strtod(text, &end);
    }
    if (end == text || rate < 0.00001 || rate > 0.1) {
        diag_at(ctx->diag, DIAG_ERROR, value, path, "write 0.001", "not a number in 0.00001..0.1");
        return;
    }
    memcpy(field, &rate, sizeof(rate));
}

static const struct option filter_options[] = {
    { .name = "expected_items",
      .type = OPT_INT,
      .offset = AT(filter.expected_items) - AT(filter),
      .def = "1000000",
      .min = 1000,
      .max = 1000000000,
      .help = "Revocations that the filter begins with room for; it grows." },
    { .name = "false_positive_rate",
      .type = OPT_CUSTOM,
      .offset = AT(filter.false_positive_rate) - AT(filter),
      .def = "0.001",
      .parse = read_rate,
      .help = "How many good tokens redis is asked about needlessly.",
      .schema = "{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}" },
    { .name = NULL },
};

static const char *const unavailable_choices[] = { "deny", "allow", NULL };

const struct option revocation_option_table[] = {
    { .name = "redis",
      .type = OPT_OBJECT,
      .offset = AT(redis),
      .sub = revocation_redis_option_table,
      .parse = revocation_redis_check,
      .help = "Keep revocations in redis; without it, in server.state_dir." },
    { .name = "filter",
      .type = OPT_OBJECT,
      .offset = AT(filter),
      .def = "{}",
      .sub = filter_options,
      .help = "The filter over revocations in redis." },
    { .name = "max_staleness",
      .type = OPT_DURATION,
      .offset = AT(max_staleness_ms),
      .def = "\"2s\"",
      .min = 200,
      .max = 60000,
      .help = "How long after a revocation was written to redis a token may still pass." },
    { .name = "resync_interval",
      .type = OPT_DURATION,
      .offset = AT(resync_interval_ms),
      .def = "\"1h\"",
      .min = 1000,
      .max = 86400000,
      .help = "How often the filter is built anew, without what has expired." },
    { .name = "on_unavailable",
      .type = OPT_ENUM,
      .offset = AT(on_unavailable),
      .def = "\"deny\"",
      .choices = unavailable_choices,
      .help = "What happens to tokens while nobody can tell whether they are revoked." },
    { .name = NULL },
};

int revocation_settings_init(struct revocation_settings *settings, const struct option_context *ctx)
{
    if (!revocation_is_on(settings) || revocation_is_local(settings)) {
        return 0;
    }
    return revocation_redis_init(&settings->redis, ctx, &settings->client);
}

void revocation_settings_done(struct revocation_settings *settings)
{
    revocation_redis_done(&settings->client);
}

bool revocation_settings_are_same(const struct revocation_settings *a,
                                  const struct revocation_settings *b)
{
    return revocation_redis_is_same(&a->client, &b->client);
}
