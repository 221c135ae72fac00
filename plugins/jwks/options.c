/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of providers.X.jwks. */
#include "plugins/jwks/jwks.h"

#define MINUTES      INT64_C(60000)
#define HOURS        (60 * MINUTES)

#define CACHE(field) offsetof(struct jwks_cache, field)
static const struct option cache_options[] = {
    { .name = "ttl",
      .type = OPT_DURATION,
      .offset = CACHE(ttl_ms),
      .def = "\"10m\"",
      .min = 1000,
      .max = 24 * HOURS,
      .help = "How long keys are fresh; a server's Cache-Control can only shorten it." },
    { .name = "min_refresh",
      .type = OPT_DURATION,
      .offset = CACHE(min_refresh_ms),
      .def = "\"30s\"",
      .min = 100,
      .max = 1 * HOURS,
      .help = "Unknown kids cause at most one fetch in this time." },
    { .name = "stale_if_error",
      .type = OPT_DURATION,
      .offset = CACHE(stale_if_error_ms),
      .def = "\"6h\"",
      .min = 0,
      .max = 7 * 24 * HOURS,
      .help = "How long keys that are not fresh any more serve while fetching fails." },
    { .name = NULL },
};

static const char *const suspicious_choices[] = { "accept", "hold", NULL };

#define JWKS(field) offsetof(struct jwks_options, field)
const struct option jwks_option_table[] = {
    { .name = "uri", .type = OPT_STRING, .offset = JWKS(uri), .help = "Address of the JWK set." },
    { .name = "discovery",
      .type = OPT_BOOL,
      .offset = JWKS(discovery),
      .def = "false",
      .help = "Find the address in the issuer's metadata (OpenID Connect Discovery, RFC 8414)." },
    { .name = "allow_http",
      .type = OPT_BOOL,
      .offset = JWKS(allow_http),
      .def = "false",
      .help = "Accept plain http, where everybody on the way can replace the keys." },
    { .name = "ca_file",
      .type = OPT_PATH,
      .offset = JWKS(ca_file),
      .help = "Certificates (PEM) that may vouch for the server, read with the configuration; by "
              "default "
              "the system's." },
    { .name = "proxy",
      .type = OPT_STRING,
      .offset = JWKS(proxy),
      .help = "Fetch by this proxy (http://host:port, CONNECT for https); those of the environment "
              "are never used." },
    { .name = "timeout",
      .type = OPT_DURATION,
      .offset = JWKS(timeout_ms),
      .def = "\"2s\"",
      .min = 50,
      .max = 1 * MINUTES,
      .help = "For one transfer as a whole." },
    { .name = "max_bytes",
      .type = OPT_SIZE,
      .offset = JWKS(max_bytes),
      .def = "\"256KiB\"",
      .min = 1024,
      .max = 4 << 20,
      .help = "Longer answers are refused." },
    { .name = "cache",
      .type = OPT_OBJECT,
      .offset = JWKS(cache),
      .def = "{}",
      .sub = cache_options,
      .help = "How long keys are kept." },
    { .name = "on_suspicious",
      .type = OPT_ENUM,
      .offset = JWKS(on_suspicious),
      .def = "\"accept\"",
      .choices = suspicious_choices,
      .help = "A set that replaces all keys or changes one: accept (logged and counted), or hold "
              "it until the next fetch confirms it." },
    { .name = NULL },
};
